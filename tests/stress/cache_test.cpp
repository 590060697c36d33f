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

// A small limit over a tier, so that rows go all the time; contents are exchanged under everybody's feet.
class TiersStress : public ::testing::TestWithParam<gyr_cache_wait> {};

gyr_status fetch_rows(uintptr_t user, const int64_t* keys, uint64_t n, void* rows, uint8_t* found, int64_t) {
  auto& calls = *reinterpret_cast<std::atomic<uint64_t>*>(user);
  uint64_t call = calls++;
  if (call % 50 == 49) return GYR_E_IO;
  for (uint64_t i = 0; i < n; i++) {
    std::fill_n(static_cast<float*>(rows) + i * kDim, kDim, float(keys[i] * kVersions));
    found[i] = keys[i] % 16 == 15 ? GYR_TIER_ABSENT : GYR_TIER_FOUND;
  }
  return GYR_OK;
}

TEST_P(TiersStress, RowsAreWholeAndBelongToTheirKeys) {
  Error setup;
  gyr_runtime* runtime = make_runtime(1);
  std::atomic<uint64_t> calls{0};
  gyr_cache_tier below{};
  below.struct_size = sizeof below;
  below.user = reinterpret_cast<uintptr_t>(&calls);
  below.fetch = fetch_rows;
  below.put = [](uintptr_t, const int64_t*, const void*, uint64_t) -> gyr_status { return GYR_OK; };
  below.remove = [](uintptr_t, const int64_t*, uint64_t) -> gyr_status { return GYR_OK; };
  gyr_cache_tiers tiers{};
  tiers.struct_size = sizeof tiers;
  tiers.below = &below;
  tiers.max_rows = 60;
  tiers.wait = GetParam();
  tiers.timeout_ns = 100'000;
  tiers.retry_ns = 1'000'000;
  tiers.policy = GetParam() == GYR_CACHE_WAIT ? GYR_CACHE_CLOCK : GYR_CACHE_LRU;
  gyr_cache_options o{};
  o.struct_size = sizeof o;
  o.dim = kDim;
  o.tiers = &tiers;
  gyr_cache *cache = nullptr, *aside = nullptr;
  MUST_OK(setup, gyr_cache_create(runtime, &o, &cache, &setup));
  tiers.policy = GYR_CACHE_TINYLFU;
  MUST_OK(setup, gyr_cache_create(runtime, &o, &aside, &setup));
  std::atomic<int64_t> version{0};
  auto check = [&](int64_t key, const float* row, uint8_t status) {
    for (uint32_t d = 1; d < kDim; d++) MUST(row[d] == row[0]) << "key " << key << " is torn at " << d;
    if (status == GYR_VALUE_PRESENT)
      MUST(int64_t(row[0]) / kVersions == key) << "key " << key << " reads " << row[0];
    else
      MUST(row[0] == 0 && (status == GYR_VALUE_MISSING || status == GYR_VALUE_ERROR || status == GYR_VALUE_DEADLINE))
          << int(status);
  };
  auto any = [&](Worker& w) { return w.one_in(4) ? aside : cache; };

  Hammer hammer;
  hammer.operation(10, [&](Worker& w) {
    std::vector<int64_t> keys(16);
    for (int64_t& key : keys) key = int64_t(w.below(kKeys));
    std::vector<float> rows(keys.size() * kDim);
    std::vector<uint8_t> status(keys.size());
    Error err;
    MUST_OK(err, CALL(gyr_cache_get)(any(w), keys.data(), keys.size(), rows.data(), status.data(), &err));
    for (size_t i = 0; i < keys.size(); i++) check(keys[i], rows.data() + i * kDim, status[i]);
  });
  hammer.operation(4, [&](Worker& w) {
    std::vector<int64_t> keys(10), offsets{0, 1, 10};
    for (int64_t& key : keys) key = int64_t(w.below(kKeys));
    std::vector<float> rows(2 * kDim);
    std::vector<uint8_t> status(keys.size());
    Error err;
    MUST_OK(err, CALL(gyr_cache_pool)(any(w), keys.data(), offsets.data(), 2, GYR_POOLING_SUM, rows.data(),
                                      status.data(), &err));
    check(keys[0], rows.data(), status[0]);
    for (uint32_t d = 1; d < kDim; d++) MUST(rows[kDim + d] == rows[kDim]);
  });
  hammer.operation(4, [&](Worker& w) {
    int64_t key = int64_t(w.below(kKeys));
    std::vector<float> row(kDim, float(key * kVersions + version++ % kVersions));
    Error err;
    MUST_OK(err, CALL(gyr_cache_put)(any(w), &key, row.data(), 1, &err));
  });
  hammer.operation(3, [&](Worker& w) {
    int64_t key = int64_t(w.below(kKeys)), gone = int64_t(w.below(kKeys));
    std::vector<float> row(kDim, float(key * kVersions + version++ % kVersions));
    gyr_cache_delta d{};
    d.struct_size = sizeof d;
    d.source = "stream";
    d.offset = uint64_t(version++);
    d.keys = &key;
    d.rows = row.data();
    d.n = 1;
    d.removed = &gone;
    d.n_removed = 1;
    uint32_t applied = 9;
    Error err;
    gyr_cache* to = any(w);
    MUST_OK(err, CALL(gyr_cache_apply)(to, &d, &applied, &err));
    MUST(applied <= 1);
    uint64_t offset = 0;
    gyr_status s = CALL(gyr_cache_get_offset)(to, "stream", &offset, &err);
    MUST(s == GYR_OK || s == GYR_E_NOT_FOUND);
  });
  hammer.operation(2, [&](Worker&) {
    Error err;
    MUST_OK(err, CALL(gyr_cache_publish)(cache, aside, &err));
  });
  hammer.operation(1, [&](Worker& w) {
    std::vector<int64_t> keys(20);
    for (int64_t& key : keys) key = int64_t(w.below(kKeys));
    uint64_t loaded = 0;
    Error err;
    gyr_status s = CALL(gyr_cache_warm)(any(w), keys.data(), keys.size(), &loaded, nullptr, &err);
    MUST(s == GYR_OK || s == GYR_E_CALLBACK) << err.message;
  });
  hammer.operation(1, [&](Worker& w) {
    std::string path = w.path("cache");
    Error err;
    MUST_OK(err, CALL(gyr_cache_save)(any(w), path.c_str(), &err));
    gyr_cache* opened = nullptr;
    MUST_OK(err, CALL(gyr_cache_open)(runtime, path.c_str(), nullptr, &opened, &err));
    CALL(gyr_cache_destroy)(opened);
    unlink(path.c_str());
  });
  hammer.operation(2, [&](Worker& w) {
    gyr_cache_info info{};
    info.struct_size = sizeof info;
    Error err;
    MUST_OK(err, CALL(gyr_cache_get_info)(any(w), &info, &err));
    MUST(info.rows <= 60 && info.max_rows == 60) << info.rows;
  });
  hammer.run();

  for (gyr_cache* c : {cache, aside}) {
    gyr_cache_info info{};
    info.struct_size = sizeof info;
    ASSERT_EQ(gyr_cache_get_info(c, &info, &setup), GYR_OK);
    EXPECT_EQ(info.pinned, 0u);
  }
  gyr_runtime_destroy(runtime);
  gyr_cache_destroy(cache);
  gyr_cache_destroy(aside);
}

INSTANTIATE_TEST_SUITE_P(Waits, TiersStress, ::testing::Values(GYR_CACHE_WAIT, GYR_CACHE_DEADLINE, GYR_CACHE_DEFAULT),
                         [](const auto& p) {
                           return p.param == GYR_CACHE_WAIT       ? "wait"
                                  : p.param == GYR_CACHE_DEADLINE ? "deadline"
                                                                  : "now";
                         });

}  // namespace
}  // namespace gyr::stress
