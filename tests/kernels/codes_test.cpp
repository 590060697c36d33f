// Codes against exact integers, and stored rows scored by number against double precision.
#include <algorithm>
#include <limits>
#include <numeric>

#include "tests/kernels/common.h"
#include "tests/kernels/stored_row.h"

namespace gyr::kernels {
namespace {

class CodeKernels : public Kernels {};

std::vector<size_t> dims() {
  std::vector<size_t> all(131);
  std::iota(all.begin(), all.end(), 0);
  all.insert(all.end(), {784, 1000});
  return all;
}
const size_t kCounts[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 33};
constexpr size_t kMostRows = 33;

// Rows picked at random, some of them twice.
std::vector<uint32_t> picked(size_t n, std::mt19937& random) {
  std::vector<uint32_t> at(n);
  for (uint32_t& i : at) i = static_cast<uint32_t>(random() % kMostRows);
  if (n > 2) at[n - 1] = at[0];
  return at;
}

// What a query meets: all that its bound allows, in one sign or both, or anything.
enum class Fill { kSame, kOpposite, kRandom };
constexpr Fill kFills[] = {Fill::kSame, Fill::kOpposite, Fill::kRandom};

struct Codes {
  Codes(size_t dim, size_t stride, Fill fill, std::mt19937& random)
      : q_bytes(code_stride(dim) * 2), row_bytes(kMostRows * stride) {
    q = reinterpret_cast<int16_t*>(q_bytes.data());  // zeros, as fresh pages are
    rows = reinterpret_cast<int8_t*>(row_bytes.data());
    const auto most = static_cast<int16_t>(code_query_max(dim));
    const auto any = [&](int bound) { return static_cast<int>(random() % (2u * bound + 1)) - bound; };
    for (size_t j = 0; j < dim; ++j) q[j] = fill == Fill::kRandom ? static_cast<int16_t>(any(most)) : most;
    for (size_t i = 0; i < kMostRows; ++i) {
      const int8_t top = fill == Fill::kOpposite ? -128 : 127;
      for (size_t j = 0; j < stride; ++j) {
        rows[i * stride + j] = static_cast<int8_t>(fill == Fill::kRandom || j >= dim ? any(127) : top);
      }
      if (dim != 0) rows[i * stride] = static_cast<int8_t>(i);  // no two rows score alike
    }
  }
  GuardedBytes q_bytes, row_bytes;
  int16_t* q;
  int8_t* rows;
};

TEST_P(CodeKernels, DotIsExact) {
  std::mt19937 random(1);
  for (size_t dim : dims()) {
    for (Fill fill : kFills) {
      const size_t stride = code_stride(dim) + (dim % 3 == 0 ? kCodeBlock : 0);
      const Codes codes(dim, stride, fill, random);
      std::vector<int64_t> want(kMostRows);
      for (size_t i = 0; i < kMostRows; ++i) {
        for (size_t j = 0; j < dim; ++j) want[i] += int64_t{codes.q[j]} * codes.rows[i * stride + j];
      }
      for (size_t n : kCounts) {
        const std::vector<uint32_t> at = picked(n, random);
        std::vector<int32_t> scan(n + 1, -7), by_number(n + 1, -7);
        ops().dot_codes(codes.q, codes.rows, n, dim, stride, scan.data());
        ops().dot_codes_at(codes.q, codes.rows, at.data(), n, dim, stride, by_number.data());
        for (size_t i = 0; i < n; ++i) {
          ASSERT_EQ(scan[i], want[i]) << dim << " " << n << " " << i;
          ASSERT_EQ(by_number[i], want[at[i]]) << dim << " " << n << " " << i;
        }
        ASSERT_EQ(scan[n], -7);
        ASSERT_EQ(by_number[n], -7);
      }
    }
  }
}

TEST_P(CodeKernels, ProductsOfBytesAreExact) {
  std::mt19937 random(5);
  for (size_t stride : {0, 64, 128, 192, 832, 1024}) {
    for (Fill fill : kFills) {
      for (size_t n : kCounts) {
        GuardedBytes q(stride), rows(n * stride);
        const auto any = [&] { return static_cast<uint8_t>(static_cast<int>(random() % 255) - 127); };
        const auto top = static_cast<uint8_t>(fill == Fill::kOpposite ? -127 : 127);
        for (size_t j = 0; j < stride; ++j) q.data()[j] = fill == Fill::kRandom ? any() : 127;
        for (size_t j = 0; j < n * stride; ++j) rows.data()[j] = fill == Fill::kRandom ? any() : top;
        const auto *a = reinterpret_cast<int8_t*>(q.data()), *b = reinterpret_cast<int8_t*>(rows.data());
        std::vector<int32_t> out(n + 1, -7);
        ops().dot_bytes(a, b, n, stride, out.data());
        for (size_t i = 0; i < n; ++i) {
          int32_t want = 0;
          for (size_t j = 0; j < stride; ++j) want += a[j] * b[i * stride + j];
          ASSERT_EQ(out[i], want) << stride << " " << n << " " << i;
        }
        ASSERT_EQ(out[n], -7);
      }
    }
  }
}

TEST_P(CodeKernels, MaxAbsLooksAtEveryValue) {
  EXPECT_EQ(ops().max_abs(nullptr, 0), 0);
  for (size_t n = 1; n <= 70; ++n) {
    for (size_t i = 0; i < n; ++i) {
      Guarded x(n, static_cast<uint32_t>(n));
      x[i] = i % 2 ? -7.5f : 7.5f;
      ASSERT_EQ(ops().max_abs(x.data(), n), 7.5f) << n << " " << i;
    }
  }
}

TEST_P(CodeKernels, RowsBeyondFourGigabytesApart) {
  // Offsets must not be computed in 32 bits. Untouched pages of the mapping cost nothing.
  const size_t stride = size_t{1} << 20, n = 5000;
  void* memory = mmap(nullptr, n * stride, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  auto* rows = static_cast<uint8_t*>(memory);
  const uint32_t at[] = {4999, 0, 4998, 17, 4097};
  const std::vector<int16_t> q(64, 3);
  const std::vector<float> fq(16, 3);
  int32_t out[5];
  float fout[5];
  for (uint32_t row : at) rows[row * stride] = static_cast<uint8_t>(row % 100);
  ops().dot_codes_at(q.data(), reinterpret_cast<int8_t*>(rows), at, 5, 64, stride, out);
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(out[i], static_cast<int32_t>(3 * (at[i] % 100)));
  for (uint32_t row : at) {
    const auto value = static_cast<float>(row);
    std::memcpy(rows + row * stride, &value, sizeof value);
  }
  ops().dot_stored_at(RowType::kFloat32, fq.data(), rows, at, 5, 16, stride, fout);
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(fout[i], 3 * static_cast<float>(at[i]));
  munmap(memory, n * stride);
}

TEST_P(CodeKernels, EncodeRoundsToEvenAndClamps) {
  const float inf = std::numeric_limits<float>::infinity();
  for (size_t n = 0; n <= 70; ++n) {
    for (float scale : {0.0f, 0.5f, 1.0f, 37.25f, -3.0f, 1e30f}) {
      Guarded x(n, static_cast<uint32_t>(n), -300, 300);
      const float special[] = {0.5f, 1.5f,  2.5f,  -0.5f,  -1.5f, -2.5f,  126.5f, -126.5f, 127.5f,
                               -128, 32767, 1e10f, -1e30f, 3e38f, -3e38f, -0.0f,  1e-42f};
      for (size_t i = 0; i < n; i += 2) x[i] = special[(i / 2 + n) % std::size(special)];
      if (n > 3 && scale != 0) x[1] = inf, x[3] = -inf;
      const auto want = [&](size_t i, double bound) {
        const float scaled = x[i] * scale;
        return static_cast<int>(std::clamp(std::nearbyint(static_cast<double>(scaled)), -bound, bound));
      };
      GuardedBytes codes(n), query(n * 2);
      auto* c = reinterpret_cast<int8_t*>(codes.data());
      auto* q = reinterpret_cast<int16_t*>(query.data());
      ops().encode_codes(x.data(), n, scale, c);
      for (size_t i = 0; i < n; ++i) ASSERT_EQ(c[i], want(i, 127)) << x[i] << " * " << scale;
      for (int32_t bound : {1, 1000, 16777, 32767}) {
        ops().encode_query(x.data(), n, scale, q, bound);
        for (size_t i = 0; i < n; ++i) ASSERT_EQ(q[i], want(i, bound)) << x[i] << " * " << scale;
      }
    }
  }
}

TEST_P(CodeKernels, StoredRowsByNumber) {
  std::mt19937 random(2);
  for (RowType type : kRowTypes) {
    for (size_t dim : dims()) {
      const size_t row_bytes = stored_row_bytes(type, dim), stride = row_bytes + dim % 4;  // any alignment
      GuardedBytes rows((kMostRows - 1) * stride + row_bytes);
      for (size_t i = 0; i < kMostRows; ++i) {
        fill_stored_row(type, dim, static_cast<uint32_t>(i), rows.data() + i * stride);
      }
      const Guarded q(dim, static_cast<uint32_t>(dim));
      std::vector<float> row(dim), diff(dim), want(kMostRows), far(kMostRows), room(kMostRows);
      for (size_t i = 0; i < kMostRows; ++i) {
        const void* from = rows.data() + i * stride;
        ref().unpack_rows(type, &from, 1, dim, nullptr, row.data());
        for (size_t j = 0; j < dim; ++j) diff[j] = q[j] - row[j];
        double absolute = 0;
        want[i] = static_cast<float>(dot_exact(q.data(), row.data(), dim, &absolute));
        room[i] = static_cast<float>(1e-5 * absolute + 1e-7);  // an int8 value is rounded once or twice
        far[i] = static_cast<float>(-dot_exact(diff.data(), diff.data(), dim, &absolute));
      }
      for (size_t n : kCounts) {
        const std::vector<uint32_t> at = picked(n, random);
        std::vector<float> dots(n + 1, -7), distances(n + 1, -7);
        ops().dot_stored_at(type, q.data(), rows.data(), at.data(), n, dim, stride, dots.data());
        ops().l2_stored_at(type, q.data(), rows.data(), at.data(), n, dim, stride, distances.data());
        for (size_t i = 0; i < n; ++i) {
          ASSERT_NEAR(dots[i], want[at[i]], room[at[i]]) << static_cast<int>(type) << " " << dim << " " << n;
          ASSERT_NEAR(distances[i], far[at[i]], -1e-5f * far[at[i]] + 1e-7f) << static_cast<int>(type) << " " << dim;
        }
        ASSERT_EQ(dots[n], -7);
        ASSERT_EQ(distances[n], -7);
      }
    }
  }
}

TEST_P(CodeKernels, CodedRowsByNumber) {
  std::mt19937 random(3);
  for (bool fine : {false, true}) {
    for (size_t dim : dims()) {
      const size_t stride = code_stride(dim) + (dim % 3 == 0 ? kCodeBlock : 0), padded = code_stride(dim);
      GuardedBytes codes(kMostRows * stride), rests(kMostRows * stride);  // zeros, as fresh pages are
      Guarded q(padded);
      std::vector<float> scale(kMostRows), want(kMostRows), far(kMostRows), room(kMostRows);
      for (size_t j = 0; j < dim; ++j) q[j] = static_cast<float>(random() % 20001) / 10000 - 1;
      for (size_t i = 0; i < kMostRows; ++i) {
        scale[i] = 0.001f * static_cast<float>(i + 1);
        std::vector<float> row(dim), diff(dim);
        for (size_t j = 0; j < dim; ++j) {
          const auto code = static_cast<int8_t>(random()), rest = static_cast<int8_t>(random());
          codes.data()[i * stride + j] = static_cast<uint8_t>(code);
          rests.data()[i * stride + j] = static_cast<uint8_t>(rest);
          row[j] = static_cast<float>(scale[i] * (code + (fine ? rest / 254.0 : 0)));
          diff[j] = q[j] - row[j];
        }
        double absolute = 0;
        want[i] = static_cast<float>(dot_exact(q.data(), row.data(), dim, &absolute));
        room[i] = static_cast<float>(1e-5 * absolute + 1e-7);
        far[i] = static_cast<float>(-dot_exact(diff.data(), diff.data(), dim, &absolute));
      }
      const CodedRows rows{reinterpret_cast<int8_t*>(codes.data()),
                           fine ? reinterpret_cast<int8_t*>(rests.data()) : nullptr, stride};
      std::vector<float> alone(kMostRows);  // a row's score does not depend on its neighbours
      for (uint32_t i = 0; i < kMostRows; ++i) ops().dot_coded_at(q.data(), rows, &scale[i], &i, 1, dim, &alone[i]);
      for (size_t n : kCounts) {
        const std::vector<uint32_t> at = picked(n, random);
        std::vector<float> scales(n), dots(n + 1, -7), distances(n + 1, -7);
        for (size_t i = 0; i < n; ++i) scales[i] = scale[at[i]];
        ops().dot_coded_at(q.data(), rows, scales.data(), at.data(), n, dim, dots.data());
        ops().l2_coded_at(q.data(), rows, scales.data(), at.data(), n, dim, distances.data());
        for (size_t i = 0; i < n; ++i) {
          ASSERT_NEAR(dots[i], want[at[i]], room[at[i]]) << fine << " " << dim << " " << n;
          ASSERT_EQ(dots[i], alone[at[i]]) << fine << " " << dim << " " << n << " " << i;
          ASSERT_NEAR(distances[i], far[at[i]], -1e-5f * far[at[i]] + 1e-7f) << fine << " " << dim;
        }
        ASSERT_EQ(dots[n], -7);
        ASSERT_EQ(distances[n], -7);
      }
    }
  }
}

TEST_P(CodeKernels, StoredInfinityStaysInfinity) {
  const float inf = std::numeric_limits<float>::infinity();
  const uint32_t at[] = {0};
  for (size_t dim = 1; dim <= 40; ++dim) {
    for (size_t j = 0; j < dim; ++j) {
      Guarded row(dim, 3), q(dim, 4, 0.5f, 1);
      row[j] = inf;
      float dot = 0, distance = 0;
      ops().dot_stored_at(RowType::kFloat32, q.data(), row.data(), at, 1, dim, dim * 4, &dot);
      ops().l2_stored_at(RowType::kFloat32, q.data(), row.data(), at, 1, dim, dim * 4, &distance);
      ASSERT_EQ(dot, inf) << dim << " " << j;
      ASSERT_EQ(distance, -inf) << dim << " " << j;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, CodeKernels, testing::ValuesIn(implementations()), implementation_name);

TEST(CodeQueryMax, KeepsSumsInsideInt32) {
  EXPECT_EQ(code_query_max(0), INT16_MAX);
  EXPECT_EQ(code_query_max(64), INT16_MAX);
  EXPECT_EQ(code_query_max(512), INT16_MAX);
  EXPECT_EQ(code_query_max(784), 21399);
  for (size_t dim = 1; dim < 20000; ++dim) {
    const int64_t sum = int64_t{code_query_max(dim)} * 128 * static_cast<int64_t>(dim);
    ASSERT_LE(sum, INT32_MAX) << dim;
    ASSERT_GE(code_query_max(dim), std::min<int64_t>(INT16_MAX, INT32_MAX / 128 / static_cast<int64_t>(dim))) << dim;
  }
}

}  // namespace
}  // namespace gyr::kernels
