// Rows in the types a cache stores them in (kernels/kernels.h: RowType), made from floats.
#pragma once

#include <gyr/cache.h>

#include "base/error.h"
#include "kernels/kernels.h"

namespace gyr {

Result<kernels::RowType> row_type(gyr_cache_rows rows);
// What cannot be stored: NaN, infinities, and what the type would turn into infinity.
Status check_values(const float* values, uint64_t n, uint32_t dim, kernels::RowType type, const char* what);
void store_row(kernels::RowType type, const float* row, uint32_t dim, uint8_t* to);

}  // namespace gyr
