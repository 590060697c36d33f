// Reference vector, row and matrix operations: plain loops in the order of the formula. The oracle of every other
// implementation, and what runs on a CPU that none of them supports.
#include <cmath>

#include "kernels/ref/ref.h"

namespace gyr::kernels::reference {

float dot(const float* a, const float* b, size_t n) {
  float sum = 0;
  for (size_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

float l2_squared(const float* a, const float* b, size_t n) {
  float sum = 0;
  for (size_t i = 0; i < n; ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sum;
}

void axpy(float alpha, const float* x, float* y, size_t n) {
  for (size_t i = 0; i < n; ++i) y[i] += alpha * x[i];
}

void scale(float alpha, float* x, size_t n) {
  for (size_t i = 0; i < n; ++i) x[i] *= alpha;
}

void dot_rows(const float* q, const float* rows, size_t n, size_t dim, size_t stride, float* out) {
  for (size_t i = 0; i < n; ++i) out[i] = dot(q, rows + i * stride, dim);
}

void l2_rows(const float* q, const float* rows, size_t n, size_t dim, size_t stride, float* out) {
  for (size_t i = 0; i < n; ++i) out[i] = -l2_squared(q, rows + i * stride, dim);
}

void dot_rows_at(const float* q, const float* rows, const uint32_t* at, size_t n, size_t dim, size_t stride,
                 float* out) {
  for (size_t i = 0; i < n; ++i) out[i] = dot(q, rows + at[i] * stride, dim);
}

void l2_rows_at(const float* q, const float* rows, const uint32_t* at, size_t n, size_t dim, size_t stride,
                float* out) {
  for (size_t i = 0; i < n; ++i) out[i] = -l2_squared(q, rows + at[i] * stride, dim);
}

static float activate(float x, Activation act) {
  switch (act) {
    case Activation::kRelu:
      return x < 0 ? 0 : x;  // NaN stays NaN
    case Activation::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case Activation::kTanh:
      return std::tanh(x);
    case Activation::kNone:
      break;
  }
  return x;
}

void gemm_packed(const float* x, size_t ldx, const float* packed_w, const float* bias, float* y, size_t ldy, size_t m,
                 size_t k, size_t n, Activation act) {
  for (size_t i = 0; i < m; ++i) {
    for (size_t j = 0; j < n; ++j) {
      const float* w = packed_w + j / kPanel * kPanel * k + j % kPanel;
      float sum = bias != nullptr ? bias[j] : 0;
      for (size_t l = 0; l < k; ++l) sum += x[i * ldx + l] * w[l * kPanel];
      y[i * ldy + j] = activate(sum, act);
    }
  }
}

void gemm_nn(const float* a, const float* b, float* c, size_t m, size_t k, size_t n, bool add) {
  for (size_t i = 0; i < m; ++i) {
    for (size_t j = 0; j < n; ++j) {
      float sum = 0;
      for (size_t l = 0; l < k; ++l) sum += a[i * k + l] * b[l * n + j];
      c[i * n + j] = add ? c[i * n + j] + sum : sum;
    }
  }
}

void gemm_tn(const float* a, const float* b, float* c, size_t m, size_t k, size_t n, bool add) {
  for (size_t i = 0; i < m; ++i) {
    for (size_t j = 0; j < n; ++j) {
      float sum = 0;
      for (size_t l = 0; l < k; ++l) sum += a[l * m + i] * b[l * n + j];
      c[i * n + j] = add ? c[i * n + j] + sum : sum;
    }
  }
}

void gemm_nt(const float* a, const float* b, float* c, size_t m, size_t k, size_t n, bool add) {
  for (size_t i = 0; i < m; ++i) {
    for (size_t j = 0; j < n; ++j) {
      float sum = dot(a + i * k, b + j * k, k);
      c[i * n + j] = add ? c[i * n + j] + sum : sum;
    }
  }
}

void syr_upper(float alpha, const float* x, float* a, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = i; j < n; ++j) a[i * n + j] += alpha * x[i] * x[j];
  }
}

void syrk_rows_upper(float alpha, const float* rows, const uint32_t* at, size_t n, size_t dim, float* a) {
  for (size_t i = 0; i < n; ++i) syr_upper(alpha, rows + at[i] * dim, a, dim);
}

bool solve_positive_definite(float* a, float* x, size_t n) {
  for (size_t k = 0; k < n; ++k) {
    float* row = a + k * n;
    for (size_t p = 0; p < k; ++p) {
      for (size_t j = k; j < n; ++j) row[j] -= a[p * n + k] * a[p * n + j];
    }
    if (!(row[k] > 0) || !std::isfinite(row[k])) return false;
    const float root = std::sqrt(row[k]);
    for (size_t j = k; j < n; ++j) row[j] /= root;
  }
  for (size_t i = 0; i < n; ++i) {
    for (size_t p = 0; p < i; ++p) x[i] -= a[p * n + i] * x[p];
    x[i] /= a[i * n + i];
  }
  for (size_t i = n; i-- > 0;) {
    for (size_t j = i + 1; j < n; ++j) x[i] -= a[i * n + j] * x[j];
    x[i] /= a[i * n + i];
  }
  return true;
}

void interact(const float* vectors, size_t f, size_t dim, float* out) {
  for (size_t i = 0; i < f; ++i) {
    for (size_t j = i + 1; j < f; ++j) *out++ = dot(vectors + i * dim, vectors + j * dim, dim);
  }
}

}  // namespace gyr::kernels::reference
