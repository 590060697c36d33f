#include <gtest/gtest.h>
#include <gyr/gyr.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "tests/support/knobs.h"

namespace {

constexpr const char* kSchema = R"({"name":"users","key":"id","event_time":"ts","ttl_seconds":10,"columns":[
  {"name":"age","dtype":"float32"},{"name":"n","dtype":"int16"},{"name":"name","dtype":"string"},
  {"name":"genres","dtype":"string","list":true},{"name":"seen","dtype":"int64","list":true}]})";

class TableApi : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(gyr_runtime_create(nullptr, &runtime, &err), GYR_OK);
    ASSERT_EQ(gyr_table_create(runtime, kSchema, &table, &err), GYR_OK) << err.message;
  }
  void TearDown() override {
    gyr_runtime_destroy(runtime);  // any order
    gyr_table_destroy(table);
  }
  gyr_keys keys(const std::vector<int64_t>& ids) {
    gyr_keys k{};
    k.struct_size = sizeof k;
    k.dtype = GYR_DTYPE_INT64;
    k.count = ids.size();
    k.ints = ids.data();
    return k;
  }
  gyr_status put(int64_t id, int64_t ts, double age, int64_t n, const char* name, uint32_t* applied = nullptr) {
    const char* names[] = {"age", "n", "name", "genres"};
    gyr_str genres[] = {{name, std::strlen(name)}, {"drama", 5}};
    gyr_value v[4]{};
    v[0].dtype = GYR_DTYPE_FLOAT64, v[0].f = age;
    v[1].dtype = GYR_DTYPE_INT64, v[1].i = n;
    v[2].dtype = GYR_DTYPE_STRING, v[2].s = {name, std::strlen(name)};
    v[3].dtype = GYR_DTYPE_STRING, v[3].is_list = 1, v[3].list = genres, v[3].count = 2;
    std::vector<int64_t> ids{id};
    gyr_keys k = keys(ids);
    return gyr_table_upsert_row(table, &k, ts, names, v, 4, applied, &err);
  }
  gyr_table_column column(const char* name, gyr_dtype dtype, void* values, uint64_t capacity, uint8_t* status) {
    gyr_table_column c{};
    c.struct_size = sizeof c;
    c.dtype = dtype;
    c.name = name;
    c.values = values;
    c.values_capacity = capacity;
    c.status = status;
    return c;
  }
  gyr_runtime* runtime = nullptr;
  gyr_table* table = nullptr;
  gyr_error err = GYR_ERROR_INIT;
};

TEST_F(TableApi, ReadsIntoCallerMemory) {
  uint32_t applied = 9;
  ASSERT_EQ(put(1, 100, 30.5, 7, "ann", &applied), GYR_OK) << err.message;
  EXPECT_EQ(applied, 1u);
  ASSERT_EQ(put(1, 99, 1, 1, "old", &applied), GYR_OK);
  EXPECT_EQ(applied, 0u);
  ASSERT_EQ(put(2, 100, 40, -3, "bo"), GYR_OK);
  std::vector<int64_t> ids{2, 77, 1};
  gyr_keys k = keys(ids);
  double age[3];
  int32_t n[3];
  gyr_str name[3], genres[4];
  char heap[5], genre_heap[15];
  int64_t offsets[4], seen_offsets[4];
  uint8_t status[5][3];
  gyr_table_column c[] = {
      column("age", GYR_DTYPE_FLOAT64, age, 3, status[0]), column("n", GYR_DTYPE_INT32, n, 3, status[1]),
      column("name", GYR_DTYPE_STRING, name, 3, status[2]), column("genres", GYR_DTYPE_STRING, genres, 4, status[3]),
      column("seen", GYR_DTYPE_INT64, nullptr, 0, status[4])};
  c[2].heap = heap, c[2].heap_capacity = sizeof heap;
  c[3].heap = genre_heap, c[3].heap_capacity = sizeof genre_heap, c[3].offsets = offsets;
  c[4].offsets = seen_offsets;
  ASSERT_EQ(gyr_table_get(table, &k, INT64_MAX, c, 5, &err), GYR_OK) << err.message;
  EXPECT_EQ(age[0], 40);
  EXPECT_EQ(age[1], 0);
  EXPECT_EQ(age[2], 30.5);
  EXPECT_EQ(n[0], -3);
  EXPECT_EQ(std::string(name[2].data, name[2].len), "ann");
  EXPECT_EQ(name[1].len, 0u);
  EXPECT_EQ(std::string(genres[0].data, genres[0].len), "bo");
  EXPECT_EQ(std::string(genres[3].data, genres[3].len), "drama");
  EXPECT_EQ(std::vector<int64_t>(offsets, offsets + 4), (std::vector<int64_t>{0, 2, 2, 4}));
  EXPECT_EQ(std::vector<int64_t>(seen_offsets, seen_offsets + 4), (std::vector<int64_t>{0, 0, 0, 0}));
  EXPECT_EQ(status[0][1], GYR_VALUE_MISSING);
  EXPECT_EQ(status[3][2], GYR_VALUE_PRESENT);
  EXPECT_EQ(status[4][0], GYR_VALUE_NULL);
  // Too small by one: the message says what is needed and nothing is touched.
  c[3].heap_capacity--;
  age[0] = -1;
  status[0][0] = 99;
  EXPECT_EQ(gyr_table_get(table, &k, INT64_MAX, c, 5, &err), GYR_E_RESOURCE_EXHAUSTED);
  EXPECT_TRUE(std::strstr(err.message, "15 bytes")) << err.message;
  EXPECT_EQ(age[0], -1);
  EXPECT_EQ(status[0][0], 99);
  c[3].heap_capacity++;
  c[3].values_capacity = 3;
  EXPECT_EQ(gyr_table_get(table, &k, INT64_MAX, c, 5, &err), GYR_E_RESOURCE_EXHAUSTED);
  EXPECT_EQ(age[0], -1);
}

TEST_F(TableApi, RefusesBadCalls) {
  ASSERT_EQ(put(1, 100, 30, 7, "ann"), GYR_OK);
  std::vector<int64_t> ids{1};
  gyr_keys k = keys(ids);
  int8_t narrow;
  float f;
  auto get = [&](gyr_table_column c) { return gyr_table_get(table, &k, INT64_MAX, &c, 1, &err); };
  EXPECT_EQ(get(column("n", GYR_DTYPE_INT8, &narrow, 1, nullptr)), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(get(column("n", GYR_DTYPE_UINT64, &narrow, 1, nullptr)), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(get(column("n", GYR_DTYPE_STRING, &narrow, 1, nullptr)), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(get(column("n", 99, &narrow, 1, nullptr)), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(get(column("n", GYR_DTYPE_FLOAT32, &f, 1, nullptr)), GYR_OK);
  EXPECT_EQ(f, 7);
  EXPECT_EQ(get(column("n", GYR_DTYPE_FLOAT32, nullptr, 1, nullptr)), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(get(column("nope", GYR_DTYPE_FLOAT32, &f, 1, nullptr)), GYR_E_NOT_FOUND);
  EXPECT_EQ(get(column(nullptr, GYR_DTYPE_FLOAT32, &f, 1, nullptr)), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(get(column("seen", GYR_DTYPE_INT64, ids.data(), 1, nullptr)), GYR_E_INVALID_ARGUMENT);  // no offsets
  auto bad = column("n", GYR_DTYPE_FLOAT32, &f, 1, nullptr);
  bad.struct_size = 1;
  EXPECT_EQ(get(bad), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(gyr_table_get(table, &k, 0, nullptr, 1, &err), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(gyr_table_get(table, nullptr, 0, nullptr, 0, &err), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(gyr_table_get(nullptr, &k, 0, nullptr, 0, &err), GYR_E_INVALID_HANDLE);
  EXPECT_EQ(gyr_table_get(reinterpret_cast<gyr_table*>(runtime), &k, 0, nullptr, 0, &err), GYR_E_INVALID_HANDLE);
  k.dtype = GYR_DTYPE_STRING;
  EXPECT_EQ(gyr_table_delete(table, &k, nullptr, &err), GYR_E_INVALID_ARGUMENT);
  k.dtype = GYR_DTYPE_INT64;
  k.ints = nullptr;
  EXPECT_EQ(gyr_table_delete(table, &k, nullptr, &err), GYR_E_INVALID_ARGUMENT);
  const char* name = "nope";
  gyr_value v{};
  k = keys(ids);
  EXPECT_EQ(gyr_table_upsert_row(table, &k, 1, &name, &v, 1, nullptr, &err), GYR_E_NOT_FOUND);
  gyr_table* t = nullptr;
  EXPECT_EQ(gyr_table_create(runtime, "{", &t, &err), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(gyr_table_open(runtime, "/no/such/file", &t, &err), GYR_E_NOT_FOUND);
  EXPECT_EQ(t, nullptr);
}

TEST_F(TableApi, ExportUpsertSaveOpen) {
  GYR_SKIP_UNDER("GYR_TEST_HASH");  // too many keys for one chain
  for (int64_t i = 0; i < 20000; i++) ASSERT_EQ(put(i, 100 + i, double(i % 90), i % 1000, "x"), GYR_OK);
  ArrowArrayStream stream{};
  ASSERT_EQ(gyr_table_export(table, &stream, &err), GYR_OK) << err.message;
  gyr_table* copy = nullptr;
  ASSERT_EQ(gyr_table_create(runtime, kSchema, &copy, &err), GYR_OK);
  gyr_upsert_stats stats{};
  stats.struct_size = sizeof stats;
  ASSERT_EQ(gyr_table_upsert(copy, &stream, &stats, nullptr, &err), GYR_OK) << err.message;
  if (stream.release) stream.release(&stream);
  EXPECT_EQ(stats.rows, 20000u);
  EXPECT_EQ(stats.applied, 20000u);
  std::string path = ::testing::TempDir() + "gyr_table_test.gyr";
  ASSERT_EQ(gyr_table_save(copy, path.c_str(), &err), GYR_OK) << err.message;
  gyr_table* opened = nullptr;
  ASSERT_EQ(gyr_table_open(runtime, path.c_str(), &opened, &err), GYR_OK) << err.message;
  std::remove(path.c_str());
  gyr_table_info info{};
  info.struct_size = sizeof info;
  ASSERT_EQ(gyr_table_get_info(opened, &info, &err), GYR_OK);
  EXPECT_EQ(info.rows, 20000u);
  EXPECT_EQ(info.columns, 5u);
  uint64_t deleted = 0;
  std::vector<int64_t> ids{5, 6, 30000};
  gyr_keys k = keys(ids);
  ASSERT_EQ(gyr_table_delete(opened, &k, &deleted, &err), GYR_OK);
  EXPECT_EQ(deleted, 2u);
  gyr_table_destroy(copy);
  gyr_table_destroy(opened);
}

TEST_F(TableApi, FailedStreamStaysWithTheCaller) {
  gyr_table* other = nullptr;
  ASSERT_EQ(gyr_table_create(runtime, R"({"name":"o","key":"other","columns":[]})", &other, &err), GYR_OK);
  ASSERT_EQ(put(1, 100, 30, 7, "ann"), GYR_OK);
  ArrowArrayStream stream{};
  ASSERT_EQ(gyr_table_export(table, &stream, &err), GYR_OK);
  gyr_upsert_stats stats{};
  stats.struct_size = sizeof stats;
  EXPECT_EQ(gyr_table_upsert(other, &stream, &stats, nullptr, &err), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(stats.applied, 0u);
  ASSERT_NE(stream.release, nullptr);
  stream.release(&stream);
  gyr_task* task = nullptr;
  ASSERT_EQ(gyr_task_create(&task, &err), GYR_OK);
  gyr_task_cancel(task);
  ASSERT_EQ(gyr_table_export(table, &stream, &err), GYR_OK);
  EXPECT_EQ(gyr_table_upsert(table, &stream, &stats, task, &err), GYR_E_CANCELLED);
  if (stream.release) stream.release(&stream);
  gyr_task_destroy(task);
  gyr_table_destroy(other);
}

}  // namespace
