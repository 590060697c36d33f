// Per-target helpers: values of stored rows as floats.
#if defined(GYR_KERNELS_CPU_STORED_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef GYR_KERNELS_CPU_STORED_INL_H
#undef GYR_KERNELS_CPU_STORED_INL_H
#else
#define GYR_KERNELS_CPU_STORED_INL_H
#endif

#include "kernels/cpu/vec-inl.h"

#if GYR_CPU_TARGET
HWY_BEFORE_NAMESPACE();
namespace gyr::kernels::HWY_NAMESPACE {

template <RowType kType>
constexpr size_t kValueBytes = kType == RowType::kFloat32 ? 4
                               : kType == RowType::kInt8  ? 1
                                                          : 2;

// kLanes values at p as floats; int8 without scale and bias.
template <RowType kType>
HWY_INLINE V load_values(const uint8_t* p) {
  const D d;
  if constexpr (kType == RowType::kFloat32) {
    return hn::LoadU(d, reinterpret_cast<const float*>(p));
  } else if constexpr (kType == RowType::kFloat16) {
    const hn::Rebind<hwy::float16_t, D> half;
    return hn::PromoteTo(d, hn::LoadU(half, reinterpret_cast<const hwy::float16_t*>(p)));
  } else if constexpr (kType == RowType::kBfloat16) {
    const hn::Rebind<uint16_t, D> half;
    const hn::RebindToUnsigned<D> wide;
    return hn::BitCast(d,
                       hn::ShiftLeft<16>(hn::PromoteTo(wide, hn::LoadU(half, reinterpret_cast<const uint16_t*>(p)))));
  } else {
    const hn::Rebind<int8_t, D> small;
    const hn::RebindToSigned<D> wide;
    return hn::ConvertTo(d, hn::PromoteTo(wide, hn::LoadU(small, reinterpret_cast<const int8_t*>(p))));
  }
}

template <RowType kType>
HWY_INLINE V load_values_tail(const uint8_t* p, size_t n) {
  HWY_ALIGN uint8_t t[kLanes * 4] = {};
  for (size_t i = 0; i < n * kValueBytes<kType>; ++i) t[i] = p[i];
  return load_values<kType>(t);
}

// What int8 values are multiplied by and moved by.
struct Scale {
  float scale, bias;
};
template <RowType kType>
HWY_INLINE Scale scale_of(const uint8_t* row, size_t dim) {
  Scale s{1.0f, 0.0f};
  if constexpr (kType == RowType::kInt8) __builtin_memcpy(&s, row + (dim + 3) / 4 * 4, sizeof s);
  return s;
}
template <RowType kType>
HWY_INLINE V scaled(V v, V scale, V bias) {
  if constexpr (kType == RowType::kInt8) return hn::MulAdd(v, scale, bias);
  return v;
}

}  // namespace gyr::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // GYR_CPU_TARGET

#endif
