// The register tile under every matrix product: kR rows of the left factor times kNV vectors of columns of a packed
// right factor (panels of kPanel columns, kernels.h), accumulated over k in order. One sequential sum per output, so
// a result depends neither on the number of rows nor on a row's place among them.
#if defined(GYR_KERNELS_CPU_TILE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef GYR_KERNELS_CPU_TILE_INL_H
#undef GYR_KERNELS_CPU_TILE_INL_H
#else
#define GYR_KERNELS_CPU_TILE_INL_H
#endif

#include "kernels/cpu/vec-inl.h"

#if GYR_CPU_TARGET
HWY_BEFORE_NAMESPACE();
namespace gyr::kernels::HWY_NAMESPACE {

// Two vectors of columns at a time; as many rows as leave registers for two vectors of the right factor and one value
// of the left: 12 x 2 of 32 registers, 6 x 2 of 16.
constexpr size_t kUnit = 2 * kLanes;
#if HWY_MAX_BYTES == 64 || HWY_ARCH_ARM_A64
constexpr int kMaxRows = 12;
#else
constexpr int kMaxRows = 6;
#endif

// Left value (r, l) is at x[r * ldx + l] when kStep is 0, at x[l * kStep + r] otherwise. w[u] points at the columns of
// unit u in its panel.
template <int kR, int kNV, int kStep>
HWY_INLINE void multiply(const float* x, size_t ldx, const float* const* w, size_t k, V (&acc)[kR][kNV]) {
  const D d;
  constexpr int kUnits = (kNV + 1) / 2;
  const float* row[kR];
  const float* col[kUnits];
#pragma GCC unroll 16
  for (int r = 0; r < kR; ++r) row[r] = kStep == 0 ? x + r * ldx : x + r;
#pragma GCC unroll 16
  for (int u = 0; u < kUnits; ++u) col[u] = w[u];
#pragma GCC unroll 4
  for (size_t l = 0; l < k; ++l) {
    V b[kNV];
#pragma GCC unroll 16
    for (int v = 0; v < kNV; ++v) b[v] = hn::LoadU(d, col[v / 2] + l * kPanel + v % 2 * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < kR; ++r) {
      const V a = hn::Set(d, kStep == 0 ? row[r][l] : x[l * kStep + r]);
#pragma GCC unroll 16
      for (int v = 0; v < kNV; ++v) acc[r][v] = hn::MulAdd(a, b[v], acc[r][v]);
    }
  }
}

}  // namespace gyr::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // GYR_CPU_TARGET

#endif
