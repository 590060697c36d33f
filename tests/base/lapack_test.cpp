#include "base/lapack.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <thread>
#include <vector>

#include "base/random.h"

namespace gyr {
namespace {

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
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j < n; j++) s.b[i] += s.a[i * n + j] * s.x[j];
  return s;
}

TEST(Lapack, Solves) {
  for (size_t n : {1, 2, 7, 33, 130}) {
    System s = random_system(n, n);
    for (size_t i = 0; i < n; i++)  // only the upper triangle counts
      for (size_t j = 0; j < i; j++) s.a[i * n + j] = NAN;
    ASSERT_TRUE(solve_positive_definite(s.a.data(), s.b.data(), n));
    for (size_t i = 0; i < n; i++) EXPECT_NEAR(s.b[i], s.x[i], 1e-4);
  }
}

TEST(Lapack, NotPositiveDefinite) {
  float a[] = {1, 2, 2, 1}, x[] = {1, 1};
  EXPECT_FALSE(solve_positive_definite(a, x, 2));
}

// OpenBLAS alone gives some of these threads another thread's numbers.
TEST(Lapack, ThreadsDoNotMeet) {
  constexpr size_t kDim = 64;
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 60; t++)
    threads.emplace_back([&, t] {
      System s = random_system(kDim, t);
      std::vector<float> first;
      for (int round = 0; round < 1000; round++) {
        std::vector<float> a = s.a, x = s.b;
        if (!solve_positive_definite(a.data(), x.data(), kDim)) wrong++;
        x.insert(x.end(), a.begin(), a.end());
        if (round == 0) {
          first = x;
          for (size_t i = 0; i < kDim; i++) wrong += !(std::abs(x[i] - s.x[i]) < 1e-3f);
        }
        wrong += std::memcmp(first.data(), x.data(), x.size() * sizeof(float)) != 0;
      }
    });
  for (auto& t : threads) t.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace gyr
