// Matrix products of every implementation, against double precision.
#include <algorithm>

#include "tests/kernels/common.h"

namespace gyr::kernels {
namespace {

class MatrixKernels : public Kernels {};

struct Shape {
  size_t m, k, n;
};

std::vector<Shape> shapes() {
  std::vector<Shape> all = {{0, 5, 5},    {5, 5, 0},     {1, 1, 1},     {1, 64, 256},  {13, 257, 65}, {7, 513, 31},
                            {25, 40, 96}, {100, 33, 64}, {3, 300, 130}, {1, 2049, 33}, {2, 2048, 1},  {64, 128, 33}};
  for (size_t m : {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 23}) {
    for (size_t n : {1, 4, 5, 8, 15, 16, 17, 24, 31, 32, 33, 49, 64, 65, 129}) all.push_back({m, 1 + (m * n) % 19, n});
  }
  return all;
}

double activate(double x, Activation act) {
  switch (act) {
    case Activation::kRelu:
      return x < 0 ? 0 : x;
    case Activation::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case Activation::kTanh:
      return std::tanh(x);
    case Activation::kNone:
      break;
  }
  return x;
}

TEST_P(MatrixKernels, GemmPacked) {
  for (Shape s : shapes()) {
    for (Activation act : {Activation::kNone, Activation::kRelu, Activation::kSigmoid, Activation::kTanh}) {
      const size_t gap = s.m % 3, ldx = s.k + gap, ldy = s.n + 2 * gap;
      Guarded x(s.m == 0 ? 0 : (s.m - 1) * ldx + s.k, 1), w(s.k * s.n, 2), bias(s.n, 3), packed(packed_size(s.k, s.n));
      const size_t y_size = s.m == 0 || s.n == 0 ? 0 : (s.m - 1) * ldy + s.n;
      Guarded y(y_size, 4);
      const Guarded before(y);
      pack_weights(w.data(), s.k, s.n, packed.data());
      const bool biased = s.n % 2 == 1 || act == Activation::kRelu;
      ops().gemm_packed(x.data(), ldx, packed.data(), biased ? bias.data() : nullptr, y.data(), ldy, s.m, s.k, s.n,
                        act);
      for (size_t at = 0; at < y_size; ++at) {
        const size_t i = at / ldy, j = at % ldy;
        if (j >= s.n) {
          ASSERT_EQ(y[at], before[at]) << "between rows";
          continue;
        }
        double sum = biased ? bias[j] : 0, absolute = std::fabs(sum);
        for (size_t l = 0; l < s.k; ++l) {
          const double term = static_cast<double>(x[i * ldx + l]) * w[l * s.n + j];
          sum += term;
          absolute += std::fabs(term);
        }
        ASSERT_NEAR(y[at], activate(sum, act), sum_tolerance(s.k, absolute) + 1e-6)
            << s.m << "x" << s.k << "x" << s.n << " act " << static_cast<int>(act) << " at " << i << "," << j;
      }
    }
  }
}

TEST_P(MatrixKernels, GemmPackedRowsDoNotDependOnTheirNeighbours) {
  for (size_t n : {1, 20, 33, 64, 130}) {
    const size_t m = 29, k = 77;
    Guarded x(m * k, 5), w(k * n, 6), bias(n, 7), packed(packed_size(k, n)), all(m * n), one(n);
    pack_weights(w.data(), k, n, packed.data());
    ops().gemm_packed(x.data(), k, packed.data(), bias.data(), all.data(), n, m, k, n, Activation::kNone);
    for (size_t i = 0; i < m; ++i) {
      ops().gemm_packed(x.data() + i * k, k, packed.data(), bias.data(), one.data(), n, 1, k, n, Activation::kNone);
      for (size_t j = 0; j < n; ++j) ASSERT_EQ(one[j], all[i * n + j]) << i << " " << j;
    }
  }
}

TEST_P(MatrixKernels, ReluKeepsNan) {
  for (size_t n : {1, 16, 33}) {
    Guarded x(3 * 4, 8), w(4 * n, 9), packed(packed_size(4, n)), y(3 * n);
    x[5] = std::nanf("");  // row 1
    pack_weights(w.data(), 4, n, packed.data());
    ops().gemm_packed(x.data(), 4, packed.data(), nullptr, y.data(), n, 3, 4, n, Activation::kRelu);
    for (size_t j = 0; j < n; ++j) {
      EXPECT_TRUE(std::isnan(y[n + j]));
      EXPECT_FALSE(std::isnan(y[j]));
    }
  }
}

TEST_P(MatrixKernels, TrainingProducts) {
  std::vector<Shape> all = shapes();
  all.push_back({5, 0, 7});
  all.push_back({70, 600, 70});
  for (Shape s : all) {
    for (bool add : {false, true}) {
      Guarded a(s.m * s.k, 10), b(s.k * s.n, 11), at(s.m * s.k), bt(s.k * s.n), old(s.m * s.n, 12);
      for (size_t i = 0; i < s.m; ++i) {
        for (size_t l = 0; l < s.k; ++l) at[l * s.m + i] = a[i * s.k + l];
      }
      for (size_t l = 0; l < s.k; ++l) {
        for (size_t j = 0; j < s.n; ++j) bt[j * s.k + l] = b[l * s.n + j];
      }
      Guarded nn(old), tn(old), nt(old);
      ops().gemm_nn(a.data(), b.data(), nn.data(), s.m, s.k, s.n, add);
      ops().gemm_tn(at.data(), b.data(), tn.data(), s.m, s.k, s.n, add);
      ops().gemm_nt(a.data(), bt.data(), nt.data(), s.m, s.k, s.n, add);
      for (size_t i = 0; i < s.m; ++i) {
        for (size_t j = 0; j < s.n; ++j) {
          double absolute = 0;
          const double dot = dot_exact(a.data() + i * s.k, bt.data() + j * s.k, s.k, &absolute);
          const size_t o = i * s.n + j;
          const double want = (add ? old[o] : 0) + dot, near = sum_tolerance(s.k, absolute + 1);
          ASSERT_NEAR(nn[o], want, near) << "nn " << s.m << "x" << s.k << "x" << s.n << " at " << i << "," << j;
          ASSERT_NEAR(tn[o], want, near) << "tn " << s.m << "x" << s.k << "x" << s.n << " at " << i << "," << j;
          ASSERT_NEAR(nt[o], want, near) << "nt " << s.m << "x" << s.k << "x" << s.n << " at " << i << "," << j;
        }
      }
    }
  }
}

TEST_P(MatrixKernels, SymmetricUpdates) {
  for (size_t dim : {1, 2, 5, 8, 15, 16, 17, 31, 32, 33, 48, 50, 64, 65, 100, 128, 200, 1030}) {
    for (size_t n : {0, 1, 3, 17, 200}) {
      if (dim > 1000 && n > 3) continue;
      const size_t rows_held = 40;
      Guarded rows(rows_held * dim, 13), a(dim * dim, 14);
      const Guarded before(a);
      std::vector<uint32_t> at(n);
      for (size_t i = 0; i < n; ++i) at[i] = static_cast<uint32_t>((i * 11 + rows_held - 1) % rows_held);
      ops().syrk_rows_upper(0.3f, rows.data(), at.data(), n, dim, a.data());
      Guarded one(before);
      if (n == 1) ops().syr_upper(0.3f, rows.data() + at[0] * dim, one.data(), dim);
      for (size_t i = 0; i < dim; ++i) {
        for (size_t j = 0; j < dim; ++j) {
          const size_t o = i * dim + j;
          if (j < i) {
            ASSERT_EQ(a[o], before[o]) << "below the diagonal";
            ASSERT_EQ(one[o], before[o]) << "below the diagonal";
            continue;
          }
          double sum = 0, absolute = 1;
          for (uint32_t r : at) {
            const double term = static_cast<double>(rows[r * dim + i]) * rows[r * dim + j];
            sum += term;
            absolute += std::fabs(term);
          }
          ASSERT_NEAR(a[o], before[o] + 0.3f * sum, sum_tolerance(n, absolute))
              << dim << " " << n << " " << i << "," << j;
          if (n == 1) {
            ASSERT_NEAR(one[o], before[o] + 0.3f * sum, sum_tolerance(n, absolute)) << dim;
          }
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, MatrixKernels, testing::ValuesIn(implementations()), implementation_name);

TEST(PackWeights, PanelsPadWithZeros) {
  for (size_t n : {1, 31, 32, 33, 70}) {
    const size_t k = 3;
    Guarded w(k * n, 15), packed(packed_size(k, n), 16);
    pack_weights(w.data(), k, n, packed.data());
    for (size_t at = 0; at < packed.size(); ++at) {
      const size_t j = at / (k * kPanel) * kPanel + at % kPanel, l = at / kPanel % k;
      ASSERT_EQ(packed[at], j < n ? w[l * n + j] : 0) << n << " " << at;
    }
  }
}

}  // namespace
}  // namespace gyr::kernels
