// The directions in which vectors differ most: principal components, by orthogonal iteration (Golub & Van Loan, Matrix
// Computations, 8.2.4).
#pragma once

#include "index/array.h"
#include "kernels/kernels.h"

namespace gyr::index {

// axes [wanted, dim]: orthonormal rows, the most important first. captured[i]: the share of the rows' squared lengths
// that lies in the first i + 1. rows [n, dim], about the point that counts as their middle. wanted <= n and dim.
void find_axes(const float* rows, uint64_t n, uint32_t dim, uint32_t wanted, uint64_t seed, const kernels::Ops& ops,
               Array<float>* axes, Array<float>* captured);

}  // namespace gyr::index
