// Elementwise functions and optimizer steps of every implementation, against double precision.
#include <limits>

#include "tests/kernels/common.h"

namespace gyr::kernels {
namespace {

class PointwiseKernels : public Kernels {};

const size_t kSizes[] = {0, 1, 2, 3, 5, 8, 15, 16, 17, 33, 64, 100, 257};

TEST_P(PointwiseKernels, Sigmoid) {
  for (size_t n : kSizes) {
    Guarded x(n, 1, -20, 20);
    const Guarded before(x);
    ops().sigmoid(x.data(), n);
    for (size_t i = 0; i < n; ++i) {
      const double want = 1 / (1 + std::exp(-static_cast<double>(before[i])));
      EXPECT_NEAR(x[i], want, 1e-5 * want) << before[i];
    }
  }
  const float inf = std::numeric_limits<float>::infinity();
  for (size_t i = 0; i < 20; ++i) {  // full vectors and tails alike
    Guarded x(20, 2);
    x[i] = inf;
    x[(i + 1) % 20] = -inf;
    x[(i + 2) % 20] = std::nanf("");
    x[(i + 3) % 20] = 1000;
    x[(i + 4) % 20] = -1000;
    ops().sigmoid(x.data(), 20);
    EXPECT_EQ(x[i], 1);
    EXPECT_EQ(x[(i + 1) % 20], 0);
    EXPECT_TRUE(std::isnan(x[(i + 2) % 20]));
    EXPECT_EQ(x[(i + 3) % 20], 1);
    EXPECT_EQ(x[(i + 4) % 20], 0);
  }
}

TEST_P(PointwiseKernels, TanhLayer) {
  const size_t n = 1000;  // x times the 1 x 1 identity
  Guarded x(n, 3, -12, 12), packed(packed_size(1, 1)), y(n);
  for (size_t i = 0; i < 20; ++i) x[i] *= 1e-4f;
  const float one = 1;
  pack_weights(&one, 1, 1, packed.data());
  ops().gemm_packed(x.data(), 1, packed.data(), nullptr, y.data(), 1, n, 1, 1, Activation::kTanh);
  for (size_t i = 0; i < n; ++i) {
    const double want = std::tanh(static_cast<double>(x[i]));
    EXPECT_NEAR(y[i], want, 1e-5 * std::fabs(want)) << x[i];
  }
}

TEST_P(PointwiseKernels, Softmax) {
  for (size_t n : kSizes) {
    for (float offset : {0.0f, 500.0f, -500.0f}) {
      Guarded x(n, 4, offset - 15, offset + 15);
      const Guarded before(x);
      ops().softmax(x.data(), n);
      double top = -1e30, total = 0, got = 0;
      for (size_t i = 0; i < n; ++i) top = std::max(top, static_cast<double>(before[i]));
      for (size_t i = 0; i < n; ++i) total += std::exp(before[i] - top);
      for (size_t i = 0; i < n; ++i) {
        const double want = std::exp(before[i] - top) / total;
        EXPECT_NEAR(x[i], want, 1e-5 * want) << n << " " << i;
        got += x[i];
      }
      if (n > 0) {
        EXPECT_NEAR(got, 1, 1e-5);
      }
    }
  }
  for (size_t at = 0; at < 21; ++at) {  // masked-out candidates, and a model gone wrong
    Guarded x(21, 5);
    x[at] = -std::numeric_limits<float>::infinity();
    ops().softmax(x.data(), 21);
    EXPECT_EQ(x[at], 0);
    EXPECT_GT(x[(at + 1) % 21], 0);
    x[at] = std::nanf("");
    ops().softmax(x.data(), 21);
    EXPECT_TRUE(std::isnan(x[at]));
  }
}

TEST_P(PointwiseKernels, OptimizerSteps) {
  for (size_t n : kSizes) {
    Guarded w(n, 6), state(n), g(n, 7), m(n), v(n), w2(n, 8);
    for (size_t i = 0; i < n; ++i) state[i] = m[i] = v[i] = 0;
    std::vector<double> dw(n), ds(n), dw2(n), dm(n), dv(n);
    for (size_t i = 0; i < n; ++i) dw[i] = w[i], dw2[i] = w2[i];
    const double lr = 0.1f, eps = 1e-6f, b1 = 0.9f, b2 = 0.999f, c1 = 1 - 0.9f, c2 = 1 - 0.999f;
    for (int step = 0; step < 5; ++step) {
      ops().adagrad(w.data(), state.data(), g.data(), n, 0.1f, 1e-6f);
      ops().adam(w2.data(), m.data(), v.data(), g.data(), n, 0.1f, 0.9f, 0.999f, 1e-6f);
      for (size_t i = 0; i < n; ++i) {
        const double grad = g[i];
        ds[i] += grad * grad;
        dw[i] -= lr * grad / (std::sqrt(ds[i]) + eps);
        dm[i] = b1 * dm[i] + c1 * grad;
        dv[i] = b2 * dv[i] + c2 * grad * grad;
        dw2[i] -= lr * dm[i] / (std::sqrt(dv[i]) + eps);
        ASSERT_NEAR(w[i], dw[i], 1e-5);
        ASSERT_NEAR(state[i], ds[i], 1e-6);
        ASSERT_NEAR(w2[i], dw2[i], 1e-5 * (1 + std::fabs(dw2[i])));
        ASSERT_NEAR(m[i], dm[i], 1e-6);
        ASSERT_NEAR(v[i], dv[i], 1e-6);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, PointwiseKernels, testing::ValuesIn(implementations()), implementation_name);

}  // namespace
}  // namespace gyr::kernels
