// Files that older libraries wrote, opened by this one: they answer as they did, and files from the future say so.
#include <gtest/gtest.h>

#include <algorithm>
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
  newest = newest.substr(0, newest.find('-'));
  EXPECT_NE(facts.find("\"" + newest + "\""), std::string::npos) << newest << " in " << facts;
}

// The files of tables and caches with one byte changed, or cut: refused, or what can be proven of them.
class Damage : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(gyr_runtime_create(nullptr, &runtime_, &err_), GYR_OK) << err_.message; }
  void TearDown() override { gyr_runtime_destroy(runtime_); }

  void expect_refusal(gyr_status s, const std::string& what) const {
    EXPECT_TRUE(s == GYR_E_CORRUPT || s == GYR_E_FORMAT_TOO_NEW || s == GYR_E_FORMAT_TOO_OLD)
        << what << ": " << gyr_status_name(s) << ": " << err_.message;
  }
  // check(folder, what, cut) for copies of the folder in which a file has a byte changed, or ends early.
  template <class Check>
  void each_damage(const std::string& folder, size_t step, Check&& check) {
    for (auto& entry : std::filesystem::directory_iterator(folder)) {
      const std::string whole = slurp(entry.path()), name = entry.path().filename();
      for (size_t at = 0; at < whole.size() && !HasFailure(); at += step)
        for (bool cut : {false, true}) {
          CopyOf copy(folder);
          std::string bytes = cut ? whole.substr(0, at) : whole;
          if (!cut) bytes[at] = char(bytes[at] ^ (1 + at % 255));
          test::spill(copy.path() + "/" + name, bytes);
          check(copy.path(), name + (cut ? " cut to " : " changed at ") + std::to_string(at), cut);
        }
    }
  }
  gyr_runtime* runtime_ = nullptr;
  gyr_error err_ = GYR_ERROR_INIT;
};

TEST_F(Damage, EveryChangedByteOfAFileIsRefused) {
  CopyOf copy("");
  const std::string path = copy.path() + "/file.gyr";
  for (const char* name : {"past.gyr", "cache_float32.gyr", "cache_int8.gyr"}) {
    const std::string whole = slurp(kFolder + "/1.0-stores/" + name);
    ASSERT_GT(whole.size(), 500u);
    for (size_t at = 0; at < whole.size(); at++)
      for (bool cut : {false, true}) {
        std::string bytes = cut ? whole.substr(0, at) : whole;
        if (!cut) bytes[at] = char(bytes[at] ^ (1 + at % 255));
        test::spill(path, bytes);
        gyr_table* t = nullptr;
        gyr_cache* c = nullptr;
        gyr_status s = name[0] == 'p' ? gyr_table_open(runtime_, path.c_str(), &t, &err_)
                                      : gyr_cache_open(runtime_, path.c_str(), nullptr, &c, &err_);
        expect_refusal(s, std::string(name) + (cut ? " cut to " : " changed at ") + std::to_string(at));
        gyr_table_destroy(t);
        gyr_cache_destroy(c);
        if (HasFailure()) return;
      }
  }
}

TEST_F(Damage, ALiveFolderIsRefusedOrOfSomeMoment) {
  std::vector<std::string> states;
  CopyOf fresh("");
  make_live(runtime_, fresh.path(), [&](const gyr_table* t) { states.push_back(live_rows(t)); });
  int refused = 0, earlier = 0;
  const std::string folder = kFolder + "/1.0-stores/live";
  ASSERT_NE(live_answers(runtime_, folder).find(states.back()), std::string::npos);
  each_damage(folder, 3, [&](const std::string& damaged, const std::string& what, bool) {
    gyr_table* t = nullptr;
    gyr_status s = open_live(runtime_, damaged, nullptr, &t, &err_);
    if (s != GYR_OK) return refused++, expect_refusal(s, what);
    auto state = std::find(states.begin() + kLiveSnapshot, states.end(), live_rows(t));
    EXPECT_NE(state, states.end()) << what;
    earlier += state + 1 != states.end();
    gyr_table_destroy(t);
  });
  EXPECT_GT(refused, 100);
  EXPECT_GT(earlier, 100);
}

TEST_F(Damage, ACacheFolderIsRefusedOrSaysWhichRowsAreDamaged) {
  const std::string folder = kFolder + "/1.0-stores/cache_rows";
  int refused = 0, in_error = 0;
  auto keys = folder_keys();
  each_damage(folder, 11, [&](const std::string& damaged, const std::string& what, bool cut) {
    gyr_cache* c = nullptr;
    gyr_status s = open_cache_folder(runtime_, damaged, &c, &err_);
    if (s != GYR_OK) return refused++, expect_refusal(s, what);
    EXPECT_FALSE(cut) << what;
    std::vector<float> rows(keys.size() * kFolderDim);
    std::vector<uint8_t> status(keys.size());
    need(gyr_cache_get(c, keys.data(), keys.size(), rows.data(), status.data(), &err_), err_, "get");
    for (size_t i = 0; i < keys.size(); i++) {
      const int64_t k = keys[i];
      const bool there = k >= 0 && k < kFolderKeys && k % 5;
      const bool error = status[i] == GYR_VALUE_ERROR;
      EXPECT_TRUE(error ? there : status[i] == (there ? GYR_VALUE_PRESENT : GYR_VALUE_MISSING)) << what << ", " << k;
      float value = there && !error ? float(k) + (k % 3 ? 0 : 0.5f) : 0;
      for (uint32_t d = 0; d < kFolderDim; d++) EXPECT_EQ(rows[i * kFolderDim + d], value) << what << ", " << k;
      in_error += error;
    }
    gyr_cache_destroy(c);
  });
  EXPECT_GT(refused, 100);
  EXPECT_GT(in_error, 100);
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
