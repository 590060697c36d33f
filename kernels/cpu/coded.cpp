// Rows kept as codes, scored as the vectors that they stand for: the second look at a compact index.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/coded.cpp"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "kernels/cpu/vec-inl.h"

#if GYR_CPU_TARGET
HWY_BEFORE_NAMESPACE();
namespace gyr::kernels::HWY_NAMESPACE {
namespace {

using Bytes = hn::Rebind<int8_t, D>;
using Shorts = hn::Rebind<int16_t, D>;

// kLanes values in units of the finer code, where there is one.
template <bool kFine>
HWY_INLINE V values(const int8_t* code, const int8_t* rest) {
  const hn::RebindToSigned<D> wide;
  auto v = hn::PromoteTo(Shorts(), hn::LoadU(Bytes(), code));
  if constexpr (kFine) {
    const auto fine = hn::PromoteTo(Shorts(), hn::LoadU(Bytes(), rest));
    v = hn::Add(hn::Mul(v, hn::Set(Shorts(), static_cast<int16_t>(kRestSteps))), fine);
  }
  return hn::ConvertTo(D(), hn::PromoteTo(wide, v));
}

// q . row / unit, or |q - row|^2, of kRows rows, each summed in the same steps however many they are. Reads up to a
// whole vector past dim: the contract pads both sides with zeros.
template <bool kFine, bool kL2, size_t kRows>
HWY_INLINE void sum_rows(const float* q, const int8_t* const* codes, const int8_t* const* rests, const float* units,
                         size_t dim, V128* sums) {
  const D d;
  V a[kRows], b[kRows], unit[kRows];
  for (size_t r = 0; r < kRows; ++r) a[r] = b[r] = hn::Zero(d), unit[r] = hn::Set(d, units[r]);
  const auto add = [&](size_t i, V* acc) HWY_ATTR {
    const V vq = hn::LoadU(d, q + i);
    for (size_t r = 0; r < kRows; ++r) {
      const V v = values<kFine>(codes[r] + i, rests[r] + (kFine ? i : 0));
      if constexpr (kL2) {
        const V diff = hn::NegMulAdd(unit[r], v, vq);
        acc[r] = hn::MulAdd(diff, diff, acc[r]);
      } else {
        acc[r] = hn::MulAdd(vq, v, acc[r]);
      }
    }
  };
  size_t i = 0;
  for (; i + kLanes < dim; i += 2 * kLanes) add(i, a), add(i + kLanes, b);
  if (i < dim) add(i, a);
  for (size_t r = 0; r < kRows; ++r) sums[r] = fold(hn::Add(a[r], b[r]));
}

// Rows picked by number miss every cache: ask for them this many rows ahead.
constexpr size_t kAhead = 12;

template <bool kFine, bool kL2>
HWY_INLINE void score(const float* q, const CodedRows& rows, const float* scales, const uint32_t* at, size_t n,
                      size_t dim, float* out) {
  const auto ask = [&](size_t i) HWY_ATTR __attribute__((always_inline)) {  // see ask_for_row
    ask_for_row(rows.codes + at[i] * rows.stride, dim);
    if (kFine) ask_for_row(rows.rests + at[i] * rows.stride, dim);
  };
  const auto row = [&](const int8_t* first, size_t i)
                       HWY_ATTR { return kFine ? first + at[i] * rows.stride : nullptr; };
  const auto unit = [&](size_t i) HWY_ATTR { return kFine ? scales[i] / kRestSteps : scales[i]; };
  for (size_t i = 0; i < n && i < kAhead; ++i) ask(i);
  size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    for (size_t j = i + kAhead; j < n && j < i + kAhead + 4; ++j) ask(j);
    const int8_t *codes[4], *rests[4];
    float units[4];
    V128 sums[4];
    for (size_t r = 0; r < 4; ++r) {
      codes[r] = rows.codes + at[i + r] * rows.stride, rests[r] = row(rows.rests, i + r), units[r] = unit(i + r);
    }
    sum_rows<kFine, kL2, 4>(q, codes, rests, units, dim, sums);
    const V128 all = sum_each(sums[0], sums[1], sums[2], sums[3]);
    hn::StoreU(kL2 ? hn::Neg(all) : hn::Mul(all, hn::LoadU(D128(), units)), D128(), out + i);
  }
  for (; i < n; ++i) {
    const int8_t *code = rows.codes + at[i] * rows.stride, *rest = row(rows.rests, i);
    const float u = unit(i);
    V128 sums;
    sum_rows<kFine, kL2, 1>(q, &code, &rest, &u, dim, &sums);
    const float sum = hn::GetLane(sum_each(sums, sums, sums, sums));
    out[i] = kL2 ? -sum : sum * u;
  }
}

}  // namespace

void dot_coded_at(const float* q, const CodedRows& rows, const float* scales, const uint32_t* at, size_t n, size_t dim,
                  float* out) {
  if (rows.rests != nullptr) return score<true, false>(q, rows, scales, at, n, dim, out);
  score<false, false>(q, rows, scales, at, n, dim, out);
}

void l2_coded_at(const float* q, const CodedRows& rows, const float* scales, const uint32_t* at, size_t n, size_t dim,
                 float* out) {
  if (rows.rests != nullptr) return score<true, true>(q, rows, scales, at, n, dim, out);
  score<false, true>(q, rows, scales, at, n, dim, out);
}

}  // namespace gyr::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // GYR_CPU_TARGET
