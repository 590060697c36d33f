// Every function that its header documents as callable from any thread is called by several threads of some hammer.
// Looked at when all hammers have run in one process, which ctest does once (stress.coverage).
#include <fstream>
#include <set>

#include "tests/stress/hammer.h"

namespace gyr::stress {
namespace {

class Coverage : public ::testing::Environment {
 public:
  void TearDown() override {
    if (!std::getenv("GYR_STRESS_COVERAGE")) return;
    std::set<std::string> hammered;
    for (Site* s = Site::first; s; s = s->next)
      if (s->shared) hammered.insert(s->name);
    std::ifstream file(GYR_SOURCE_DIR "/tests/abi/gyr-api.json");
    ASSERT_TRUE(file) << "tests/abi/gyr-api.json is not there";
    int concurrent = 0;
    for (std::string line; std::getline(file, line);) {  // one function a line
      if (line.find("\"threadsafe\": \"any") == std::string::npos) continue;
      size_t at = line.find("{\"name\": \"gyr_");
      ASSERT_NE(at, std::string::npos) << line;
      std::string name = line.substr(at + 10, line.find('"', at + 10) - at - 10);
      EXPECT_TRUE(hammered.contains(name)) << name
                                           << " is documented @threadsafe any; call it in a hammer of tests/stress";
      concurrent++;
    }
    EXPECT_GE(concurrent, 80);
  }
};

const auto* const kCoverage = ::testing::AddGlobalTestEnvironment(new Coverage);

}  // namespace
}  // namespace gyr::stress
