// Every function of the library has a scenario.
#include <algorithm>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>

#include "tests/fault/world.h"

namespace gyr::test {
namespace {

TEST(Fault, EveryFunctionHasAScenario) {
  std::ifstream file(GYR_SOURCE_DIR "/tests/abi/gyr-api.json");
  std::string text(std::istreambuf_iterator<char>(file), {});
  // A function's entry is the one whose name is followed by what it returns.
  std::regex entry("\"name\":\\s*\"(gyr_[a-z0-9_]+)\",\\s*\"return\"");
  std::set<std::string> functions;
  for (std::sregex_iterator it(text.begin(), text.end(), entry), end; it != end; ++it) functions.insert((*it)[1]);
  EXPECT_GE(functions.size(), 99u) << "the ABI dump was not read";
  std::set<std::string> with_scenario(covered().begin(), covered().end());
  for (const std::string& f : functions) EXPECT_TRUE(with_scenario.contains(f)) << f << " has no scenario";
  for (const std::string& f : with_scenario) EXPECT_TRUE(functions.contains(f)) << f << " is no public function";
}

// The sweep reaches the library's own allocations: refused ones fail the call, and nothing else does.
TEST(Fault, RefusedAllocationsReachTheLibrary) {
  gyr_task* task = nullptr;
  ASSERT_EQ(gyr_task_create(&task, nullptr), GYR_OK);  // a thread's first call asks for its storage
  gyr_task_destroy(task);
  for (auto mode : {allocations::Mode::kOnce, allocations::Mode::kForever}) {
    allocations::arm(0, mode);
    gyr_status status = gyr_task_create(&task, nullptr);
    allocations::disarm();
    EXPECT_EQ(status, GYR_E_OUT_OF_MEMORY);
    EXPECT_GE(allocations::failed(), 1);
  }
  allocations::arm(allocations::kNever, allocations::Mode::kOnce);
  int64_t before = allocations::live();
  gyr_status status = gyr_task_create(&task, nullptr);
  int64_t made = allocations::live() - before;
  allocations::disarm();
  EXPECT_EQ(status, GYR_OK);
  EXPECT_EQ(allocations::passed(), 1);
  EXPECT_EQ(made, 1);
  gyr_task_destroy(task);
  EXPECT_EQ(allocations::live(), before);
}

TEST(Fault, RefusedHookReachesTheLibrary) {
  World world(1, true);
  gyr_table* table = nullptr;
  gyr_runtime* runtime = world.runtime();
  arm_hook(0, allocations::Mode::kOnce);
  gyr_status status = gyr_table_create(runtime, kItemTable, &table, nullptr);
  EXPECT_GE(disarm_hook(), 1);
  EXPECT_EQ(hook_failed(), 1);
  EXPECT_EQ(status, GYR_E_OUT_OF_MEMORY);
}

}  // namespace
}  // namespace gyr::test
