// The SIMD tables of this build that this CPU can run.
#pragma once

#include "kernels/kernels.h"

namespace gyr::kernels {

constexpr size_t kMaxTables = 8;
// Slowest first; returns how many of kMaxTables were filled.
size_t simd_tables(const Ops** tables);

}  // namespace gyr::kernels
