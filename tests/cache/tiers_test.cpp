// Reading through to a tier: what is fetched, when it is waited for, and what a call says about what did not come.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <future>
#include <thread>

#include "base/clock.h"
#include "base/random.h"
#include "cache/cache.h"
#include "exec/task.h"
#include "tests/support/fake_tier.h"
#include "tests/support/knobs.h"

namespace gyr {
namespace {

using test::FakeTier;

constexpr uint32_t kDim = 4;

std::shared_ptr<Runtime> runtime(uint64_t budget = 0) {
  gyr_runtime_options o{};
  o.struct_size = sizeof o;
  o.threads = 1;
  o.memory_budget = budget;
  return *Runtime::create(o);
}

// A cache over a tier; `change` may set anything before it is made.
struct World {
  FakeTier tier{kDim};
  gyr_cache_tier below;
  gyr_cache_tiers tiers{};
  gyr_cache_options options{};
  std::vector<float> standard = std::vector<float>(kDim, -1);
  std::shared_ptr<Cache> cache;

  template <class Change>
  explicit World(Change&& change, bool writes = false, uint64_t budget = 0) : below(tier.vtable(writes)) {
    tiers.struct_size = sizeof tiers;
    tiers.below = &below;
    options.struct_size = sizeof options;
    options.dim = kDim;
    options.capacity = 1000;
    options.tiers = &tiers;
    change(*this);
    auto made = Cache::create(runtime(budget), options);
    EXPECT_TRUE(made.ok()) << made.status().message();
    cache = *made;
    cache->own_tier();
  }
  ~World() {
    cache.reset();
    EXPECT_EQ(tier.closed, tiers.below ? 1u : 0u);
  }

  std::vector<uint8_t> get(const std::vector<int64_t>& keys, std::vector<float>* rows = nullptr) {
    std::vector<float> out(keys.size() * kDim, NAN);
    std::vector<uint8_t> status(keys.size(), 99);
    EXPECT_TRUE(cache->get(keys.data(), keys.size(), out.data(), status.data()).ok());
    for (size_t i = 0; i < keys.size(); i++) {
      float missing = options.miss == GYR_CACHE_MISS_DEFAULT ? -1.0f : 0.0f;
      for (uint32_t d = 0; d < kDim; d++)
        EXPECT_EQ(out[i * kDim + d], status[i] == GYR_VALUE_PRESENT ? expected(keys[i], d) : missing) << keys[i];
    }
    if (rows) *rows = out;
    return status;
  }
  float expected(int64_t key, uint32_t d) {
    std::lock_guard lock(tier.mutex);
    auto it = tier.rows.find(key);
    return it != tier.rows.end() ? it->second[d] : FakeTier::value(key, d);
  }
  gyr_cache_info info() {
    gyr_cache_info i{};
    cache->fill_info(&i);
    return i;
  }
  // In DEADLINE and DEFAULT mode rows come later.
  bool wait_for_rows(uint64_t n) {
    for (int i = 0; i < 5000 && info().rows < n; i++) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return info().rows >= n;
  }
};
using Statuses = std::vector<uint8_t>;
constexpr uint8_t kHere = GYR_VALUE_PRESENT, kMissing = GYR_VALUE_MISSING, kLate = GYR_VALUE_DEADLINE,
                  kError = GYR_VALUE_ERROR;

// Twenty keys, ten of them distinct, of which `missing` are not in memory.
std::vector<int64_t> twenty(World* w, int64_t missing) {
  std::vector<int64_t> keys;
  for (int64_t i = 0; i < 20; i++) keys.push_back(i % 10);
  std::vector<int64_t> here;
  for (int64_t k = missing; k < 10; k++) here.push_back(k);
  uint64_t loaded = 0;
  EXPECT_TRUE(w->cache->warm(here.data(), here.size(), &loaded, nullptr).ok());
  EXPECT_EQ(loaded, here.size());
  return keys;
}
auto threshold(float t) {
  return [t](World& w) { w.tiers.wait = GYR_CACHE_DEFAULT, w.tiers.wait_below = t; };
}

TEST(MissVectors, K1_HitRateAtTheThresholdAnswersNow) {
  World w(threshold(.9f));
  auto keys = twenty(&w, 1);
  w.tier.delay_us = 50'000;
  auto status = w.get(keys);
  for (size_t i = 0; i < keys.size(); i++) EXPECT_EQ(status[i], keys[i] == 0 ? kLate : kHere);
  ASSERT_TRUE(w.wait_for_rows(10));
  EXPECT_EQ(w.get(keys), Statuses(20, kHere));  // the real vector later
}

TEST(MissVectors, K2_BelowTheThresholdItWaits) {
  World w(threshold(.9f));
  EXPECT_EQ(w.get(twenty(&w, 2)), Statuses(20, kHere));
}

TEST(MissVectors, K3_Thresholds) {
  World one(threshold(1.0f));
  EXPECT_EQ(one.get(twenty(&one, 1)), Statuses(20, kHere));
  World more(threshold(1.1f));
  EXPECT_EQ(more.get(twenty(&more, 0)), Statuses(20, kHere));
  World none(threshold(0));  // never waits
  auto keys = twenty(&none, 10);
  none.tier.delay_us = 50'000;
  EXPECT_EQ(none.get(keys), Statuses(20, kLate));
}

TEST(MissVectors, K4_AbsentEverywhereIsTheDefaultAndSaysSo) {
  for (auto wait : {GYR_CACHE_WAIT, GYR_CACHE_DEADLINE}) {
    World w([&](World& x) {
      x.tier.keys = 5;
      x.options.miss = GYR_CACHE_MISS_DEFAULT;
      x.options.default_row = x.standard.data();
      x.tiers.wait = wait;
      x.tiers.timeout_ns = 5'000'000'000;
    });
    EXPECT_EQ(w.get({4, 5, -3}), (Statuses{kHere, GYR_VALUE_DEFAULT, GYR_VALUE_DEFAULT}));
  }
}

// Margin 1000, target .8: what is above the limit goes until 800 are left.
TEST(MissVectors, K5_OverflowGoesDownToTheTarget) {
  World w([](World& x) { x.tiers.max_rows = 1000, x.tiers.evict_to = .8f; });
  for (int64_t k = 0; k < 1000; k++) ASSERT_EQ(w.get({k}), Statuses{kHere});
  EXPECT_EQ(w.info().rows, 1000u);
  ASSERT_EQ(w.get({1000}), Statuses{kHere});
  EXPECT_EQ(w.info().rows, 800u);
  EXPECT_EQ(w.info().evicted, 201u);
}

TEST(Tiers, RowsComeOnceAndStay) {
  World w([](World& x) { x.tier.keys = 100; });
  EXPECT_EQ(w.get({1, 2, 1, 200}), (Statuses{kHere, kHere, kHere, kMissing}));
  EXPECT_EQ(w.get({2, 1}), (Statuses{kHere, kHere}));
  EXPECT_EQ(w.tier.times[1], 1);
  EXPECT_EQ(w.tier.fetches, 1u);
  auto i = w.info();
  EXPECT_EQ(i.rows, 2u);
  EXPECT_EQ(i.fetched, 2u);
  EXPECT_EQ(i.pinned, 0u);
  EXPECT_EQ(i.misses, 4u);
}

TEST(Tiers, DenseCachesAskOnlyForRowsTheyCanHave) {
  World w([](World& x) { x.options.keys = GYR_CACHE_DENSE, x.options.capacity = 10, x.tiers.max_rows = 3; });
  EXPECT_EQ(w.get({1, 10, -1, 9}), (Statuses{kHere, kMissing, kMissing, kHere}));
  EXPECT_EQ(w.tier.fetched, 2u);
  for (int64_t k = 0; k < 10; k++) EXPECT_EQ(w.get({k}), Statuses{kHere});
  EXPECT_EQ(w.info().rows, 3u);
}

// Pools against sums over the tier's rows, some of them here, some fetched, some absent.
TEST(Tiers, BagsReadThrough) {
  for (bool standard : {false, true}) {
    World w([&](World& x) {
      x.tier.keys = 300;
      x.tiers.max_rows = 50;
      if (standard) x.options.miss = GYR_CACHE_MISS_DEFAULT, x.options.default_row = x.standard.data();
    });
    Random random{3};
    for (int round = 0; round < 50; round++) {
      std::vector<int64_t> keys(200), offsets{0, 0, 3, 3, 120, 200};
      std::vector<float> weights(200);
      for (size_t i = 0; i < 200; i++) keys[i] = int64_t(random.below(400)), weights[i] = float(random.below(4));
      std::vector<float> out(5 * kDim, NAN);
      std::vector<uint8_t> status(200, 99);
      gyr_pooling pooling = round % 2 ? GYR_POOLING_SUM : GYR_POOLING_MEAN;
      const float* weighted = round % 3 ? weights.data() : nullptr;
      ASSERT_TRUE(w.cache->pool(keys.data(), weighted, offsets.data(), 5, pooling, out.data(), status.data()).ok());
      for (size_t b = 0; b < 5; b++) {
        for (uint32_t d = 0; d < kDim; d++) {
          double sum = 0, divisor = 0;
          for (auto i = size_t(offsets[b]); i < size_t(offsets[b + 1]); i++) {
            bool there = keys[i] < 300;
            EXPECT_EQ(status[i], there ? kHere : standard ? uint8_t(GYR_VALUE_DEFAULT) : kMissing);
            double factor = weighted ? double(weights[i]) : 1;
            if (there || standard) sum += factor * double(there ? FakeTier::value(keys[i], d) : -1), divisor += factor;
          }
          if (pooling == GYR_POOLING_MEAN && divisor != 0) sum /= divisor;
          EXPECT_NEAR(out[b * kDim + d], sum, 1e-4 * std::abs(sum) + 1e-6);
        }
      }
    }
    EXPECT_EQ(w.info().rows, 50u);
  }
}

TEST(Tiers, DeadlineIsKeptAndTheRowComesLater) {
  World w([](World& x) {
    x.tiers.wait = GYR_CACHE_DEADLINE;
    x.tiers.timeout_ns = 20'000'000;
    x.tier.delay_us = 300'000;
  });
  int64_t begin = monotonic_ns();
  EXPECT_EQ(w.get({1}), Statuses{kLate});
  int64_t took = monotonic_ns() - begin;
  EXPECT_GE(took, 20'000'000);
  EXPECT_LT(took, 250'000'000);
  ASSERT_TRUE(w.wait_for_rows(1));
  w.tier.delay_us = 0;
  EXPECT_EQ(w.get({1}), Statuses{kHere});
  EXPECT_EQ(w.tier.times[1], 1);
  EXPECT_EQ(w.info().late, 1u);
  w.tier.in_fetch = nullptr;
}

TEST(Tiers, WithinTheDeadlineRowsArePresent) {
  World w([](World& x) { x.tiers.wait = GYR_CACHE_DEADLINE, x.tiers.timeout_ns = 30'000'000'000; });
  EXPECT_EQ(w.get({1, 2, 3}), Statuses(3, kHere));
}

TEST(Tiers, ConcurrentMissesOfOneKeyFetchOnce) {
  World w([](World& x) { x.tier.delay_us = 100'000; });
  std::vector<std::thread> threads;
  std::atomic<int> present{0};
  for (int t = 0; t < 8; t++)
    threads.emplace_back([&, t] {
      auto status = w.get({7, 8, int64_t(100 + t)});
      present += int(std::count(status.begin(), status.end(), kHere));
    });
  for (auto& t : threads) t.join();
  EXPECT_EQ(present, 24);
  // Whoever came later than all fetches has found it in memory.
  EXPECT_EQ(w.tier.times[7], 1);
  EXPECT_EQ(w.tier.times[8], 1);
}

TEST(Tiers, SlowTierDoesNotHoldUpHits) {
  World w([](World& x) { x.tiers.wait = GYR_CACHE_WAIT; });
  ASSERT_EQ(w.get({1}), Statuses{kHere});
  w.tier.delay_us = 400'000;
  std::thread slow([&] { EXPECT_EQ(w.get({2}), Statuses{kHere}); });
  ASSERT_TRUE(w.tier.wait_until_inside(1));
  int64_t begin = monotonic_ns();
  EXPECT_EQ(w.get({1}), Statuses{kHere});
  float row[kDim] = {9, 9, 9, 9};
  int64_t key = 5;
  EXPECT_TRUE(w.cache->put(&key, row, 1).ok());
  EXPECT_LT(monotonic_ns() - begin, 200'000'000);
  slow.join();
}

TEST(Tiers, FailuresAreFlaggedAndOpenTheBreaker) {
  World w([](World& x) { x.tiers.failures = 3, x.tiers.retry_ns = 20'000'000; });
  ASSERT_EQ(w.get({1}), Statuses{kHere});
  w.tier.fetch_status = GYR_E_IO;
  for (int i = 0; i < 3; i++) EXPECT_EQ(w.get({1, 2, 3}), (Statuses{kHere, kError, kError}));
  uint64_t asked = w.tier.fetches;
  EXPECT_EQ(w.info().tier_down, 1u);
  for (int i = 0; i < 10; i++) EXPECT_EQ(w.get({1, 3}), (Statuses{kHere, kError}));  // local rows answer
  EXPECT_EQ(w.tier.times[3], 3) << "it is only probed, with another key";
  for (int i = 0; i < 5000 && w.tier.fetches < asked + 2; i++)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_GE(w.tier.fetches, asked + 2) << "it is tried in the background";
  w.tier.fetch_status = GYR_OK;
  for (int i = 0; i < 5000 && w.info().tier_down; i++) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(w.info().tier_down, 0u);
  EXPECT_EQ(w.get({2, 3}), (Statuses{kHere, kHere}));
  EXPECT_EQ(w.info().failed, 6u + 10u);
}

TEST(Tiers, RowsInErrorAndNonsenseAreErrorsOfThoseRowsOnly) {
  World w([](World&) {});
  ASSERT_EQ(w.get({1}), Statuses{kHere});
  for (uint8_t says : {uint8_t(GYR_TIER_ERROR), uint8_t(3), uint8_t(77), uint8_t(255)}) {
    w.tier.says = says;
    EXPECT_EQ(w.get({1, 2}), (Statuses{kHere, kError}));
  }
  w.tier.says = GYR_TIER_FOUND;
  w.tier.poison = true;
  EXPECT_EQ(w.get({1, 2}), (Statuses{kHere, kError}));
  EXPECT_EQ(w.info().tier_down, 0u);
  w.tier.poison = false;
  EXPECT_EQ(w.get({1, 2}), (Statuses{kHere, kHere}));
}

TEST(Tiers, WritesGoThroughAndFailWhole) {
  World w([](World& x) { x.tiers.max_rows = 10; }, true);
  std::vector<int64_t> keys;
  std::vector<float> rows;
  for (int64_t k = 0; k < 100; k++) keys.push_back(k), rows.insert(rows.end(), kDim, float(-k - 2));
  ASSERT_TRUE(w.cache->put(keys.data(), rows.data(), 100).ok());  // more than the limit: the tier has them
  EXPECT_EQ(w.info().rows, 10u);
  EXPECT_EQ(w.info().pinned, 0u);
  EXPECT_EQ(w.get(keys), Statuses(100, kHere));
  w.tier.write_status = GYR_E_IO;
  std::vector<float> other(kDim, 5);
  int64_t key = keys.back();
  Status s = w.cache->put(&key, other.data(), 1);
  EXPECT_EQ(s.code(), GYR_E_CALLBACK);
  EXPECT_EQ(w.cache->remove(&key, 1, nullptr).code(), GYR_E_CALLBACK);
  EXPECT_EQ(w.get({key}), Statuses{kHere});
  w.tier.write_status = GYR_OK;
  ASSERT_TRUE(w.cache->remove(&key, 1, nullptr).ok());
  EXPECT_EQ(w.get({key}), Statuses{kMissing});
}

// Without a tier, or with one that takes no rows, nothing that only the cache has may go.
TEST(Tiers, FullWithRowsThatMayNotGoIsAnErrorOfTheWholeBatch) {
  for (bool below : {false, true}) {
    World w([&](World& x) {
      x.tiers.max_rows = 10;
      if (!below) x.tiers.below = nullptr;
    });
    std::vector<int64_t> keys;
    std::vector<float> rows(20 * kDim, 3);
    for (int64_t k = 0; k < 20; k++) keys.push_back(k);
    ASSERT_TRUE(w.cache->put(keys.data(), rows.data(), 8).ok());
    Status s = w.cache->put(keys.data() + 4, rows.data(), 7);  // 4 old, 3 new
    EXPECT_EQ(s.code(), GYR_E_RESOURCE_EXHAUSTED);
    EXPECT_EQ(w.info().rows, 8u) << "all or nothing";
    ASSERT_TRUE(w.cache->put(keys.data() + 4, rows.data(), 6).ok());
    EXPECT_EQ(w.info().rows, 10u);
    EXPECT_EQ(w.info().pinned, 10u);
    if (below) {
      EXPECT_EQ(w.get({50, 51}), (Statuses{kHere, kHere})) << "answered, though they cannot stay";
    }
    EXPECT_EQ(w.info().rows, 10u);
    uint64_t removed = 0;
    ASSERT_TRUE(w.cache->remove(keys.data(), 5, &removed).ok());
    EXPECT_EQ(removed, 5u);
    ASSERT_TRUE(w.cache->put(keys.data() + 12, rows.data(), 5).ok());
    if (!below) continue;
    ASSERT_TRUE(w.cache->remove(keys.data(), 20, nullptr).ok());
    for (int64_t k = 100; k < 150; k++) w.get({k});
    EXPECT_EQ(w.info().rows, 10u);
    EXPECT_EQ(w.info().pinned, 0u);
    ASSERT_TRUE(w.cache->put(keys.data(), rows.data(), 10).ok()) << "fetched rows go for rows that are put";
    EXPECT_EQ(w.info().pinned, 10u);
  }
}

TEST(Tiers, ByteLimitHolds) {
  GYR_SKIP_UNDER("GYR_TEST_HASH");
  GYR_SKIP_UNDER("GYR_TEST_CAPACITY");
  constexpr uint64_t kBytes = 1 << 20;
  World w([&](World& x) { x.tiers.max_bytes = kBytes; });
  std::vector<int64_t> keys(1000);
  for (int64_t base = 0; base < 100'000; base += 1000) {
    for (int64_t k = 0; k < 1000; k++) keys[size_t(k)] = base + k;
    std::vector<float> out(1000 * kDim);
    ASSERT_TRUE(w.cache->get(keys.data(), 1000, out.data(), nullptr).ok());
  }
  auto i = w.info();
  EXPECT_EQ(i.rows, i.max_rows);
  EXPECT_GT(i.rows * (16 + 29), kBytes * 95 / 100);
  EXPECT_LT(i.bytes, kBytes * 5 / 4);
}

// What the runtime's budget has no room for is in the tier, and is read there.
TEST(Tiers, BeyondTheBudgetRowsStayBelow) {
  World w([](World&) {}, true, 150'000);
  for (int64_t k = 0; k < 8'000; k++) ASSERT_EQ(w.get({k}), Statuses{kHere});
  EXPECT_GT(w.info().rows, 500u);
  EXPECT_LT(w.info().rows, 7'500u);
  std::vector<float> row(kDim, 5);
  for (int64_t k = 0; k < 8'000; k += 7) ASSERT_TRUE(w.cache->put(&k, row.data(), 1).ok());
  for (int64_t k = 0; k < 8'000; k++) ASSERT_EQ(w.get({k}), Statuses{kHere});  // compares with the tier's
}

// A gate that the first caller waits at until it is opened.
struct Gate {
  std::mutex mutex;
  std::condition_variable changed;
  bool open_now = false;
  std::atomic<int> callers{0};
  void pass() {
    if (callers++ > 0) return;
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return open_now; });
  }
  void open() {
    std::lock_guard lock(mutex);
    open_now = true;
    changed.notify_all();
  }
};

// A row that is being fetched while another is put under its key, or the key removed, must not come back.
TEST(Tiers, AFetchNeverUndoesAWrite) {
  for (bool removes : {false, true}) {
    World w([](World&) {}, true);
    Gate gate;
    w.tier.in_fetch = [&] { gate.pass(); };
    std::vector<float> old_row(kDim), fresh(kDim, 50);
    int64_t key = 9;
    std::thread reader([&] { EXPECT_TRUE(w.cache->get(&key, 1, old_row.data(), nullptr).ok()); });
    ASSERT_TRUE(w.tier.wait_until_inside(1));
    ASSERT_TRUE((removes ? w.cache->remove(&key, 1, nullptr) : w.cache->put(&key, fresh.data(), 1)).ok());
    {
      std::lock_guard lock(w.tier.mutex);
      w.tier.rows.erase(9), w.tier.removed.erase(9);  // what the fetch finds is the row of before
    }
    gate.open();
    reader.join();
    EXPECT_EQ(old_row[1], FakeTier::value(9, 1));
    w.tier.fetch_status = GYR_E_IO;  // from here on it is what is in memory
    std::vector<float> out(kDim);
    uint8_t status = 99;
    ASSERT_TRUE(w.cache->get(&key, 1, out.data(), &status).ok());
    EXPECT_EQ(status, removes ? kError : kHere);
    EXPECT_EQ(out[1], removes ? 0.0f : 50.0f);
  }
}

// Two writers of one key at once: what the tier holds in the end is what is read.
TEST(Tiers, WritersOfOneKeyLeaveWhatTheTierHolds) {
  World w([](World&) {}, true);
  Gate gate;
  w.tier.after_put = [&] { gate.pass(); };
  int64_t key = 1;
  std::vector<float> first(kDim, 10), second(kDim, 20);
  std::thread slow([&] { EXPECT_TRUE(w.cache->put(&key, first.data(), 1).ok()); });
  for (int i = 0; i < 5000 && gate.callers == 0; i++) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  ASSERT_TRUE(w.cache->put(&key, second.data(), 1).ok());  // after it in the tier, before it in memory
  gate.open();
  slow.join();
  EXPECT_EQ(w.get({1}), Statuses{kHere});  // compares with the tier's
  ASSERT_TRUE(w.cache->put(&key, first.data(), 1).ok());
  EXPECT_EQ(w.info().rows, 1u) << "alone again, it stays";
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; t++)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 300; i++) {
        int64_t k = i % 3;
        std::vector<float> row(kDim, float(t * 1000 + i));
        EXPECT_TRUE(w.cache->put(&k, row.data(), 1).ok());
      }
    });
  for (auto& t : threads) t.join();
  EXPECT_EQ(w.get({0, 1, 2}), Statuses(3, kHere));
}

// What was written is what is read from then on, also by a get that meets a fetch begun before.
TEST(Tiers, AGetAfterAWriteDoesNotWaitForAnOlderFetch) {
  for (bool removes : {false, true}) {
    World w([](World& x) { x.tiers.max_rows = 1; }, true);
    Gate gate;
    w.tier.in_fetch = [&] { gate.pass(); };
    std::thread reader([&] { EXPECT_EQ(w.get({9}).size(), 1u); });
    EXPECT_TRUE(w.tier.wait_until_inside(1));
    std::vector<float> row(kDim, 50);
    int64_t key = 9, other = 8;
    if (removes) {
      EXPECT_TRUE(w.cache->remove(&key, 1, nullptr).ok());
    } else {
      EXPECT_TRUE(w.cache->put(&key, row.data(), 1).ok());
      EXPECT_TRUE(w.cache->put(&other, row.data(), 1).ok());  // evicts it
    }
    auto later = std::async(std::launch::async, [&] { return w.get({9}); });
    EXPECT_EQ(later.wait_for(std::chrono::seconds(10)), std::future_status::ready);
    gate.open();
    EXPECT_EQ(later.get(), Statuses{removes ? kMissing : kHere});
    reader.join();
    EXPECT_EQ(w.get({9}), Statuses{removes ? kMissing : kHere});
  }
}

// Nobody waits any more when they begin: 0 would tell the tier that it has all the time in the world.
TEST(Tiers, FetchesThatBeginLateAreLimited) {
  World w([](World& x) {
    x.tiers.wait = GYR_CACHE_DEADLINE;
    x.tiers.timeout_ns = 10'000'000;
    x.tiers.failures = 100;
    x.tier.delay_us = 150'000;
  });
  for (int64_t key = 0; key < 4; key++) EXPECT_EQ(w.get({key}), Statuses{kLate});
  ASSERT_TRUE(w.wait_for_rows(4));
  std::lock_guard lock(w.tier.mutex);
  ASSERT_EQ(w.tier.timeouts.size(), 4u);
  for (int64_t timeout : w.tier.timeouts) {
    EXPECT_GT(timeout, 0);
    EXPECT_LE(timeout, 10'000'000);
  }
}

// Calls that wait in vain, one after the other, are failures: from then on nobody waits.
TEST(Tiers, ATierThatHangsOpensTheBreaker) {
  for (bool same : {false, true}) {
    World w([](World& x) {
      x.tiers.wait = GYR_CACHE_DEADLINE;
      x.tiers.timeout_ns = 50'000'000;
      x.tiers.failures = 3;
      x.tiers.retry_ns = 10'000'000;
    });
    std::atomic<bool> hangs{true};
    w.tier.in_fetch = [&] {
      while (hangs) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    };
    int64_t key = 0;
    auto next = [&] { return same ? 7 : ++key; };
    for (int i = 0; i < 3; i++) EXPECT_EQ(w.get({next()}), Statuses{kLate});
    EXPECT_EQ(w.info().tier_down, 1u);
    int64_t begin = monotonic_ns();
    for (int i = 0; i < 40; i++) EXPECT_EQ(w.get({next()}), Statuses{kError});
    EXPECT_LT(monotonic_ns() - begin, 1'000'000'000) << "2 s are 40 timeouts";
    hangs = false;
    for (int i = 0; i < 5000 && w.info().tier_down; i++) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT_EQ(w.info().tier_down, 0u);
    for (int i = 0; i < 500 && w.get({7}) != Statuses{kHere}; i++) {
    }
    EXPECT_EQ(w.get({7}), Statuses{kHere});
  }
}

// Many callers that wait for one slow answer have seen one failure.
TEST(Tiers, OneSlowAnswerIsOneFailure) {
  World w([](World& x) {
    x.tiers.wait = GYR_CACHE_DEADLINE;
    x.tiers.timeout_ns = 200'000'000;
    x.tiers.failures = 3;
  });
  Gate gate;
  w.tier.in_fetch = [&] { gate.pass(); };
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; t++) threads.emplace_back([&] { EXPECT_EQ(w.get({7}), Statuses{kLate}); });
  for (auto& t : threads) t.join();
  EXPECT_EQ(w.info().tier_down, 0u);
  gate.open();
  EXPECT_TRUE(w.wait_for_rows(1));
}

// Reads that need the tier go on while many rows are put.
TEST(Tiers, ALargePutDoesNotHoldUpFetches) {
  GYR_SKIP_UNDER("GYR_TEST_HASH");
  GYR_SKIP_UNDER("GYR_TEST_CAPACITY");
  constexpr size_t kRows = 300'000;
  World w(
      [](World& x) {
        x.tier.keys = 0;
        x.below.put = [](uintptr_t, const int64_t*, const void*, uint64_t) -> gyr_status { return GYR_OK; };
      },
      true);
  std::vector<int64_t> keys(kRows);
  for (size_t i = 0; i < kRows; i++) keys[i] = int64_t(i);
  std::vector<float> rows(kRows * kDim, 1);
  std::atomic<bool> done{false};
  std::thread writer([&] {
    EXPECT_TRUE(w.cache->put(keys.data(), rows.data(), kRows).ok());
    done = true;
  });
  int between = 0;
  while (!done) {
    EXPECT_EQ(w.get({-1}), Statuses{kMissing});
    uint64_t now = w.info().rows;
    between += now > 0 && now < kRows;
  }
  writer.join();
  EXPECT_GE(between, 5) << "gets that ended in the middle of it";
}

TEST(Tiers, WritersOfManyKeysLeaveWhatTheTierHolds) {
  constexpr size_t kKeys = 5000;
  World w([](World& x) { x.tier.keys = 0; }, true);
  std::vector<int64_t> keys(kKeys);
  for (size_t i = 0; i < kKeys; i++) keys[i] = int64_t(i);
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; t++)
    threads.emplace_back([&, t] {
      auto mine = keys;
      for (int round = 0; round < 6; round++) {
        std::rotate(mine.begin(), mine.begin() + 700 * t + 100, mine.end());
        std::vector<float> rows(kKeys * kDim, float(100 * t + round));
        EXPECT_TRUE(w.cache->put(mine.data(), rows.data(), kKeys).ok());
        if (round % 2) {
          EXPECT_TRUE(w.cache->remove(mine.data(), 2500, nullptr).ok());
        }
      }
    });
  std::atomic<bool> stop{false};
  std::thread reader([&] {
    std::vector<float> out(kKeys * kDim);
    while (!stop) EXPECT_TRUE(w.cache->get(keys.data(), kKeys, out.data(), nullptr).ok());
  });
  for (auto& t : threads) t.join();
  stop = true;
  reader.join();
  auto status = w.get(keys);  // compares rows with the tier's
  for (size_t i = 0; i < kKeys; i++) EXPECT_EQ(status[i] == kHere, w.tier.rows.count(int64_t(i)) == 1) << i;
}

TEST(Tiers, WarmUpFillsInOrderAndStopsWhenFull) {
  World w([](World& x) { x.tiers.max_rows = 1500, x.tier.keys = 5000; });
  std::vector<int64_t> list;
  for (int64_t k = 4000; k > 0; k--) list.push_back(k), list.push_back(k);
  uint64_t loaded = 0;
  ASSERT_TRUE(w.cache->warm(list.data(), list.size(), &loaded, nullptr).ok());
  EXPECT_EQ(loaded, 1500u);
  EXPECT_EQ(w.info().rows, 1500u);
  EXPECT_EQ(w.info().evicted, 0u);
  uint64_t asked = w.tier.fetched;
  std::vector<int64_t> first(list.begin(), list.begin() + 3000);
  EXPECT_EQ(w.get(first), Statuses(3000, kHere));
  EXPECT_EQ(w.tier.fetched, asked) << "the first of the list are in memory";
  gyr_task task;
  task.cancelled = true;
  World v([](World&) {});
  EXPECT_EQ(v.cache->warm(list.data(), list.size(), nullptr, &task).code(), GYR_E_CANCELLED);
  v.tier.fetch_status = GYR_E_IO;
  EXPECT_EQ(v.cache->warm(list.data(), list.size(), nullptr, nullptr).code(), GYR_E_CALLBACK);
}

TEST(Tiers, AdmissionCountsMisses) {
  World w([](World& x) { x.tiers.admit_count = 3; });
  for (int i = 0; i < 2; i++) EXPECT_EQ(w.get({1}), Statuses{kHere});
  EXPECT_EQ(w.info().rows, 0u);
  EXPECT_EQ(w.get({1}), Statuses{kHere});
  EXPECT_EQ(w.info().rows, 1u);
  EXPECT_EQ(w.tier.times[1], 3);
}

TEST(Tiers, OptionsAreChecked) {
  FakeTier tier(kDim);
  gyr_cache_tier below = tier.vtable();
  auto code = [&](auto change) {
    gyr_cache_tiers t{};
    t.struct_size = sizeof t;
    t.below = &below;
    change(&t);
    gyr_cache_options o{};
    o.struct_size = sizeof o;
    o.dim = kDim;
    o.tiers = &t;
    return Cache::create(runtime(), o).status().code();
  };
  EXPECT_EQ(code([](auto*) {}), GYR_OK);
  EXPECT_EQ(code([](auto* t) { t->policy = 3; }), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(code([](auto* t) { t->wait = -1; }), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(code([](auto* t) { t->evict_to = 1.5f; }), GYR_E_OUT_OF_RANGE);
  EXPECT_EQ(code([](auto* t) { t->evict_to = NAN; }), GYR_E_OUT_OF_RANGE);
  EXPECT_EQ(code([](auto* t) { t->wait_below = -1; }), GYR_E_OUT_OF_RANGE);
  EXPECT_EQ(code([](auto* t) { t->admit_count = 256; }), GYR_E_OUT_OF_RANGE);
  EXPECT_EQ(code([](auto* t) { t->max_rows = UINT64_MAX; }), GYR_E_OUT_OF_RANGE);
  EXPECT_EQ(code([](auto* t) { t->max_bytes = 10; }), GYR_E_OUT_OF_RANGE);
  EXPECT_EQ(code([](auto* t) { t->retry_ns = UINT64_MAX; }), GYR_E_OUT_OF_RANGE);
  below.row_bytes = 15;
  EXPECT_EQ(code([](auto*) {}), GYR_E_INVALID_ARGUMENT);
  below.row_bytes = 16;
  EXPECT_EQ(code([](auto*) {}), GYR_OK);
  below.fetch = nullptr;
  EXPECT_EQ(code([](auto*) {}), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(tier.closed, 0u) << "a cache that nobody has does not own it";
}

}  // namespace
}  // namespace gyr
