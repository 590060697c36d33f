#include <cstring>

#include "base/half.h"
#include "kernels/ref/ref.h"

namespace gyr::kernels::reference {
namespace {

float value(RowType type, const void* row, size_t dim, size_t j) {
  const auto* bytes = static_cast<const uint8_t*>(row);
  if (type == RowType::kFloat32) {
    float v;
    std::memcpy(&v, bytes + j * sizeof v, sizeof v);
    return v;
  }
  if (type == RowType::kInt8) {
    float scale[2];
    std::memcpy(scale, bytes + int8_scale_at(dim), sizeof scale);
    return static_cast<float>(static_cast<int8_t>(bytes[j])) * scale[0] + scale[1];
  }
  uint16_t v;
  std::memcpy(&v, bytes + j * sizeof v, sizeof v);
  return type == RowType::kFloat16 ? half_to_float(v) : bfloat_to_float(v);
}

}  // namespace

void unpack_rows(RowType type, const void* const* rows, size_t n, size_t dim, const float* missing, float* out) {
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < dim; ++j) *out++ = rows[i] != nullptr ? value(type, rows[i], dim, j) : missing[j];
  }
}

void pool_rows(RowType type, const void* const* rows, const float* weight, size_t n, size_t dim, bool add, float* out) {
  for (size_t j = 0; j < dim; ++j) {
    float sum = add ? out[j] : 0;
    for (size_t i = 0; i < n; ++i) {
      if (rows[i] != nullptr) sum += (weight != nullptr ? weight[i] : 1.0f) * value(type, rows[i], dim, j);
    }
    out[j] = sum;
  }
}

void dot_stored_at(RowType type, const float* q, const void* rows, const uint32_t* at, size_t n, size_t dim,
                   size_t stride, float* out) {
  for (size_t i = 0; i < n; ++i) {
    const uint8_t* row = static_cast<const uint8_t*>(rows) + at[i] * stride;
    out[i] = 0;
    for (size_t j = 0; j < dim; ++j) out[i] += q[j] * value(type, row, dim, j);
  }
}

void l2_stored_at(RowType type, const float* q, const void* rows, const uint32_t* at, size_t n, size_t dim,
                  size_t stride, float* out) {
  for (size_t i = 0; i < n; ++i) {
    const uint8_t* row = static_cast<const uint8_t*>(rows) + at[i] * stride;
    out[i] = 0;
    for (size_t j = 0; j < dim; ++j) {
      const float diff = q[j] - value(type, row, dim, j);
      out[i] -= diff * diff;
    }
  }
}

}  // namespace gyr::kernels::reference
