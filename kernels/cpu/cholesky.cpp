// Cholesky factor and solve, for the small systems of iALS.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/cholesky.cpp"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "kernels/cpu/vec-inl.h"

#if GYR_CPU_TARGET
HWY_BEFORE_NAMESPACE();
namespace gyr::kernels::HWY_NAMESPACE {
namespace {

constexpr size_t kStep = 4;  // pivots that are applied to the rest at once

// rows[r] -= sum over p of factors[r][p] * pivots[p], kRows rows and kStep pivots of `columns`, all `stride` apart.
template <size_t kRows>
HWY_INLINE void subtract(float* row, const float* pivot, size_t stride, const float (&factors)[kStep][kStep],
                         size_t columns) {
  const D d;
  V f[kRows][kStep];
#pragma GCC unroll 4
  for (size_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (size_t p = 0; p < kStep; ++p) f[r][p] = hn::Set(d, factors[r][p]);
  }
  for (size_t j = 0; j < columns; j += kLanes) {
    const bool whole = j + kLanes <= columns;
    V from[kStep];
#pragma GCC unroll 4
    for (size_t p = 0; p < kStep; ++p) {
      const float* at = pivot + p * stride + j;
      from[p] = whole ? hn::LoadU(d, at) : load_tail(at, columns - j);
    }
#pragma GCC unroll 4
    for (size_t r = 0; r < kRows; ++r) {
      float* at = row + r * stride + j;
      V v = whole ? hn::LoadU(d, at) : load_tail(at, columns - j);
#pragma GCC unroll 4
      for (size_t p = 0; p < kStep; ++p) v = hn::NegMulAdd(f[r][p], from[p], v);
      if (whole) {
        hn::StoreU(v, d, at);
      } else {
        store_tail(v, at, columns - j);
      }
    }
  }
}

// The rows from `first` on, without what the kStep pivots starting at k explain. kStep rows begin at the first one's
// diagonal: what that writes below theirs nobody reads.
HWY_INLINE void update_rest(float* a, size_t n, size_t k, size_t first) {
  float factors[kStep][kStep];
  size_t i = first;
  for (; i + kStep <= n; i += kStep) {
    for (size_t r = 0; r < kStep; ++r)
      for (size_t p = 0; p < kStep; ++p) factors[r][p] = a[(k + p) * n + i + r];
    subtract<kStep>(a + i * n + i, a + k * n + i, n, factors, n - i);
  }
  for (; i < n; ++i) {
    for (size_t p = 0; p < kStep; ++p) factors[0][p] = a[(k + p) * n + i];
    subtract<1>(a + i * n + i, a + k * n + i, n, factors, n - i);
  }
}

HWY_INLINE bool scale_pivot(float* row, size_t n) {
  const float pivot = row[0];
  // Not std::isfinite: a template of a shared header.
  if (!(pivot > 0) || !(pivot <= 3.4028234e38f)) return false;
  const float root = __builtin_sqrtf(pivot);
  scale(1 / root, row, n);
  row[0] = root;
  return true;
}

// Upper triangle of a = u^T u, in place.
HWY_INLINE bool factor(float* a, size_t n) {
  for (size_t k = 0; k < n; k += kStep) {
    const size_t step = n - k < kStep ? n - k : kStep;
    for (size_t p = 0; p < step; ++p) {
      float* row = a + (k + p) * n + k + p;
      for (size_t q = 0; q < p; ++q) axpy(-a[(k + q) * n + k + p], a + (k + q) * n + k + p, row, n - k - p);
      if (!scale_pivot(row, n - k - p)) return false;
    }
    if (step == kStep) update_rest(a, n, k, k + kStep);
  }
  return true;
}

}  // namespace

bool solve_positive_definite(float* a, float* x, size_t n) {
  if (!factor(a, n)) return false;
  for (size_t i = 0; i < n; ++i) {  // u^T y = x
    x[i] /= a[i * n + i];
    axpy(-x[i], a + i * n + i + 1, x + i + 1, n - i - 1);
  }
  for (size_t i = n; i-- > 0;)  // u x = y
    x[i] = (x[i] - dot(a + i * n + i + 1, x + i + 1, n - i - 1)) / a[i * n + i];
  return true;
}

}  // namespace gyr::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // GYR_CPU_TARGET
