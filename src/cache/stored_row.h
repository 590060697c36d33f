// Rows in the types a cache stores them in (kernels/kernels.h: RowType), made from floats.
#pragma once

#include <gyr/cache.h>

#include "base/error.h"
#include "kernels/kernels.h"

namespace gyr {

Result<kernels::RowType> row_type(gyr_cache_rows rows);
// What cannot be stored: NaN, infinities, and what the type would turn into infinity.
Status check_values(const float* values, uint64_t n, uint32_t dim, kernels::RowType type, const char* what);
// Whether a stored row reads as numbers that are neither NaN nor infinite. Allocates nothing.
bool is_sound(kernels::RowType type, const uint8_t* row, uint32_t dim);
void store_row(kernels::RowType type, const float* row, uint32_t dim, uint8_t* to);

}  // namespace gyr
