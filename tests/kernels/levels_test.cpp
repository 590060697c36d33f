// Which levels are listed and which is taken: what the CPU is asked here by the compiler's means, not by Highway's.
#include <algorithm>

#include "tests/kernels/common.h"
#include "tests/support/knobs.h"

namespace gyr::kernels {
namespace {

std::vector<std::string> names() {
  std::vector<std::string> all;
  for (const Ops* ops : implementations()) all.emplace_back(ops->name);
  return all;
}

#if defined(__aarch64__)
TEST(Levels, ArmHasTheReferenceAndNeon) { EXPECT_EQ(names(), (std::vector<std::string>{"ref", "NEON"})); }
#elif defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
TEST(Levels, EveryLevelOfThisCpuIsListed) {
  const auto all = names();
  const auto listed = [&](const char* name) { return std::find(all.begin(), all.end(), name) != all.end(); };
  __builtin_cpu_init();
  const bool avx512 = __builtin_cpu_supports("x86-64-v4");
  EXPECT_EQ(all[0], "ref");
  EXPECT_EQ(listed("AVX2"), __builtin_cpu_supports("x86-64-v3") != 0);
  EXPECT_EQ(listed("AVX3"), avx512);
  EXPECT_EQ(listed("AVX3_VNNI"), avx512 && __builtin_cpu_supports("avx512vnni"));
}
#endif

TEST(Levels, TheLastIsTaken) {
  GYR_SKIP_UNDER("GYR_TEST_SIMD");
  EXPECT_EQ(best().name, names().back());
}

}  // namespace
}  // namespace gyr::kernels
