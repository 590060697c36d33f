// Every function of the library has a scenario.
#include <algorithm>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>

#include "tests/fault/sweep.h"

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

}  // namespace
}  // namespace gyr::test
