// Stored rows scored as they are: the exact second look at what codes found.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/scores.cpp"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "kernels/cpu/stored-inl.h"

#if GYR_CPU_TARGET
HWY_BEFORE_NAMESPACE();
namespace gyr::kernels::HWY_NAMESPACE {
namespace {

// q . row or |q - row|^2 of kRows rows, each summed in the same steps however many they are.
template <RowType kType, bool kL2, size_t kRows>
HWY_INLINE void sum_rows(const float* q, const uint8_t* const* rows, size_t dim, V128* sums) {
  const D d;
  V a[kRows], b[kRows], scale[kRows], bias[kRows];
  for (size_t r = 0; r < kRows; ++r) {
    const Scale s = scale_of<kType>(rows[r], dim);
    a[r] = b[r] = hn::Zero(d), scale[r] = hn::Set(d, s.scale), bias[r] = hn::Set(d, s.bias);
  }
  const auto value = [&](size_t r, V stored) HWY_ATTR { return scaled<kType>(stored, scale[r], bias[r]); };
  const auto add = [&](size_t i, V* acc) HWY_ATTR {
    const V vq = hn::LoadU(d, q + i);
    for (size_t r = 0; r < kRows; ++r) {
      acc[r] = add_term<kL2>(vq, value(r, load_values<kType>(rows[r] + i * kValueBytes<kType>)), acc[r]);
    }
  };
  size_t i = 0;
  for (; i + 2 * kLanes <= dim; i += 2 * kLanes) add(i, a), add(i + kLanes, b);
  if (i + kLanes <= dim) {
    add(i, a);
    i += kLanes;
  }
  if (i < dim && dim >= kLanes) {  // the last whole vector, less the values that were added already
    const size_t last = dim - kLanes;
    const auto added = hn::FirstN(d, i - last);
    const V vq = hn::IfThenZeroElse(added, hn::LoadU(d, q + last));
    for (size_t r = 0; r < kRows; ++r) {
      const V rest = value(r, load_values<kType>(rows[r] + last * kValueBytes<kType>));
      b[r] = add_term<kL2>(vq, hn::IfThenZeroElse(added, rest), b[r]);
    }
  } else if (i < dim) {
    const auto there = hn::FirstN(d, dim);
    for (size_t r = 0; r < kRows; ++r) {
      const V all = value(r, load_values_tail<kType>(rows[r], dim));
      b[r] = add_term<kL2>(load_tail(q, dim), hn::IfThenElseZero(there, all), b[r]);
    }
  }
  for (size_t r = 0; r < kRows; ++r) sums[r] = fold(hn::Add(a[r], b[r]));
}

// Rows picked by number miss every cache: ask for them this many rows ahead.
constexpr size_t kAhead = 12;

template <RowType kType, bool kL2>
HWY_INLINE void score(const float* q, const void* rows, const uint32_t* at, size_t n, size_t dim, size_t stride,
                      float* out) {
  const auto* bytes = static_cast<const uint8_t*>(rows);
  const size_t size = stored_row_bytes(kType, dim);
  for (size_t i = 0; i < n && i < kAhead; ++i) ask_for_row(bytes + at[i] * stride, size);
  size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    for (size_t j = i + kAhead; j < n && j < i + kAhead + 4; ++j) ask_for_row(bytes + at[j] * stride, size);
    const uint8_t* four[4];
    V128 sums[4];
    for (size_t r = 0; r < 4; ++r) four[r] = bytes + at[i + r] * stride;
    sum_rows<kType, kL2, 4>(q, four, dim, sums);
    const V128 all = sum_each(sums[0], sums[1], sums[2], sums[3]);
    hn::StoreU(kL2 ? hn::Neg(all) : all, D128(), out + i);
  }
  for (; i < n; ++i) {
    const uint8_t* one = bytes + at[i] * stride;
    V128 sums;
    sum_rows<kType, kL2, 1>(q, &one, dim, &sums);
    const float sum = hn::GetLane(sum_each(sums, sums, sums, sums));
    out[i] = kL2 ? -sum : sum;
  }
}

template <bool kL2>
HWY_INLINE void score_type(RowType type, const float* q, const void* rows, const uint32_t* at, size_t n, size_t dim,
                           size_t stride, float* out) {
  switch (type) {
    case RowType::kFloat32:
      return score<RowType::kFloat32, kL2>(q, rows, at, n, dim, stride, out);
    case RowType::kFloat16:
      return score<RowType::kFloat16, kL2>(q, rows, at, n, dim, stride, out);
    case RowType::kBfloat16:
      return score<RowType::kBfloat16, kL2>(q, rows, at, n, dim, stride, out);
    case RowType::kInt8:
      return score<RowType::kInt8, kL2>(q, rows, at, n, dim, stride, out);
  }
}

}  // namespace

void dot_stored_at(RowType type, const float* q, const void* rows, const uint32_t* at, size_t n, size_t dim,
                   size_t stride, float* out) {
  score_type<false>(type, q, rows, at, n, dim, stride, out);
}

void l2_stored_at(RowType type, const float* q, const void* rows, const uint32_t* at, size_t n, size_t dim,
                  size_t stride, float* out) {
  score_type<true>(type, q, rows, at, n, dim, stride, out);
}

}  // namespace gyr::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // GYR_CPU_TARGET
