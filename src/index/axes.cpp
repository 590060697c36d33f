#include "index/axes.h"

#include <cmath>

#include "base/random.h"

namespace gyr::index {
namespace {

constexpr int kIterations = 8;

// Gram-Schmidt, each row less the ones before it, twice: once leaves what rounding left (Giraud et al. 2005). A row
// without length becomes zero.
void orthonormalize(float* rows, uint32_t n, uint32_t dim, const kernels::Ops& ops) {
  for (uint32_t i = 0; i < n; i++) {
    float* row = rows + uint64_t(i) * dim;
    const float before = ops.dot(row, row, dim);
    for (int pass = 0; pass < 2; pass++)
      for (uint32_t j = 0; j < i; j++) {
        const float* other = rows + uint64_t(j) * dim;
        const float along = ops.dot(row, other, dim);
        for (uint32_t d = 0; d < dim; d++) row[d] -= along * other[d];
      }
    const float squared = ops.dot(row, row, dim);
    const float inverse = squared > before * 1e-12f && std::isnormal(squared) ? 1 / std::sqrt(squared) : 0;
    for (uint32_t d = 0; d < dim; d++) row[d] *= inverse;
  }
}

}  // namespace

void find_axes(const float* rows, uint64_t n, uint32_t dim, uint32_t wanted, uint64_t seed, const kernels::Ops& ops,
               Array<float>* axes, Array<float>* captured) {
  axes->resize(uint64_t(wanted) * dim);
  captured->assign(wanted, 0);
  Array<float> along(uint64_t(wanted) * n, 0, axes->get_allocator());
  Random random(seed);
  for (float& v : *axes) v = float(random.uniform() - 0.5);
  double all = 0;
  for (uint64_t i = 0; i < n; i++) all += double(ops.dot(rows + i * dim, rows + i * dim, dim));
  if (!(all > 0)) return;
  orthonormalize(axes->data(), wanted, dim, ops);
  for (int i = 0; i <= kIterations; i++) {
    ops.gemm_nt(axes->data(), rows, along.data(), wanted, dim, n, false);
    if (i == kIterations) break;
    ops.gemm_nn(along.data(), rows, axes->data(), wanted, n, dim, false);
    orthonormalize(axes->data(), wanted, dim, ops);
  }
  double sum = 0;
  for (uint32_t i = 0; i < wanted; i++) {
    sum += double(ops.dot(along.data() + uint64_t(i) * n, along.data() + uint64_t(i) * n, n));
    (*captured)[i] = float(sum / all);
  }
}

}  // namespace gyr::index
