#include "cache/cache.h"
#include "tests/support/knobs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <thread>

#include "base/random.h"
#include "exec/memory.h"

namespace gyr {
namespace {

std::shared_ptr<Runtime> runtime(uint64_t budget = 0) {
  gyr_runtime_options o{};
  o.struct_size = sizeof o;
  o.threads = 1;
  o.memory_budget = budget;
  return *Runtime::create(o);
}
gyr_cache_options options(gyr_cache_keys keys, uint32_t dim, const float* default_row = nullptr) {
  gyr_cache_options o{};
  o.struct_size = sizeof o;
  o.dim = dim;
  o.keys = keys;
  o.capacity = 500;
  o.miss = default_row ? GYR_CACHE_MISS_DEFAULT : GYR_CACHE_MISS_ZERO;
  o.default_row = default_row;
  return o;
}

class CacheModes : public ::testing::TestWithParam<gyr_cache_keys> {};
INSTANTIATE_TEST_SUITE_P(All, CacheModes, ::testing::Values(GYR_CACHE_HASHED, GYR_CACHE_DENSE));

// Random puts and removes against a map; gather and pooling against double sums.
TEST_P(CacheModes, FollowsAModel) {
  constexpr uint32_t kDim = 5;
  const std::vector<float> default_row{1, 2, 3, 4, 5};
  for (bool with_default : {false, true}) {
    auto cache = *Cache::create(runtime(), options(GetParam(), kDim, with_default ? default_row.data() : nullptr));
    std::map<int64_t, std::vector<float>> model;
    Random random{11};
    for (int step = 0; step < 3000; step++) {
      int64_t key = int64_t(random.below(500));
      if (random.below(3) == 0) {
        uint64_t removed = 9;
        ASSERT_TRUE(cache->remove(&key, 1, &removed).ok());
        EXPECT_EQ(removed, model.erase(key));
        continue;
      }
      std::vector<float> row(kDim);
      for (float& v : row) v = float(random.normal());
      ASSERT_TRUE(cache->put(&key, row.data(), 1).ok());
      model[key] = row;
    }
    std::vector<int64_t> keys;
    for (int i = 0; i < 2000; i++) keys.push_back(int64_t(random.below(520)) - 10);  // some never valid
    auto expected = [&](int64_t key) {
      return model.count(key) ? model[key] : with_default ? default_row : std::vector<float>(kDim, 0);
    };
    std::vector<float> out(keys.size() * kDim, NAN);
    std::vector<uint8_t> status(keys.size(), 99);
    ASSERT_TRUE(cache->get(keys.data(), keys.size(), out.data(), status.data()).ok());
    for (size_t i = 0; i < keys.size(); i++) {
      EXPECT_EQ(std::vector<float>(&out[i * kDim], &out[i * kDim] + kDim), expected(keys[i]));
      EXPECT_EQ(status[i], model.count(keys[i]) ? GYR_VALUE_PRESENT
                           : with_default       ? GYR_VALUE_DEFAULT
                                                : GYR_VALUE_MISSING);
    }
    std::vector<int64_t> offsets{0, 0, 1, 3, 700, 700, 2000};  // empty, short and longer than a group
    for (gyr_pooling pooling : {GYR_POOLING_SUM, GYR_POOLING_MEAN}) {
      std::vector<float> pooled((offsets.size() - 1) * kDim, NAN);
      ASSERT_TRUE(
          cache->pool(keys.data(), nullptr, offsets.data(), offsets.size() - 1, pooling, pooled.data(), status.data())
              .ok());
      for (size_t b = 0; b + 1 < offsets.size(); b++) {
        std::vector<double> sum(kDim, 0);
        double n = 0;
        for (int64_t i = offsets[b]; i < offsets[b + 1]; i++) {
          n += with_default || model.count(keys[size_t(i)]);
          for (uint32_t d = 0; d < kDim; d++) sum[d] += expected(keys[size_t(i)])[d];
        }
        for (uint32_t d = 0; d < kDim; d++) {
          double want = pooling == GYR_POOLING_MEAN && n > 0 ? sum[d] / n : sum[d];
          EXPECT_NEAR(pooled[b * kDim + d], want, 1e-4 + 1e-5 * std::abs(want));
        }
      }
    }
    gyr_cache_info info{};
    cache->fill_info(&info);
    EXPECT_EQ(info.rows, model.size());
    EXPECT_EQ(info.hits + info.misses, keys.size() * 3);
    ContainerWriter writer;
    ASSERT_TRUE(cache->save(&writer, "c").ok());
    auto file = *Container::parse(*writer.serialize());
    auto loaded = Cache::load(runtime(), *file, "c");
    ASSERT_TRUE(loaded.ok()) << loaded.status().message();
    std::vector<float> again(out.size());
    ASSERT_TRUE((*loaded)->get(keys.data(), keys.size(), again.data(), nullptr).ok());
    EXPECT_EQ(again, out);
    auto payload = *file->read("c", "CCH1");
    for (int k = 0; k < 300; k++) {
      auto bad = payload;
      if (k % 2)
        bad.resize(random.below(bad.size()));
      else
        bad[random.below(24)] ^= uint8_t(1u << random.below(8));
      ContainerWriter w;
      ASSERT_TRUE(w.add("c", "CCH1", bad).ok());
      // A small budget: a lying capacity must not take the machine's memory.
      try {
        auto r = Cache::load(runtime(1 << 20), **Container::parse(*w.serialize()), "c");
        if (!r.ok())
          EXPECT_EQ(r.status().code(), GYR_E_CORRUPT);
        else
          EXPECT_EQ(k % 2, 0);
      } catch (const BudgetExceeded&) {
      }
    }
  }
}

// Rows of every type: what comes out is what was put in, within the type's rounding, and it is the same from get(),
// from bags of one, from a saved file, and in weighted sums of many.
TEST_P(CacheModes, KeepsRowsInEveryType) {
  struct {
    gyr_cache_rows rows;
    double relative, of_range;  // largest error
  } const cases[] = {{GYR_CACHE_FLOAT32, 0, 0},
                     {GYR_CACHE_FLOAT16, 1.0 / 2048, 1e-7},
                     {GYR_CACHE_BFLOAT16, 1.0 / 256, 0},
                     {GYR_CACHE_INT8, 1e-6, 0.51 / 255}};
  for (auto& c : cases) {
    for (uint32_t dim : {1u, 3u, 16u, 64u, 67u}) {
      std::vector<float> default_row(dim, 0.25f);
      auto o = options(GetParam(), dim, default_row.data());
      o.rows = c.rows;
      auto cache = *Cache::create(runtime(), o);
      constexpr size_t kRows = 100;
      Random random{dim};
      std::vector<int64_t> keys(kRows + 1);  // the last one is missing
      std::vector<float> rows(kRows * dim), out((kRows + 1) * dim), bags(out), weights(kRows + 1);
      std::vector<int64_t> offsets(kRows + 2);
      for (size_t i = 0; i <= kRows; i++) keys[i] = int64_t(i), offsets[i + 1] = int64_t(i) + 1;
      for (float& v : rows) v = float(random.normal());
      for (float& v : weights) v = float(random.normal());
      for (uint32_t d = 0; d < dim; d++) rows[d] = 7.5f;  // a constant row is exact in every type
      ASSERT_TRUE(cache->put(keys.data(), rows.data(), kRows).ok());
      ASSERT_TRUE(cache->get(keys.data(), kRows + 1, out.data(), nullptr).ok());
      for (size_t i = 0; i < kRows; i++) {
        auto [low, high] = std::minmax_element(&rows[i * dim], &rows[i * dim] + dim);
        for (uint32_t d = 0; d < dim; d++)
          EXPECT_NEAR(out[i * dim + d], rows[i * dim + d],
                      std::abs(rows[i * dim + d]) * c.relative + double(*high - *low) * c.of_range);
      }
      EXPECT_EQ(out[0], 7.5f);
      EXPECT_EQ(out[kRows * dim], 0.25f);
      ASSERT_TRUE(
          cache->pool(keys.data(), nullptr, offsets.data(), kRows + 1, GYR_POOLING_MEAN, bags.data(), nullptr).ok());
      for (size_t i = 0; i < bags.size(); i++) EXPECT_NEAR(bags[i], out[i], 1e-6 + std::abs(out[i]) * 1e-6);
      const int64_t one[] = {0, int64_t(kRows) + 1};
      std::vector<float> sum(dim);
      ASSERT_TRUE(cache->pool(keys.data(), weights.data(), one, 1, GYR_POOLING_MEAN, sum.data(), nullptr).ok());
      double divisor = 0;
      for (float w : weights) divisor += double(w);
      for (uint32_t d = 0; d < dim; d++) {
        double want = 0, absolute = 0;
        for (size_t i = 0; i <= kRows; i++)
          want += double(weights[i]) * out[i * dim + d], absolute += std::abs(double(weights[i]) * out[i * dim + d]);
        EXPECT_NEAR(sum[d], want / divisor, 1e-5 * absolute / std::abs(divisor));
      }
      ContainerWriter writer;
      ASSERT_TRUE(cache->save(&writer, "c").ok());
      auto loaded = Cache::load(runtime(), **Container::parse(*writer.serialize()), "c");
      ASSERT_TRUE(loaded.ok()) << loaded.status().message();
      std::vector<float> again(out.size());
      ASSERT_TRUE((*loaded)->get(keys.data(), kRows + 1, again.data(), nullptr).ok());
      EXPECT_EQ(again, out);
    }
  }
  auto o = options(GetParam(), 1);
  o.rows = GYR_CACHE_FLOAT16;
  const int64_t key = 1;
  const float large = 65520;
  EXPECT_EQ((*Cache::create(runtime(), o))->put(&key, &large, 1).code(), GYR_E_INVALID_ARGUMENT);
  o.rows = 4;
  EXPECT_EQ(Cache::create(runtime(), o).status().code(), GYR_E_INVALID_ARGUMENT);
}

TEST_P(CacheModes, RefusesBeforeInserting) {
  auto cache = *Cache::create(runtime(), options(GetParam(), 2));
  int64_t keys[] = {1, 2};
  for (float bad : {NAN, INFINITY, -INFINITY}) {
    float rows[] = {1, 2, 3, bad};
    EXPECT_EQ(cache->put(keys, rows, 2).code(), GYR_E_INVALID_ARGUMENT);
  }
  float rows[] = {1, 2, 3, 4};
  int64_t outside[] = {1, 500};
  if (GetParam() == GYR_CACHE_DENSE) {
    EXPECT_EQ(cache->put(outside, rows, 2).code(), GYR_E_OUT_OF_RANGE);
    outside[1] = -1;
    EXPECT_EQ(cache->remove(outside, 2, nullptr).code(), GYR_E_OUT_OF_RANGE);
  }
  gyr_cache_info info{};
  cache->fill_info(&info);
  EXPECT_EQ(info.rows, 0u);
  float out[4];
  int64_t offsets[] = {0, 2, 1};
  EXPECT_EQ(cache->pool(keys, nullptr, offsets, 2, GYR_POOLING_SUM, out, nullptr).code(), GYR_E_INVALID_ARGUMENT);
  int64_t late[] = {1, 2};
  EXPECT_EQ(cache->pool(keys, nullptr, late, 1, GYR_POOLING_SUM, out, nullptr).code(), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(cache->pool(keys, nullptr, offsets, 1, 7, out, nullptr).code(), GYR_E_INVALID_ARGUMENT);
}

TEST_P(CacheModes, BudgetLeavesItConsistent) {
  if (GetParam() == GYR_CACHE_DENSE) GYR_SKIP_UNDER("GYR_TEST_CAPACITY");  // places that leave no room for an index
  auto cache = *Cache::create(runtime(200'000), options(GetParam(), 256));
  std::vector<float> row(256);
  int64_t key = 0;
  EXPECT_THROW(
      for (; key < 500; key++) {
        std::fill(row.begin(), row.end(), float(key));
        (void)cache->put(&key, row.data(), 1);
      },
      BudgetExceeded);
  for (int64_t round = 0; round < 3; round++)  // replacing needs room for one row at a time
    for (int64_t k = 0; k + 2 < key; k++) {
      uint64_t removed;
      int64_t last = key - 1;
      ASSERT_TRUE(cache->remove(&last, 1, &removed).ok());
      std::fill(row.begin(), row.end(), float(k + 1));
      ASSERT_TRUE(cache->put(&k, row.data(), 1).ok());
    }
  int64_t probe[] = {0, key - 3};
  std::vector<float> out(512);
  ASSERT_TRUE(cache->get(probe, 2, out.data(), nullptr).ok());
  EXPECT_EQ(out[0], 1.0f);
  EXPECT_EQ(out[511], float(key - 2));
}

TEST_P(CacheModes, ReadersSeeWholeRowsUnderWriters) {
  constexpr uint32_t kDim = 16;
  auto cache = *Cache::create(runtime(), options(GetParam(), kDim));
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> torn{0};
  auto reader = [&] {
    std::vector<int64_t> keys(500);
    for (size_t i = 0; i < keys.size(); i++) keys[i] = int64_t(i);
    std::vector<float> out(500 * kDim);
    while (!stop) {
      torn += !cache->get(keys.data(), keys.size(), out.data(), nullptr).ok();
      for (size_t i = 0; i < out.size(); i++) torn += out[i] != out[i / kDim * kDim];
    }
  };
  auto writer = [&](uint64_t seed) {
    Random random{seed};
    for (int step = 0; step < 10000; step++) {
      int64_t key = int64_t(random.below(500));
      std::vector<float> row(kDim, float(step));
      Status s = step % 5 == 0 ? cache->remove(&key, 1, nullptr) : cache->put(&key, row.data(), 1);
      torn += !s.ok();
      if (step % 1000 == 0) {
        ContainerWriter file;
        torn += !cache->save(&file, "c").ok();
      }
    }
  };
  std::thread a(reader), b(reader), c(writer, 5), d(writer, 6);
  c.join(), d.join();
  stop = true;
  a.join(), b.join();
  EXPECT_EQ(torn, 0u);
  gyr_cache_info info{};
  cache->fill_info(&info);
  std::vector<uint8_t> status(500);
  std::vector<int64_t> keys(500);
  for (size_t i = 0; i < keys.size(); i++) keys[i] = int64_t(i);
  std::vector<float> out(500 * kDim);
  ASSERT_TRUE(cache->get(keys.data(), keys.size(), out.data(), status.data()).ok());
  EXPECT_EQ(info.rows, uint64_t(std::count(status.begin(), status.end(), uint8_t(GYR_VALUE_PRESENT))));
}

// A file of a few bytes must not make the loader claim memory for a huge array of pointers.
TEST(Cache, SparseDenseFiles) {
  auto o = options(GYR_CACHE_DENSE, 1);
  o.capacity = (uint64_t(1) << 24) + 1;
  auto cache = *Cache::create(runtime(), o);
  int64_t key = 0;
  float row = 1;
  ASSERT_TRUE(cache->put(&key, &row, 1).ok());
  ContainerWriter writer;
  EXPECT_EQ(cache->save(&writer, "c").code(), GYR_E_INVALID_STATE);

  o.capacity = 1000;
  cache = *Cache::create(runtime(), o);
  ASSERT_TRUE(cache->put(&key, &row, 1).ok());
  ASSERT_TRUE(cache->save(&writer, "c").ok());
  auto payload = *(*Container::parse(*writer.serialize()))->read("c", "CCH1");
  for (uint64_t capacity : {(uint64_t(1) << 24) + 1, uint64_t(1) << 36}) {
    std::memcpy(payload.data() + 16, &capacity, sizeof capacity);
    ContainerWriter w;
    ASSERT_TRUE(w.add("c", "CCH1", payload).ok());
    auto r = Cache::load(runtime(), **Container::parse(*w.serialize()), "c");
    EXPECT_EQ(r.status().code(), GYR_E_CORRUPT);
  }
}

// As far apart as floats go: what went in comes out within a step, from memory and from a file.
TEST(Cache, RowsOfTheLargestFloatsInInt8) {
  constexpr float kMost = std::numeric_limits<float>::max();
  const std::vector<std::vector<float>> extremes = {{kMost, -kMost, 1, 0},
                                                    {-kMost, -kMost, kMost, kMost},
                                                    {kMost, 0, kMost, 1},
                                                    {0, 0, -kMost, 5},
                                                    {kMost, kMost, kMost, kMost},
                                                    {-kMost, -kMost, -kMost, -kMost},
                                                    {kMost, kMost * 0.999f, kMost, kMost * 0.9f},
                                                    {-kMost * 0.993f, kMost, 0, 0}};
  gyr_cache_options o{};
  o.struct_size = sizeof o;
  o.dim = 4;
  o.rows = GYR_CACHE_INT8;
  auto cache = *Cache::create(runtime(), o);
  std::vector<int64_t> keys;
  std::vector<float> rows;
  auto add = [&](const std::vector<float>& row) {
    keys.push_back(int64_t(keys.size()));
    rows.insert(rows.end(), row.begin(), row.end());
  };
  for (auto& row : extremes) add(row);
  Random random{5};
  for (int i = 0; i < 2000; i++) {
    std::vector<float> row(4);
    for (float& v : row) v = (random.below(2) ? kMost : -kMost) * (1 - float(random.below(1000)) / 50'000);
    add(row);
  }
  ASSERT_TRUE(cache->put(keys.data(), rows.data(), keys.size()).ok());
  ContainerWriter file;
  ASSERT_TRUE(cache->save(&file, "cache").ok());
  auto loaded = Cache::load(runtime(), **Container::parse(*file.serialize()), "cache");
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  for (auto& c : {cache, *loaded}) {
    std::vector<float> out(rows.size());
    ASSERT_TRUE(c->get(keys.data(), keys.size(), out.data(), nullptr).ok());
    for (size_t i = 0; i < keys.size(); i++) {
      auto [low, high] = std::minmax_element(&rows[i * 4], &rows[i * 4] + 4);
      double step = (double(*high) - double(*low)) / 255;
      for (size_t d = i * 4; d < i * 4 + 4; d++) {
        ASSERT_TRUE(std::isfinite(out[d])) << "row " << i;
        EXPECT_LE(std::abs(double(out[d]) - double(rows[d])), step * 1.01) << "row " << i;
      }
    }
  }
}

TEST(Cache, RefusesBadOptions) {
  auto code = [](auto change) {
    auto o = options(GYR_CACHE_DENSE, 4);
    change(&o);
    return Cache::create(runtime(), o).status().code();
  };
  EXPECT_EQ(code([](auto* o) { o->dim = 0; }), GYR_E_OUT_OF_RANGE);
  EXPECT_EQ(code([](auto* o) { o->dim = 65537; }), GYR_E_OUT_OF_RANGE);
  EXPECT_EQ(code([](auto* o) { o->keys = 2; }), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(code([](auto* o) { o->miss = 2; }), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(code([](auto* o) { o->miss = GYR_CACHE_MISS_DEFAULT; }), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(code([](auto* o) { o->capacity = 0; }), GYR_E_OUT_OF_RANGE);
  EXPECT_EQ(code([](auto* o) { o->capacity = UINT64_MAX; }), GYR_E_OUT_OF_RANGE);
}

}  // namespace
}  // namespace gyr
