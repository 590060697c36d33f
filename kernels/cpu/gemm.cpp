// Training products over plain row-major matrices: the right factor is packed a block at a time on the stack.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/gemm.cpp"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "kernels/cpu/tile-inl.h"

#if GYR_CPU_TARGET
HWY_BEFORE_NAMESPACE();
namespace gyr::kernels::HWY_NAMESPACE {
namespace {

// 64 KiB of the right factor: fits L2 on every x86-64 and leaves any thread's stack alone.
constexpr size_t kBlockK = 256;
constexpr size_t kBlockN = 2 * kPanel;

// b[k, n] at b, ldb floats between rows -> panels.
HWY_INLINE void pack_block(const float* b, size_t ldb, size_t k, size_t n, float* packed) {
  const D d;
  for (size_t j = 0; j < n; j += kPanel) {
    const size_t width = n - j < kPanel ? n - j : kPanel;
    for (size_t l = 0; l < k; ++l, packed += kPanel) {
      const float* from = b + l * ldb + j;
      for (size_t i = 0; i < kPanel; i += kLanes) {
        if (i + kLanes <= width) {
          hn::StoreU(hn::LoadU(d, from + i), d, packed + i);
        } else {
          hn::StoreU(i < width ? load_tail(from + i, width - i) : hn::Zero(d), d, packed + i);
        }
      }
    }
  }
}

// The same of b[n, k], transposing 4 x 4 values at a time.
HWY_INLINE void pack_transposed(const float* b, size_t ldb, size_t k, size_t n, float* packed) {
  const D128 d;
  for (size_t j = 0; j < n; ++j) {
    float* to = packed + j / kPanel * kPanel * k + j % kPanel;
    const float* from = b + j * ldb;
    if (j + 4 > n || j % 4 != 0) {
      for (size_t l = 0; l < k; ++l) to[l * kPanel] = from[l];
      continue;
    }
    size_t l = 0;
    for (; l + 4 <= k; l += 4) {
      const V128 r0 = hn::LoadU(d, from + l), r1 = hn::LoadU(d, from + ldb + l);
      const V128 r2 = hn::LoadU(d, from + 2 * ldb + l), r3 = hn::LoadU(d, from + 3 * ldb + l);
      const V128 a = hn::InterleaveLower(d, r0, r2), b4 = hn::InterleaveLower(d, r1, r3);
      const V128 c = hn::InterleaveUpper(d, r0, r2), e = hn::InterleaveUpper(d, r1, r3);
      hn::StoreU(hn::InterleaveLower(d, a, b4), d, to + l * kPanel);
      hn::StoreU(hn::InterleaveUpper(d, a, b4), d, to + (l + 1) * kPanel);
      hn::StoreU(hn::InterleaveLower(d, c, e), d, to + (l + 2) * kPanel);
      hn::StoreU(hn::InterleaveUpper(d, c, e), d, to + (l + 3) * kPanel);
    }
    for (; l < k; ++l) {
      for (size_t r = 0; r < 4; ++r) to[l * kPanel + r] = from[r * ldb + l];
    }
    j += 3;
  }
  // Columns past the end: zeros.
  const size_t end = (n + kPanel - 1) / kPanel * kPanel;
  for (size_t j = n; j < end; ++j) {
    float* to = packed + j / kPanel * kPanel * k + j % kPanel;
    for (size_t l = 0; l < k; ++l) to[l * kPanel] = 0;
  }
}

// One block: c[m, n] (+)= left[m, k] * packed[k, n], with k <= kBlockK and n <= kBlockN.
struct Block {
  const float* left;
  size_t ld_left;
  const float* packed;
  float* c;
  size_t ldc, k, n;
  bool add;
};

template <int kR, int kNV, int kStep>
HWY_INLINE void product_tile(const Block& block, const float* x, float* c, size_t column, size_t width) {
  const D d;
  V acc[kR][kNV];
#pragma GCC unroll 16
  for (int r = 0; r < kR; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kNV; ++v) acc[r][v] = hn::Zero(d);
  }
  const float* w[] = {block.packed + column / kPanel * kPanel * block.k + column % kPanel};
  multiply<kR, kNV, kStep>(x, block.ld_left, w, block.k, acc);
  const bool full = width == kNV * kLanes;
#pragma GCC unroll 16
  for (int r = 0; r < kR; ++r) {
    float* out = c + r * block.ldc + column;
#pragma GCC unroll 16
    for (int v = 0; v < kNV; ++v) {
      float* to = out + v * kLanes;
      if (full || (v + 1) * kLanes <= width) {
        hn::StoreU(block.add ? hn::Add(hn::LoadU(d, to), acc[r][v]) : acc[r][v], d, to);
      } else if (v * kLanes < width) {
        const size_t rest = width - v * kLanes;
        store_tail(block.add ? hn::Add(load_tail(to, rest), acc[r][v]) : acc[r][v], to, rest);
      }
    }
  }
}

// Rows [first, first + kR) of the block. Transposed: left is [k, m], so its kR columns are copied side by side first.
template <int kR, bool kTransposed>
HWY_NOINLINE void product_rows(const Block& block, size_t first) {
  const float* x = block.left + first * (kTransposed ? 1 : block.ld_left);
  constexpr int kStep = kTransposed ? kR : 0;
  HWY_ALIGN float columns[kTransposed ? kBlockK * kR : 1];
  if constexpr (kTransposed) {
    for (size_t l = 0; l < block.k; ++l) __builtin_memcpy(columns + l * kR, x + l * block.ld_left, kR * sizeof(float));
    x = columns;
  }
  float* c = block.c + first * block.ldc;
  size_t column = 0;
  for (; column + kUnit <= block.n; column += kUnit) product_tile<kR, 2, kStep>(block, x, c, column, kUnit);
  const size_t rest = block.n - column;
  if (rest > kLanes) {
    product_tile<kR, 2, kStep>(block, x, c, column, rest);
  } else if (rest > 0) {
    product_tile<kR, 1, kStep>(block, x, c, column, rest);
  }
}

using ProductRows = void (*)(const Block&, size_t);
template <bool kT>
constexpr ProductRows kProductRows[] = {nullptr,
                                        product_rows<1, kT>,
                                        product_rows<2, kT>,
                                        product_rows<3, kT>,
                                        product_rows<4, kT>,
                                        product_rows<5, kT>,
                                        product_rows<6, kT>,
#if HWY_MAX_BYTES == 64 || HWY_ARCH_ARM_A64
                                        product_rows<7, kT>,
                                        product_rows<8, kT>,
                                        product_rows<9, kT>,
                                        product_rows<10, kT>,
                                        product_rows<11, kT>,
                                        product_rows<12, kT>
#endif
};

template <bool kTransposedA, bool kTransposedB>
HWY_INLINE void product(const float* a, const float* b, float* c, size_t m, size_t k, size_t n, bool add) {
  if (m == 0 || n == 0) return;
  HWY_ALIGN float packed[kBlockK * kBlockN];
  const size_t blocks = (m + kMaxRows - 1) / kMaxRows;
  const size_t low = m / blocks, higher = m % blocks;
  size_t l = 0;
  do {  // once for k = 0: c becomes zero or stays
    const size_t block_k = k - l < kBlockK ? k - l : kBlockK;
    for (size_t j = 0; j < n; j += kBlockN) {
      const size_t block_n = n - j < kBlockN ? n - j : kBlockN;
      if constexpr (kTransposedB) {
        pack_transposed(b + j * k + l, k, block_k, block_n, packed);
      } else {
        pack_block(b + l * n + j, n, block_k, block_n, packed);
      }
      const Block block = {
          kTransposedA ? a + l * m : a + l, kTransposedA ? m : k, packed, c + j, n, block_k, block_n, add || l > 0};
      size_t first = 0;
      for (size_t i = 0; i < blocks; ++i) {
        const size_t rows = low + (i < higher ? 1 : 0);
        kProductRows<kTransposedA>[rows](block, first);
        first += rows;
      }
    }
    l += block_k;
  } while (l < k);
}

}  // namespace

void gemm_nn(const float* a, const float* b, float* c, size_t m, size_t k, size_t n, bool add) {
  product<false, false>(a, b, c, m, k, n, add);
}

void gemm_tn(const float* a, const float* b, float* c, size_t m, size_t k, size_t n, bool add) {
  product<true, false>(a, b, c, m, k, n, add);
}

void gemm_nt(const float* a, const float* b, float* c, size_t m, size_t k, size_t n, bool add) {
  product<false, true>(a, b, c, m, k, n, add);
}

}  // namespace gyr::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // GYR_CPU_TARGET
