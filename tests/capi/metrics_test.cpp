#include <gtest/gtest.h>
#include <gyr/metrics.h>

#include <cmath>
#include <cstring>

namespace {

TEST(MetricsApi, Ranking) {
  int64_t recommended[] = {1, 2, 3, 4}, relevant[] = {2, 9}, offsets[] = {0, 1, 2};
  gyr_ranking_args args{sizeof args, 2, 2, recommended, nullptr, relevant, offsets};
  gyr_ranking_metrics out{};
  out.struct_size = sizeof out;
  gyr_error err = GYR_ERROR_INIT;
  double recall[2];
  ASSERT_EQ(gyr_metrics_ranking(&args, &out, nullptr, recall, &err), GYR_OK) << err.message;
  EXPECT_EQ(out.hit_rate, 0.5);
  EXPECT_EQ(out.mrr, 0.25);
  EXPECT_EQ(recall[0], 1);
  EXPECT_EQ(recall[1], 0);
  // A caller built against a shorter struct gets only what it has room for.
  unsigned char small[sizeof out];
  std::memset(small, 0xEE, sizeof small);
  uint32_t size = offsetof(gyr_ranking_metrics, recall_capped);
  std::memcpy(small, &size, 4);
  EXPECT_EQ(gyr_metrics_ranking(&args, reinterpret_cast<gyr_ranking_metrics*>(small), nullptr, nullptr, &err), GYR_OK);
  EXPECT_EQ(small[size], 0xEE);
}

TEST(MetricsApi, RefusesNullsAndSizes) {
  gyr_error err = GYR_ERROR_INIT;
  gyr_ranking_args args{};
  gyr_ranking_metrics out{};
  out.struct_size = sizeof out;
  EXPECT_EQ(gyr_metrics_ranking(nullptr, &out, nullptr, nullptr, &err), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(gyr_metrics_ranking(&args, &out, nullptr, nullptr, &err), GYR_E_INVALID_ARGUMENT);
  args.struct_size = sizeof args;
  args.k = 3, args.n = 1;
  EXPECT_EQ(gyr_metrics_ranking(&args, &out, nullptr, nullptr, &err), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(gyr_metrics_ranking(&args, nullptr, nullptr, nullptr, &err), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(gyr_metrics_binary(nullptr, nullptr, 3, nullptr, nullptr, &err), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(gyr_metrics_bootstrap(nullptr, 3, 10, 0.9, 0, nullptr, nullptr, nullptr), GYR_E_INVALID_ARGUMENT);
}

TEST(MetricsApi, BinaryAndBootstrap) {
  float scores[] = {0.9f, 0.2f, 0.2f};
  uint8_t labels[] = {1, 0, 1};
  double auc = 0, loss = 0, low = 0, high = 0;
  ASSERT_EQ(gyr_metrics_binary(scores, labels, 3, &auc, &loss, nullptr), GYR_OK);
  EXPECT_EQ(auc, 0.75);
  EXPECT_NEAR(loss, -(std::log(0.9) + std::log(0.8) + std::log(0.2)) / 3, 1e-6);
  scores[0] = 3;
  EXPECT_EQ(gyr_metrics_binary(scores, labels, 3, &auc, nullptr, nullptr), GYR_OK);
  auc = -1;
  EXPECT_EQ(gyr_metrics_binary(scores, labels, 3, &auc, &loss, nullptr), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(auc, -1);
  double values[] = {1, 2, 3};
  ASSERT_EQ(gyr_metrics_bootstrap(values, 3, 100, 0.9, 1, &low, &high, nullptr), GYR_OK);
  EXPECT_LT(low, 2);
  EXPECT_GT(high, 2);
}

}  // namespace
