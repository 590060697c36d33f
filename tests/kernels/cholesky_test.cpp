// Solving symmetric positive definite systems, every implementation, against the solution they were made from.
#include <cmath>
#include <limits>

#include "base/random.h"
#include "tests/kernels/common.h"

namespace gyr::kernels {
namespace {

class Cholesky : public Kernels {};

struct System {
  std::vector<float> a, x, b;  // a * x = b
};
System random_system(size_t n, uint64_t seed) {
  Random random(seed);
  System s;
  s.a.resize(n * n), s.x.resize(n), s.b.resize(n);
  for (size_t i = 0; i < n; i++)
    for (size_t j = i; j < n; j++)
      s.a[i * n + j] = s.a[j * n + i] = float(random.normal()) + (i == j ? float(2 * n + 4) : 0);
  for (float& v : s.x) v = float(random.normal());
  for (size_t i = 0; i < n; i++) {
    double sum = 0;
    for (size_t j = 0; j < n; j++) sum += double(s.a[i * n + j]) * s.x[j];
    s.b[i] = float(sum);
  }
  return s;
}

TEST_P(Cholesky, Solves) {
  for (size_t n = 0; n <= 300; n += n < 70 ? 1 : 23) {
    System s = random_system(n, n);
    Guarded a(n * n, 1), x(n, 2);
    for (size_t i = 0; i < n; i++) {
      x[i] = s.b[i];
      for (size_t j = 0; j < n; j++) a[i * n + j] = j < i ? NAN : s.a[i * n + j];  // only the upper triangle counts
    }
    ASSERT_TRUE(ops().solve_positive_definite(a.data(), x.data(), n)) << n;
    for (size_t i = 0; i < n; i++) ASSERT_NEAR(x[i], s.x[i], 1e-4) << n;
    for (size_t i = 0; i < n; i++)  // u^T u = a
      for (size_t j = i; j < n; j += 1 + n / 16) {
        double sum = 0;
        for (size_t k = 0; k <= i; k++) sum += double(a[k * n + i]) * a[k * n + j];
        ASSERT_NEAR(sum, s.a[i * n + j], 1e-4 * double(n + 1)) << n << " at " << i << "," << j;
      }
  }
}

TEST_P(Cholesky, SaysWhatIsNotPositiveDefinite) {
  float indefinite[] = {1, 2, 2, 1}, x[] = {1, 1};
  EXPECT_FALSE(ops().solve_positive_definite(indefinite, x, 2));
  for (size_t n : {1, 3, 4, 9, 40})
    for (float bad : {NAN, INFINITY, -1.0f, 0.0f})
      for (size_t at = 0; at < n; at += 1 + n / 5) {
        System s = random_system(n, 7);
        s.a[at * n + at] = bad;
        EXPECT_FALSE(ops().solve_positive_definite(s.a.data(), s.b.data(), n)) << n << ", " << bad << " at " << at;
      }
}

INSTANTIATE_TEST_SUITE_P(All, Cholesky, testing::ValuesIn(implementations()), implementation_name);

}  // namespace
}  // namespace gyr::kernels
