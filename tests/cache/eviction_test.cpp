// Which rows stay: hit rates of the policies on skewed traces, beside an exact LRU of the same size.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>

#include "base/random.h"
#include "cache/cache.h"
#include "cache/eviction.h"
#include "tests/support/fake_tier.h"

namespace gyr {
namespace {

using test::FakeTier;

// Ranks by Zipf's law, as keys in no order; `shift` ranks are new after every `every` requests.
std::vector<int64_t> zipf_trace(double s, int64_t keys, size_t requests, int64_t shift = 0, size_t every = 1) {
  std::vector<double> upto(size_t(keys), 0);
  double sum = 0;
  for (int64_t r = 0; r < keys; r++) upto[size_t(r)] = sum += std::pow(double(r + 1), -s);
  Random random{17};
  std::vector<int64_t> out;
  out.reserve(requests);
  for (size_t i = 0; i < requests; i++) {
    double u = double(random.below(1u << 30)) / double(1u << 30) * sum;
    auto rank = int64_t(std::lower_bound(upto.begin(), upto.end(), u) - upto.begin());
    out.push_back((rank + int64_t(i / every) * shift) % keys * 7919 % keys);
  }
  return out;
}

// Share of hits over the second half.
double lru_hits(const std::vector<int64_t>& trace, int64_t keys, uint64_t rows) {
  std::vector<int64_t> before(size_t(keys) + 1, -1), after(size_t(keys) + 1, -1);
  const auto head = size_t(keys);  // after[head] is the newest, before[head] the oldest
  before[head] = after[head] = keys;
  uint64_t in = 0, hits = 0;
  auto unlink = [&](size_t k) {
    after[size_t(before[k])] = after[k];
    before[size_t(after[k])] = before[k];
    before[k] = after[k] = -1;
  };
  for (size_t i = 0; i < trace.size(); i++) {
    auto k = size_t(trace[i]);
    bool hit = before[k] >= 0;
    if (hit) {
      unlink(k);
    } else if (in == rows) {
      unlink(size_t(before[head]));
    } else {
      in++;
    }
    after[k] = after[head];
    before[k] = keys;
    before[size_t(after[head])] = int64_t(k);
    after[head] = int64_t(k);
    hits += hit && i >= trace.size() / 2;
  }
  return double(hits) / double(trace.size() - trace.size() / 2);
}

double cache_hits(const std::vector<int64_t>& trace, uint64_t rows, gyr_cache_policy policy,
                  gyr_cache_keys kind = GYR_CACHE_HASHED, int64_t keys = 0) {
  FakeTier tier(1);
  gyr_cache_tier below = tier.vtable();
  gyr_cache_tiers tiers{};
  tiers.struct_size = sizeof tiers;
  tiers.below = &below;
  tiers.policy = policy;
  tiers.max_rows = rows;
  gyr_cache_options o{};
  o.struct_size = sizeof o;
  o.dim = 1;
  o.keys = kind;
  o.capacity = uint64_t(keys);
  o.tiers = &tiers;
  gyr_runtime_options r{};
  r.struct_size = sizeof r;
  r.threads = 1;
  auto cache = *Cache::create(*Runtime::create(r), o);
  gyr_cache_info info{};
  uint64_t before = 0;
  for (size_t i = 0; i < trace.size(); i++) {
    if (i == trace.size() / 2) cache->fill_info(&info), before = info.hits;
    float row;
    EXPECT_TRUE(cache->get(&trace[i], 1, &row, nullptr).ok());
    EXPECT_EQ(row, FakeTier::value(trace[i], 0));
  }
  cache->fill_info(&info);
  EXPECT_EQ(info.rows, rows) << "the limit is used, and kept";
  return double(info.hits - before) / double(trace.size() - trace.size() / 2);
}

constexpr int64_t kKeys = 20'000;
constexpr size_t kRequests = 200'000;

TEST(Eviction, HitRatesBesideAnExactLru) {
  for (double s : {1.05, 0.9}) {
    auto trace = zipf_trace(s, kKeys, kRequests);
    for (uint64_t rows : {uint64_t(kKeys / 100), uint64_t(kKeys / 20), uint64_t(kKeys / 5)}) {
      double lru = lru_hits(trace, kKeys, rows), clock = cache_hits(trace, rows, GYR_CACHE_CLOCK),
             ours = cache_hits(trace, rows, GYR_CACHE_LRU), tiny = cache_hits(trace, rows, GYR_CACHE_TINYLFU);
      std::printf("zipf %.2f, %5llu rows: exact LRU %.1f %%, CLOCK %.1f, LRU %.1f, TinyLFU %.1f\n", s,
                  (unsigned long long)rows, lru * 100, clock * 100, ours * 100, tiny * 100);
      EXPECT_GT(clock, lru - 0.02);
      EXPECT_GT(ours, lru - 0.02);
      EXPECT_GT(tiny, lru - 0.005);
      if (s < 1 && rows < kKeys / 5) {
        EXPECT_GT(tiny, lru + 0.01) << "what it is for";
      }
    }
  }
}

TEST(Eviction, FollowsAPopularityThatDrifts) {
  auto trace = zipf_trace(1.05, kKeys, kRequests, 100, kRequests / 12);
  double lru = lru_hits(trace, kKeys, kKeys / 20), clock = cache_hits(trace, kKeys / 20, GYR_CACHE_CLOCK),
         ours = cache_hits(trace, kKeys / 20, GYR_CACHE_LRU);
  std::printf("drifting: exact LRU %.1f %%, CLOCK %.1f, LRU %.1f\n", lru * 100, clock * 100, ours * 100);
  EXPECT_GT(clock, lru - 0.02);
  EXPECT_GT(ours, lru - 0.02);
}

TEST(Eviction, DenseCachesToo) {
  auto trace = zipf_trace(1.05, kKeys, kRequests / 2);
  double lru = lru_hits(trace, kKeys, kKeys / 20);
  for (auto policy : {GYR_CACHE_CLOCK, GYR_CACHE_LRU, GYR_CACHE_TINYLFU})
    EXPECT_GT(cache_hits(trace, kKeys / 20, policy, GYR_CACHE_DENSE, kKeys), lru - 0.02) << policy;
}

// Small limits are exact, too.
TEST(Eviction, AnyLimit) {
  auto trace = zipf_trace(1.05, 1000, 5000);
  for (uint64_t rows : {1u, 2u, 3u, 7u, 63u, 64u, 65u})
    for (auto policy : {GYR_CACHE_CLOCK, GYR_CACHE_LRU, GYR_CACHE_TINYLFU}) cache_hits(trace, rows, policy);
}

TEST(Eviction, SketchCountsAndForgets) {
  FrequencySketch sketch(std::pmr::get_default_resource(), 1000);
  for (int64_t k = 0; k < 100; k++)
    for (int64_t i = 0; i < k; i++) sketch.add(hash64(k), 1);
  for (int64_t k = 0; k < 100; k++) EXPECT_GE(sketch.count(hash64(k)), uint32_t(k));
  uint64_t over = 0;
  for (int64_t k = 0; k < 100; k++) over += sketch.count(hash64(k)) > uint32_t(k);
  EXPECT_LT(over, 10u);
  sketch.add(hash64(int64_t(1)), 1000);
  EXPECT_EQ(sketch.count(hash64(int64_t(1))), 255u);
  for (int64_t i = 0; i < 10'000; i++) sketch.add(hash64(int64_t(5)), 1);
  sketch.age();
  EXPECT_LE(sketch.count(hash64(int64_t(1))), 128u);
}

}  // namespace
}  // namespace gyr
