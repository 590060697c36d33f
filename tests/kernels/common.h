// Every implementation as a test parameter, and the tolerance of sums.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "tests/kernels/guarded.h"

namespace gyr::kernels {

class Kernels : public testing::TestWithParam<const Ops*> {
 protected:
  const Ops& ops() const { return *GetParam(); }
};

inline std::vector<const Ops*> implementations() {
  size_t count = 0;
  const Ops* const* all = available(&count);
  return {all, all + count};
}

inline std::string implementation_name(const testing::TestParamInfo<const Ops*>& info) { return info.param->name; }

// A sum of k float products in any order, against any other order: a few roundings of the sum of absolute terms, and
// some more as k grows (the worst case is k roundings; random terms stay far below).
inline double sum_tolerance(size_t k, double absolute_terms) {
  return 6e-8 * (4 + static_cast<double>(k) / 8) * absolute_terms + 1e-37;
}

inline double dot_exact(const float* a, const float* b, size_t n, double* absolute) {
  double sum = 0;
  *absolute = 0;
  for (size_t i = 0; i < n; ++i) {
    const double term = static_cast<double>(a[i]) * b[i];
    sum += term;
    *absolute += std::fabs(term);
  }
  return sum;
}

}  // namespace gyr::kernels
