#include "base/random.h"
#include "tests/index/fixture.h"

namespace gyr::test {
namespace {

class ExactTest : public testing::TestWithParam<std::tuple<gyr_metric, uint32_t>> {};

// Scores are compared with a tolerance; ids must be right wherever the oracle's scores are apart by more than it.
TEST_P(ExactTest, AgreesWithTheOracle) {
  auto [metric, dim] = GetParam();
  auto index = make_index(make_runtime(1), dim, metric, GYR_INDEX_EXACT);
  const uint64_t n = 700;
  auto data = gaussian(n, dim, 1);
  Model model;
  std::vector<int64_t> ids(n);
  for (uint64_t i = 0; i < n; i++) {
    ids[i] = int64_t(i * 7919 % 1009) - 300;
    model[ids[i]] = {data.begin() + i * dim, data.begin() + (i + 1) * dim};
  }
  ASSERT_TRUE(index->upsert(ids.data(), data.data(), n, nullptr).ok());
  auto queries = gaussian(20, dim, 2);
  for (uint32_t k : {1u, 10u, 699u, 1000u}) {
    auto f = search(*index, {queries.data(), 20, k});
    for (uint64_t q = 0; q < 20; q++) {
      auto want = oracle(model, metric, &queries[q * dim], dim, [](int64_t) { return true; });
      ASSERT_EQ(f.counts[q], std::min<uint64_t>(k, n));
      std::set<int64_t> seen;
      for (uint32_t i = 0; i < k; i++) {
        if (i >= n) {
          EXPECT_EQ(f.ids[q * k + i], -1);
          EXPECT_TRUE(std::isnan(f.scores[q * k + i]));
          continue;
        }
        double tolerance = 1e-4 * (1 + std::abs(want[i].first));
        ASSERT_NEAR(f.scores[q * k + i], want[i].first, tolerance) << "rank " << i;
        int64_t id = f.ids[q * k + i];
        ASSERT_TRUE(seen.insert(id).second);
        ASSERT_NEAR(score(metric, &queries[q * dim], model[id].data(), dim), want[i].first, 2 * tolerance);
      }
    }
  }
}
INSTANTIATE_TEST_SUITE_P(All, ExactTest,
                         testing::Combine(testing::Values(GYR_METRIC_IP, GYR_METRIC_COSINE, GYR_METRIC_L2),
                                          testing::Values(1u, 3u, 64u, 100u)));

TEST(Exact, TiesGoToTheSmallerId) {
  for (gyr_metric metric : {GYR_METRIC_IP, GYR_METRIC_COSINE, GYR_METRIC_L2}) {
    auto index = make_index(make_runtime(1), 3, metric, GYR_INDEX_EXACT);
    std::vector<int64_t> ids;
    std::vector<float> v;
    for (int64_t i = 0; i < 600; i++) {
      ids.push_back(i * 331 % 600 - 100);
      v.insert(v.end(), {1, 2, float(i % 2)});
    }
    ASSERT_TRUE(index->upsert(ids.data(), v.data(), 600, nullptr).ok());
    std::vector<int64_t> equal;
    for (uint64_t i = 0; i < 600; i += 2) equal.push_back(ids[i]);
    std::sort(equal.begin(), equal.end());
    float q[3] = {1, 2, -1};
    auto f = search(*index, {q, 1, 300});
    EXPECT_EQ(f.ids, equal);
  }
}

TEST(Exact, FiltersAndExclusions) {
  const uint32_t dim = 8, n = 3000, k = 20;
  for (gyr_index_kind kind : {GYR_INDEX_EXACT, GYR_INDEX_GRAPH}) {
    auto index = make_index(make_runtime(2), dim, GYR_METRIC_L2, kind);
    auto data = gaussian(n, dim, 3);
    Model model;
    std::vector<int64_t> ids(n), slots(n);
    for (uint32_t i = 0; i < n; i++) model[ids[i] = i * 10] = {data.begin() + i * dim, data.begin() + (i + 1) * dim};
    ASSERT_TRUE(index->upsert(ids.data(), data.data(), n, nullptr).ok());
    index->slots(ids.data(), n, slots.data());
    Random random(4);
    for (double share : {0.9, 0.4, 0.05, 0.002, 0.0}) {
      for (uint64_t bits : {uint64_t(n), uint64_t(n - 77), uint64_t(100)}) {
        std::vector<uint64_t> filter((bits + 63) / 64, 0);
        std::set<int64_t> allowed;
        for (uint32_t i = 0; i < n; i++) {
          if (uint64_t(slots[i]) / 64 >= filter.size() || random.uniform() >= share) continue;
          filter[slots[i] / 64] |= uint64_t(1) << (slots[i] % 64);  // some lie beyond `bits` and must not count
          if (uint64_t(slots[i]) < bits) allowed.insert(ids[i]);
        }
        auto q = gaussian(2, dim, random.next());
        auto near = oracle(model, GYR_METRIC_L2, q.data(), dim, [&](int64_t id) { return allowed.count(id) > 0; });
        std::vector<int64_t> excluded = {-5, 7};  // unknown ids, then the best answers, one of them twice
        for (size_t i = 0; i < std::min<size_t>(near.size(), 30); i++) excluded.push_back(near[i].second);
        excluded.push_back(excluded.back());
        std::vector<int64_t> offsets = {0, int64_t(excluded.size()), int64_t(excluded.size())};
        Index::Query query{q.data(),      2, k, 0, kind == GYR_INDEX_EXACT, filter.data(), bits, excluded.data(),
                           offsets.data()};
        auto f = search(*index, query);
        std::set<int64_t> hidden(excluded.begin(), excluded.end());
        uint64_t left = near.size() - std::min<size_t>(near.size(), 30);
        EXPECT_EQ(f.counts[0], std::min<uint64_t>(k, left));
        EXPECT_EQ(f.counts[1], std::min<uint64_t>(k, near.size()));
        for (uint32_t i = 0; i < 2 * k; i++) {
          if (i % k >= f.counts[i / k]) continue;
          EXPECT_TRUE(allowed.count(f.ids[i]));
          if (i < k) {
            EXPECT_FALSE(hidden.count(f.ids[i]));
          }
          if (i < k && query.exact) {
            EXPECT_NEAR(f.scores[i], near[30 + i].first, 1e-4);
          }
        }
      }
    }
  }
}

TEST(Exact, RefusesBadInputAndChangesNothing) {
  auto runtime = make_runtime(1);
  gyr_index_options bad{};
  EXPECT_EQ(Index::create(runtime, bad).status().code(), GYR_E_OUT_OF_RANGE);
  bad.dim = 4;
  bad.metric = 9;
  EXPECT_EQ(Index::create(runtime, bad).status().code(), GYR_E_INVALID_ARGUMENT);
  bad.metric = GYR_METRIC_COSINE;
  bad.degree = 3;
  EXPECT_EQ(Index::create(runtime, bad).status().code(), GYR_E_OUT_OF_RANGE);

  for (gyr_index_kind kind : {GYR_INDEX_EXACT, GYR_INDEX_GRAPH}) {
    auto index = make_index(runtime, 2, GYR_METRIC_COSINE, kind);
    float good[] = {1, 2, 3, 4};
    int64_t ids[] = {1, 2}, twice[] = {3, 3};
    ASSERT_TRUE(index->upsert(ids, good, 2, nullptr).ok());
    float inf[] = {9, 9, 1, INFINITY}, nan[] = {9, 9, NAN, 1}, zero[] = {9, 9, 0, 0}, huge[] = {9, 9, 3e38f, 0};
    int64_t fresh[] = {1, 4};
    for (float* v : {inf, nan, zero, huge})
      EXPECT_EQ(index->upsert(fresh, v, 2, nullptr).code(), GYR_E_INVALID_ARGUMENT);
    EXPECT_EQ(index->upsert(twice, good, 2, nullptr).code(), GYR_E_INVALID_ARGUMENT);
    gyr_index_info info{};
    index->fill_info(&info);
    EXPECT_EQ(info.count, 2u);
    int64_t out[2];
    float scores[2];
    uint32_t count;
    for (float* v : {inf + 2, nan + 2, zero + 2, huge + 2})
      EXPECT_EQ(index->search({v, 1, 2}, nullptr, nullptr, out, scores, &count).code(), GYR_E_INVALID_ARGUMENT);
    EXPECT_EQ(index->search({good, 1, 0}, nullptr, nullptr, out, scores, &count).code(), GYR_E_OUT_OF_RANGE);
    EXPECT_EQ(index->search({good, 1, 65537}, nullptr, nullptr, out, scores, &count).code(), GYR_E_OUT_OF_RANGE);
    auto f = search(*index, {good, 1, 2});
    EXPECT_EQ(f.ids, (std::vector<int64_t>{1, 2}));
    EXPECT_NEAR(f.scores[0], 1, 1e-6);

    gyr_task cancelled;
    cancelled.cancelled = true;
    EXPECT_EQ(index->upsert(fresh, good, 2, &cancelled).code(), GYR_E_CANCELLED);
    EXPECT_EQ(index->search({good, 1, 2}, nullptr, &cancelled, out, scores, &count).code(), GYR_E_CANCELLED);
  }
}

TEST(Exact, EmptyIndexFindsNothing) {
  for (gyr_index_kind kind : {GYR_INDEX_EXACT, GYR_INDEX_GRAPH}) {
    auto index = make_index(make_runtime(1), 2, GYR_METRIC_IP, kind);
    float q[2] = {1, 1};
    EXPECT_EQ(search(*index, {q, 1, 3}).counts[0], 0u);
  }
}

}  // namespace
}  // namespace gyr::test
