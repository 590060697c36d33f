#include <gtest/gtest.h>
#include <gyr/gyr.h>

#include <cmath>

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
