#include "monitor/monitor.h"

#include <gtest/gtest.h>

#include <numeric>

#include "base/random.h"

namespace gyr {
namespace {

using Counts = std::vector<uint64_t>;

TEST(Drift, ReferenceVectors) {
  Counts half{5, 5}, near{4, 6}, far{2, 8}, left{7, 0}, right{0, 9};
  EXPECT_NEAR(jensen_shannon(half, near), 0.0072992, 1e-7);
  EXPECT_NEAR(jensen_shannon(half, far), 0.0731040, 1e-7);
  EXPECT_NEAR(jensen_shannon(left, right), 1, 1e-12);
  EXPECT_NEAR(population_stability(half, near), 0.0405465, 1e-7);
  EXPECT_NEAR(population_stability(half, far), 0.4158883, 1e-7);
  EXPECT_EQ(population_stability(half, half), 0);
  EXPECT_TRUE(std::isfinite(population_stability(left, right)));
  EXPECT_EQ(jensen_shannon(half, Counts{0, 0}), 0);
}

TEST(Drift, QuantileBinsAreEvenAndNullsApart) {
  FeatureSpec spec{"x", true, 10};
  Column c;
  c.reset(GYR_DTYPE_INT64, false);
  for (int64_t i = 0; i < 1000; i++) c.push_int(i * 7919 % 1000);
  for (int i = 0; i < 5; i++) c.push_null_leaf();
  BaselineBuilder b(spec, std::pmr::get_default_resource());
  b.add(c);
  DriftFeature f(&b);
  ASSERT_EQ(f.bins(), 11u);
  for (int i = 0; i < 10; i++) EXPECT_EQ(f.baseline[size_t(i)], 100u);
  EXPECT_EQ(f.baseline[10], 5u);
  Counts counts(f.bins());
  f.count(c, &counts);
  EXPECT_EQ(counts, f.baseline);
}

TEST(Drift, CategoriesKeepTheTopAndCountTheRest) {
  FeatureSpec spec{"x", false, 2};
  Column c;
  c.reset(GYR_DTYPE_STRING, true);
  for (const char* s : {"b", "a", "c", "c", "d"}) c.push_string(s);
  c.end_list();
  c.push_null_row();
  BaselineBuilder b(spec, std::pmr::get_default_resource());
  b.add(c);
  DriftFeature f(&b);
  EXPECT_EQ(f.baseline, (Counts{2, 1, 2, 1}));  // c, a, other, null
}

LabelOptions small() { return {500, 250, 1000, 100}; }

TEST(Labels, AucTriggersOnlyAboveMinLabels) {
  LabelJoin join(small(), std::pmr::get_default_resource());
  double auc;
  bool fresh;
  for (int i = 0; i < 251; i++) {
    int64_t item = i;
    float score = i % 2 ? 0.1f : 0.9f;
    ASSERT_TRUE(join.served(uint64_t(i), &item, &score, 1, i).ok());
    ASSERT_TRUE(join.label(uint64_t(i), item, i % 2, i).ok());
    ASSERT_TRUE(join.auc(&auc, &fresh).ok());
    EXPECT_EQ(fresh, i == 250) << i;
  }
  EXPECT_EQ(auc, 0);
  EXPECT_NEAR(join.hit_rate(), 125.0 / 251, 1e-12);
}

TEST(Labels, OneClassKeepsTheLastAuc) {
  LabelOptions o{4, 1, 1000, 100};
  LabelJoin join(o, std::pmr::get_default_resource());
  double auc;
  bool fresh;
  auto add = [&](uint64_t id, float score, uint32_t label) {
    int64_t item = 1;
    ASSERT_TRUE(join.served(id, &item, &score, 1, 0).ok());
    ASSERT_TRUE(join.label(id, item, label, 0).ok());
  };
  add(1, 0.9f, 1), add(2, 0.1f, 0);
  ASSERT_TRUE(join.auc(&auc, &fresh).ok());
  EXPECT_TRUE(fresh);
  EXPECT_EQ(auc, 1);
  for (uint64_t i = 3; i < 7; i++) add(i, 0.5f, 0);
  ASSERT_TRUE(join.auc(&auc, &fresh).ok());
  EXPECT_FALSE(fresh);
  EXPECT_EQ(auc, 1);
}

TEST(Labels, DelayLateUnknownRepeatedDropped) {
  LabelJoin join(small(), std::pmr::get_default_resource());
  std::vector<int64_t> items(60);
  std::iota(items.begin(), items.end(), 0);
  std::vector<float> scores(60, 0.5f);
  ASSERT_TRUE(join.served(1, items.data(), scores.data(), 60, 10).ok());
  EXPECT_EQ(join.served(1, items.data(), scores.data(), 1, 10).code(), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(join.served(9, items.data(), scores.data(), 101, 10).code(), GYR_E_INVALID_ARGUMENT);
  EXPECT_TRUE(join.label(1, 5, 1, 1010).ok());  // the last moment
  EXPECT_TRUE(join.label(1, 5, 0, 1010).ok());
  EXPECT_EQ(join.label(1, 99, 1, 1010).code(), GYR_E_NOT_FOUND);
  EXPECT_EQ(join.label(2, 5, 1, 1010).code(), GYR_E_NOT_FOUND);
  EXPECT_EQ(join.label(1, 6, 1, 1011).code(), GYR_E_NOT_FOUND);
  EXPECT_EQ(join.label(1, 6, 2, 1011).code(), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(join.counts().joined, 1u);
  EXPECT_EQ(join.counts().repeated, 1u);
  EXPECT_EQ(join.counts().unknown, 2u);
  EXPECT_EQ(join.counts().late, 1u);
  EXPECT_EQ(join.counts().assumed_negative, 59u);
  EXPECT_EQ(join.samples(), 60u);
  EXPECT_EQ(join.hit_rate(), 1);
  // Three requests of 60 do not fit in 100: the oldest goes, uncounted as a sample.
  for (uint64_t id : {10, 11, 12})
    ASSERT_TRUE(join.served(id, items.data(), scores.data(), 60, int64_t(2000 + id)).ok());
  EXPECT_EQ(join.counts().dropped, 120u);
  EXPECT_EQ(join.pending_items(), 60u);
  EXPECT_EQ(join.samples(), 60u);
  join.close(INT64_MAX);
  EXPECT_EQ(join.pending_items(), 0u);
  join.close(INT64_MIN);
}

// Whatever happens, every served item is accounted for exactly once.
TEST(Labels, ConservesItems) {
  LabelJoin join({50, 10, 300, 40}, std::pmr::get_default_resource());
  Random random(4);
  for (int64_t t = 0; t < 5000; t++) {
    int64_t items[4] = {1, 2, 3, 4};
    float scores[4] = {0.1f, 0.2f, 0.3f, 0.4f};
    uint64_t id = random.below(400);
    if (random.below(2))
      (void)join.served(id, items, scores, random.below(5), t + int64_t(random.below(50)));
    else
      (void)join.label(id, int64_t(random.below(6)), uint32_t(random.below(2)), t);
    // Open items of pending requests are served but in none of the counters.
    const LabelCounts& c = join.counts();
    ASSERT_LE(c.joined + c.assumed_negative + c.dropped, c.served);
    ASSERT_LE(c.served - c.joined - c.assumed_negative - c.dropped, join.pending_items());
    ASSERT_LE(join.pending_items(), 40u);
    ASSERT_LE(join.samples(), 50u);
  }
  join.close(1000000);
  const LabelCounts& c = join.counts();
  EXPECT_EQ(c.joined + c.assumed_negative + c.dropped, c.served);
  EXPECT_GT(c.joined, 50u);
  EXPECT_GT(c.dropped, 0u);
  EXPECT_GT(c.late, 0u);
}

TEST(MonitorOptions, ErrorsNameThePath) {
  auto message = [](const char* json) { return std::string(parse_monitor_options(json).status().message()); };
  EXPECT_EQ(message("{}"), "");
  EXPECT_NE(message(R"({"windw":5})").find("did you mean \"window\""), std::string::npos);
  EXPECT_NE(message(R"({"features":[{"name":"a","kind":"number"}]})").find("features[0].kind"), std::string::npos);
  EXPECT_NE(message(R"({"features":[{"name":"a"}]})").find("features[0].kind"), std::string::npos);
  EXPECT_NE(message(R"({"features":[{"name":"a","kind":"numeric"},{"name":"a","kind":"numeric"}]})").find("twice"),
            std::string::npos);
  EXPECT_NE(message(R"({"window":10,"min_labels":10})").find("min_labels"), std::string::npos);
  EXPECT_NE(message(R"({"thresholds":{"auc":2}})").find("thresholds.auc"), std::string::npos);
}

}  // namespace
}  // namespace gyr
