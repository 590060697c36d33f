// Deltas, publishing, and files.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>

#include "cache/cache.h"
#include "tests/support/fake_tier.h"
#include "tests/support/knobs.h"

namespace gyr {
namespace {

using test::FakeTier;

constexpr uint32_t kDim = 4;

std::shared_ptr<Runtime> runtime() {
  gyr_runtime_options o{};
  o.struct_size = sizeof o;
  o.threads = 1;
  return *Runtime::create(o);
}

std::shared_ptr<Cache> make(const gyr_cache_tiers* tiers = nullptr, uint32_t dim = kDim,
                            gyr_cache_keys keys = GYR_CACHE_HASHED) {
  gyr_cache_options o{};
  o.struct_size = sizeof o;
  o.dim = dim;
  o.keys = keys;
  o.capacity = 1000;
  o.tiers = tiers;
  return *Cache::create(runtime(), o);
}

float first_of(const Cache& cache, int64_t key) {
  float row[kDim];
  uint8_t status = 99;
  EXPECT_TRUE(cache.get(&key, 1, row, &status).ok());
  return status == GYR_VALUE_PRESENT ? row[0] : -1;
}

struct Delta {
  std::vector<int64_t> keys, removed;
  std::vector<float> rows;
  gyr_cache_delta delta{};
  Delta(const char* source, uint64_t offset, std::vector<int64_t> k, float value, std::vector<int64_t> r = {})
      : keys(std::move(k)), removed(std::move(r)), rows(keys.size() * kDim, value) {
    delta.struct_size = sizeof delta;
    delta.source = source;
    delta.offset = offset;
    delta.keys = keys.data();
    delta.rows = rows.data();
    delta.n = keys.size();
    delta.removed = removed.data();
    delta.n_removed = removed.size();
  }
};
uint32_t apply(Cache* cache, const Delta& d) {
  uint32_t applied = 9;
  Status s = cache->apply(d.delta, &applied);
  EXPECT_TRUE(s.ok()) << s.message();
  return applied;
}
uint64_t offset_of(const Cache& cache, const char* source) {
  uint64_t offset = 0;
  EXPECT_TRUE(cache.last_offset(source, &offset).ok());
  return offset;
}

std::shared_ptr<const Container> saved(const Cache& cache) {
  ContainerWriter writer;
  Status s = cache.save(&writer, "cache");
  EXPECT_TRUE(s.ok()) << s.message();
  return *Container::parse(*writer.serialize());
}

TEST(Delta, ReplayingIsHarmless) {
  auto cache = make();
  EXPECT_EQ(cache->last_offset("a", nullptr).code(), GYR_E_NOT_FOUND);
  EXPECT_EQ(apply(cache.get(), {"a", 0, {1, 2}, 10}), 1u) << "offset 0 is an offset";
  EXPECT_EQ(apply(cache.get(), {"a", 0, {1, 2}, 99}), 0u);
  EXPECT_EQ(apply(cache.get(), {"a", 7, {2, 3}, 20, {1}}), 1u);
  EXPECT_EQ(apply(cache.get(), {"a", 5, {1}, 99}), 0u) << "older";
  EXPECT_EQ(apply(cache.get(), {"b", 1, {4, 5}, 30, {5}}), 1u) << "of another source; rows first, then removals";
  EXPECT_EQ(offset_of(*cache, "a"), 7u);
  EXPECT_EQ(offset_of(*cache, "b"), 1u);
  auto loaded = *Cache::load(runtime(), *saved(*cache), "cache");
  EXPECT_EQ(offset_of(*loaded, "a"), 7u) << "saved with the rows";
  for (auto* c : {cache.get(), loaded.get()}) {
    EXPECT_EQ(first_of(*c, 1), -1);
    EXPECT_EQ(first_of(*c, 2), 20);
    EXPECT_EQ(first_of(*c, 3), 20);
    EXPECT_EQ(first_of(*c, 4), 30);
    EXPECT_EQ(first_of(*c, 5), -1);
    EXPECT_EQ(apply(c, {"a", 7, {1}, 99}), 0u);
  }
}

// A batch that is refused takes no offset, so that it can come again.
TEST(Delta, RefusedBatchesMayComeAgain) {
  auto cache = make(nullptr, kDim, GYR_CACHE_DENSE);
  Delta bad("a", 3, {1, 5000}, 1);
  EXPECT_EQ(cache->apply(bad.delta, nullptr).code(), GYR_E_OUT_OF_RANGE);
  Delta removing("a", 3, {1}, 1, {5000});
  EXPECT_EQ(cache->apply(removing.delta, nullptr).code(), GYR_E_OUT_OF_RANGE);
  EXPECT_EQ(first_of(*cache, 1), -1);
  EXPECT_EQ(cache->last_offset("a", nullptr).code(), GYR_E_NOT_FOUND);
  EXPECT_EQ(apply(cache.get(), {"a", 3, {1}, 2}), 1u);
  std::string longest(255, 'x'), longer(256, 'x');
  EXPECT_EQ(apply(cache.get(), {longest.c_str(), 3, {1}, 2}), 1u);
  EXPECT_EQ(cache->apply(Delta(longer.c_str(), 3, {1}, 2).delta, nullptr).code(), GYR_E_OUT_OF_RANGE);
}

// The writer dies in the middle (here: the tier fails between rows and removals): replay completes it.
TEST(Delta, ReplayCompletesWhatWasCutShort) {
  FakeTier tier(kDim);
  tier.keys = 0;
  gyr_cache_tier below = tier.vtable(true);
  gyr_cache_tiers tiers{};
  tiers.struct_size = sizeof tiers;
  tiers.below = &below;
  auto cache = make(&tiers);
  ASSERT_EQ(apply(cache.get(), {"a", 1, {1, 2}, 10}), 1u);
  Delta next("a", 2, {3}, 20, {1});
  tier.remove_status = GYR_E_IO;
  EXPECT_EQ(cache->apply(next.delta, nullptr).code(), GYR_E_CALLBACK);
  EXPECT_EQ(offset_of(*cache, "a"), 1u);
  EXPECT_EQ(first_of(*cache, 3), 20);
  tier.remove_status = GYR_OK;
  EXPECT_EQ(apply(cache.get(), next), 1u);
  EXPECT_EQ(first_of(*cache, 1), -1);
  EXPECT_EQ(first_of(*cache, 3), 20);
}

// Whatever a save meets, replaying from the offset it has brings everything: the rows of that offset are in the file.
TEST(Delta, AFileSavedMeanwhileHasTheRowsOfItsOffset) {
  GYR_SKIP_UNDER("GYR_TEST_HASH");  // and as slow as the number of rows squared
  GYR_SKIP_UNDER("GYR_TEST_CAPACITY");
  auto cache = make();
  std::vector<int64_t> many(50'000);
  for (size_t i = 0; i < many.size(); i++) many[i] = -1 - int64_t(i);
  apply(cache.get(), {"a", 1, many, 1});  // so that saving takes a while
  int missing = 0;
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (int64_t i = 2; !stop; i++) apply(cache.get(), {"a", uint64_t(i), {i}, float(i % 1000)});
  });
  for (int round = 0; round < 6; round++) {
    auto loaded = *Cache::load(runtime(), *saved(*cache), "cache");
    auto last = int64_t(offset_of(*loaded, "a"));
    for (int64_t i = 2; i <= last; i++) missing += first_of(*loaded, i) != float(i % 1000);
  }
  stop = true;
  writer.join();
  EXPECT_EQ(missing, 0);
}

TEST(Publish, ExchangesEverything) {
  auto cache = make(), aside = make();
  apply(cache.get(), {"a", 1, {1}, 10});
  apply(aside.get(), {"a", 2, {1, 2}, 20});
  ASSERT_TRUE(cache->publish(aside.get()).ok());
  EXPECT_EQ(first_of(*cache, 1), 20);
  EXPECT_EQ(first_of(*aside, 1), 10);
  EXPECT_EQ(first_of(*aside, 2), -1);
  EXPECT_EQ(offset_of(*cache, "a"), 2u);
  ASSERT_TRUE(cache->publish(aside.get()).ok());  // and back
  EXPECT_EQ(first_of(*cache, 1), 10);
  EXPECT_EQ(cache->publish(cache.get()).code(), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(cache->publish(make(nullptr, kDim + 1).get()).code(), GYR_E_INVALID_ARGUMENT);
  auto dense = make(nullptr, kDim, GYR_CACHE_DENSE);
  ASSERT_TRUE(cache->publish(dense.get()).ok());
  EXPECT_EQ(first_of(*cache, 1), -1);
}

// A call sees one version: all rows of a version are equal, and differ from all others'.
TEST(Publish, CallsSeeOneVersion) {
  auto cache = make();
  std::vector<int64_t> keys(200);
  for (size_t i = 0; i < keys.size(); i++) keys[i] = int64_t(i);
  auto fill = [&](Cache* c, float version) {
    std::vector<float> rows(keys.size() * kDim, version);
    EXPECT_TRUE(c->put(keys.data(), rows.data(), keys.size()).ok());
  };
  fill(cache.get(), 0);
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> mixed{0}, calls{0};
  auto reader = [&](bool pooled) {
    std::vector<float> out(keys.size() * kDim);
    std::vector<int64_t> offsets{0, 100, 200};
    while (!stop) {
      if (pooled)
        mixed += !cache->pool(keys.data(), nullptr, offsets.data(), 2, GYR_POOLING_MEAN, out.data(), nullptr).ok();
      else
        mixed += !cache->get(keys.data(), keys.size(), out.data(), nullptr).ok();
      for (size_t i = 0; i < (pooled ? 2 : keys.size()) * kDim; i++) mixed += out[i] != out[0];
      calls++;
    }
  };
  std::thread a(reader, false), b(reader, true);
  for (int version = 1; version <= 200 || calls < 200; version++) {
    auto next = make();
    fill(next.get(), float(version));
    EXPECT_TRUE(cache->publish(next.get()).ok());
    next.reset();  // the old content goes at once
  }
  stop = true;
  a.join(), b.join();
  EXPECT_EQ(mixed, 0u);
}

// Readers that wait for the old version's tier get the old version whole.
TEST(Publish, ReadersThatWaitKeepTheirVersion) {
  FakeTier old_tier(kDim), new_tier(kDim);
  old_tier.delay_us = 200'000;
  gyr_cache_tiers tiers{};
  tiers.struct_size = sizeof tiers;
  gyr_cache_tier below = old_tier.vtable();
  tiers.below = &below;
  auto cache = make(&tiers);
  cache->own_tier();
  std::vector<float> mark(kDim, 7);
  int64_t one = 1, two = 2;
  ASSERT_TRUE(cache->put(&one, mark.data(), 1).ok());
  std::thread waiting([&] {
    int64_t keys[] = {1, 2};
    float out[2 * kDim];
    uint8_t status[2];
    EXPECT_TRUE(cache->get(keys, 2, out, status).ok());
    EXPECT_EQ(out[0], 7.0f);
    EXPECT_EQ(out[kDim], FakeTier::value(2, 0));
  });
  ASSERT_TRUE(old_tier.wait_until_inside(1));
  auto next = make();
  ASSERT_TRUE(next->put(&two, mark.data(), 1).ok());
  ASSERT_TRUE(cache->publish(next.get()).ok());
  next.reset();
  EXPECT_EQ(first_of(*cache, 2), 7);
  waiting.join();
  for (int i = 0; i < 1000 && old_tier.closed == 0; i++) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(old_tier.closed, 1u) << "closed with the last who used it";
}

// A saved cache has its rows in the order of their use, so that a smaller one keeps the best.
TEST(CacheFile, TheWarmestRowsComeFirst) {
  for (auto policy : {GYR_CACHE_CLOCK, GYR_CACHE_LRU, GYR_CACHE_TINYLFU}) {
    FakeTier tier(kDim);
    gyr_cache_tier below = tier.vtable();
    gyr_cache_tiers tiers{};
    tiers.struct_size = sizeof tiers;
    tiers.below = &below;
    tiers.policy = policy;
    tiers.max_rows = 400;
    auto cache = make(&tiers);
    std::vector<float> out(400 * kDim);
    for (int64_t k = 0; k < 400; k++) ASSERT_TRUE(cache->get(&k, 1, out.data(), nullptr).ok());
    for (int round = 0; round < 3; round++)
      for (int64_t k = 100; k < 150; k++) ASSERT_TRUE(cache->get(&k, 1, out.data(), nullptr).ok());
    auto file = saved(*cache);
    tiers.max_rows = 50;
    auto smaller = Cache::load(runtime(), *file, "cache", &tiers);
    ASSERT_TRUE(smaller.ok()) << smaller.status().message();
    gyr_cache_info info{};
    (*smaller)->fill_info(&info);
    EXPECT_EQ(info.rows, 50u);
    uint64_t before = tier.fetched;
    for (int64_t k = 100; k < 150; k++) EXPECT_EQ(first_of(**smaller, k), FakeTier::value(k, 0));
    // LRU's clock is coarse: a few others are as young.
    EXPECT_LE(tier.fetched - before, policy == GYR_CACHE_LRU ? 25u : 0u);
    EXPECT_EQ(Cache::load(runtime(), *file, "nothing").status().code(), GYR_E_CORRUPT);
    auto whole = Cache::load(runtime(), *file, "cache");  // without a limit: all of it
    ASSERT_TRUE(whole.ok());
    EXPECT_EQ(first_of(**whole, 399), FakeTier::value(399, 0));
  }
}

TEST(CacheFile, RowsThatNoTierHoldsMustFit) {
  auto cache = make();
  apply(cache.get(), {"a", 1, {1, 2, 3}, 10});
  FakeTier tier(kDim);
  gyr_cache_tier below = tier.vtable();
  gyr_cache_tiers tiers{};
  tiers.struct_size = sizeof tiers;
  tiers.below = &below;
  tiers.max_rows = 2;
  auto file = saved(*cache);
  EXPECT_EQ(Cache::load(runtime(), *file, "cache", &tiers).status().code(), GYR_E_RESOURCE_EXHAUSTED);
  tiers.max_rows = 3;
  auto loaded = Cache::load(runtime(), *file, "cache", &tiers);
  ASSERT_TRUE(loaded.ok());
  gyr_cache_info info{};
  (*loaded)->fill_info(&info);
  EXPECT_EQ(info.pinned, 3u);
  tiers.policy = 9;
  EXPECT_EQ(Cache::load(runtime(), *file, "cache", &tiers).status().code(), GYR_E_INVALID_ARGUMENT);
}

TEST(CacheFile, DamagedTiersAreRefused) {
  FakeTier tier(kDim);
  gyr_cache_tier below = tier.vtable();
  gyr_cache_tiers tiers{};
  tiers.struct_size = sizeof tiers;
  tiers.below = &below;
  auto cache = make(&tiers);
  apply(cache.get(), {"a", 1, {1, 2, 3}, 10});
  apply(cache.get(), {"b", 1, {5}, 10});
  auto file = saved(*cache);
  auto rows = *file->read("cache", "CCH1"), extra = *file->read("cache.tiers", "CCT1");
  for (size_t i = 0; i < extra.size() * 2; i++) {
    auto bad = extra;
    if (i < extra.size())
      bad.resize(i);
    else
      bad[i - extra.size()] ^= 0xff;
    ContainerWriter w;
    ASSERT_TRUE(w.add("cache", "CCH1", rows).ok());
    ASSERT_TRUE(w.add("cache.tiers", "CCT1", bad).ok());
    auto loaded = Cache::load(runtime(), **Container::parse(*w.serialize()), "cache");
    if (i < extra.size()) {
      EXPECT_EQ(loaded.status().code(), GYR_E_CORRUPT) << i;
    }
    if (!loaded.ok()) {
      EXPECT_EQ(loaded.status().code(), GYR_E_CORRUPT) << i;
    }
  }
}

}  // namespace
}  // namespace gyr
