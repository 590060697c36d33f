#include <gtest/gtest.h>
#include <gyr/gyr.h>

#include <cmath>
#include <cstdio>
#include <string>

namespace {

TEST(CacheApi, LifeOfACache) {
  gyr_error err = GYR_ERROR_INIT;
  gyr_runtime* runtime = nullptr;
  ASSERT_EQ(gyr_runtime_create(nullptr, &runtime, &err), GYR_OK);
  gyr_cache_options o{};
  o.struct_size = sizeof o;
  o.dim = 2;
  gyr_cache* cache = nullptr;
  ASSERT_EQ(gyr_cache_create(runtime, &o, &cache, &err), GYR_OK) << err.message;
  gyr_runtime_destroy(runtime);  // the cache keeps it alive
  int64_t keys[] = {10, -20, 30};
  float rows[] = {1, 2, 3, 4};
  ASSERT_EQ(gyr_cache_put(cache, keys, rows, 2, &err), GYR_OK);
  float out[6];
  uint8_t status[3];
  ASSERT_EQ(gyr_cache_get(cache, keys, 3, out, status, &err), GYR_OK);
  EXPECT_EQ(out[3], 4);
  EXPECT_EQ(out[4], 0);
  EXPECT_EQ(status[2], GYR_VALUE_MISSING);
  int64_t offsets[] = {0, 3, 3};
  ASSERT_EQ(gyr_cache_pool(cache, keys, offsets, 2, GYR_POOLING_MEAN, out, nullptr, &err), GYR_OK);
  EXPECT_EQ(out[0], 2);  // the missing key is left out of sum and divisor
  EXPECT_EQ(out[1], 3);
  EXPECT_EQ(out[2], 0);
  float weights[] = {3, 1, 7};
  ASSERT_EQ(gyr_cache_pool_weighted(cache, keys, weights, offsets, 2, GYR_POOLING_MEAN, out, nullptr, &err), GYR_OK);
  EXPECT_EQ(out[0], 1.5f);  // (3 x 1 + 3) / 4
  EXPECT_EQ(out[1], 2.5f);
  EXPECT_EQ(out[2], 0);
  weights[2] = INFINITY;
  EXPECT_EQ(gyr_cache_pool_weighted(cache, keys, weights, offsets, 2, GYR_POOLING_SUM, out, nullptr, &err),
            GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(gyr_cache_pool_weighted(cache, keys, nullptr, offsets, 2, GYR_POOLING_SUM, out, nullptr, &err),
            GYR_E_INVALID_ARGUMENT);
  rows[1] = NAN;
  EXPECT_EQ(gyr_cache_put(cache, keys, rows, 2, &err), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(gyr_cache_put(cache, nullptr, rows, 1, &err), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(gyr_cache_put(cache, nullptr, nullptr, 0, &err), GYR_OK);
  EXPECT_EQ(gyr_cache_get(cache, keys, 1, nullptr, nullptr, &err), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(gyr_cache_pool(cache, nullptr, offsets, 1, GYR_POOLING_SUM, out, nullptr, &err), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(gyr_cache_pool(cache, keys, nullptr, 0, GYR_POOLING_SUM, out, nullptr, &err), GYR_E_INVALID_ARGUMENT);
  for (int64_t keys_asked_for : {int64_t(1) << 61, int64_t(1) << 57, INT64_MAX}) {
    int64_t beyond[] = {0, keys_asked_for};
    EXPECT_EQ(gyr_cache_pool(cache, keys, beyond, 1, GYR_POOLING_SUM, out, nullptr, &err), GYR_E_OUT_OF_RANGE);
    EXPECT_EQ(gyr_cache_pool_weighted(cache, keys, weights, beyond, 1, GYR_POOLING_SUM, out, nullptr, &err),
              GYR_E_OUT_OF_RANGE);
  }
  uint64_t removed = 0;
  ASSERT_EQ(gyr_cache_remove(cache, keys, 3, &removed, &err), GYR_OK);
  EXPECT_EQ(removed, 2u);
  gyr_cache_info info{};
  info.struct_size = sizeof info;
  ASSERT_EQ(gyr_cache_get_info(cache, &info, &err), GYR_OK);
  EXPECT_EQ(info.rows, 0u);
  EXPECT_EQ(info.hits, 6u);
  EXPECT_EQ(info.misses, 3u);
  EXPECT_EQ(gyr_cache_get(nullptr, keys, 1, out, nullptr, &err), GYR_E_INVALID_HANDLE);
  o.struct_size = 3;
  gyr_cache* none = nullptr;
  EXPECT_EQ(gyr_cache_create(nullptr, &o, &none, &err), GYR_E_INVALID_HANDLE);
  gyr_cache_destroy(cache);
  gyr_cache_destroy(nullptr);
}

}  // namespace

namespace {

struct Store {
  int fetches = 0, closed = 0;
  gyr_cache_tier tier() {
    gyr_cache_tier t{};
    t.struct_size = sizeof t;
    t.user = reinterpret_cast<uintptr_t>(this);
    t.fetch = [](uintptr_t user, const int64_t* keys, uint64_t n, void* rows, uint8_t* found, int64_t) -> gyr_status {
      reinterpret_cast<Store*>(user)->fetches++;
      for (uint64_t i = 0; i < n; i++) static_cast<float*>(rows)[i] = float(keys[i]), found[i] = GYR_TIER_FOUND;
      return GYR_OK;
    };
    t.close = [](uintptr_t user) { reinterpret_cast<Store*>(user)->closed++; };
    return t;
  }
};

}  // namespace

TEST(CacheTier, BelongsToTheCacheOnceThatIsMade) {
  gyr_error err = GYR_ERROR_INIT;
  gyr_runtime* runtime = nullptr;
  ASSERT_EQ(gyr_runtime_create(nullptr, &runtime, &err), GYR_OK);
  Store store;
  gyr_cache_tier tier = store.tier();
  gyr_cache_tiers tiers{};
  tiers.struct_size = sizeof tiers;
  tiers.below = &tier;
  gyr_cache_options o{};
  o.struct_size = sizeof o;
  o.dim = 1;
  o.tiers = &tiers;
  gyr_cache *cache = nullptr, *none = nullptr, *opened = nullptr;
  tiers.policy = 7;
  EXPECT_EQ(gyr_cache_create(runtime, &o, &none, &err), GYR_E_INVALID_ARGUMENT);
  tiers.policy = GYR_CACHE_LRU;
  tiers.reserved = 1;
  EXPECT_EQ(gyr_cache_create(runtime, &o, &none, &err), GYR_E_OPTIONS_TOO_NEW);
  tiers.reserved = 0;
  std::string path = ::testing::TempDir() + "gyr_capi_cache.gyr";
  EXPECT_EQ(gyr_cache_open(runtime, path.c_str(), &tiers, &none, &err), GYR_E_NOT_FOUND) << err.message;
  EXPECT_EQ(none, nullptr);
  EXPECT_EQ(store.closed, 0);
  ASSERT_EQ(gyr_cache_create(runtime, &o, &cache, &err), GYR_OK) << err.message;
  int64_t key = 42;
  float row = 0;
  uint8_t status = 99;
  ASSERT_EQ(gyr_cache_get(cache, &key, 1, &row, &status, &err), GYR_OK);
  EXPECT_EQ(row, 42.0f);
  EXPECT_EQ(status, GYR_VALUE_PRESENT);
  EXPECT_EQ(store.fetches, 1);
  ASSERT_EQ(gyr_cache_save(cache, path.c_str(), &err), GYR_OK) << err.message;
  gyr_cache_destroy(cache);
  EXPECT_EQ(store.closed, 1);
  ASSERT_EQ(gyr_cache_open(runtime, path.c_str(), &tiers, &opened, &err), GYR_OK) << err.message;
  ASSERT_EQ(gyr_cache_get(opened, &key, 1, &row, &status, &err), GYR_OK);
  EXPECT_EQ(store.fetches, 1) << "the file has the row";
  gyr_runtime_destroy(runtime);
  gyr_cache_destroy(opened);
  EXPECT_EQ(store.closed, 2);
  std::remove(path.c_str());
}
