// Files that older libraries wrote, opened by this one: they answer as they did, and files from the future say so.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "tests/golden/answers.h"
#include "tests/support/files.h"

namespace gyr::golden {
namespace {

const std::string kFolder = GYR_SOURCE_DIR "/tests/golden";

using test::slurp;

// Floats may differ in the last digits between SIMD levels; everything else must not.
bool same_word(const std::string& a, const std::string& b) {
  if (a == b) return true;
  char *end_a, *end_b;
  double x = std::strtod(a.c_str(), &end_a), y = std::strtod(b.c_str(), &end_b);
  if (*end_a || *end_b || a.find_first_of(".e") == a.npos) return false;
  return std::abs(x - y) <= 1e-5 * std::max({1.0, std::abs(x), std::abs(y)});
}

void compare(const std::string& expected, const std::string& got) {
  std::istringstream lines(expected), answers(got);
  std::string line, answer;
  while (std::getline(lines, line)) {
    ASSERT_TRUE(std::getline(answers, answer)) << "no answer for: " << line;
    std::istringstream words(line), given(answer);
    std::string word, other;
    while (words >> word) {
      ASSERT_TRUE(given >> other && same_word(word, other)) << "expected: " << line << "\n     got: " << answer;
    }
    ASSERT_FALSE(given >> other) << "expected: " << line << "\n     got: " << answer;
  }
  ASSERT_FALSE(std::getline(answers, answer)) << "not expected: " << answer;
}

TEST(Golden, EveryVersionAnswersAsItDid) {
  int versions = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    if (!entry.is_directory()) continue;
    SCOPED_TRACE(entry.path().string());
    std::string expected = slurp(entry.path() / "expected.txt");
    ASSERT_FALSE(expected.empty());
    compare(expected, answers(entry.path()));
    versions++;
  }
  EXPECT_GE(versions, 1);
}

// This build writes the format of the newest set: a new format needs a new set (docs/format.md).
TEST(Golden, TheNewestSetIsOfTheFormatWritten) {
  std::string facts = gyr_build_info(), newest;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder))
    if (entry.is_directory()) newest = std::max(newest, entry.path().filename().string());
  EXPECT_NE(facts.find("\"" + newest + "\""), std::string::npos) << newest << " in " << facts;
}

// A golden index with a few header bytes of its own; the header's checksum, XXH3-64 of the 56 bytes before it, is
// right.
class Doctored : public ::testing::Test {
 protected:
  void SetUp() override {
    gyr_error err = GYR_ERROR_INIT;
    ASSERT_EQ(gyr_runtime_create(nullptr, &runtime_, &err), GYR_OK) << err.message;
    bytes_ = slurp(kFolder + "/1.0/index_exact.gyr");
    ASSERT_GT(bytes_.size(), 64u);
  }
  void TearDown() override {
    gyr_runtime_destroy(runtime_);
    std::remove(path_.c_str());
  }
  template <class T>
  void set(size_t at, T value) {
    std::memcpy(bytes_.data() + at, &value, sizeof value);
    uint64_t hash = gyr_hash64(bytes_.data(), 56);
    std::memcpy(bytes_.data() + 56, &hash, 8);
  }
  gyr_status open(std::string* message) {
    std::ofstream(path_, std::ios::binary) << bytes_;
    gyr_error err = GYR_ERROR_INIT;
    gyr_index* index = nullptr;
    gyr_status s = gyr_index_open(runtime_, path_.c_str(), &index, &err);
    *message = err.message;
    gyr_index_destroy(index);
    return s;
  }
  void expect(gyr_status status, const char* text) {
    std::string message;
    EXPECT_EQ(open(&message), status) << message;
    EXPECT_NE(message.find(text), std::string::npos) << message;
    if (status != GYR_OK) {
      EXPECT_NE(message.find(path_), std::string::npos) << message;
    }
  }
  gyr_runtime* runtime_ = nullptr;
  std::string bytes_, path_ = ::testing::TempDir() + "gyr_golden_" + std::to_string(getpid()) + ".gyr";
};

TEST_F(Doctored, UnchangedOpens) { expect(GYR_OK, ""); }
TEST_F(Doctored, LaterMajorIsTooNew) {
  set<uint16_t>(8, 2);
  expect(GYR_E_FORMAT_TOO_NEW, "file format 2.0, this library reads up to 1; use a newer gyr");
}
// What a later major changes behind magic and version, this library cannot know: it must not look there first.
TEST_F(Doctored, LaterMajorIsTooNewWhateverFollows) {
  set<uint16_t>(8, 300);
  bytes_[60] = char(bytes_[60] ^ 1);
  bytes_.resize(100);
  expect(GYR_E_FORMAT_TOO_NEW, "file format 300.0");
}
TEST_F(Doctored, LaterMinorIsRead) {
  set<uint16_t>(10, 9);
  expect(GYR_OK, "");
}
TEST_F(Doctored, UnknownIncompatibleFlagIsTooNew) {
  set<uint32_t>(20, 0x80);
  expect(GYR_E_FORMAT_TOO_NEW, "file needs features 0x80 that this library does not know; use a newer gyr");
}
TEST_F(Doctored, UnknownCompatibleFlagIsIgnored) {
  set<uint32_t>(16, 0xffff);
  expect(GYR_OK, "");
}
TEST_F(Doctored, EarlierMajorIsTooOld) {
  set<uint16_t>(8, 0);
  expect(GYR_E_FORMAT_TOO_OLD, "file format 0.0, this library reads 1 and later");
}

}  // namespace
}  // namespace gyr::golden
