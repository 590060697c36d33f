// The normal equations of implicit ALS, apart so that tests can hold them against an oracle.
#pragma once

#include <span>

#include "model/kinds.h"

namespace gyr::ials {

struct Options {
  int64_t dim = 64, epochs = 12, seed = 1;
  double alpha = 0.1;  // weight of the unobserved pairs
  double l2 = 0.01;
  double frequency_scaling = 1.0;  // nu of Rendle et al. 2021; 0 = plain l2
  double stddev = 0.1;
  // lambda * (n + alpha * |other side|)^nu: what a row with n positives pays (Rendle et al. 2021, "iALS revisited").
  double regularisation(uint64_t positives, uint64_t other_side) const;
};

// gram [dim, dim], upper triangle: sum of y y^T over the rows of `factors`, in fixed chunks so that the number of
// threads does not show.
void gram(Runtime& runtime, const Floats& factors, size_t dim, Floats* out);

// x = (alpha G + sum_pos y y^T + reg I)^-1 sum_pos y by Cholesky. `a` [dim * dim] is scratch, x [dim].
// False when the matrix is not positive definite.
bool solve(const Floats& factors, const float* gram, std::span<const uint32_t> positives, size_t dim, double alpha,
           double reg, float* a, float* x);

}  // namespace gyr::ials
