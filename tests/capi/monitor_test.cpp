#include <gtest/gtest.h>
#include <gyr/monitor.h>

#include <cerrno>
#include <string>
#include <thread>
#include <vector>

#include "tests/data/arrow_builder.h"

namespace {

using namespace gyr::testing;

ArrowArrayStream ages(int64_t from, int64_t n, bool broken = false) {
  std::vector<int64_t> v;
  for (int64_t i = 0; i < n; i++) v.push_back(from + i % 100);
  return stream(schema("+s", "", {schema("l", "age")}), {array(n, {{}}, {array(n, {{}, bytes(v)})})}, 0,
                broken ? 0 : -1);
}

class MonitorApi : public ::testing::Test {
 protected:
  void SetUp() override {
    live = 0;
    ASSERT_EQ(gyr_runtime_create(nullptr, &runtime, &err), GYR_OK) << err.message;
    const char* json = R"({"features":[{"name":"age","kind":"numeric","bins":5}],"window":50,"min_labels":10,
      "label_delay_seconds":1,"thresholds":{"psi":0.2,"auc":0.6}})";
    ASSERT_EQ(gyr_monitor_create(runtime, json, &monitor, &err), GYR_OK) << err.message;
    gyr_runtime_destroy(runtime);  // the monitor keeps it alive
  }
  void TearDown() override {
    gyr_monitor_destroy(monitor);
    EXPECT_EQ(live, 0);
  }
  std::string report(bool deliver = true) {
    uint64_t size = 0;
    EXPECT_EQ(gyr_monitor_report(monitor, 0, nullptr, 0, &size, &err), GYR_OK);
    std::string text(size, 0);
    if (deliver) {
      EXPECT_EQ(gyr_monitor_report(monitor, 0, text.data(), size, &size, &err), GYR_OK);
    }
    EXPECT_EQ(gyr_monitor_report(monitor, 0, text.data(), 3, &size, &err), GYR_E_RESOURCE_EXHAUSTED);
    return text;
  }
  gyr_runtime* runtime = nullptr;
  gyr_monitor* monitor = nullptr;
  gyr_error err = GYR_ERROR_INIT;
};

TEST_F(MonitorApi, DriftFromBaselineToReport) {
  ArrowArrayStream s = ages(0, 1000);
  auto schema_of = s.get_schema;
  s.get_schema = [](ArrowArrayStream*, ArrowSchema*) {
    ADD_FAILURE() << "the stream was touched";
    return EIO;
  };
  EXPECT_EQ(gyr_monitor_observe(monitor, &s, &err), GYR_E_INVALID_STATE);
  ASSERT_NE(s.release, nullptr);  // still the caller's
  s.get_schema = schema_of;
  s.release(&s);
  s = ages(0, 1000);
  ASSERT_EQ(gyr_monitor_set_baseline(monitor, &s, &err), GYR_OK) << err.message;
  EXPECT_EQ(s.release, nullptr);
  s = ages(0, 200);
  ASSERT_EQ(gyr_monitor_observe(monitor, &s, &err), GYR_OK);
  EXPECT_NE(report().find("\"wanted\":false"), std::string::npos);
  s = ages(60, 200);
  ASSERT_EQ(gyr_monitor_observe(monitor, &s, &err), GYR_OK);
  std::string text = report();
  EXPECT_NE(text.find("\"wanted\":true"), std::string::npos) << text;
  EXPECT_NE(text.find("psi of age"), std::string::npos);
  EXPECT_NE(text.find("\"rows\":200"), std::string::npos) << "the delivered report closed the first window";
  s = ages(0, 10, true);
  EXPECT_EQ(gyr_monitor_observe(monitor, &s, &err), GYR_E_CALLBACK);
  ASSERT_NE(s.release, nullptr);
  s.release(&s);
}

TEST_F(MonitorApi, LowAucTriggersOnce) {
  for (uint64_t i = 0; i < 11; i++) {
    int64_t item = 7;
    float score = i % 2 ? 0.1f : 0.9f;
    ASSERT_EQ(gyr_monitor_served(monitor, i, &item, &score, 1, 0, &err), GYR_OK);
    ASSERT_EQ(gyr_monitor_label(monitor, i, 7, i % 2, 0, &err), GYR_OK);
  }
  EXPECT_NE(report().find("\"auc 0 < 0.6\""), std::string::npos);
  EXPECT_NE(report().find("\"wanted\":false"), std::string::npos);
}

TEST_F(MonitorApi, CountersFromManyThreads) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; t++)
    threads.emplace_back([&] {
      for (uint64_t i = 0; i < 1000; i++) {
        gyr_monitor_count(monitor, "requests", 2, nullptr);
        int64_t item = 1;
        float score = 0.5f;
        gyr_monitor_served(monitor, i, &item, &score, 1, int64_t(i), nullptr);
        gyr_monitor_label(monitor, i, 1, 1, int64_t(i), nullptr);
        uint64_t size;
        if (i % 100 == 0) gyr_monitor_report(monitor, int64_t(i), nullptr, 0, &size, nullptr);
      }
    });
  for (std::thread& t : threads) t.join();
  EXPECT_NE(report().find("\"requests\":8000"), std::string::npos);
  EXPECT_EQ(gyr_monitor_count(monitor, "Bad", 1, &err), GYR_E_INVALID_ARGUMENT);
  for (int i = 0; i < 255; i++)
    ASSERT_EQ(gyr_monitor_count(monitor, ("c" + std::to_string(i)).c_str(), 1, &err), GYR_OK);
  EXPECT_EQ(gyr_monitor_count(monitor, "one_more", 1, &err), GYR_E_RESOURCE_EXHAUSTED);
}

TEST_F(MonitorApi, RefusesNulls) {
  EXPECT_EQ(gyr_monitor_create(nullptr, "{}", &monitor, &err), GYR_E_INVALID_HANDLE);
  EXPECT_EQ(gyr_monitor_set_baseline(monitor, nullptr, &err), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(gyr_monitor_served(monitor, 1, nullptr, nullptr, 2, 0, &err), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(gyr_monitor_count(nullptr, "a", 1, nullptr), GYR_E_INVALID_HANDLE);
  gyr_monitor_destroy(nullptr);
}

}  // namespace
