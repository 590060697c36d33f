// Vectors, rows and embeddings: dot products, distances, interaction.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/rows.cpp"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "kernels/cpu/vec-inl.h"

#if GYR_CPU_TARGET
HWY_BEFORE_NAMESPACE();
namespace gyr::kernels::HWY_NAMESPACE {

float dot(const float* a, const float* b, size_t n) { return one_row<false>(a, b, n); }
float l2_squared(const float* a, const float* b, size_t n) { return one_row<true>(a, b, n); }

void axpy(float alpha, const float* x, float* y, size_t n) {
  const D d;
  const V va = hn::Set(d, alpha);
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    hn::StoreU(hn::MulAdd(va, hn::LoadU(d, x + i), hn::LoadU(d, y + i)), d, y + i);
  }
  if (i < n) store_tail(hn::MulAdd(va, load_tail(x + i, n - i), load_tail(y + i, n - i)), y + i, n - i);
}

void scale(float alpha, float* x, size_t n) {
  const D d;
  const V va = hn::Set(d, alpha);
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) hn::StoreU(hn::Mul(va, hn::LoadU(d, x + i)), d, x + i);
  if (i < n) store_tail(hn::Mul(va, load_tail(x + i, n - i)), x + i, n - i);
}

namespace {

template <bool kL2>
HWY_INLINE V128 scores(V128 sums) {
  if constexpr (kL2) return hn::Neg(sums);
  return sums;
}

template <bool kL2>
HWY_INLINE void score_rows(const float* q, const float* rows, size_t n, size_t dim, size_t stride, float* out) {
  size_t i = 0;
  for (; i + 4 <= n; i += 4, rows += 4 * stride) {
    const V128 sums = four_rows<kL2>(q, rows, rows + stride, rows + 2 * stride, rows + 3 * stride, dim);
    hn::StoreU(scores<kL2>(sums), D128(), out + i);
  }
  for (; i < n; ++i, rows += stride) {
    const float sum = one_row<kL2>(q, rows, dim);
    out[i] = kL2 ? -sum : sum;
  }
}

// Rows picked by number miss every cache: ask for them this many rows ahead.
constexpr size_t kAhead = 12;

HWY_INLINE void prefetch_row(const float* row, size_t dim) {
  const size_t values = dim < 256 ? dim : 256;  // the hardware follows from there
  for (size_t i = 0; i < values; i += 16) __builtin_prefetch(row + i);
}

template <bool kL2>
HWY_INLINE void score_rows_at(const float* q, const float* rows, const uint32_t* at, size_t n, size_t dim,
                              size_t stride, float* out) {
  const size_t head = n < kAhead ? n : kAhead;
  for (size_t i = 0; i < head; ++i) prefetch_row(rows + at[i] * stride, dim);
  size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    for (size_t j = i + kAhead; j < i + kAhead + 4 && j < n; ++j) prefetch_row(rows + at[j] * stride, dim);
    const V128 sums = four_rows<kL2>(q, rows + at[i] * stride, rows + at[i + 1] * stride, rows + at[i + 2] * stride,
                                     rows + at[i + 3] * stride, dim);
    hn::StoreU(scores<kL2>(sums), D128(), out + i);
  }
  for (; i < n; ++i) {
    const float sum = one_row<kL2>(q, rows + at[i] * stride, dim);
    out[i] = kL2 ? -sum : sum;
  }
}

}  // namespace

void dot_rows(const float* q, const float* rows, size_t n, size_t dim, size_t stride, float* out) {
  score_rows<false>(q, rows, n, dim, stride, out);
}

void l2_rows(const float* q, const float* rows, size_t n, size_t dim, size_t stride, float* out) {
  score_rows<true>(q, rows, n, dim, stride, out);
}

void dot_rows_at(const float* q, const float* rows, const uint32_t* at, size_t n, size_t dim, size_t stride,
                 float* out) {
  score_rows_at<false>(q, rows, at, n, dim, stride, out);
}

void l2_rows_at(const float* q, const float* rows, const uint32_t* at, size_t n, size_t dim, size_t stride,
                float* out) {
  score_rows_at<true>(q, rows, at, n, dim, stride, out);
}

void interact(const float* vectors, size_t f, size_t dim, float* out) {
  for (size_t i = 0; i + 1 < f; ++i) {
    const size_t after = f - i - 1;
    score_rows<false>(vectors + i * dim, vectors + (i + 1) * dim, after, dim, dim, out);
    out += after;
  }
}

}  // namespace gyr::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // GYR_CPU_TARGET
