#include "base/hash.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <numeric>
#include <string>
#include <vector>

namespace gyr {
namespace {

std::vector<uint8_t> input(const std::string& name) {
  if (name == "empty") return {};
  if (name.front() == '"') return {name.begin() + 1, name.end() - 1};
  if (name.starts_with("int64 ")) {
    int64_t v = std::stoll(name.substr(6));
    auto* p = reinterpret_cast<uint8_t*>(&v);
    return {p, p + 8};
  }
  EXPECT_EQ(name, "the ramp 00 01 02 .. ff");
  std::vector<uint8_t> ramp(256);
  std::iota(ramp.begin(), ramp.end(), 0);
  return ramp;
}

TEST(Hash, PublishedVectors) {
  std::ifstream doc(GYR_SOURCE_DIR "/docs/hash.md");
  ASSERT_TRUE(doc);
  int rows = 0;
  for (std::string line; std::getline(doc, line);) {
    size_t at = line.find("`");
    if (!line.starts_with("| ") || at == std::string::npos) continue;
    std::string name = line.substr(2, line.find(" |") - 2);
    auto bytes = input(name);
    EXPECT_EQ(hash64(bytes.data(), bytes.size()), std::strtoull(line.c_str() + at + 1, nullptr, 16)) << line;
    rows++;
  }
  EXPECT_EQ(rows, 7);
}

// From the specification's reference implementation: the empty input at seed 0, so that the table cannot be right by
// construction only.
TEST(Hash, KnownConstant) { EXPECT_EQ(hash64("", 0), 0x2d06800538d394c2ull); }

TEST(Hash, FormsAgree) {
  int64_t v = -5;
  EXPECT_EQ(hash64(v), hash64(&v, sizeof v));
  EXPECT_EQ(hash64(std::string_view("gyr")), hash64("gyr", 3));
}

}  // namespace
}  // namespace gyr
