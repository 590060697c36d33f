// Dense layers over packed weights: the scoring hot path.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/gemm_packed.cpp"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "kernels/cpu/tile-inl.h"

#if GYR_CPU_TARGET
HWY_BEFORE_NAMESPACE();
namespace gyr::kernels::HWY_NAMESPACE {
namespace {

struct Layer {
  const float* w;
  const float* bias;
  size_t ldx, ldy, k, n;
  bool relu;
};

HWY_INLINE const float* unit_at(const Layer& layer, size_t column) {
  return layer.w + column / kPanel * kPanel * layer.k + column % kPanel;
}

// NaN stays NaN: x86 max gives its second argument then, and Arm's propagates.
// No Max: what that makes of NaN differs from level to level.
HWY_INLINE V relu(V v) { return hn::IfThenZeroElse(hn::Lt(v, hn::Zero(D())), v); }

// kNV vectors of columns from `column` on, of which `width` values exist.
template <int kR, int kNV>
HWY_INLINE void layer_tile(const Layer& layer, const float* x, float* y, size_t column, size_t width) {
  const D d;
  const bool full = width == kNV * kLanes;
  V acc[kR][kNV];
#pragma GCC unroll 16
  for (int v = 0; v < kNV; ++v) {
    V start = hn::Zero(d);
    if (layer.bias != nullptr) {
      const float* bias = layer.bias + column + v * kLanes;
      if (full || (v + 1) * kLanes <= width) {
        start = hn::LoadU(d, bias);
      } else if (v * kLanes < width) {
        start = load_tail(bias, width - v * kLanes);
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < kR; ++r) acc[r][v] = start;
  }
  const float* w[(kNV + 1) / 2];
#pragma GCC unroll 16
  for (int u = 0; u < (kNV + 1) / 2; ++u) w[u] = unit_at(layer, column + u * kUnit);
  multiply<kR, kNV, 0>(x, layer.ldx, w, layer.k, acc);
  if (layer.relu) {
#pragma GCC unroll 16
    for (int r = 0; r < kR; ++r) {
#pragma GCC unroll 16
      for (int v = 0; v < kNV; ++v) acc[r][v] = relu(acc[r][v]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kR; ++r) {
    float* out = y + r * layer.ldy + column;
#pragma GCC unroll 16
    for (int v = 0; v < kNV; ++v) {
      if (full || (v + 1) * kLanes <= width) {
        hn::StoreU(acc[r][v], d, out + v * kLanes);
      } else if (v * kLanes < width) {
        store_tail(acc[r][v], out + v * kLanes, width - v * kLanes);
      }
    }
  }
}

// kR rows times all columns. Few rows take several units at once: one accumulator chain per output would wait for
// itself.
template <int kR>
HWY_NOINLINE void layer_rows(const Layer& layer, const float* x, float* y) {
  size_t column = 0;
  if constexpr (kR == 1) {
    for (; column + 4 * kUnit <= layer.n; column += 4 * kUnit) layer_tile<1, 8>(layer, x, y, column, 4 * kUnit);
  }
  if constexpr (kR <= 3) {
    for (; column + 2 * kUnit <= layer.n; column += 2 * kUnit) layer_tile<kR, 4>(layer, x, y, column, 2 * kUnit);
  }
  for (; column + kUnit <= layer.n; column += kUnit) layer_tile<kR, 2>(layer, x, y, column, kUnit);
  const size_t rest = layer.n - column;
  if (rest > kLanes) {
    layer_tile<kR, 2>(layer, x, y, column, rest);
  } else if (rest > 0) {
    layer_tile<kR, 1>(layer, x, y, column, rest);
  }
}

using LayerRows = void (*)(const Layer&, const float*, float*);
constexpr LayerRows kLayerRows[] = {
    nullptr,       layer_rows<1>, layer_rows<2>, layer_rows<3>,  layer_rows<4>,  layer_rows<5>, layer_rows<6>,
#if HWY_MAX_BYTES == 64 || HWY_ARCH_ARM_A64
    layer_rows<7>, layer_rows<8>, layer_rows<9>, layer_rows<10>, layer_rows<11>, layer_rows<12>
#endif
};

// The last layer of a ranking model has one output: a dot product per row, not a tile that is empty but for a column.
constexpr size_t kColumnValues = 2048;

HWY_NOINLINE void layer_column(const Layer& layer, const float* x, float* y, size_t m) {
  HWY_ALIGN float w[kColumnValues];
  const float* from = unit_at(layer, layer.n - 1);
  for (size_t l = 0; l < layer.k; ++l) w[l] = from[l * kPanel];
  const float bias = layer.bias != nullptr ? layer.bias[layer.n - 1] : 0;
  float* out = y + layer.n - 1;
  for (size_t i = 0; i < m; i += 4, x += 4 * layer.ldx) {
    const size_t rows = m - i < 4 ? m - i : 4;
    float sums[4];
    if (rows == 4) {
      const size_t ld = layer.ldx;
      hn::StoreU(four_rows<false>(w, x, x + ld, x + 2 * ld, x + 3 * ld, layer.k), D128(), sums);
    } else {
      for (size_t r = 0; r < rows; ++r) sums[r] = one_row<false>(w, x + r * layer.ldx, layer.k);
    }
    for (size_t r = 0; r < rows; ++r) {
      const float sum = sums[r] + bias;
      out[(i + r) * layer.ldy] = layer.relu && sum < 0 ? 0 : sum;
    }
  }
}

}  // namespace

void gemm_packed(const float* x, size_t ldx, const float* packed_w, const float* bias, float* y, size_t ldy, size_t m,
                 size_t k, size_t n, Activation act) {
  if (m == 0 || n == 0) return;
  Layer layer = {packed_w, bias, ldx, ldy, k, n, act == Activation::kRelu};
  if (n % kPanel == 1 && k <= kColumnValues) {
    layer_column(layer, x, y, m);
    layer.n = n - 1;
  }
  // Blocks of about equal height: 13 rows are 7 + 6, not 12 + 1.
  const size_t blocks = (m + kMaxRows - 1) / kMaxRows;
  const size_t low = m / blocks, higher = m % blocks;
  const float* block_x = x;
  float* block_y = y;
  for (size_t i = 0; i < blocks && layer.n > 0; ++i) {
    const size_t rows = low + (i < higher ? 1 : 0);
    kLayerRows[rows](layer, block_x, block_y);
    block_x += rows * ldx;
    block_y += rows * ldy;
  }
  if (act != Activation::kSigmoid && act != Activation::kTanh) return;
  for (size_t i = 0; i < m; ++i) {
    if (act == Activation::kSigmoid) {
      sigmoid(y + i * ldy, n);
    } else {
      tanh_values(y + i * ldy, n);
    }
  }
}

}  // namespace gyr::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // GYR_CPU_TARGET
