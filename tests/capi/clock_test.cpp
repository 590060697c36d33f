// The machine's clock is set back while tables are in use.
#include <gtest/gtest.h>
#include <gyr/gyr.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

namespace {
std::atomic<int64_t> shift_s{0};
}

// Of the whole process: the library's calls come here.
extern "C" int clock_gettime(clockid_t id, struct timespec* t) noexcept {
  int r = int(syscall(SYS_clock_gettime, id, t));
  if (r == 0 && id == CLOCK_REALTIME) t->tv_sec += shift_s;
  return r;
}

namespace {

constexpr const char* kSchema = R"({"name":"t","key":"id","event_time":"ts","ttl_seconds":100,
  "history":{"versions":4},"columns":[{"name":"v","dtype":"int64"}]})";

class ClockStepsBack : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(gyr_runtime_create(nullptr, &runtime_, &err_), GYR_OK);
    ASSERT_EQ(gyr_table_create(runtime_, kSchema, &table_, &err_), GYR_OK) << err_.message;
    timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    start_us_ = int64_t(t.tv_sec) * 1'000'000;
  }
  void TearDown() override {
    shift_s = 0;
    gyr_table_destroy(table_);
    gyr_runtime_destroy(runtime_);
  }
  void upsert(int64_t event_us, int64_t value) {
    const char* name = "v";
    gyr_value v{};
    v.dtype = GYR_DTYPE_INT64, v.i = value;
    ASSERT_EQ(gyr_table_upsert_row(table_, &key_, event_us, &name, &v, 1, nullptr, &err_), GYR_OK) << err_.message;
  }
  uint8_t status(int64_t now_us = 0) {
    int64_t v = 0;
    uint8_t status = 99;
    gyr_table_column c{};
    c.struct_size = sizeof c, c.name = "v", c.dtype = GYR_DTYPE_INT64;
    c.values = &v, c.values_capacity = 1, c.status = &status;
    EXPECT_EQ(gyr_table_get(table_, &key_, now_us, &c, 1, &err_), GYR_OK) << err_.message;
    value_ = v;
    return status;
  }
  uint8_t status_by_plan() {
    gyr_get_column column{};
    column.struct_size = sizeof column, column.name = "v";
    gyr_get_plan* plan = nullptr;
    const gyr_table* tables[] = {table_};
    EXPECT_EQ(gyr_get_plan_create(tables, 1, &column, 1, &plan, &err_), GYR_OK) << err_.message;
    int64_t v = 0;
    uint8_t status = 99;
    gyr_get_destination to{};
    to.struct_size = sizeof to, to.values = &v, to.values_capacity = 1, to.status = &status;
    EXPECT_EQ(gyr_get_plan_run(plan, &key_, 1, 0, &to, 1, &err_), GYR_OK) << err_.message;
    gyr_get_plan_destroy(plan);
    return status;
  }

  gyr_runtime* runtime_ = nullptr;
  gyr_table* table_ = nullptr;
  gyr_error err_ = GYR_ERROR_INIT;
  int64_t id_ = 1, start_us_ = 0, value_ = 0;
  gyr_keys key_{sizeof(gyr_keys), GYR_DTYPE_INT64, 1, &id_, nullptr};
};

TEST_F(ClockStepsBack, WhatHasExpiredStaysExpired) {
  upsert(start_us_, 1);
  EXPECT_EQ(status(), GYR_VALUE_PRESENT);
  shift_s = 1000;
  EXPECT_EQ(status(), GYR_VALUE_EXPIRED);
  shift_s = -1000;
  EXPECT_EQ(status(), GYR_VALUE_EXPIRED);
  EXPECT_EQ(status_by_plan(), GYR_VALUE_EXPIRED);
  EXPECT_EQ(status(start_us_ + 1), GYR_VALUE_PRESENT) << "a time that the host gives is taken as it is";
  shift_s = 2000;
  upsert(start_us_ + 1'990'000'000, 2);  // time goes on from there
  EXPECT_EQ(status(), GYR_VALUE_PRESENT);
}

// Two events of one time: the one that was created last is the row, whatever the clock said between them.
TEST_F(ClockStepsBack, TheLaterOfTwoChangesStaysTheLater) {
  upsert(start_us_, 1);
  shift_s = -1000;
  upsert(start_us_, 2);
  EXPECT_EQ(status(INT64_MAX), GYR_VALUE_PRESENT);
  EXPECT_EQ(value_, 2);
}

}  // namespace
