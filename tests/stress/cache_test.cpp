// A cache under everything at once: each row says its key and one version in all its places.
#include <cmath>

#include "tests/stress/rows.h"

namespace gyr::stress {
namespace {

constexpr uint32_t kDim = 24;
constexpr int64_t kKeys = 256, kVersions = 4096;

class CacheStress : public ::testing::TestWithParam<gyr_cache_keys> {};

TEST_P(CacheStress, RowsAreWholeAndBelongToTheirKeys) {
  Error setup;
  gyr_runtime* runtime = make_runtime(1);
  bool defaults = GetParam() == GYR_CACHE_DENSE;
  std::vector<float> default_row(kDim, -1);
  gyr_cache_options o{};
  o.struct_size = sizeof o;
  o.dim = kDim;
  o.keys = GetParam();
  o.capacity = uint64_t(kKeys);
  o.miss = defaults ? GYR_CACHE_MISS_DEFAULT : GYR_CACHE_MISS_ZERO;
  o.default_row = default_row.data();
  gyr_cache* cache = nullptr;
  MUST_OK(setup, gyr_cache_create(runtime, &o, &cache, &setup));
  std::atomic<int64_t> version{0};
  std::atomic<uint64_t> asked{0};
  auto check = [&](int64_t key, const float* row, uint8_t status) {
    for (uint32_t d = 1; d < kDim; d++) MUST(row[d] == row[0]) << "key " << key << " is torn at " << d;
    if (status == GYR_VALUE_PRESENT)
      MUST(int64_t(row[0]) / kVersions == key) << "key " << key << " reads " << row[0];
    else
      MUST(status == (defaults ? GYR_VALUE_DEFAULT : GYR_VALUE_MISSING) && row[0] == (defaults ? -1.0f : 0.0f));
  };

  Hammer hammer;
  hammer.operation(6, [&](Worker& w) {
    std::vector<int64_t> keys(8);
    std::vector<float> rows;
    for (int64_t& key : keys) {
      key = int64_t(w.below(kKeys));
      rows.insert(rows.end(), kDim, float(key * kVersions + version++ % kVersions));
    }
    Error err;
    MUST_OK(err, CALL(gyr_cache_put)(cache, keys.data(), rows.data(), keys.size(), &err));
  });
  hammer.operation(3, [&](Worker& w) {
    int64_t keys[] = {int64_t(w.below(kKeys)), int64_t(w.below(kKeys))};
    uint64_t removed = 9;
    Error err;
    MUST_OK(err, CALL(gyr_cache_remove)(cache, keys, 2, &removed, &err));
    MUST(removed <= 2);
  });
  hammer.operation(10, [&](Worker& w) {
    std::vector<int64_t> keys(32);
    for (int64_t& key : keys) key = int64_t(w.below(kKeys));
    std::vector<float> rows(keys.size() * kDim);
    std::vector<uint8_t> status(keys.size());
    Error err;
    MUST_OK(err, CALL(gyr_cache_get)(cache, keys.data(), keys.size(), rows.data(), status.data(), &err));
    asked += keys.size();
    for (size_t i = 0; i < keys.size(); i++) check(keys[i], rows.data() + i * kDim, status[i]);
  });
  hammer.operation(6, [&](Worker& w) {  // bags of one key are its row; a longer one is level in all its places
    std::vector<int64_t> keys(12), offsets{0, 1, 2, 12};
    for (int64_t& key : keys) key = int64_t(w.below(kKeys));
    std::vector<float> rows(3 * kDim);
    std::vector<uint8_t> status(keys.size());
    gyr_pooling pooling = w.one_in(2) ? GYR_POOLING_SUM : GYR_POOLING_MEAN;
    Error err;
    MUST_OK(err,
            CALL(gyr_cache_pool)(cache, keys.data(), offsets.data(), 3, pooling, rows.data(), status.data(), &err));
    asked += keys.size();
    check(keys[0], rows.data(), status[0]);
    check(keys[1], rows.data() + kDim, status[1]);
    for (uint32_t d = 1; d < kDim; d++) MUST(rows[2 * kDim + d] == rows[2 * kDim]);
    std::vector<float> weights(keys.size(), 0.0f);  // the sum of a bag is one of its rows
    weights[0] = weights[1] = weights[2 + w.below(10)] = 1.0f;
    MUST_OK(err, CALL(gyr_cache_pool_weighted)(cache, keys.data(), weights.data(), offsets.data(), 3, pooling,
                                               rows.data(), status.data(), &err));
    asked += keys.size();
    check(keys[0], rows.data(), status[0]);
    check(keys[1], rows.data() + kDim, status[1]);
    size_t one = size_t(std::find(weights.begin() + 2, weights.end(), 1.0f) - weights.begin());
    if (pooling == GYR_POOLING_SUM) check(keys[one], rows.data() + 2 * kDim, status[one]);
  });
  hammer.operation(2, [&](Worker&) {
    gyr_cache_info info{};
    info.struct_size = sizeof info;
    Error err;
    MUST_OK(err, CALL(gyr_cache_get_info)(cache, &info, &err));
    MUST(info.rows <= uint64_t(kKeys) && info.dim == kDim) << info.rows;
  });
  hammer.operation(1, [&](Worker&) {
    gyr_cache* other = nullptr;
    Error err;
    MUST_OK(err, CALL(gyr_cache_create)(runtime, &o, &other, &err));
    std::vector<float> row(kDim, 3.0f);
    int64_t key = 1;
    MUST_OK(err, gyr_cache_put(other, &key, row.data(), 1, &err));
    CALL(gyr_cache_destroy)(other);
  });
  hammer.run();

  gyr_cache_info info{};
  info.struct_size = sizeof info;
  ASSERT_EQ(gyr_cache_get_info(cache, &info, &setup), GYR_OK);
  EXPECT_EQ(info.hits + info.misses, asked);
  std::vector<int64_t> all(kKeys);
  for (int64_t key = 0; key < kKeys; key++) all[size_t(key)] = key;
  uint64_t removed = 0;
  ASSERT_EQ(gyr_cache_remove(cache, all.data(), all.size(), &removed, &setup), GYR_OK);
  EXPECT_EQ(removed, info.rows);
  gyr_runtime_destroy(runtime);
  gyr_cache_destroy(cache);
}

INSTANTIATE_TEST_SUITE_P(Kinds, CacheStress, ::testing::Values(GYR_CACHE_HASHED, GYR_CACHE_DENSE),
                         [](const auto& p) { return p.param == GYR_CACHE_HASHED ? "hashed" : "dense"; });

}  // namespace
}  // namespace gyr::stress
