// Reference for vectors quantised to integers.
#include <cmath>

#include "kernels/ref/ref.h"

namespace gyr::kernels::reference {
namespace {

int32_t dot(const int16_t* q, const int8_t* row, size_t dim) {
  int32_t sum = 0;
  for (size_t j = 0; j < dim; ++j) sum += q[j] * row[j];
  return sum;
}

float encode(float x, float scale, float bound) {
  return std::fmin(std::fmax(std::nearbyint(x * scale), -bound), bound);
}

float value(const CodedRows& rows, float scale, uint32_t row, size_t j) {
  const int8_t code = rows.codes[row * rows.stride + j];
  if (rows.rests == nullptr) return scale * static_cast<float>(code);
  const int steps = kRestSteps * code + rows.rests[row * rows.stride + j];
  return scale / kRestSteps * static_cast<float>(steps);
}

}  // namespace

void dot_coded_at(const float* q, const CodedRows& rows, const float* scales, const uint32_t* at, size_t n, size_t dim,
                  float* out) {
  for (size_t i = 0; i < n; ++i) {
    out[i] = 0;
    for (size_t j = 0; j < dim; ++j) out[i] += q[j] * value(rows, scales[i], at[i], j);
  }
}

void l2_coded_at(const float* q, const CodedRows& rows, const float* scales, const uint32_t* at, size_t n, size_t dim,
                 float* out) {
  for (size_t i = 0; i < n; ++i) {
    out[i] = 0;
    for (size_t j = 0; j < dim; ++j) {
      const float diff = q[j] - value(rows, scales[i], at[i], j);
      out[i] -= diff * diff;
    }
  }
}

void dot_codes(const int16_t* q, const int8_t* codes, size_t n, size_t dim, size_t stride, int32_t* out) {
  for (size_t i = 0; i < n; ++i) out[i] = dot(q, codes + i * stride, dim);
}

void dot_codes_at(const int16_t* q, const int8_t* codes, const uint32_t* at, size_t n, size_t dim, size_t stride,
                  int32_t* out) {
  for (size_t i = 0; i < n; ++i) out[i] = dot(q, codes + at[i] * stride, dim);
}

void dot_bytes(const int8_t* q, const int8_t* rows, size_t n, size_t stride, int32_t* out) {
  for (size_t i = 0; i < n; ++i) {
    out[i] = 0;
    for (size_t j = 0; j < stride; ++j) out[i] += q[j] * rows[i * stride + j];
  }
}

float max_abs(const float* x, size_t n) {
  float most = 0;
  for (size_t i = 0; i < n; ++i) most = std::fmax(most, std::fabs(x[i]));
  return most;
}

void encode_codes(const float* x, size_t n, float scale, int8_t* out) {
  for (size_t i = 0; i < n; ++i) out[i] = static_cast<int8_t>(encode(x[i], scale, 127));
}

void encode_query(const float* x, size_t n, float scale, int16_t* out, int32_t bound) {
  for (size_t i = 0; i < n; ++i) out[i] = static_cast<int16_t>(encode(x[i], scale, static_cast<float>(bound)));
}

}  // namespace gyr::kernels::reference
