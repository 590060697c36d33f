#include <atomic>
#include <cstdlib>
#include <new>
#include <thread>

#include "io/container.h"
#include "tests/index/fixture.h"

static std::atomic<uint64_t> g_news{0};
[[gnu::noinline]] void* operator new(size_t n) {
  g_news++;
  if (void* p = std::malloc(n ? n : 1)) return p;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(size_t n, const std::nothrow_t&) noexcept {  // or the sanitizers bring theirs
  g_news++;
  return std::malloc(n ? n : 1);
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, size_t) noexcept { std::free(p); }

namespace gyr::test {
namespace {

constexpr uint64_t kN = kSanitized ? 6000 : 20000;
constexpr uint32_t kDim = 64, kQueries = 100, kK = 10;

struct Case {
  gyr_metric metric;
  double spread;
  gyr_index_kind kind = GYR_INDEX_GRAPH;
};
class RecallTest : public testing::TestWithParam<Case> {};

TEST_P(RecallTest, RecallAtDefaultsWithFiltersAndChurn) {
  auto [metric, spread, kind] = GetParam();
  auto index = make_index(make_runtime(2), kDim, metric, kind);
  auto data = mixture(kN, kDim, 1, spread);
  auto ids = numbers(kN);
  ASSERT_TRUE(index->upsert(ids.data(), data.data(), kN, nullptr).ok());
  auto queries = mixture(kQueries, kDim, 2);
  auto measure = [&](const uint64_t* filter) {
    Index::Query q{queries.data(), kQueries, kK, 0, false, filter, filter ? kN : 0};
    auto got = search(*index, q);
    q.exact = true;
    auto truth = search(*index, q);
    EXPECT_EQ(got.counts, truth.counts);
    for (uint32_t c : got.counts) EXPECT_EQ(c, kK);
    return recall(got, truth, kK);
  };
  double plain = measure(nullptr);
  RecordProperty("recall", std::to_string(plain));
  const double bar = kind == GYR_INDEX_IVF ? 0.92 : 0.95;  // lists keep the centres of what was there first
  EXPECT_GE(plain, 0.95);
  Random random(3);
  for (double share : {0.5, 0.1, 0.01, 0.003}) {
    std::vector<uint64_t> filter((kN + 63) / 64, 0);
    for (uint64_t i = 0; i < kN; i++)
      if (random.uniform() < share) filter[i / 64] |= uint64_t(1) << (i % 64);
    EXPECT_GE(measure(filter.data()), plain - 0.01) << "share " << share;
  }
  // Replace half, delete a quarter.
  auto fresh = mixture(kN / 2, kDim, 4, spread);
  ASSERT_TRUE(index->upsert(ids.data(), fresh.data(), kN / 2, nullptr).ok());
  uint64_t removed;
  ASSERT_TRUE(index->remove(ids.data() + kN / 4, kN / 4, &removed).ok());
  EXPECT_EQ(removed, kN / 4);
  EXPECT_GE(measure(nullptr), bar) << "after deletes";
  // New ids take the slots of deleted ones.
  auto more = numbers(kN / 4, 1000000);
  ASSERT_TRUE(index->upsert(more.data(), fresh.data(), kN / 4, nullptr).ok());
  gyr_index_info info{};
  index->fill_info(&info);
  EXPECT_EQ(info.slots, kN);
  EXPECT_GE(measure(nullptr), bar) << "after reuse";
}
INSTANTIATE_TEST_SUITE_P(OfGraph, RecallTest,
                         testing::Values(Case{GYR_METRIC_L2, 0}, Case{GYR_METRIC_IP, 0}, Case{GYR_METRIC_IP, 0.7},
                                         Case{GYR_METRIC_COSINE, 0.3}));
INSTANTIATE_TEST_SUITE_P(OfLists, RecallTest,
                         testing::Values(Case{GYR_METRIC_L2, 0, GYR_INDEX_IVF}, Case{GYR_METRIC_IP, 0, GYR_INDEX_IVF},
                                         Case{GYR_METRIC_IP, 0.7, GYR_INDEX_IVF},
                                         Case{GYR_METRIC_COSINE, 0.3, GYR_INDEX_IVF}));

// What graphs and lists have in common.
class Approximate : public testing::TestWithParam<gyr_index_kind> {};
struct Groups {
  uint64_t n;
  uint32_t dim;
  uint64_t groups;
  float spread;  // of a group's members; groups lie about 1 from each other in each dimension
  double recall_of_lists = 0.95;
  uint32_t effort = 64;
  double recall = 0.95;
};
// No link to a near neighbour leads out of such a group, 32 or 64 pivots are in few of them, small ones have no hub,
// and what the members of narrow ones differ in is little beside what they have in common.
TEST_P(Approximate, GroupsFarFromEachOtherAreFound) {
  constexpr uint64_t kQueries = 100;
  for (const Groups& g : {Groups{12000, 32, 80, 0.25f}, Groups{6000, 16, 200, 0.05f}, Groups{4000, 32, 20, 0.01f, 0.75},
                          Groups{3000, 384, 8, 0.1f}, Groups{20000, 32, 600, 0.05f, 0.9, 20, 0.97}}) {
    const auto centres = gaussian(g.groups, g.dim, 1);
    const auto near_centres = [&](uint64_t n, uint64_t seed) {
      Random random(seed);
      auto all = gaussian(n, g.dim, seed + 100);
      for (uint64_t i = 0; i < n; i++) {
        const float* centre = centres.data() + random.below(g.groups) * g.dim;
        for (uint32_t d = 0; d < g.dim; d++) all[i * g.dim + d] = centre[d] + g.spread * all[i * g.dim + d];
      }
      return all;
    };
    const auto data = near_centres(g.n, 2), queries = near_centres(kQueries, 3);
    const auto ids = numbers(g.n);
    for (gyr_metric metric : {GYR_METRIC_L2, GYR_METRIC_COSINE, GYR_METRIC_IP}) {
      if (metric == GYR_METRIC_IP && g.spread < 0.1f) continue;  // products of such hardly differ
      for (uint64_t at_once : {g.n, uint64_t(1000)}) {
        if (at_once < g.n && (metric == GYR_METRIC_COSINE || g.n > 12000)) continue;
        auto index = make_index(make_runtime(2), g.dim, metric, GetParam());
        for (uint64_t i = 0; i < g.n; i += at_once)
          ASSERT_TRUE(index->upsert(ids.data() + i, data.data() + i * g.dim, at_once, nullptr).ok());
        Index::Query q{queries.data(), kQueries, 10, g.effort};
        const auto found = search(*index, q);
        q.exact = true;
        const auto truth = search(*index, q);
        uint64_t hits = 0;
        for (uint64_t i = 0; i < kQueries; i++)
          for (uint64_t j = 0; j < 10; j++)
            hits += uint64_t(std::count(&found.ids[i * 10], &found.ids[i * 10] + 10, truth.ids[i * 10 + j]));
        const double recall = double(hits) / (kQueries * 10);
        EXPECT_GE(recall, GetParam() == GYR_INDEX_IVF ? g.recall_of_lists : g.recall)
            << g.groups << " groups of " << g.spread << ", metric " << metric << ", " << at_once << " at once";
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Graph, Approximate, testing::Values(GYR_INDEX_GRAPH));
INSTANTIATE_TEST_SUITE_P(Lists, Approximate, testing::Values(GYR_INDEX_IVF));

TEST_P(Approximate, SameInputSameIndexForAnyThreadsAndThroughAFile) {
  std::vector<uint8_t> first;
  auto data = mixture(3000, 16, 1);
  auto ids = numbers(3000);
  for (uint32_t threads : {1u, 2u}) {
    auto runtime = make_runtime(threads);
    auto index = make_index(runtime, 16, GYR_METRIC_IP, GetParam());
    ASSERT_TRUE(index->upsert(ids.data(), data.data(), 3000, nullptr).ok());
    ASSERT_TRUE(index->remove(ids.data() + 5, 300, nullptr).ok());
    ASSERT_TRUE(index->upsert(ids.data(), data.data() + 160, 100, nullptr).ok());
    ContainerWriter writer;
    ASSERT_TRUE(index->save(&writer, "index").ok());
    auto bytes = writer.serialize();
    ASSERT_TRUE(bytes.ok());
    if (first.empty()) first = *bytes;
    EXPECT_EQ(*bytes, first);
    auto file = Container::parse(*bytes);
    ASSERT_TRUE(file.ok());
    auto loaded = Index::load(runtime, **file, "index");
    ASSERT_TRUE(loaded.ok()) << loaded.status().message();
    // The loaded index goes on exactly as the saved one does.
    for (auto& i : {index, *loaded}) ASSERT_TRUE(i->upsert(ids.data(), data.data() + 320, 200, nullptr).ok());
    ContainerWriter a, b;
    ASSERT_TRUE(index->save(&a, "index").ok() && (*loaded)->save(&b, "index").ok());
    EXPECT_EQ(*a.serialize(), *b.serialize());
  }
}

TEST_P(Approximate, AnEffortBelowKCostsRecallNotResults) {
  const uint64_t n = 8000, nq = 50;
  const uint32_t k = 100;
  auto index = make_index(make_runtime(1), 16, GYR_METRIC_IP, GetParam());
  const auto data = mixture(n, 16, 1, 0.5), queries = mixture(nq, 16, 2);
  const auto ids = numbers(n);
  ASSERT_TRUE(index->upsert(ids.data(), data.data(), n, nullptr).ok());
  for (bool deleted : {false, true}) {
    if (deleted) {
      ASSERT_TRUE(index->remove(ids.data(), n / 4, nullptr).ok());
    }
    const auto truth = search(*index, {queries.data(), nq, k, 0, true});
    double last = 0;
    uint64_t codes = 0;
    for (uint32_t effort : {1u, 20u, 60u}) {
      const uint64_t before = info_of(*index).codes_touched;
      const auto got = search(*index, {queries.data(), nq, k, effort});
      const uint64_t touched = info_of(*index).codes_touched - before;
      for (uint32_t c : got.counts) EXPECT_EQ(c, k) << "effort " << effort;
      const double now = recall(got, truth, k);
      EXPECT_GE(now, last) << "effort " << effort;
      EXPECT_GE(touched, codes) << "effort " << effort;
      last = now, codes = touched;
    }
    EXPECT_GE(last, GetParam() == GYR_INDEX_IVF ? 0.5 : 0.9);  // long vectors lie in small lists
  }
}

// Also those of the last call and the last group: a small effort must find each vector as its own nearest.
TEST_P(Approximate, EveryVectorFindsItself) {
  const uint64_t n = 8000;
  auto index = make_index(make_runtime(2), 16, GYR_METRIC_L2, GetParam());
  auto data = gaussian(n, 16, 1);
  auto ids = numbers(n);
  ASSERT_TRUE(index->upsert(ids.data(), data.data(), n - 100, nullptr).ok());
  ASSERT_TRUE(index->upsert(ids.data() + n - 100, data.data() + (n - 100) * 16, 100, nullptr).ok());
  auto f = search(*index, {data.data(), n, 1});
  uint64_t found = 0, late = 0;
  for (uint64_t i = 0; i < n; i++) {
    found += f.ids[i] == ids[i];
    late += i >= n - 100 && f.ids[i] == ids[i];
  }
  EXPECT_GE(found, n - n / 200);
  EXPECT_GE(late, 99u);
}

// Flips bytes inside the section under a right checksum: loading may succeed or say CORRUPT, never crash.
TEST_P(Approximate, DamagedSectionsAreRefusedOrHarmless) {
  auto runtime = make_runtime(1);
  for (gyr_metric metric : {GYR_METRIC_L2, GYR_METRIC_COSINE, GYR_METRIC_IP}) {
    auto index = make_index(runtime, 4, metric, GetParam());
    auto data = gaussian(100, 4, 1);
    auto ids = numbers(100);
    ASSERT_TRUE(index->upsert(ids.data(), data.data(), 100, nullptr).ok());
    const Damages refused = damage(*index, runtime, 3000);
    EXPECT_GT(refused.at_once, 300);
    EXPECT_GT(refused.by_change, GetParam() == GYR_INDEX_GRAPH ? 300 : -1);  // lists are made of the vectors at once
  }
}

TEST_P(Approximate, RandomOperationsAgreeWithAModel) {
  const uint32_t dim = 5;
  for (gyr_metric metric : {GYR_METRIC_IP, GYR_METRIC_COSINE, GYR_METRIC_L2}) {
    auto index = make_index(make_runtime(2), dim, metric, GetParam());
    auto scratch = index->make_scratch();
    Model model;
    Random random(uint64_t(metric) + 10);
    for (int step = 0; step < 400; step++) {
      std::set<int64_t> chosen;
      for (uint64_t i = random.below(40); i > 0; i--) chosen.insert(int64_t(random.below(3000)));
      std::vector<int64_t> ids(chosen.begin(), chosen.end());
      if (random.below(3) > 0) {
        auto v = gaussian(ids.size() + 1, dim, random.next());
        ASSERT_TRUE(index->upsert(ids.data(), v.data(), ids.size(), nullptr).ok());
        for (size_t i = 0; i < ids.size(); i++) model[ids[i]] = {v.begin() + i * dim, v.begin() + (i + 1) * dim};
      } else {
        uint64_t removed, expected = 0;
        ASSERT_TRUE(index->remove(ids.data(), ids.size(), &removed).ok());
        for (int64_t id : ids) expected += model.erase(id);
        ASSERT_EQ(removed, expected);
      }
      auto q = gaussian(1, dim, random.next());
      bool exact = step % 2;
      auto f = search(*index, {q.data(), 1, 10, 10, exact}, scratch.get());
      auto want = oracle(model, metric, q.data(), dim, [](int64_t) { return true; });
      ASSERT_EQ(f.counts[0], std::min<size_t>(10, model.size()));
      std::set<int64_t> seen;
      for (uint32_t i = 0; i < f.counts[0]; i++) {
        ASSERT_TRUE(model.count(f.ids[i]) && seen.insert(f.ids[i]).second);
        ASSERT_NEAR(f.scores[i], score(metric, q.data(), model[f.ids[i]].data(), dim), 1e-4);
        if (exact) {
          ASSERT_NEAR(f.scores[i], want[i].first, 1e-4);
        }
      }
    }
  }
}

TEST_P(Approximate, SearchWithScratchAllocatesNothing) {
  auto runtime = make_runtime(1);
  auto index = make_index(runtime, 16, GYR_METRIC_IP, GetParam());
  auto data = mixture(5000, 16, 1);
  auto ids = numbers(5000);
  ASSERT_TRUE(index->upsert(ids.data(), data.data(), 5000, nullptr).ok());
  auto scratch = index->make_scratch();
  int64_t out[10], offsets[2] = {0, 3};
  float scores[10];
  uint32_t count;
  std::vector<std::shared_ptr<const Index::Selection>> selections;  // walked, scanned, listed
  for (uint64_t n : {4000, 1000, 70}) selections.push_back(*index->select(std::span(ids).first(n), {}, nullptr));
  auto once = [&](int i) {
    Index::Query q{data.data() + i * 16, 1, 10, 0, i / 10 % 2 == 0, nullptr, 0, ids.data(), offsets};
    if (i % 10 >= 4) q.excluded = q.excluded_offsets = nullptr;
    if (i % 10 >= 4) q.effort = 10;
    if (i % 10 >= 4 && i % 10 < 7) q.selection = selections[size_t(i % 10 - 4)].get();
    q.listed = i % 10 >= 7;
    if (q.listed) q.allowed_ids = std::span(ids).first(i % 10 == 7 ? 4000 : i % 10 == 8 ? 1000 : 70);
    return index->search(q, scratch.get(), nullptr, out, scores, &count).ok();
  };
  for (int i = 0; i < 20; i++) ASSERT_TRUE(once(i));
  gyr_runtime_info before{}, after{};
  runtime->fill_info(&before);
  uint64_t news = g_news;
  bool ok = true;
  for (int i = 0; i < 100; i++) ok &= once(i);
  EXPECT_EQ(g_news, news);
  runtime->fill_info(&after);
  EXPECT_EQ(before.memory_peak, after.memory_peak);
  EXPECT_TRUE(ok);
}

TEST_P(Approximate, ABudgetTooSmallLeavesTheIndexAsItWas) {
  auto runtime = make_runtime(1, 3 << 20);
  auto index = make_index(runtime, 32, GYR_METRIC_L2, GetParam());
  auto data = gaussian(20000, 32, 1);
  auto ids = numbers(20000);
  ASSERT_TRUE(index->upsert(ids.data(), data.data(), 1000, nullptr).ok());
  Status refused = index->upsert(ids.data(), data.data(), 20000, nullptr);
  EXPECT_EQ(refused.code(), GYR_E_RESOURCE_EXHAUSTED);
  EXPECT_NE(std::string(refused.message()).find("memory_budget of 3145728"), std::string::npos) << refused.message();
  gyr_index_info info{};
  index->fill_info(&info);
  EXPECT_EQ(info.count, 1000u);
  EXPECT_EQ(search(*index, {data.data(), 1, 10}).counts[0], 10u);
}

TEST_P(Approximate, SearchesBesideWriters) {
  const uint32_t dim = 16;
  auto index = make_index(make_runtime(2), dim, GYR_METRIC_L2, GetParam());
  auto data = mixture(4000, dim, 1);
  auto ids = numbers(4000);
  ASSERT_TRUE(index->upsert(ids.data(), data.data(), 2500, nullptr).ok());
  std::atomic<bool> done{false};
  std::vector<std::thread> readers;
  for (int t = 0; t < 2; t++)
    readers.emplace_back([&, t] {
      Random random{uint64_t(t)};
      while (!done) {
        auto f = search(*index, {data.data() + random.below(3000) * dim, 3, 5, uint32_t(random.below(2) * 20)});
        for (uint32_t c : f.counts) ASSERT_EQ(c, 5u);
        for (uint32_t q = 0; q < 3; q++)
          ASSERT_EQ(std::set<int64_t>(f.ids.begin() + q * 5, f.ids.begin() + q * 5 + 5).size(), 5u);
      }
    });
  Random random(9);
  for (int round = 0; round < 30; round++) {
    uint64_t first = random.below(3900);
    ASSERT_TRUE(index->upsert(ids.data() + first, data.data() + random.below(3900) * dim, 100, nullptr).ok());
    ASSERT_TRUE(index->remove(ids.data() + random.below(3950), 50, nullptr).ok());
  }
  done = true;
  for (auto& r : readers) r.join();
}

}  // namespace
}  // namespace gyr::test
