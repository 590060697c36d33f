// Searches that may return some vectors only: what they return, how much of it they find, and what deletes do to
// filters that were prepared before them.
#include <atomic>
#include <thread>

#include "tests/index/fixture.h"

namespace gyr::test {
namespace {

constexpr uint64_t kN = kSanitized ? 6000 : 12000;
constexpr uint32_t kDim = 32, kQueries = 200, kK = 5, kEffort = 12;

std::shared_ptr<const Index::Selection> select(const Index& index, Index::IdSpan ids, const Index::Test& test = {}) {
  auto s = index.select(ids, test, nullptr);
  EXPECT_TRUE(s.ok()) << s.status().message();
  return *s;
}

gyr_index_filter_info info_of(const Index& index, const Index::Selection& s) {
  gyr_index_filter_info info{};
  index.fill_filter_info(s, &info);
  return info;
}

std::vector<uint64_t> bitmap_of(const std::vector<int64_t>& slots) {
  std::vector<uint64_t> words((kN + 63) / 64);
  for (int64_t s : slots) words[size_t(s) / 64] |= uint64_t(1) << (s % 64);
  return words;
}

struct Case {
  gyr_metric metric;
  double spread;
};
class FilterTest : public testing::TestWithParam<Case> {};

// Filters of every size, chosen at random and by what they have to do with the queries.
std::vector<std::pair<std::string, std::vector<int64_t>>> filters(const std::vector<float>& data,
                                                                  const std::vector<float>& queries) {
  std::vector<float> mean(kDim, 0);
  for (size_t i = 0; i < queries.size(); i++) mean[i % kDim] += queries[i];
  auto by = [&](auto&& value) {
    std::vector<std::pair<double, int64_t>> order;
    for (uint64_t i = 0; i < kN; i++) order.push_back({value(data.data() + i * kDim), int64_t(i)});
    std::sort(order.begin(), order.end());
    std::vector<int64_t> ids;
    for (auto& [unused, id] : order) ids.push_back(id);
    return ids;
  };
  Random random(7);
  const std::vector<std::pair<std::string, std::vector<int64_t>>> orders = {
      {"random", by([&](const float*) { return random.uniform(); })},
      {"far", by([&](const float* x) { return score(GYR_METRIC_IP, x, mean.data(), kDim); })},
      {"near", by([&](const float* x) { return -score(GYR_METRIC_IP, x, mean.data(), kDim); })},
      {"short", by([&](const float* x) { return score(GYR_METRIC_IP, x, x, kDim); })},
      {"long", by([&](const float* x) { return -score(GYR_METRIC_IP, x, x, kDim); })},
      {"around one", by([&](const float* x) { return -score(GYR_METRIC_L2, x, data.data(), kDim); })}};
  std::vector<std::pair<std::string, std::vector<int64_t>>> out;
  for (double share : {0.5, 0.3, 0.1, 0.01, 0.001})
    for (auto& [name, ids] : orders) {
      std::vector<int64_t> few(ids.begin(), ids.begin() + int64_t(share * double(kN)));
      out.push_back({name + " " + std::to_string(share), few});
    }
  return out;
}

TEST_P(FilterTest, FindsNoLessThanWithoutOne) {
  auto [metric, spread] = GetParam();
  auto index = make_index(make_runtime(2), kDim, metric, GYR_INDEX_GRAPH);
  auto data = mixture(kN, kDim, 1, spread), queries = mixture(kQueries, kDim, 2);
  auto ids = numbers(kN);
  ASSERT_TRUE(index->upsert(ids.data(), data.data(), kN, nullptr).ok());
  Index::Query plain{queries.data(), kQueries, kK, kEffort}, exact{queries.data(), kQueries, kK, 0, true};
  const double unfiltered = recall(search(*index, plain), search(*index, exact), kK);
  RecordProperty("unfiltered", std::to_string(unfiltered));
  std::vector<int64_t> slots(kN);
  index->slots(ids.data(), kN, slots.data());
  for (auto& [name, allowed] : filters(data, queries)) {
    auto selection = select(*index, allowed);
    ASSERT_EQ(info_of(*index, *selection).count, allowed.size());
    std::vector<int64_t> at;
    for (int64_t id : allowed) at.push_back(slots[size_t(id)]);
    const auto words = bitmap_of(at);
    std::vector<Index::Query> ways(4, plain);  // they are one filter
    ways[0].selection = selection.get();
    ways[1].filter = words.data(), ways[1].filter_bits = kN;
    ways[2].listed = true, ways[2].allowed_ids = allowed;
    ways[3] = ways[2];
    std::vector<int64_t> offsets(kQueries + 1), repeated;
    if (allowed.size() <= kN / 100) {
      for (uint32_t q = 0; q < kQueries; q++) {
        repeated.insert(repeated.end(), allowed.begin(), allowed.end());
        offsets[q + 1] = int64_t(repeated.size());
      }
      ways[3].allowed_ids = repeated, ways[3].allowed_offsets = offsets.data();
    }
    Index::Query truth = exact;
    truth.selection = selection.get();
    const auto want = search(*index, truth);
    const std::set<int64_t> legal(allowed.begin(), allowed.end());
    for (size_t w = 0; w < ways.size(); w++) {
      const auto got = search(*index, ways[w]);
      ASSERT_EQ(got.counts, want.counts) << name;
      EXPECT_EQ(got.counts[0], std::min<uint64_t>(kK, allowed.size())) << name;
      for (uint32_t i = 0; i < kQueries * kK; i++)
        if (i % kK < got.counts[i / kK]) {
          ASSERT_TRUE(legal.count(got.ids[i])) << name;
        }
      EXPECT_GE(recall(got, want, kK), unfiltered - 0.04) << name << ", way " << w;
      EXPECT_EQ(got.ids, search(*index, ways[0]).ids) << name << ", way " << w;
    }
  }
}
INSTANTIATE_TEST_SUITE_P(All, FilterTest,
                         testing::Values(Case{GYR_METRIC_L2, 0.3}, Case{GYR_METRIC_IP, 0.5},
                                         Case{GYR_METRIC_COSINE, 0.3}));

// A query's own answers are what it may not have.
TEST(Filter, AFilterThatLeavesOutTheBestFindsTheNextBest) {
  auto index = make_index(make_runtime(2), kDim, GYR_METRIC_IP, GYR_INDEX_GRAPH);
  auto data = mixture(kN, kDim, 1, 0.5), queries = mixture(20, kDim, 2);
  auto ids = numbers(kN);
  ASSERT_TRUE(index->upsert(ids.data(), data.data(), kN, nullptr).ok());
  constexpr uint32_t kMany = 1000;
  const auto best = search(*index, {queries.data(), 20, kMany, 0, true});
  uint64_t right = 0;
  for (uint64_t q = 0; q < 20; q++) {
    std::set<int64_t> hidden(best.ids.begin() + int64_t(q * kMany), best.ids.begin() + int64_t((q + 1) * kMany));
    auto selection = select(*index, std::nullopt, [&](std::span<const int64_t> some, uint8_t* keep) {
      for (size_t i = 0; i < some.size(); i++) keep[i] = !hidden.count(some[i]);
      return Status();
    });
    ASSERT_EQ(info_of(*index, *selection).count, kN - kMany);
    Index::Query query{queries.data() + q * kDim, 1, kK, kEffort};
    query.selection = selection.get();
    const auto got = search(*index, query);
    query.exact = true;
    const auto want = search(*index, query);
    for (uint32_t i = 0; i < kK; i++) {
      ASSERT_FALSE(hidden.count(got.ids[i]));
      right += std::count(want.ids.begin(), want.ids.end(), got.ids[i]);
    }
  }
  EXPECT_GE(right, 20 * kK * 85 / 100);
}

TEST(Filter, ASlotThatAnotherIdTookLetsNothingThrough) {
  for (gyr_index_kind kind : {GYR_INDEX_EXACT, GYR_INDEX_GRAPH}) {
    auto index = make_index(make_runtime(1), 4, GYR_METRIC_L2, kind);
    auto data = gaussian(400, 4, 1);
    auto ids = numbers(400);
    ASSERT_TRUE(index->upsert(ids.data(), data.data(), 400, nullptr).ok());
    const std::vector<int64_t> allowed = {3, 5, 7, 9, 999};
    auto selection = select(*index, allowed);
    EXPECT_EQ(info_of(*index, *selection).changes, 0u);
    EXPECT_EQ(info_of(*index, *selection).count, 4u);
    Index::Query query{data.data(), 1, 10};
    query.selection = selection.get();
    auto found = [&] {
      auto f = search(*index, query);
      std::set<int64_t> set(f.ids.begin(), f.ids.begin() + f.counts[0]);
      return set;
    };
    EXPECT_EQ(found(), (std::set<int64_t>{3, 5, 7, 9}));
    const int64_t gone[] = {5, 9, 11}, fresh[] = {999, 1000, 1001};
    ASSERT_TRUE(index->remove(gone, 3, nullptr).ok());
    EXPECT_EQ(found(), (std::set<int64_t>{3, 7}));
    ASSERT_TRUE(index->upsert(fresh, data.data(), 3, nullptr).ok());  // into the freed slots
    EXPECT_EQ(found(), (std::set<int64_t>{3, 7}));
    EXPECT_EQ(info_of(*index, *selection).count, 2u);
    EXPECT_EQ(info_of(*index, *selection).changes, 6u);
    ASSERT_TRUE(index->upsert(ids.data() + 3, data.data() + 100, 1, nullptr).ok());  // an id's new vector: no change
    EXPECT_EQ(info_of(*index, *selection).changes, 6u);
    selection = select(*index, allowed);
    query.selection = selection.get();
    EXPECT_EQ(found(), (std::set<int64_t>{3, 7, 999}));
  }
}

TEST(Filter, AllFiltersHoldTogether) {
  auto runtime = make_runtime(1);
  auto index = make_index(runtime, 4, GYR_METRIC_L2, GYR_INDEX_GRAPH);
  auto data = gaussian(3000, 4, 1);
  auto ids = numbers(3000);
  ASSERT_TRUE(index->upsert(ids.data(), data.data(), 3000, nullptr).ok());
  auto every = [&](int64_t n) {
    std::vector<int64_t> some;
    for (int64_t i = 0; i < 3000; i += n) some.push_back(i);
    return some;
  };
  auto twos = select(*index, every(2));
  const auto threes = every(3), fives = every(5);
  std::vector<int64_t> slots(fives.size());
  index->slots(fives.data(), fives.size(), slots.data());
  const auto bits = bitmap_of(slots);
  const int64_t excluded[] = {0, 30}, excluded_offsets[] = {0, 2};
  for (bool exact : {false, true})
    for (bool each : {false, true}) {
      Index::Query q{data.data(), 1, 200, 0, exact, bits.data(), 3000, excluded, excluded_offsets};
      const int64_t offsets[] = {0, int64_t(threes.size())};
      q.selection = twos.get();
      q.listed = true;
      q.allowed_ids = threes;
      if (each) q.allowed_offsets = offsets;
      auto f = search(*index, q);
      EXPECT_EQ(f.counts[0], 98u);
      for (uint32_t i = 0; i < f.counts[0]; i++) EXPECT_TRUE(f.ids[i] % 30 == 0 && f.ids[i] > 30) << f.ids[i];
      q.allowed_ids = {};
      const int64_t none[] = {0, 0};
      if (each) q.allowed_offsets = none;
      EXPECT_EQ(search(*index, q).counts[0], 0u);
    }
  auto other = make_index(make_runtime(1), 4, GYR_METRIC_L2, GYR_INDEX_GRAPH);
  Index::Query q{data.data(), 1, 1};
  q.selection = twos.get();
  int64_t id;
  float s;
  uint32_t count;
  EXPECT_EQ(other->search(q, nullptr, nullptr, &id, &s, &count).code(), GYR_E_INVALID_ARGUMENT);
  index.reset();  // a selection may outlive its index, but not its runtime
  twos.reset();
}

// Searches, refreshes and writers at once: an id that was never allowed must not come.
TEST(Filter, HoldsBesideWriters) {
  const uint32_t dim = 8;
  auto index = make_index(make_runtime(2), dim, GYR_METRIC_L2, GYR_INDEX_GRAPH);
  auto data = mixture(4000, dim, 1);
  auto ids = numbers(4000);
  ASSERT_TRUE(index->upsert(ids.data(), data.data(), 2000, nullptr).ok());
  auto even = [](std::span<const int64_t> some, uint8_t* keep) {
    for (size_t i = 0; i < some.size(); i++) keep[i] = some[i] % 2 == 0;
    return Status();
  };
  std::atomic<bool> done{false};
  std::vector<std::thread> readers;
  for (int t = 0; t < 2; t++)
    readers.emplace_back([&, t] {
      Random random{uint64_t(t)};
      while (!done) {
        auto selection = select(*index, std::nullopt, even);
        for (int round = 0; round < 5; round++) {
          Index::Query q{data.data() + random.below(3000) * dim, 5, 10, uint32_t(random.below(2) * 12)};
          q.selection = selection.get();
          auto f = search(*index, q);
          for (uint32_t i = 0; i < 50; i++)
            if (i % 10 < f.counts[i / 10]) {
              ASSERT_EQ(f.ids[i] % 2, 0);
            }
        }
      }
    });
  Random random(9);
  for (int round = 0; round < 40; round++) {
    const uint64_t gone = random.below(3900), first = random.below(3900);
    ASSERT_TRUE(index->remove(ids.data() + gone, 60, nullptr).ok());
    ASSERT_TRUE(index->upsert(ids.data() + first, data.data() + first * dim, 60, nullptr).ok());
  }
  done = true;
  for (auto& r : readers) r.join();
}

TEST(Filter, SelectingHonoursItsTaskAndItsTest) {
  auto index = make_index(make_runtime(1), 2, GYR_METRIC_L2, GYR_INDEX_GRAPH);
  auto data = gaussian(100, 2, 1);
  auto ids = numbers(100);
  ASSERT_TRUE(index->upsert(ids.data(), data.data(), 100, nullptr).ok());
  gyr_task task;
  ASSERT_TRUE(index->select(std::nullopt, {}, &task).ok());
  EXPECT_EQ(task.done, 100u);
  EXPECT_EQ(task.total, 100u);
  task.cancelled = true;
  EXPECT_EQ(index->select(std::nullopt, {}, &task).status().code(), GYR_E_CANCELLED);
  auto refuse = [](std::span<const int64_t>, uint8_t*) { return fail(GYR_E_INVALID_STATE, "test", "no"); };
  EXPECT_EQ(index->select(std::nullopt, refuse, nullptr).status().code(), GYR_E_INVALID_STATE);
}

}  // namespace
}  // namespace gyr::test
