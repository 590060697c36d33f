// What goes wrong around tables and caches, and what a host sees of it (docs/testing.md names the test of each event).
#include <gtest/gtest.h>
#include <gyr/gyr.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/fake_tier.h"

namespace {

using gyr::test::FakeTier;
using Statuses = std::vector<uint8_t>;

constexpr uint32_t kDim = 2;
constexpr uint8_t kHere = GYR_VALUE_PRESENT, kMissing = GYR_VALUE_MISSING, kError = GYR_VALUE_ERROR;

class Failures : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(gyr_runtime_create(nullptr, &runtime_, &err_), GYR_OK);
    tiers_.struct_size = sizeof tiers_;
    options_.struct_size = sizeof options_;
    options_.dim = kDim;
  }
  void TearDown() override {
    gyr_cache_destroy(cache_);
    gyr_table_destroy(table_);
    gyr_runtime_destroy(runtime_);
  }
  void make_cache(FakeTier* tier, bool writes = false) {
    if (tier) below_ = tier->vtable(writes), tiers_.below = &below_;
    options_.tiers = &tiers_;
    ASSERT_EQ(gyr_cache_create(runtime_, &options_, &cache_, &err_), GYR_OK) << err_.message;
  }
  Statuses get(const std::vector<int64_t>& keys) {
    Statuses status(keys.size(), 99);
    out_.assign(keys.size() * kDim, NAN);
    EXPECT_EQ(gyr_cache_get(cache_, keys.data(), keys.size(), out_.data(), status.data(), &err_), GYR_OK);
    return status;
  }
  gyr_status put(const std::vector<int64_t>& keys, float value) {
    std::vector<float> rows(keys.size() * kDim, value);
    return gyr_cache_put(cache_, keys.data(), rows.data(), keys.size(), &err_);
  }
  gyr_cache_info info() {
    gyr_cache_info i{};
    i.struct_size = sizeof i;
    EXPECT_EQ(gyr_cache_get_info(cache_, &i, &err_), GYR_OK);
    return i;
  }

  gyr_runtime* runtime_ = nullptr;
  gyr_cache* cache_ = nullptr;
  gyr_table* table_ = nullptr;
  gyr_error err_ = GYR_ERROR_INIT;
  FakeTier tier_{kDim};  // outlives the cache, which tells it that it is destroyed
  gyr_cache_tier below_{};
  gyr_cache_tiers tiers_{};
  gyr_cache_options options_{};
  std::vector<float> out_;
};

TEST_F(Failures, AKeyThatIsNowhereReadsAsMissing) {
  tier_.keys = 5;
  make_cache(&tier_);
  EXPECT_EQ(get({4, 5, -3}), (Statuses{kHere, kMissing, kMissing}));
  EXPECT_EQ(out_[2], 0.0f);
  EXPECT_EQ(info().misses, 3u);
  EXPECT_EQ(info().failed, 0u);
  EXPECT_EQ(get({4, 5}), (Statuses{kHere, kMissing}));
  EXPECT_EQ(info().hits, 1u);
  EXPECT_EQ(info().misses, 4u);
}

TEST_F(Failures, AKeyThatIsNowhereReadsAsTheDefaultRow) {
  tier_.keys = 5;
  const float standard[kDim] = {-1, -2};
  options_.miss = GYR_CACHE_MISS_DEFAULT;
  options_.default_row = standard;
  make_cache(&tier_);
  EXPECT_EQ(get({7, 1}), (Statuses{GYR_VALUE_DEFAULT, kHere}));
  EXPECT_EQ(out_[0], -1);
  EXPECT_EQ(out_[1], -2);
  EXPECT_EQ(info().misses, 2u);
}

TEST_F(Failures, ATierThatIsDownIsFlaggedLeftAloneAndFoundAgain) {
  tiers_.failures = 3;
  tiers_.retry_ns = 5'000'000;
  make_cache(&tier_, true);
  ASSERT_EQ(get({1}), Statuses{kHere});
  tier_.fetch_status = GYR_E_IO;
  for (int i = 0; i < 3; i++) {
    EXPECT_EQ(info().tier_down, 0u) << i;
    EXPECT_EQ(get({1, 2, 3}), (Statuses{kHere, kError, kError})) << "what is in memory is served";
  }
  EXPECT_EQ(info().tier_down, 1u);
  for (int i = 0; i < 20; i++) EXPECT_EQ(get({1, 3}), (Statuses{kHere, kError}));
  EXPECT_EQ(out_[kDim], 0.0f);
  {
    std::lock_guard lock(tier_.mutex);
    EXPECT_EQ(tier_.times[3], 3) << "calls do not ask it any more";
  }
  EXPECT_EQ(info().failed, 6u + 20u);
  uint64_t asked = tier_.fetches;
  for (int i = 0; i < 10'000 && tier_.fetches < asked + 2; i++)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_GE(tier_.fetches, asked + 2) << "it is tried in the background";
  EXPECT_EQ(info().tier_down, 1u);
  tier_.fetch_status = GYR_OK;
  for (int i = 0; i < 10'000 && info().tier_down; i++) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(get({2, 3}), (Statuses{kHere, kHere}));
  tier_.write_status = GYR_E_IO;
  EXPECT_EQ(put({1}, 9), GYR_E_CALLBACK);
  EXPECT_TRUE(err_.flags & GYR_ERROR_FROM_CALLBACK);
  EXPECT_EQ(get({1}), Statuses{kHere});
  EXPECT_EQ(out_[0], FakeTier::value(1, 0)) << "the cache is as before";
}

TEST_F(Failures, AFullCacheEvictsWhatTheTierHolds) {
  tier_.keys = 0;
  tiers_.max_rows = 10;
  make_cache(&tier_, true);
  std::vector<int64_t> keys;
  for (int64_t k = 0; k < 100; k++) keys.push_back(k);
  ASSERT_EQ(put(keys, 3), GYR_OK) << err_.message;
  EXPECT_EQ(info().rows, 10u);
  EXPECT_EQ(info().evicted, 90u);
  EXPECT_EQ(get(keys), Statuses(100, kHere)) << "what went comes from the tier";
}

TEST_F(Failures, AFullCacheOfRowsThatNoTierHoldsRefusesTheBatchWhole) {
  tiers_.max_rows = 10;
  make_cache(nullptr);
  ASSERT_EQ(put({0, 1, 2, 3, 4, 5, 6, 7}, 1), GYR_OK);
  ASSERT_EQ(put({6, 7, 8, 9, 10}, 2), GYR_E_RESOURCE_EXHAUSTED);  // two old ones, three new ones
  EXPECT_NE(std::string(err_.message).find("10 rows"), std::string::npos) << err_.message;
  EXPECT_EQ(get({6, 7, 8, 9, 10}), (Statuses{kHere, kHere, kMissing, kMissing, kMissing}));
  EXPECT_EQ(out_[0], 1.0f) << "all or nothing";
  EXPECT_EQ(info().rows, 8u);
  ASSERT_EQ(put({6, 7, 8, 9}, 2), GYR_OK) << err_.message;
  EXPECT_EQ(info().pinned, 10u);
}

// The runtime's budget is met in the middle of a batch: what is in memory stays whole and served.
TEST_F(Failures, AMemoryBudgetThatIsReachedIsRefusedAndWhatIsThereIsServed) {
  gyr_runtime_options o{};
  o.struct_size = sizeof o;
  o.memory_budget = 1 << 20;
  gyr_runtime* small = nullptr;
  ASSERT_EQ(gyr_runtime_create(&o, &small, &err_), GYR_OK);
  ASSERT_EQ(gyr_cache_create(small, &options_, &cache_, &err_), GYR_OK) << err_.message;
  gyr_runtime_destroy(small);
  std::vector<int64_t> keys;
  for (int64_t k = 0; k < 200'000; k++) keys.push_back(k);
  EXPECT_EQ(put(keys, 3), GYR_E_RESOURCE_EXHAUSTED);
  uint64_t rows = info().rows;
  EXPECT_GT(rows, 1000u);
  EXPECT_LT(rows, 200'000u);
  auto status = get(keys);
  EXPECT_EQ(uint64_t(std::count(status.begin(), status.end(), kHere)), rows);
  for (size_t i = 0; i < keys.size(); i++) ASSERT_EQ(out_[i * kDim + 1], status[i] == kHere ? 3.0f : 0.0f);
}

// Tables in folders: what the schema given on opening may change.
class SchemaChange : public Failures {
 protected:
  SchemaChange() {
    folder_ = ::testing::TempDir() + "gyr-schema-XXXXXX";
    if (!mkdtemp(folder_.data())) ADD_FAILURE();
  }
  ~SchemaChange() override { std::filesystem::remove_all(folder_); }
  gyr_status open(const char* columns) {
    gyr_table_destroy(std::exchange(table_, nullptr));
    std::string schema = std::string(R"({"name":"t","key":"id","columns":[)") + columns + "]}";
    return gyr_table_open_live(runtime_, folder_.c_str(), columns ? schema.c_str() : nullptr, nullptr, nullptr, &table_,
                               &err_);
  }
  Statuses read(const char* column, gyr_dtype dtype, int64_t* value) {
    int64_t id = 1;
    Statuses status(1, 99);
    gyr_keys key{sizeof key, GYR_DTYPE_INT64, 1, &id, nullptr};
    gyr_table_column c{};
    c.struct_size = sizeof c, c.name = column, c.dtype = dtype;
    c.values = value, c.values_capacity = 1, c.status = status.data();
    EXPECT_EQ(gyr_table_get(table_, &key, INT64_MAX, &c, 1, &err_), GYR_OK) << err_.message;
    return status;
  }
  std::string folder_;
};

TEST_F(SchemaChange, MoreColumnsAreNullUntilWritten) {
  ASSERT_EQ(open(R"({"name":"a","dtype":"int64"})"), GYR_OK) << err_.message;
  int64_t id = 1, seen = 0;
  gyr_keys key{sizeof key, GYR_DTYPE_INT64, 1, &id, nullptr};
  const char* names[] = {"a", "b"};
  gyr_value values[2]{};
  values[0].dtype = values[1].dtype = GYR_DTYPE_INT64;
  values[0].i = 7, values[1].i = 8;
  ASSERT_EQ(gyr_table_upsert_row(table_, &key, 0, names, values, 1, nullptr, &err_), GYR_OK) << err_.message;
  ASSERT_EQ(open(R"({"name":"b","dtype":"int64"},{"name":"a","dtype":"int64"})"), GYR_OK) << err_.message;
  EXPECT_EQ(read("a", GYR_DTYPE_INT64, &seen), Statuses{kHere});
  EXPECT_EQ(seen, 7);
  EXPECT_EQ(read("b", GYR_DTYPE_INT64, &seen), Statuses{GYR_VALUE_NULL});
  ASSERT_EQ(gyr_table_upsert_row(table_, &key, 0, names, values, 2, nullptr, &err_), GYR_OK) << err_.message;
  EXPECT_EQ(read("b", GYR_DTYPE_INT64, &seen), Statuses{kHere});
  EXPECT_EQ(seen, 8);
}

TEST_F(SchemaChange, AnotherTypeIsRefusedWithBothNamedAndTheFolderIsAsItWas) {
  ASSERT_EQ(open(R"({"name":"a","dtype":"int64"})"), GYR_OK) << err_.message;
  EXPECT_EQ(open(R"({"name":"a","dtype":"float32"})"), GYR_E_INVALID_ARGUMENT);
  for (const char* word : {"\"a\"", "int64", "float32"})
    EXPECT_NE(std::string(err_.message).find(word), std::string::npos) << err_.message;
  EXPECT_EQ(table_, nullptr);
  EXPECT_EQ(open(R"({"name":"b","dtype":"int64"})"), GYR_E_INVALID_ARGUMENT) << "a column less";
  ASSERT_EQ(open(R"({"name":"a","dtype":"int64"})"), GYR_OK) << err_.message;
}

}  // namespace
