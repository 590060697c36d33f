// Measured recall and the tuned effort, against what a search finds.
#include "io/container.h"
#include "tests/index/fixture.h"

namespace gyr::test {
namespace {

constexpr uint64_t kN = kSanitized ? 5000 : 10000;
constexpr uint32_t kDim = 24, kQueries = 200, kK = 10;

std::shared_ptr<Index> filled(gyr_metric metric, gyr_index_kind kind, uint64_t n = kN) {
  auto index = make_index(make_runtime(2), kDim, metric, kind);
  auto data = gaussian(n, kDim, 1);  // hard: small efforts miss much
  std::vector<int64_t> ids(n);
  for (uint64_t i = 0; i < n; i++) ids[i] = int64_t(i) * 3;
  EXPECT_TRUE(index->upsert(ids.data(), data.data(), n, nullptr).ok());
  return index;
}

Index::Point measure(const Index& index, const Index::Trial& trial, uint32_t effort) {
  Index::Point p{};
  Status s = index.evaluate(trial, {&effort, 1}, nullptr, &p);
  EXPECT_TRUE(s.ok()) << s.message();
  return p;
}

TEST(Evaluate, SaysTheRecallOfSearches) {
  for (gyr_metric metric : {GYR_METRIC_IP, GYR_METRIC_COSINE, GYR_METRIC_L2}) {
    auto index = filled(metric, GYR_INDEX_GRAPH);
    auto queries = gaussian(kQueries, kDim, 2);
    const auto truth = search(*index, {queries.data(), kQueries, kK, 0, true});
    const uint32_t efforts[] = {10, 20, 40, 0};
    Index::Point points[4];
    ASSERT_TRUE(index->evaluate({kK, queries.data(), kQueries}, efforts, nullptr, points).ok());
    for (int i = 0; i < 4; i++) {
      const double want = recall(search(*index, {queries.data(), kQueries, kK, efforts[i]}), truth, kK);
      EXPECT_NEAR(points[i].recall, want, 1e-9);
      EXPECT_EQ(points[i].effort, efforts[i] ? efforts[i] : 64);
      EXPECT_GE(points[i].codes, points[i].effort);
      EXPECT_GE(points[i].rows, kK + 2);  // and those that codes leave in doubt
      EXPECT_LE(points[i].rows, 20);
      EXPECT_DOUBLE_EQ(points[i].bytes,
                       points[i].codes * (64 + (metric == GYR_METRIC_IP ? 1 : 12)) + points[i].rows * kDim * 4);
      if (i > 0) {
        EXPECT_GT(points[i].codes, points[i - 1].codes);
      }
    }
    EXPECT_LT(points[0].recall, 0.95);
    EXPECT_GT(points[3].recall, points[0].recall);
  }
}

TEST(Evaluate, OwnVectorsAreSearchedWithoutThemselves) {
  auto index = filled(GYR_METRIC_L2, GYR_INDEX_GRAPH);
  const auto data = gaussian(kN, kDim, 1);
  std::vector<float> queries;
  for (uint64_t i = 0; i < kN; i += kN / 500) queries.insert(queries.end(), &data[i * kDim], &data[i * kDim] + kDim);
  auto truth = search(*index, {queries.data(), 500, 2, 0, true}), got = search(*index, {queries.data(), 500, 2, 6});
  uint64_t hits = 0;
  for (uint64_t q = 0; q < 500; q++) {
    EXPECT_EQ(truth.ids[q * 2], int64_t(q * (kN / 500)) * 3);
    hits += std::count(got.ids.begin() + int64_t(q * 2), got.ids.begin() + int64_t(q * 2 + 2), truth.ids[q * 2 + 1]);
  }
  const auto own = measure(*index, {1, nullptr, 500}, 6);
  EXPECT_NEAR(own.recall, double(hits) / 500, 0.02);
  EXPECT_EQ(measure(*index, {1, nullptr, 0}, 6).effort, 6u);
  EXPECT_EQ(measure(*filled(GYR_METRIC_L2, GYR_INDEX_GRAPH, 2), {5, nullptr, 0}, 6).recall, 1);
}

TEST(Evaluate, HoldsAnswersUnderAFilterAgainstThoseOfTheFilter) {
  auto index = filled(GYR_METRIC_L2, GYR_INDEX_GRAPH);
  std::vector<int64_t> few = {3, 30, 300, 3000};
  auto selection = *index->select(few, {}, nullptr);
  auto queries = gaussian(50, kDim, 2);
  EXPECT_EQ(measure(*index, {kK, queries.data(), 50, selection.get()}, 10).recall, 1);
  EXPECT_EQ(measure(*index, {kK, nullptr, 0, selection.get()}, 10).recall, 1);
}

TEST(Evaluate, SaysWhatItCannotDo) {
  auto empty = make_index(make_runtime(1), kDim, GYR_METRIC_L2, GYR_INDEX_GRAPH);
  Index::Point p{};
  const uint32_t effort = 10;
  EXPECT_EQ(empty->evaluate({kK, nullptr, 0}, {&effort, 1}, nullptr, &p).code(), GYR_E_INVALID_STATE);
  auto one = filled(GYR_METRIC_L2, GYR_INDEX_GRAPH, 1);
  EXPECT_EQ(one->evaluate({kK, nullptr, 0}, {&effort, 1}, nullptr, &p).code(), GYR_E_INVALID_STATE);
  auto index = filled(GYR_METRIC_L2, GYR_INDEX_GRAPH);
  std::vector<float> nan(kDim, NAN);
  EXPECT_EQ(index->evaluate({kK, nan.data(), 1}, {&effort, 1}, nullptr, &p).code(), GYR_E_INVALID_ARGUMENT);
  gyr_task task;
  ASSERT_TRUE(index->evaluate({kK, nullptr, 100}, {&effort, 1}, &task, &p).ok());
  EXPECT_EQ(task.done, task.total);
  task.cancelled = true;
  EXPECT_EQ(index->evaluate({kK, nullptr, 0}, {&effort, 1}, &task, &p).code(), GYR_E_CANCELLED);
  EXPECT_EQ(index->tune({kK, nullptr, 0}, 0.9, true, &task, &p).code(), GYR_E_CANCELLED);
}

TEST(Tune, FindsAboutTheSmallestEffortAndKeepsIt) {
  auto index = filled(GYR_METRIC_IP, GYR_INDEX_GRAPH);
  auto queries = gaussian(kQueries, kDim, 2);
  const Index::Trial trial{kK, queries.data(), kQueries};
  gyr_index_info info{};
  Index::Point p{};
  for (double wanted : {0.5, 0.9, 0.97}) {
    ASSERT_TRUE(index->tune(trial, wanted, false, nullptr, &p).ok());
    EXPECT_GE(p.recall, wanted);
    EXPECT_EQ(measure(*index, trial, p.effort).recall, p.recall);
    if (p.effort > kK) {
      EXPECT_LT(measure(*index, trial, std::max(kK, p.effort * 4 / 5 - 1)).recall, wanted);
    }
    index->fill_info(&info);
    EXPECT_EQ(info.tuned_effort, 0u) << "only said";
  }
  ASSERT_TRUE(index->tune(trial, 0.9, true, nullptr, &p).ok());
  index->fill_info(&info);
  EXPECT_EQ(info.tuned_effort, p.effort);
  EXPECT_EQ(info.tuned_k, kK);
  const auto same = [&](const Index& i, uint32_t k, uint32_t effort) {
    EXPECT_EQ(search(i, {queries.data(), kQueries, k}).ids, search(i, {queries.data(), kQueries, k, effort}).ids);
  };
  same(*index, kK, p.effort);
  same(*index, 1, p.effort);
  same(*index, 50, p.effort * 70 / 30);
  ContainerWriter writer;
  ASSERT_TRUE(index->save(&writer, "index").ok());
  auto file = Container::parse(*writer.serialize());
  auto loaded = Index::load(make_runtime(1), **file, "index");
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  (*loaded)->fill_info(&info);
  EXPECT_EQ(info.tuned_effort, p.effort);
  same(**loaded, kK, p.effort);
  // A file says no more than searches can take.
  auto bytes = *(*file)->read("index", "IDX2");
  for (uint64_t bad : {uint64_t(9), uint64_t(10) << 32, uint64_t(70000) << 32 | 80000, uint64_t(1) << 32 | 1u << 21}) {
    std::memcpy(bytes.data() + 32, &bad, 8);  // behind the options
    ContainerWriter w;
    ASSERT_TRUE(w.add("index", "IDX2", bytes).ok());
    auto damaged = Container::parse(*w.serialize());
    EXPECT_EQ(Index::load(make_runtime(1), **damaged, "index").status().code(), GYR_E_CORRUPT) << bad;
  }
}

// Of vectors that differ in less than their codes tell, those under a filter are found by looking at more of them.
TEST(Tune, EveryRecallHasItsEffort) {
  auto index = make_index(make_runtime(2), 4, GYR_METRIC_L2, GYR_INDEX_GRAPH);
  const uint64_t n = 6000;
  auto data = gaussian(n, 4, 1);
  for (uint64_t i = 0; i < n; i++) {
    data[i * 4] = i % 2 ? 1000.0f : -1000.0f;
    for (int d = 1; d < 4; d++) data[i * 4 + d] *= 0.1f;
  }
  std::vector<int64_t> ids(n);
  for (uint64_t i = 0; i < n; i++) ids[i] = int64_t(i);
  ASSERT_TRUE(index->upsert(ids.data(), data.data(), n, nullptr).ok());
  auto selection = *index->select(ids, {}, nullptr);
  const Index::Trial trial{kK, nullptr, 50, selection.get()};
  EXPECT_LT(measure(*index, trial, 20).recall, 0.9);
  Index::Point p{};
  ASSERT_TRUE(index->tune(trial, 1, true, nullptr, &p).ok());
  EXPECT_EQ(p.recall, 1);
  EXPECT_GT(p.effort, 40u);
  auto exact = filled(GYR_METRIC_L2, GYR_INDEX_EXACT);
  ASSERT_TRUE(exact->tune({kK, nullptr, 50}, 1, false, nullptr, &p).ok());
  EXPECT_EQ(p.effort, 1u) << "no matter which";
  EXPECT_EQ(p.recall, 1);
}

}  // namespace
}  // namespace gyr::test
