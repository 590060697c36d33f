// Per-target helpers: loads and stores of part of a vector that touch nothing past the end, and the row products that
// several kernels share.
#if defined(GYR_KERNELS_CPU_VEC_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef GYR_KERNELS_CPU_VEC_INL_H
#undef GYR_KERNELS_CPU_VEC_INL_H
#else
#define GYR_KERNELS_CPU_VEC_INL_H
#endif

#include "kernels/cpu/ops-inl.h"

#if GYR_CPU_TARGET
HWY_BEFORE_NAMESPACE();
namespace gyr::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
constexpr size_t kLanes = HWY_LANES(float);
// True where masked loads and stores do not touch masked-out memory (in Highway 1.0.3 not below AVX2).
constexpr bool kMaskIsSafe = HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2;

// The first n < kLanes values at p, zeros after them.
HWY_INLINE V load_tail(const float* p, size_t n) {
  const D d;
  if constexpr (kMaskIsSafe) return hn::MaskedLoad(hn::FirstN(d, n), d, p);
  HWY_ALIGN float t[kLanes] = {};
  for (size_t i = 0; i < n; ++i) t[i] = p[i];
  return hn::Load(d, t);
}

HWY_INLINE void store_tail(V v, float* p, size_t n) {
  const D d;
  if constexpr (kMaskIsSafe) {
    hn::BlendedStore(v, hn::FirstN(d, n), d, p);
    return;
  }
  HWY_ALIGN float t[kLanes];
  hn::Store(v, d, t);
  for (size_t i = 0; i < n; ++i) p[i] = t[i];
}

using D128 = hn::Full128<float>;
using V128 = hn::Vec<D128>;

// Sums of a vector of floats or int32 as one of 128 bits.
template <class W>
HWY_INLINE auto fold(W v) {
#if HWY_MAX_BYTES == 64
  const hn::Half<hn::DFromV<W>> d256;
  const hn::Half<decltype(d256)> d128;
  const auto half = hn::Add(hn::LowerHalf(d256, v), hn::UpperHalf(d256, v));
  return hn::Add(hn::LowerHalf(d128, half), hn::UpperHalf(d128, half));
#elif HWY_MAX_BYTES == 32
  const hn::Half<hn::DFromV<W>> d128;
  return hn::Add(hn::LowerHalf(d128, v), hn::UpperHalf(d128, v));
#else
  return v;
#endif
}

// Lane i of the result is the sum of argument i.
template <class W>
HWY_INLINE W sum_each(W a, W b, W c, W e) {
  const hn::DFromV<W> d;
  const W ab = hn::Add(hn::InterleaveLower(d, a, b), hn::InterleaveUpper(d, a, b));  // a02 b02 a13 b13
  const W ce = hn::Add(hn::InterleaveLower(d, c, e), hn::InterleaveUpper(d, c, e));
  return hn::Add(hn::ConcatLowerLower(d, ce, ab), hn::ConcatUpperUpper(d, ce, ab));
}

template <bool kL2>
HWY_INLINE V add_term(V a, V b, V acc) {
  if constexpr (kL2) {
    const V diff = hn::Sub(a, b);
    return hn::MulAdd(diff, diff, acc);
  }
  return hn::MulAdd(a, b, acc);
}

// q . row or |q - row|^2 of 4 rows. Each row's sum takes the same steps wherever the row stands among the four, so a
// row's score does not depend on its neighbours.
template <bool kL2>
HWY_INLINE V128 four_rows(const float* q, const float* r0, const float* r1, const float* r2, const float* r3,
                          size_t dim) {
  const D d;
  const V zero = hn::Zero(d);
  V a0 = zero, a1 = zero, a2 = zero, a3 = zero, b0 = zero, b1 = zero, b2 = zero, b3 = zero;
  size_t i = 0;
  for (; i + 2 * kLanes <= dim; i += 2 * kLanes) {
    const V q0 = hn::LoadU(d, q + i);
    const V q1 = hn::LoadU(d, q + i + kLanes);
    a0 = add_term<kL2>(q0, hn::LoadU(d, r0 + i), a0);
    a1 = add_term<kL2>(q0, hn::LoadU(d, r1 + i), a1);
    a2 = add_term<kL2>(q0, hn::LoadU(d, r2 + i), a2);
    a3 = add_term<kL2>(q0, hn::LoadU(d, r3 + i), a3);
    b0 = add_term<kL2>(q1, hn::LoadU(d, r0 + i + kLanes), b0);
    b1 = add_term<kL2>(q1, hn::LoadU(d, r1 + i + kLanes), b1);
    b2 = add_term<kL2>(q1, hn::LoadU(d, r2 + i + kLanes), b2);
    b3 = add_term<kL2>(q1, hn::LoadU(d, r3 + i + kLanes), b3);
  }
  if (i + kLanes <= dim) {
    const V q0 = hn::LoadU(d, q + i);
    a0 = add_term<kL2>(q0, hn::LoadU(d, r0 + i), a0);
    a1 = add_term<kL2>(q0, hn::LoadU(d, r1 + i), a1);
    a2 = add_term<kL2>(q0, hn::LoadU(d, r2 + i), a2);
    a3 = add_term<kL2>(q0, hn::LoadU(d, r3 + i), a3);
    i += kLanes;
  }
  if (i < dim) {
    const size_t rest = dim - i;
    const V q1 = load_tail(q + i, rest);
    b0 = add_term<kL2>(q1, load_tail(r0 + i, rest), b0);
    b1 = add_term<kL2>(q1, load_tail(r1 + i, rest), b1);
    b2 = add_term<kL2>(q1, load_tail(r2 + i, rest), b2);
    b3 = add_term<kL2>(q1, load_tail(r3 + i, rest), b3);
  }
  return sum_each(fold(hn::Add(a0, b0)), fold(hn::Add(a1, b1)), fold(hn::Add(a2, b2)), fold(hn::Add(a3, b3)));
}

// One row, bit for bit what four_rows gives it.
template <bool kL2>
HWY_INLINE float one_row(const float* q, const float* r, size_t dim) {
  const D d;
  V a = hn::Zero(d), b = hn::Zero(d);
  size_t i = 0;
  for (; i + 2 * kLanes <= dim; i += 2 * kLanes) {
    a = add_term<kL2>(hn::LoadU(d, q + i), hn::LoadU(d, r + i), a);
    b = add_term<kL2>(hn::LoadU(d, q + i + kLanes), hn::LoadU(d, r + i + kLanes), b);
  }
  if (i + kLanes <= dim) {
    a = add_term<kL2>(hn::LoadU(d, q + i), hn::LoadU(d, r + i), a);
    i += kLanes;
  }
  if (i < dim) b = add_term<kL2>(load_tail(q + i, dim - i), load_tail(r + i, dim - i), b);
  const V128 sum = fold(hn::Add(a, b));
  return hn::GetLane(sum_each(sum, sum, sum, sum));
}

}  // namespace gyr::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // GYR_CPU_TARGET

#endif
