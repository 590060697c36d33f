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

// The sum of a row's products, in two vectors: NEON multiplies into both, x86 leaves the second at zero.
template <bool kVnni>
struct Sum {
  static constexpr size_t kStep = kLanes16;
  V32 a, b;

  HWY_INLINE Sum() : a(hn::Zero(D32())), b(a) {}  // written out: an implicit one is compiled for the baseline
  HWY_INLINE void add(const int16_t* q, const int8_t* row) {
    a = hn::ReorderWidenMulAccumulate(D32(), hn::LoadU(D16(), q), widened(row), a, b);
  }
  HWY_INLINE auto folded() const { return fold(hn::RearrangeToOddPlusEven(a, b)); }
  static HWY_INLINE V16 widened(const int8_t* row) {
    return hn::PromoteTo(D16(), hn::LoadU(hn::Rebind<int8_t, D16>(), row));
  }
};

#if HWY_TARGET == HWY_AVX3
// AVX-512 with VNNI adds two products to a sum in one instruction; two sums in turn, as it takes five cycles. In
// assembly: Highway 1.0.3 never uses it, and a target attribute would have to be that of everything inlined here.
template <>
struct Sum<true> {
  static constexpr size_t kStep = 2 * kLanes16;
  V32 a, b;

  HWY_INLINE Sum() : a(hn::Zero(D32())), b(a) {}
  HWY_INLINE void add(const int16_t* q, const int8_t* row) {
    add_half(q, row, a);
    add_half(q + kLanes16, row + kLanes16, b);
  }
  HWY_INLINE auto folded() const { return fold(hn::Add(a, b)); }
  static HWY_INLINE void add_half(const int16_t* q, const int8_t* row, V32& sum) {
    const V16 left = hn::LoadU(D16(), q), right = Sum<false>::widened(row);
    asm("vpdpwssd %2, %1, %0" : "+v"(sum.raw) : "v"(left.raw), "v"(right.raw));
  }
};
static_assert(kCodeBlock % Sum<true>::kStep == 0);
#endif

template <bool kVnni>
HWY_INLINE void store_sums(const Sum<kVnni>* sum, int32_t* out) {
  const auto sums = sum_each(sum[0].folded(), sum[1].folded(), sum[2].folded(), sum[3].folded());
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

// Reads up to a whole block past dim: the contract pads both sides.
template <bool kVnni>
HWY_INLINE int32_t one_code(const int16_t* q, const int8_t* row, size_t dim) {
  Sum<kVnni> sum;
  for (size_t d = 0; d < dim; d += sum.kStep) sum.add(q + d, row + d);
  const auto folded = sum.folded();
  return hn::GetLane(sum_each(folded, folded, folded, folded));
}

// Rows of one block, a cache line each: the query stays in registers, as nothing written is part of it.
template <bool kVnni, bool kAt>
HWY_INLINE void score_short(const int16_t* q, const int8_t* codes, const uint32_t* at, size_t n, size_t stride,
                            int32_t* HWY_RESTRICT out) {
  const size_t ahead = kAt ? kAhead : kBytesAhead / kCodeBlock;
  for (size_t i = 0; i < n && i < ahead; ++i) __builtin_prefetch(row_of<kAt>(codes, at, i, stride));
  size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    for (size_t j = i + ahead; j < n && j < i + ahead + 4; ++j) {
      __builtin_prefetch(row_of<kAt>(codes, at, j, stride));
    }
    Sum<kVnni> sum[4];
    for (size_t r = 0; r < 4; ++r) {
      const int8_t* row = row_of<kAt>(codes, at, i + r, stride);
      for (size_t d = 0; d < kCodeBlock; d += sum->kStep) sum[r].add(q + d, row + d);
    }
    store_sums(sum, out + i);
  }
  for (; i < n; ++i) out[i] = one_code<kVnni>(q, row_of<kAt>(codes, at, i, stride), kCodeBlock);
}

// Four at a time, which share the loads of the query and do not wait for each other's sums.
template <bool kVnni, bool kAt>
HWY_INLINE void score_long(const int16_t* q, const int8_t* codes, const uint32_t* at, size_t n, size_t dim,
                           size_t stride, int32_t* out) {
  const size_t ahead = kAt ? kAhead : kBytesAhead / (stride + 1) + 1;  // rows of no values have no stride
  for (size_t i = 0; kAt && i < n && i < ahead; ++i) ask_for_row(codes + at[i] * stride, dim);
  size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    for (size_t j = i + ahead; j < n && j < i + ahead + 4; ++j) ask_for_row(row_of<kAt>(codes, at, j, stride), dim);
    const int8_t* rows[4];
    Sum<kVnni> sum[4];
    for (size_t r = 0; r < 4; ++r) rows[r] = row_of<kAt>(codes, at, i + r, stride);
    for (size_t d = 0; d < dim; d += sum->kStep) {
      for (size_t r = 0; r < 4; ++r) sum[r].add(q + d, rows[r] + d);
    }
    store_sums(sum, out + i);
  }
  for (; i < n; ++i) out[i] = one_code<kVnni>(q, row_of<kAt>(codes, at, i, stride), dim);
}

#if HWY_TARGET == HWY_AVX3
// VNNI multiplies unsigned with signed bytes: rows are moved up by 128, and 128 q taken off again.
template <size_t kRows>
HWY_INLINE void score_bytes_vnni(const int8_t* q, const int8_t* rows, size_t stride, int32_t over, int32_t* out) {
  const hn::ScalableTag<int8_t> d8;
  const auto up = hn::Set(d8, -128);
  V32 sum[kRows];
  for (size_t r = 0; r < kRows; ++r) sum[r] = hn::Zero(D32());
  for (size_t at = 0; at < stride; at += kCodeBlock) {
    const auto vq = hn::LoadU(d8, q + at);
    for (size_t r = 0; r < kRows; ++r) {
      const auto row = hn::Xor(hn::LoadU(d8, rows + r * stride + at), up);
      asm("vpdpbusd %2, %1, %0" : "+v"(sum[r].raw) : "v"(row.raw), "v"(vq.raw));
    }
  }
  for (size_t r = 0; r < kRows; ++r) out[r] = hn::GetLane(hn::SumOfLanes(D32(), sum[r])) - over;
}
#endif

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

template <bool kVnni>
HWY_INLINE void score(const int16_t* q, const int8_t* codes, size_t n, size_t dim, size_t stride, int32_t* out) {
  if (dim != 0 && dim <= kCodeBlock) return score_short<kVnni, false>(q, codes, nullptr, n, stride, out);
  score_long<kVnni, false>(q, codes, nullptr, n, dim, stride, out);
}

template <bool kVnni>
HWY_INLINE void score_at(const int16_t* q, const int8_t* codes, const uint32_t* at, size_t n, size_t dim, size_t stride,
                         int32_t* out) {
  if (dim != 0 && dim <= kCodeBlock) return score_short<kVnni, true>(q, codes, at, n, stride, out);
  score_long<kVnni, true>(q, codes, at, n, dim, stride, out);
}

}  // namespace

void dot_codes(const int16_t* q, const int8_t* codes, size_t n, size_t dim, size_t stride, int32_t* out) {
  score<false>(q, codes, n, dim, stride, out);
}

void dot_codes_at(const int16_t* q, const int8_t* codes, const uint32_t* at, size_t n, size_t dim, size_t stride,
                  int32_t* out) {
  score_at<false>(q, codes, at, n, dim, stride, out);
}

void dot_bytes(const int8_t* q, const int8_t* rows, size_t n, size_t stride, int32_t* out) {
  for (size_t i = 0; i < n; ++i) {
    V32 a = hn::Zero(D32()), b = a;
    const int8_t* row = rows + i * stride;
    for (size_t d = 0; d < stride; d += kLanes16) {
      a = hn::ReorderWidenMulAccumulate(D32(), Sum<false>::widened(q + d), Sum<false>::widened(row + d), a, b);
    }
    out[i] = hn::GetLane(hn::SumOfLanes(D32(), hn::RearrangeToOddPlusEven(a, b)));
  }
}

#if HWY_TARGET == HWY_AVX3
void dot_bytes_vnni(const int8_t* q, const int8_t* rows, size_t n, size_t stride, int32_t* out) {
  V32 sum = hn::Zero(D32());
  const auto up = hn::Set(hn::ScalableTag<int8_t>(), -128);
  for (size_t at = 0; at < stride; at += kCodeBlock) {
    const auto vq = hn::LoadU(hn::ScalableTag<int8_t>(), q + at);
    asm("vpdpbusd %2, %1, %0" : "+v"(sum.raw) : "v"(up.raw), "v"(vq.raw));
  }
  const int32_t over = hn::GetLane(hn::SumOfLanes(D32(), sum));
  size_t i = 0;
  for (; i + 4 <= n; i += 4) score_bytes_vnni<4>(q, rows + i * stride, stride, over, out + i);
  for (; i < n; ++i) score_bytes_vnni<1>(q, rows + i * stride, stride, over, out + i);
}

void dot_codes_vnni(const int16_t* q, const int8_t* codes, size_t n, size_t dim, size_t stride, int32_t* out) {
  score<true>(q, codes, n, dim, stride, out);
}

void dot_codes_at_vnni(const int16_t* q, const int8_t* codes, const uint32_t* at, size_t n, size_t dim, size_t stride,
                       int32_t* out) {
  score_at<true>(q, codes, at, n, dim, stride, out);
}
#endif

float max_abs(const float* x, size_t n) {
  const D d;
  V a = hn::Zero(d), b = a;
  size_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    a = hn::Max(a, hn::Abs(hn::LoadU(d, x + i)));
    b = hn::Max(b, hn::Abs(hn::LoadU(d, x + i + kLanes)));
  }
  for (; i < n; i += kLanes) a = hn::Max(a, hn::Abs(n - i >= kLanes ? hn::LoadU(d, x + i) : load_tail(x + i, n - i)));
  return hn::GetLane(hn::MaxOfLanes(d, hn::Max(a, b)));
}

void encode_codes(const float* x, size_t n, float scale, int8_t* out) { encode_all(x, n, scale, 127.0f, out); }

void encode_query(const float* x, size_t n, float scale, int16_t* out, int32_t bound) {
  encode_all(x, n, scale, static_cast<float>(bound), out);
}

}  // namespace gyr::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // GYR_CPU_TARGET
