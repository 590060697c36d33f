// Vector and row operations of every implementation, against double precision.
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "base/half.h"
#include "tests/kernels/common.h"
#include "tests/kernels/stored_row.h"
#include "tests/support/knobs.h"

namespace gyr::kernels {
namespace {

class RowKernels : public Kernels {};

const size_t kSizes[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 63, 64, 65, 100, 127, 128, 200, 1000};

TEST_P(RowKernels, DotAndDistance) {
  for (size_t n : kSizes) {
    Guarded a(n, 1), b(n, 2), diff(n);
    for (size_t i = 0; i < n; ++i) diff[i] = a[i] - b[i];
    double absolute = 0;
    const double dot = dot_exact(a.data(), b.data(), n, &absolute);
    EXPECT_NEAR(ops().dot(a.data(), b.data(), n), dot, sum_tolerance(n, absolute)) << n;
    const double distance = dot_exact(diff.data(), diff.data(), n, &absolute);
    EXPECT_NEAR(ops().l2_squared(a.data(), b.data(), n), distance, sum_tolerance(n, absolute)) << n;
  }
}

TEST_P(RowKernels, DotOfSpecialValues) {
  const float inf = std::numeric_limits<float>::infinity();
  for (size_t n : {1, 5, 16, 37, 64}) {
    for (size_t at = 0; at < n; at += 3) {
      Guarded a(n, 3, 0.5f, 1), b(n, 4, 0.5f, 1);
      a[at] = inf;
      EXPECT_EQ(ops().dot(a.data(), b.data(), n), inf);
      EXPECT_EQ(ops().l2_squared(a.data(), b.data(), n), inf);
      b[at] = 0;
      EXPECT_TRUE(std::isnan(ops().dot(a.data(), b.data(), n)));
      a[at] = std::numeric_limits<float>::quiet_NaN();
      EXPECT_TRUE(std::isnan(ops().dot(a.data(), b.data(), n)));
    }
    Guarded tiny(n), one(n);
    for (size_t i = 0; i < n; ++i) tiny[i] = std::numeric_limits<float>::denorm_min(), one[i] = 1;
    // Denormals add exactly, whatever the order.
    EXPECT_EQ(ops().dot(tiny.data(), one.data(), n), static_cast<float>(n) * std::numeric_limits<float>::denorm_min());
  }
}

TEST_P(RowKernels, AxpyAndScale) {
  for (size_t n : kSizes) {
    Guarded x(n, 5), y(n, 6);
    Guarded y2(y), x2(x);
    ops().axpy(0.7f, x.data(), y.data(), n);
    ops().scale(-1.3f, x2.data(), n);
    for (size_t i = 0; i < n; ++i) {
      const float old = Guarded(n, 6)[i];
      EXPECT_NEAR(y[i], old + 0.7 * x[i], 2e-7) << n << " " << i;
      EXPECT_EQ(x2[i], -1.3f * x[i]);
    }
  }
}

TEST_P(RowKernels, RowScores) {
  for (size_t dim : {0, 1, 3, 8, 16, 17, 31, 32, 48, 64, 65, 100, 129, 300}) {
    for (size_t n : {0, 1, 2, 3, 4, 5, 7, 8, 9, 13, 33}) {
      for (size_t gap : {0, 3}) {
        const size_t stride = dim + gap;
        Guarded rows(n == 0 ? 0 : (n - 1) * stride + dim, 7), q(dim, 8);
        Guarded dots(n), distances(n), dots_at(n), distances_at(n);
        std::vector<uint32_t> at(n);
        for (size_t i = 0; i < n; ++i) at[i] = static_cast<uint32_t>(i * 7 % n);
        ops().dot_rows(q.data(), rows.data(), n, dim, stride, dots.data());
        ops().l2_rows(q.data(), rows.data(), n, dim, stride, distances.data());
        ops().dot_rows_at(q.data(), rows.data(), at.data(), n, dim, stride, dots_at.data());
        ops().l2_rows_at(q.data(), rows.data(), at.data(), n, dim, stride, distances_at.data());
        for (size_t i = 0; i < n; ++i) {
          const float* row = rows.data() + i * stride;
          // A row scores the same to the bit wherever it stands.
          EXPECT_EQ(dots[i], ops().dot(q.data(), row, dim)) << dim << " " << n;
          EXPECT_EQ(distances[i], -ops().l2_squared(q.data(), row, dim)) << dim << " " << n;
          EXPECT_EQ(dots_at[i], dots[at[i]]);
          EXPECT_EQ(distances_at[i], distances[at[i]]);
        }
      }
    }
  }
}

TEST_P(RowKernels, PoolAndUnpackRows) {
  for (RowType type : kRowTypes) {
    for (size_t dim : kSizes) {
      for (size_t n : {0, 1, 2, 9, 30}) {
        std::vector<StoredRow> store;
        for (size_t i = 0; i < n; ++i) store.emplace_back(type, dim, static_cast<uint32_t>(i));
        std::vector<const void*> rows(n);
        for (size_t i = 0; i < n; ++i) rows[i] = i % 4 == 1 ? nullptr : store[i].data();
        Guarded weight(n, 9), out(dim, 10), plain(dim, 11), before = plain, missing(dim, 12), all(n * dim, 13);
        ops().pool_rows(type, rows.data(), weight.data(), n, dim, false, out.data());
        ops().pool_rows(type, rows.data(), nullptr, n, dim, true, plain.data());
        ops().unpack_rows(type, rows.data(), n, dim, missing.data(), all.data());
        std::vector<float> want(n * dim);
        ref().unpack_rows(type, rows.data(), n, dim, missing.data(), want.data());
        for (size_t j = 0; j < dim; ++j) {
          double weighted = 0, sum = before[j];
          for (size_t i = 0; i < n; ++i) {
            const float v = want[i * dim + j];
            EXPECT_NEAR(all[i * dim + j], v, 1e-6) << dim << " " << i;  // int8: one rounding or two
            if (rows[i] == nullptr) continue;
            weighted += static_cast<double>(weight[i]) * v;
            sum += v;
          }
          EXPECT_NEAR(out[j], weighted, 1e-5 * static_cast<double>(n)) << dim << " " << n;
          EXPECT_NEAR(plain[j], sum, 1e-5 * static_cast<double>(n)) << dim << " " << n;
        }
      }
    }
  }
}

TEST(Half, RoundsToNearestEven) {
  for (uint32_t h = 0; h < 0x10000; ++h) {
    const float f = half_to_float(static_cast<uint16_t>(h));
    if (!std::isfinite(f)) continue;
    EXPECT_EQ(float_to_half(f), h);
    if ((h & 0x7fff) == 0x7bff) continue;
    const float next = half_to_float(static_cast<uint16_t>(h + 1)), middle = f + (next - f) / 2;  // exact
    EXPECT_EQ(float_to_half(middle), h % 2 ? h + 1 : h) << h;
    EXPECT_EQ(float_to_half(std::nextafter(middle, f)), h);
    EXPECT_EQ(float_to_half(std::nextafter(middle, next)), h + 1);
  }
  for (float f : {0.0f, -0.0f, 1.0f, -2.5f, 3.0e38f, 1e-40f}) {
    const uint16_t b = float_to_bfloat(f);
    EXPECT_NEAR(bfloat_to_float(b), f, std::max(std::abs(f) / 256, 0x1p-134f));  // or half of the smallest step
  }
  EXPECT_EQ(float_to_half(65504.0f), 0x7bff);
  EXPECT_EQ(float_to_half(65520.0f), 0x7c00);
  EXPECT_EQ(float_to_bfloat(1.00390625f), 0x3f80);  // halfway: to even
  EXPECT_EQ(float_to_bfloat(1.01171875f), 0x3f82);
}

TEST_P(RowKernels, Interact) {
  for (size_t dim : {1, 7, 16, 33, 64}) {
    for (size_t f : {0, 1, 2, 3, 5, 6, 27}) {
      Guarded vectors(f * dim, 12), out(f * (f + 1) / 2 - f);
      ops().interact(vectors.data(), f, dim, out.data());
      size_t at = 0;
      for (size_t i = 0; i < f; ++i) {
        for (size_t j = i + 1; j < f; ++j) {
          double absolute = 0;
          const double dot = dot_exact(vectors.data() + i * dim, vectors.data() + j * dim, dim, &absolute);
          EXPECT_NEAR(out[at++], dot, sum_tolerance(dim, absolute));
        }
      }
      EXPECT_EQ(at, out.size());
    }
  }
}

TEST_P(RowKernels, SameBitsAtEveryAlignment) {
  const size_t n = 301;
  Guarded a(n, 13), b(n, 14);
  const float want = ops().dot(a.data(), b.data(), n);
  std::vector<float> moved_a(n + 16), moved_b(n + 16);
  for (size_t shift = 0; shift < 16; ++shift) {
    std::memcpy(&moved_a[shift], a.data(), n * sizeof(float));
    std::memcpy(&moved_b[15 - shift], b.data(), n * sizeof(float));
    EXPECT_EQ(ops().dot(&moved_a[shift], &moved_b[15 - shift], n), want);
  }
}

INSTANTIATE_TEST_SUITE_P(All, RowKernels, testing::ValuesIn(implementations()), implementation_name);

TEST(Dispatch, ListsRefFirstAndForcesByName) {
  GYR_SKIP_UNDER("GYR_TEST_SIMD");
  size_t count = 0;
  const Ops* const* all = available(&count);
  ASSERT_GE(count, 1u);
  EXPECT_EQ(all[0], &ref());
  EXPECT_EQ(&best(), all[count - 1]);
  for (size_t i = 0; i < count; ++i) {
    EXPECT_TRUE(force(all[i]->name));
    EXPECT_EQ(&best(), all[i]);
  }
  EXPECT_FALSE(force("AVX9"));
  EXPECT_EQ(&best(), all[count - 1]);
  EXPECT_TRUE(force("scalar"));
  EXPECT_EQ(&best(), &ref());
  EXPECT_TRUE(force(all[count - 1]->name));
}

}  // namespace
}  // namespace gyr::kernels
