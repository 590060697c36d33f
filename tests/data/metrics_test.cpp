#include "data/metrics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <vector>

#include "base/random.h"

namespace gyr {
namespace {

// Relevance flags and scores per position, as Merlin Models' tests give them, to ranked ids.
struct Lists {
  uint64_t k;
  std::vector<int64_t> recommended, relevant, offsets{0};
  void add(std::vector<int> labels, std::vector<int> scores) {
    std::vector<int64_t> ids(labels.size());
    std::iota(ids.begin(), ids.end(), 0);
    std::sort(ids.begin(), ids.end(), [&](int64_t a, int64_t b) { return scores[size_t(a)] > scores[size_t(b)]; });
    recommended.insert(recommended.end(), ids.begin(), ids.begin() + int64_t(k));
    for (size_t i = 0; i < labels.size(); i++)
      if (labels[i]) relevant.push_back(int64_t(i));
    offsets.push_back(int64_t(relevant.size()));
  }
  RankingLists view() const {
    return {k, offsets.size() - 1, recommended.data(), nullptr, relevant.data(), offsets.data()};
  }
};

TEST(Ranking, MerlinVectors) {
  Lists lists{4, {}, {}, {0}};
  lists.add({0, 1, 0, 1, 0}, {10, 9, 8, 7, 6});
  lists.add({1, 0, 0, 1, 0}, {1, 4, 3, 2, 5});
  lists.add({0, 0, 0, 0, 1}, {10, 9, 8, 7, 6});
  RankingMetrics m;
  double ndcg[3], recall[3];
  ASSERT_TRUE(ranking_metrics(lists.view(), &m, ndcg, recall).ok());
  EXPECT_DOUBLE_EQ(m.recall_capped, 0.5);
  EXPECT_DOUBLE_EQ(m.recall, 0.5);
  EXPECT_DOUBLE_EQ(m.precision, 0.25);
  EXPECT_NEAR(m.map, 0.2083333, 1e-7);
  EXPECT_DOUBLE_EQ(m.mrr, 0.25);
  EXPECT_NEAR(m.ndcg, 0.3049964, 1e-7);
  EXPECT_NEAR(m.hit_rate, 2.0 / 3, 1e-12);
  EXPECT_NEAR(ndcg[0], 0.6509209, 1e-7);
  EXPECT_NEAR(ndcg[1], 0.2640681, 1e-7);
  EXPECT_EQ(ndcg[2], 0);
  EXPECT_EQ(recall[0], 1);
  EXPECT_EQ(recall[1], 0.5);
}

TEST(Ranking, RecallCappedAndClassicalDiffer) {
  Lists lists{4, {}, {}, {0}};
  lists.add(std::vector<int>(10, 1), {10, 9, 8, 7, 6, 5, 4, 3, 2, 1});
  RankingMetrics m;
  ASSERT_TRUE(ranking_metrics(lists.view(), &m, nullptr, nullptr).ok());
  EXPECT_DOUBLE_EQ(m.recall_capped, 1);
  EXPECT_DOUBLE_EQ(m.recall, 0.4);
  EXPECT_DOUBLE_EQ(m.ndcg, 1);
  EXPECT_DOUBLE_EQ(m.map, 1);
}

TEST(Ranking, AgreesWithTheDefinitions) {
  Random random(1);
  for (int round = 0; round < 300; round++) {
    uint64_t k = 1 + random.below(8), n = 1 + random.below(5);
    std::vector<int64_t> recommended(n * k, -1), relevant, offsets{0};
    std::vector<uint32_t> counts(n);
    RankingMetrics want;
    for (uint64_t i = 0; i < n; i++) {
      std::vector<int64_t> pool(12);
      std::iota(pool.begin(), pool.end(), 100);
      for (size_t j = pool.size(); j > 1; j--) std::swap(pool[j - 1], pool[random.below(j)]);
      counts[i] = uint32_t(random.below(k + 1));
      std::copy_n(pool.begin(), counts[i], recommended.begin() + int64_t(i * k));
      std::set<int64_t> set;
      for (uint64_t j = random.below(10); j > 0; j--) set.insert(int64_t(100 + random.below(12)));
      relevant.insert(relevant.end(), set.rbegin(), set.rend());
      offsets.push_back(int64_t(relevant.size()));
      if (set.empty()) continue;
      double hits = 0, dcg = 0, idcg = 0, ap = 0, rr = 0, cap = double(std::min<uint64_t>(set.size(), k));
      for (uint32_t r = 1; r <= counts[i]; r++) {
        if (!set.count(pool[r - 1])) continue;
        hits++;
        ap += hits / r;
        dcg += 1 / std::log2(r + 1.0);
        if (rr == 0) rr = 1.0 / r;
      }
      for (int r = 1; r <= int(cap); r++) idcg += 1 / std::log2(r + 1.0);
      want.recall += hits / double(set.size()) / double(n);
      want.recall_capped += hits / cap / double(n);
      want.precision += hits / double(k) / double(n);
      want.ndcg += dcg / idcg / double(n);
      want.mrr += rr / double(n);
      want.map += ap / cap / double(n);
      want.hit_rate += (hits > 0) / double(n);
    }
    RankingMetrics got;
    relevant.push_back(0);
    ASSERT_TRUE(ranking_metrics({k, n, recommended.data(), counts.data(), relevant.data(), offsets.data()}, &got,
                                nullptr, nullptr)
                    .ok());
    EXPECT_NEAR(got.recall, want.recall, 1e-12);
    EXPECT_NEAR(got.recall_capped, want.recall_capped, 1e-12);
    EXPECT_NEAR(got.precision, want.precision, 1e-12);
    EXPECT_NEAR(got.ndcg, want.ndcg, 1e-12);
    EXPECT_NEAR(got.mrr, want.mrr, 1e-12);
    EXPECT_NEAR(got.map, want.map, 1e-12);
    EXPECT_NEAR(got.hit_rate, want.hit_rate, 1e-12);
  }
}

TEST(Ranking, RefusesBadListsBeforeWriting) {
  int64_t recommended[] = {1, 2, 3, 3}, relevant[] = {1, 2, 2}, offsets[] = {0, 1, 3}, falling[] = {0, 2, 1};
  uint32_t counts[] = {2, 3};
  double ndcg[2] = {-7, -7};
  RankingMetrics m;
  EXPECT_EQ(ranking_metrics({2, 2, recommended, nullptr, relevant, offsets}, &m, ndcg, nullptr).code(),
            GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(ranking_metrics({2, 2, recommended, counts, relevant, offsets}, &m, ndcg, nullptr).code(),
            GYR_E_OUT_OF_RANGE);
  counts[1] = 1;
  Status s = ranking_metrics({2, 2, recommended, counts, relevant, offsets}, &m, ndcg, nullptr);
  EXPECT_STREQ(s.message(), "list 1: relevant id 2 appears twice");
  EXPECT_EQ(ranking_metrics({2, 2, recommended, counts, relevant, falling}, &m, ndcg, nullptr).code(),
            GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(ranking_metrics({0, 2, recommended, counts, relevant, offsets}, &m, ndcg, nullptr).code(),
            GYR_E_OUT_OF_RANGE);
  EXPECT_EQ(ranking_metrics({2, 0, recommended, counts, relevant, offsets}, &m, ndcg, nullptr).code(),
            GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(ranking_metrics({65536, UINT64_MAX / 8, recommended, counts, relevant, offsets}, &m, ndcg, nullptr).code(),
            GYR_E_OUT_OF_RANGE);
  EXPECT_EQ(ndcg[0], -7);
}

TEST(Binary, AucAgreesWithAllPairs) {
  Random random(2);
  for (int round = 0; round < 300; round++) {
    uint64_t n = 1 + random.below(40);
    std::vector<float> scores(n);
    std::vector<uint8_t> labels(n);
    for (uint64_t i = 0; i < n; i++) {
      scores[i] = float(random.below(10)) / 10 - 0.5f;  // many ties, among them 0.0 and -0.0
      if (scores[i] == 0 && random.below(2)) scores[i] = -0.0f;
      labels[i] = uint8_t(random.below(2));
    }
    double wins = 0, pairs = 0, got;
    for (uint64_t i = 0; i < n; i++)
      for (uint64_t j = 0; j < n; j++)
        if (labels[i] && !labels[j]) pairs++, wins += scores[i] > scores[j] ? 1 : scores[i] == scores[j] ? 0.5 : 0;
    ASSERT_TRUE(area_under_curve(scores.data(), labels.data(), n, &got).ok());
    if (pairs == 0)
      EXPECT_TRUE(std::isnan(got));
    else
      EXPECT_NEAR(got, wins / pairs, 1e-14);
  }
}

TEST(Ranking, NoRelevantItemsAtAll) {
  int64_t recommended[] = {1, 2, 3, 4}, offsets[] = {7, 7, 7};
  RankingLists lists{};
  lists.recommended = recommended;
  lists.k = 2;
  lists.n = 2;
  lists.relevant_offsets = offsets;
  RankingMetrics m;
  ASSERT_TRUE(ranking_metrics(lists, &m, nullptr, nullptr).ok());
  EXPECT_EQ(m.recall + m.ndcg + m.hit_rate, 0);
  offsets[2] = 8;
  EXPECT_STREQ(ranking_metrics(lists, &m, nullptr, nullptr).message(), "relevant is NULL");
}

TEST(Binary, LogLossClipsAndRefuses) {
  float p[] = {0, 1, 0.25f};
  uint8_t y[] = {1, 1, 0};
  double loss;
  ASSERT_TRUE(log_loss(p, y, 3, &loss).ok());
  EXPECT_NEAR(loss, (-std::log(1e-7) - std::log(1 - 1e-7) - std::log(0.75)) / 3, 1e-9);
  p[2] = 1.5f;
  EXPECT_EQ(log_loss(p, y, 3, &loss).code(), GYR_E_INVALID_ARGUMENT);
  p[2] = NAN;
  EXPECT_STREQ(area_under_curve(p, y, 3, &loss).message(), "scores[2] is not finite");
  p[2] = 0;
  y[1] = 2;
  EXPECT_STREQ(area_under_curve(p, y, 3, &loss).message(), "labels[1]: expected 0 or 1, got 2");
  EXPECT_EQ(area_under_curve(p, y, 0, &loss).code(), GYR_E_INVALID_ARGUMENT);
}

TEST(Bootstrap, DeterministicAndCovering) {
  std::vector<double> v(400);
  Random random(3);
  double mean = 0;
  for (double& x : v) x = random.normal(), mean += x / 400;
  double low, high, low2, high2;
  ASSERT_TRUE(bootstrap_mean(v.data(), v.size(), 2000, 0.95, 9, &low, &high).ok());
  ASSERT_TRUE(bootstrap_mean(v.data(), v.size(), 2000, 0.95, 9, &low2, &high2).ok());
  EXPECT_EQ(low, low2);
  EXPECT_EQ(high, high2);
  // The normal theory interval is mean +- 1.96 * 1 / sqrt(400).
  EXPECT_NEAR(low, mean - 0.098, 0.015);
  EXPECT_NEAR(high, mean + 0.098, 0.015);
  ASSERT_TRUE(bootstrap_mean(v.data(), v.size(), 2000, 0.95, 10, &low2, &high2).ok());
  EXPECT_NE(low, low2);
  double one = 5;
  ASSERT_TRUE(bootstrap_mean(&one, 1, 1, 0.5, 0, &low, &high).ok());
  EXPECT_EQ(low, 5);
  EXPECT_EQ(bootstrap_mean(&one, 1, 0, 0.5, 0, &low, &high).code(), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(bootstrap_mean(&one, 1, 1, 1, 0, &low, &high).code(), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(bootstrap_mean(&one, 1, 1, NAN, 0, &low, &high).code(), GYR_E_INVALID_ARGUMENT);
}

}  // namespace
}  // namespace gyr
