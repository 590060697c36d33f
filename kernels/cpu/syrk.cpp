// Symmetric updates: the normal equations of iALS (Hu, Koren & Volinsky 2008).
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/syrk.cpp"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "kernels/cpu/tile-inl.h"

#if GYR_CPU_TARGET
HWY_BEFORE_NAMESPACE();
namespace gyr::kernels::HWY_NAMESPACE {
namespace {

// Gathered rows, packed in panels: 64 KiB.
constexpr size_t kGathered = 16384;
constexpr size_t kMaxDim = 1024;  // 16 rows at a time still pay
// Rows of a tile: divides kPanel, so that a tile's left values lie side by side in one panel.
constexpr int kTileRows = kMaxRows >= 8 ? 8 : 4;

struct Gram {
  const float* packed;
  float* a;
  float alpha;
  size_t k, dim;
};

// Rows from i, columns from j; only what is on or above the diagonal, and inside, changes.
template <int kNV>
HWY_INLINE void gram_tile(const Gram& gram, size_t i, size_t j) {
  const D d;
  V acc[kTileRows][kNV];
#pragma GCC unroll 16
  for (int r = 0; r < kTileRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kNV; ++v) acc[r][v] = hn::Zero(d);
  }
  const float* x = gram.packed + i / kPanel * kPanel * gram.k + i % kPanel;
  const float* w[] = {gram.packed + j / kPanel * kPanel * gram.k + j % kPanel};
  multiply<kTileRows, kNV, int{kPanel}>(x, 0, w, gram.k, acc);
  const V alpha = hn::Set(d, gram.alpha);
#pragma GCC unroll 16
  for (int r = 0; r < kTileRows; ++r) {
    if (i + r >= gram.dim) continue;
#pragma GCC unroll 16
    for (int v = 0; v < kNV; ++v) {
      const size_t column = j + v * kLanes;
      if (column >= gram.dim || i + r >= column + kLanes) continue;
      float* to = gram.a + (i + r) * gram.dim + column;
      const size_t below = i + r > column ? i + r - column : 0;
      const size_t inside = gram.dim - column;
      const V old = inside < kLanes ? load_tail(to, inside) : hn::LoadU(d, to);
      const V sum = hn::MulAdd(alpha, acc[r][v], old);
      const V kept = below == 0 ? sum : hn::IfThenElse(hn::FirstN(d, below), old, sum);
      if (inside < kLanes) {
        store_tail(kept, to, inside);
      } else {
        hn::StoreU(kept, d, to);
      }
    }
  }
}

HWY_NOINLINE void gram_update(const Gram& gram) {
  for (size_t i = 0; i < gram.dim; i += kTileRows) {
    size_t j = i / kLanes * kLanes;
    if (j % kUnit != 0) {
      gram_tile<1>(gram, i, j);
      j += kLanes;
    }
    for (; j + kLanes < gram.dim; j += kUnit) gram_tile<2>(gram, i, j);
    if (j < gram.dim) gram_tile<1>(gram, i, j);
  }
}

HWY_INLINE void gather_row(const float* row, size_t dim, size_t k, float* to) {
  const D d;
  for (size_t j = 0; j < dim; j += kPanel, to += kPanel * k) {
    for (size_t i = 0; i < kPanel; i += kLanes) {
      const size_t column = j + i;
      if (column + kLanes <= dim) {
        hn::Store(hn::LoadU(d, row + column), d, to + i);
      } else {
        hn::Store(column < dim ? load_tail(row + column, dim - column) : hn::Zero(d), d, to + i);
      }
    }
  }
}

}  // namespace

void syr_upper(float alpha, const float* x, float* a, size_t n) {
  for (size_t i = 0; i < n; ++i) axpy(alpha * x[i], x + i, a + i * n + i, n - i);
}

void syrk_rows_upper(float alpha, const float* rows, const uint32_t* at, size_t n, size_t dim, float* a) {
  if (n == 0 || dim == 0) return;
  if (dim > kMaxDim) {
    for (size_t i = 0; i < n; ++i) syr_upper(alpha, rows + at[i] * dim, a, dim);
    return;
  }
  HWY_ALIGN float packed[kGathered];
  const size_t block = kGathered / ((dim + kPanel - 1) / kPanel * kPanel);
  for (size_t first = 0; first < n; first += block) {
    const size_t k = n - first < block ? n - first : block;
    for (size_t l = 0; l < k; ++l) {
      if (first + l + 8 < n) {
        const float* next = rows + at[first + l + 8] * dim;
        for (size_t i = 0; i < dim; i += 16) __builtin_prefetch(next + i);
      }
      gather_row(rows + at[first + l] * dim, dim, k, packed + l * kPanel);
    }
    gram_update({packed, a, alpha, k, dim});
  }
}

}  // namespace gyr::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // GYR_CPU_TARGET
