// The two LAPACK routines we use, safe to call from any number of threads.
#pragma once

#include <cstddef>

namespace gyr {

// Solves a * x = b for a symmetric positive definite matrix (n x n, the upper triangle row-major is read, overwritten
// by its Cholesky factor). x holds b on entry. False: the matrix is not positive definite or not finite; x is then unspecified.
[[nodiscard]] bool solve_positive_definite(float* a, float* x, size_t n);

}  // namespace gyr
