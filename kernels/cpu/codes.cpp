// Vectors quantised to integers: exact products of an int16 query with int8 rows, and the encoding of both.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/codes.cpp"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "kernels/cpu/vec-inl.h"

#if GYR_CPU_TARGET
HWY_BEFORE_NAMESPACE();
namespace gyr::kernels::HWY_NAMESPACE {
namespace {

using D16 = hn::ScalableTag<int16_t>;
using D32 = hn::ScalableTag<int32_t>;
using V16 = hn::Vec<D16>;
using V32 = hn::Vec<D32>;
constexpr size_t kLanes16 = HWY_LANES(int16_t);

// A row's sum stands in two vectors: NEON multiplies into both, x86 leaves the second at zero.
HWY_INLINE void add_part(V16 q, const int8_t* row, V32& a, V32& b) {
  const hn::Rebind<int8_t, D16> d8;
  a = hn::ReorderWidenMulAccumulate(D32(), q, hn::PromoteTo(D16(), hn::LoadU(d8, row)), a, b);
}

HWY_INLINE auto folded(V32 a, V32 b) { return fold(hn::RearrangeToOddPlusEven(a, b)); }

HWY_INLINE void store_sums(const V32* a, const V32* b, int32_t* out) {
  const auto sums = sum_each(folded(a[0], b[0]), folded(a[1], b[1]), folded(a[2], b[2]), folded(a[3], b[3]));
  hn::StoreU(sums, hn::Full128<int32_t>(), out);
}

// Rows picked by number miss every cache: ask for them this many rows ahead. Of rows in memory order the processor
// would follow one stream, but loses it where pages and groups of rows end: ask for those this many bytes ahead.
constexpr size_t kAhead = 12;
constexpr size_t kBytesAhead = 2048;

// Row i, or row at[i].
template <bool kAt>
HWY_INLINE const int8_t* row_of(const int8_t* codes, const uint32_t* at, size_t i, size_t stride) {
  return codes + (kAt ? at[i] : i) * stride;
}

// Reads up to a whole vector past dim: the contract pads both sides.
HWY_INLINE int32_t one_code(const int16_t* q, const int8_t* row, size_t dim) {
  V32 a = hn::Zero(D32()), b = hn::Zero(D32());
  for (size_t d = 0; d < dim; d += kLanes16) add_part(hn::LoadU(D16(), q + d), row + d, a, b);
  const auto sum = folded(a, b);
  return hn::GetLane(sum_each(sum, sum, sum, sum));
}

// Rows of one block, a cache line each: the query stays in registers, as nothing written is part of it.
template <bool kAt>
HWY_INLINE void score_short(const int16_t* q, const int8_t* codes, const uint32_t* at, size_t n, size_t stride,
                            int32_t* HWY_RESTRICT out) {
  const size_t ahead = kAt ? kAhead : kBytesAhead / kCodeBlock;
  for (size_t i = 0; i < n && i < ahead; ++i) __builtin_prefetch(row_of<kAt>(codes, at, i, stride));
  size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    for (size_t j = i + ahead; j < n && j < i + ahead + 4; ++j) {
      __builtin_prefetch(row_of<kAt>(codes, at, j, stride));
    }
    V32 a[4], b[4];
    for (size_t r = 0; r < 4; ++r) {
      const int8_t* row = row_of<kAt>(codes, at, i + r, stride);
      a[r] = b[r] = hn::Zero(D32());
      for (size_t d = 0; d < kCodeBlock; d += kLanes16) add_part(hn::LoadU(D16(), q + d), row + d, a[r], b[r]);
    }
    store_sums(a, b, out + i);
  }
  for (; i < n; ++i) out[i] = one_code(q, row_of<kAt>(codes, at, i, stride), kCodeBlock);
}

// Four at a time, which share the loads of the query.
HWY_INLINE void score_long_at(const int16_t* q, const int8_t* codes, const uint32_t* at, size_t n, size_t dim,
                              size_t stride, int32_t* out) {
  for (size_t i = 0; i < n && i < kAhead; ++i) ask_for_row(codes + at[i] * stride, dim);
  size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    for (size_t j = i + kAhead; j < n && j < i + kAhead + 4; ++j) ask_for_row(codes + at[j] * stride, dim);
    const int8_t* rows[4];
    V32 a[4], b[4];
    for (size_t r = 0; r < 4; ++r) rows[r] = codes + at[i + r] * stride, a[r] = b[r] = hn::Zero(D32());
    for (size_t d = 0; d < dim; d += kLanes16) {
      const V16 part = hn::LoadU(D16(), q + d);
      for (size_t r = 0; r < 4; ++r) add_part(part, rows[r] + d, a[r], b[r]);
    }
    store_sums(a, b, out + i);
  }
  for (; i < n; ++i) out[i] = one_code(q, codes + at[i] * stride, dim);
}

// One at a time, in the order of memory.
HWY_INLINE void score_long(const int16_t* q, const int8_t* codes, size_t n, size_t dim, size_t stride, int32_t* out) {
  const size_t ahead = kBytesAhead / (stride + 1) + 1;  // rows of no values have no stride
  for (size_t i = 0; i < n; ++i) {
    if (i + ahead < n) ask_for_row(codes + (i + ahead) * stride, dim);
    out[i] = one_code(q, codes + i * stride, dim);
  }
}

// x * scale as integers within +-bound, n <= kLanes of them.
template <class T>
HWY_INLINE void encode(const float* x, size_t n, V scale, V bound, T* out) {
  const D d;
  const hn::Rebind<T, D> dt;
  const V wide = hn::Mul(n == kLanes ? hn::LoadU(d, x) : load_tail(x, n), scale);
  const auto narrow = hn::DemoteTo(dt, hn::NearestInt(hn::Min(hn::Max(wide, hn::Neg(bound)), bound)));
  if (n == kLanes) {
    hn::StoreU(narrow, dt, out);
    return;
  }
  HWY_ALIGN T t[kLanes];
  hn::StoreU(narrow, dt, t);
  for (size_t i = 0; i < n; ++i) out[i] = t[i];
}

template <class T>
HWY_INLINE void encode_all(const float* x, size_t n, float scale, float bound, T* out) {
  const V vscale = hn::Set(D(), scale), vbound = hn::Set(D(), bound);
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) encode(x + i, kLanes, vscale, vbound, out + i);
  if (i < n) encode(x + i, n - i, vscale, vbound, out + i);
}

}  // namespace

void dot_codes(const int16_t* q, const int8_t* codes, size_t n, size_t dim, size_t stride, int32_t* out) {
  if (dim != 0 && dim <= kCodeBlock) return score_short<false>(q, codes, nullptr, n, stride, out);
  score_long(q, codes, n, dim, stride, out);
}

void dot_codes_at(const int16_t* q, const int8_t* codes, const uint32_t* at, size_t n, size_t dim, size_t stride,
                  int32_t* out) {
  if (dim != 0 && dim <= kCodeBlock) return score_short<true>(q, codes, at, n, stride, out);
  score_long_at(q, codes, at, n, dim, stride, out);
}

void encode_codes(const float* x, size_t n, float scale, int8_t* out) { encode_all(x, n, scale, 127.0f, out); }

void encode_query(const float* x, size_t n, float scale, int16_t* out, int32_t bound) {
  encode_all(x, n, scale, static_cast<float>(bound), out);
}

}  // namespace gyr::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // GYR_CPU_TARGET
