// History, joins, plans and sweeps at the C boundary: what is refused, and whose the streams are.
#include <gtest/gtest.h>
#include <gyr/gyr.h>

#include <vector>

#include "tests/support/rows.h"

namespace {

using gyr::test::Rows;

constexpr const char* kSchema = R"({"name":"past","key":"id","event_time":"ts","created_time":"known","ttl_seconds":100,
  "history":{"versions":4},"columns":[{"name":"v","dtype":"int32"}]})";

class PastApi : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(gyr_runtime_create(nullptr, &runtime, &err), GYR_OK);
    ASSERT_EQ(gyr_table_create(runtime, kSchema, &table, &err), GYR_OK) << err.message;
    Rows rows;
    rows.ints("id", {1, 1, 2}).ints("ts", {20, 10, 30}).ints("known", {20, 15, 30}).ints("v", {2, 1, 3});
    ArrowArrayStream stream = rows.stream();
    gyr_upsert_stats stats{};
    stats.struct_size = sizeof stats;
    ASSERT_EQ(gyr_table_upsert(table, &stream, &stats, nullptr, &err), GYR_OK) << err.message;
    if (stream.release) stream.release(&stream);
    EXPECT_EQ(stats.applied, 2u);
    EXPECT_EQ(stats.late, 1u);
  }
  void TearDown() override {
    gyr_runtime_destroy(runtime);
    gyr_table_destroy(table);
  }
  gyr_status get_as_of(int64_t time, uint32_t flags, int32_t* v) {
    int64_t id = 1;
    gyr_keys keys{sizeof keys, GYR_DTYPE_INT64, 1, &id, nullptr};
    gyr_table_column c{};
    c.struct_size = sizeof c, c.name = "v", c.dtype = GYR_DTYPE_INT32, c.values = v, c.values_capacity = 1;
    return gyr_table_get_as_of(table, &keys, &time, flags, &c, 1, &err);
  }
  // Joins labels of row 1 at 12; the caller owns *out.
  gyr_status join(const gyr_as_of_options* o, ArrowArrayStream* labels, ArrowArrayStream* out) {
    Rows rows;
    rows.ints("id", {1}).ints("ts", {12}, "tsu:UTC");
    *labels = rows.stream();
    return gyr_table_export_as_of(table, labels, o, out, &err);
  }
  gyr_runtime* runtime = nullptr;
  gyr_table* table = nullptr;
  gyr_error err = GYR_ERROR_INIT;
};

TEST_F(PastApi, FlagsOfReadsAsOfATime) {
  int32_t v = 0;
  ASSERT_EQ(get_as_of(12, 0, &v), GYR_OK) << err.message;
  EXPECT_EQ(v, 0) << "known from 15 on";
  ASSERT_EQ(get_as_of(12, GYR_AS_OF_UNKNOWN_TOO, &v), GYR_OK) << err.message;
  EXPECT_EQ(v, 1);
  EXPECT_EQ(get_as_of(12, 2, &v), GYR_E_INVALID_ARGUMENT);
}

TEST_F(PastApi, AJoinTakesTheLabelsOnlyWhenItSucceeds) {
  ArrowArrayStream labels{}, out{};
  ASSERT_EQ(join(nullptr, &labels, &out), GYR_OK) << err.message;
  EXPECT_EQ(labels.release, nullptr);
  gyr_table_destroy(table);  // the stream keeps it alive
  table = nullptr;
  ArrowArray batch{};
  ASSERT_EQ(out.get_next(&out, &batch), 0);
  ASSERT_EQ(batch.n_children, 3);
  EXPECT_EQ(batch.children[2]->null_count, 1);
  batch.release(&batch);
  ASSERT_EQ(out.get_next(&out, &batch), 0);
  EXPECT_EQ(batch.release, nullptr);
  out.release(&out);
}

TEST_F(PastApi, ARefusedJoinLeavesTheLabels) {
  const char* none[] = {"none"};
  gyr_as_of_options o{};
  o.struct_size = sizeof o;
  auto refused = [&](gyr_status status) {
    ArrowArrayStream labels{}, out{};
    EXPECT_EQ(join(&o, &labels, &out), status) << err.message;
    EXPECT_EQ(out.release, nullptr);
    ASSERT_NE(labels.release, nullptr);
    labels.release(&labels);
  };
  o.columns = none, o.n_columns = 1;
  refused(GYR_E_NOT_FOUND);
  none[0] = nullptr;
  refused(GYR_E_INVALID_ARGUMENT);
  o = {sizeof o, 4, nullptr, nullptr, nullptr, 0, nullptr};
  refused(GYR_E_INVALID_ARGUMENT);
  o = {sizeof o, 0, "other", nullptr, nullptr, 0, nullptr};
  refused(GYR_E_NOT_FOUND);
}

TEST_F(PastApi, Plans) {
  const gyr_table* tables[] = {table};
  gyr_get_column column{};
  column.struct_size = sizeof column, column.name = "v";
  gyr_get_plan* plan = nullptr;
  EXPECT_EQ(gyr_get_plan_create(tables, 0, &column, 1, &plan, &err), GYR_E_INVALID_ARGUMENT);
  column.reserved = 1;
  EXPECT_EQ(gyr_get_plan_create(tables, 1, &column, 1, &plan, &err), GYR_E_OPTIONS_TOO_NEW);
  column.reserved = 0;
  const gyr_table* dead[] = {reinterpret_cast<gyr_table*>(runtime)};
  EXPECT_EQ(gyr_get_plan_create(dead, 1, &column, 1, &plan, &err), GYR_E_INVALID_HANDLE);
  ASSERT_EQ(plan, nullptr);
  ASSERT_EQ(gyr_get_plan_create(tables, 1, &column, 1, &plan, &err), GYR_OK) << err.message;
  int64_t ids[] = {2, 5, 1};
  int32_t v[3] = {};
  uint8_t status[3] = {};
  gyr_keys keys[] = {{sizeof(gyr_keys), GYR_DTYPE_INT64, 3, ids, nullptr}, {}};
  gyr_get_destination to{};
  to.struct_size = sizeof to, to.values = v, to.values_capacity = 3, to.status = status;
  ASSERT_EQ(gyr_get_plan_run(plan, keys, 1, INT64_MAX, &to, 1, &err), GYR_OK) << err.message;
  EXPECT_EQ(std::vector<int32_t>(v, v + 3), (std::vector<int32_t>{3, 0, 2}));
  EXPECT_EQ(status[1], GYR_VALUE_MISSING);
  keys[1] = keys[0];
  EXPECT_EQ(gyr_get_plan_run(plan, keys, 2, INT64_MAX, &to, 1, &err), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(gyr_get_plan_run(plan, keys, 1, INT64_MAX, &to, 0, &err), GYR_E_INVALID_ARGUMENT);
  to.values_capacity = 2;
  EXPECT_EQ(gyr_get_plan_run(plan, keys, 1, INT64_MAX, &to, 1, &err), GYR_E_RESOURCE_EXHAUSTED);
  gyr_get_plan_destroy(plan);
}

TEST_F(PastApi, SweepsAndEstimates) {
  uint64_t cursor = 0, removed = 9, bytes = 0;
  ASSERT_EQ(gyr_table_sweep(table, 0, 100, &cursor, &removed, &err), GYR_OK) << err.message;
  EXPECT_EQ(removed, 0u) << "a history with versions only keeps what it has";
  EXPECT_EQ(cursor, UINT64_MAX);
  ASSERT_EQ(gyr_table_estimate(kSchema, 1000, 0, 4, &bytes, &err), GYR_OK) << err.message;
  EXPECT_GT(bytes, 1000u * 4 * 24);
  EXPECT_EQ(gyr_table_estimate(kSchema, 1000, 0, 5, &bytes, &err), GYR_E_INVALID_ARGUMENT);
  gyr_table_info info{};
  info.struct_size = sizeof info;
  ASSERT_EQ(gyr_table_get_info(table, &info, &err), GYR_OK);
  EXPECT_EQ(info.versions, 3u);
}

}  // namespace
