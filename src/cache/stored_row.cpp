#include "cache/stored_row.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <tuple>

#include "base/half.h"

namespace gyr {
namespace {

using kernels::RowType;

bool fits(float v, RowType type) {
  if (!std::isfinite(v)) return false;
  if (type == RowType::kFloat16) return std::isfinite(half_to_float(float_to_half(v)));
  if (type == RowType::kBfloat16) return std::isfinite(bfloat_to_float(float_to_bfloat(v)));
  return true;
}

const char* name_of(RowType type) {
  static const char* const names[] = {"float32", "float16", "bfloat16", "int8"};
  return names[int(type)];
}

// Whether a quantised value reads as a finite one, with and without fused arithmetic.
bool reads_finite(float q, float scale, float bias) {
  constexpr double kMost = std::numeric_limits<float>::max();
  double product = double(q) * double(scale);  // exact
  return std::abs(product) <= kMost && std::abs(product + double(bias)) <= kMost;
}

// 255 steps from the row's smallest value to its largest, the usual row-wise quantisation. Of rows as wide as floats go
// a little less, so that neither end is rounded to infinity.
void store_int8(const float* row, uint32_t dim, uint8_t* to) {
  auto [low, high] = std::minmax_element(row, row + dim);
  float scale = std::min(float((double(*high) - double(*low)) / 255), std::numeric_limits<float>::max() / 128);
  float bias = *low;
  while (scale > 0) {
    bias = float(double(*low) + 128 * double(scale));
    if (reads_finite(-128, scale, bias) && reads_finite(127, scale, bias)) break;
    scale *= 1 - 1.0f / 65536;
  }
  for (uint32_t d = 0; d < dim; d++) {
    double q = scale > 0 ? std::nearbyint((double(row[d]) - double(bias)) / double(scale)) : 0;
    to[d] = uint8_t(int8_t(std::clamp(q, -128.0, 127.0)));
  }
  size_t at = kernels::int8_scale_at(dim);
  std::memset(to + dim, 0, at - dim);
  std::memcpy(to + at, &scale, sizeof scale);
  std::memcpy(to + at + sizeof scale, &bias, sizeof bias);
}

}  // namespace

Result<RowType> row_type(gyr_cache_rows rows) {
  if (rows < GYR_CACHE_FLOAT32 || rows > GYR_CACHE_INT8)
    return fail(GYR_E_INVALID_ARGUMENT, "cache", "options.rows is %d; expected GYR_CACHE_FLOAT32 to GYR_CACHE_INT8",
                rows);
  return RowType(rows);
}

Status check_values(const float* values, uint64_t n, uint32_t dim, RowType type, const char* what) {
  for (uint64_t i = 0; i < n; i++)
    if (!fits(values[i], type))
      return fail(GYR_E_INVALID_ARGUMENT, "cache",
                  "%s: row %llu, value %llu is NaN, infinite, or too large for %s; "
                  "nothing was inserted",
                  what, (unsigned long long)(i / dim), (unsigned long long)(i % dim), name_of(type));
  return {};
}

bool is_sound(RowType type, const uint8_t* row, uint32_t dim) {
  float f[2];
  auto *values = reinterpret_cast<const int8_t*>(row), *low = values, *high = values;
  switch (type) {
    case RowType::kFloat32:
      for (uint32_t d = 0; d < dim; d++) {
        std::memcpy(f, row + size_t(d) * sizeof f[0], sizeof f[0]);
        if (!std::isfinite(f[0])) return false;
      }
      return true;
    case RowType::kInt8:  // scale and bias
      std::memcpy(f, row + kernels::int8_scale_at(dim), sizeof f);
      std::tie(low, high) = std::minmax_element(values, values + dim);
      return reads_finite(float(*low), f[0], f[1]) && reads_finite(float(*high), f[0], f[1]);
    default:
      for (uint32_t d = 0; d < dim; d++) {
        uint16_t v;
        std::memcpy(&v, row + size_t(d) * sizeof v, sizeof v);
        if (!std::isfinite(type == RowType::kFloat16 ? half_to_float(v) : bfloat_to_float(v))) return false;
      }
      return true;
  }
}

void store_row(RowType type, const float* row, uint32_t dim, uint8_t* to) {
  switch (type) {
    case RowType::kFloat32:
      std::memcpy(to, row, size_t(dim) * sizeof(float));
      return;
    case RowType::kInt8:
      return store_int8(row, dim, to);
    default:
      for (uint32_t d = 0; d < dim; d++) {
        uint16_t v = type == RowType::kFloat16 ? float_to_half(row[d]) : float_to_bfloat(row[d]);
        std::memcpy(to + size_t(d) * sizeof v, &v, sizeof v);
      }
  }
}

}  // namespace gyr
