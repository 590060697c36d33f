// Reference elementwise operations and optimizer steps.
#include <cmath>

#include "kernels/ref/ref.h"

namespace gyr::kernels::reference {

void softmax(float* x, size_t n) {
  if (n == 0) return;
  float top = x[0];
  for (size_t i = 1; i < n; ++i) top = x[i] > top ? x[i] : top;
  float sum = 0;
  for (size_t i = 0; i < n; ++i) sum += x[i] = std::exp(x[i] - top);
  for (size_t i = 0; i < n; ++i) x[i] /= sum;
}

void sigmoid(float* x, size_t n) {
  for (size_t i = 0; i < n; ++i) x[i] = 1 / (1 + std::exp(-x[i]));
}

void adagrad(float* w, float* state, const float* g, size_t n, float lr, float eps) {
  for (size_t i = 0; i < n; ++i) {
    state[i] += g[i] * g[i];
    w[i] -= lr * g[i] / (std::sqrt(state[i]) + eps);
  }
}

void adam(float* w, float* m, float* v, const float* g, size_t n, float lr, float beta1, float beta2, float eps) {
  for (size_t i = 0; i < n; ++i) {
    m[i] = beta1 * m[i] + (1 - beta1) * g[i];
    v[i] = beta2 * v[i] + (1 - beta2) * g[i] * g[i];
    w[i] -= lr * m[i] / (std::sqrt(v[i]) + eps);
  }
}

}  // namespace gyr::kernels::reference
