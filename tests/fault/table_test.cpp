// gyr/table.h with every allocation failing once.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <functional>

#include "tests/fault/world.h"

namespace gyr::test {
namespace {

TableHandle filled(const Fault& f) {
  TableHandle t;
  GYR_SETUP(gyr_table_create(World::of(f).runtime(), kUserTable, t.out(), err));
  Source rows;
  user_rows(&rows);
  ArrowArrayStream stream = rows.open();
  GYR_SETUP(gyr_table_upsert(t, &stream, nullptr, nullptr, err));
  return t;
}

gyr_table_info info_of(const gyr_table* t) {
  gyr_table_info info = {};
  info.struct_size = sizeof info;
  GYR_SETUP(gyr_table_get_info(t, &info, err));
  return info;
}

float age_of(const gyr_table* t, int64_t id) {
  float age = -1;
  uint8_t status = 99;
  gyr_table_column c = {};
  c.struct_size = sizeof c;
  c.dtype = GYR_DTYPE_FLOAT32;
  c.name = "age";
  c.values = &age;
  c.values_capacity = 1;
  c.status = &status;
  gyr_keys key = int_keys(&id, 1);
  GYR_SETUP(gyr_table_get(t, &key, INT64_MAX, &c, 1, err));
  return status == GYR_VALUE_PRESENT ? age : -1;
}

FAULT_SCENARIO(gyr_table_create) {
  gyr_runtime* runtime = World::of(f).runtime();
  TableHandle t;
  f.call([&](gyr_error* err) { return gyr_table_create(runtime, kUserTable, t.out(), err); }, t.out());
  EXPECT_EQ(info_of(t).columns, 3u);
}

FAULT_SCENARIO(gyr_table_upsert) {
  TableHandle t;
  GYR_SETUP(gyr_table_create(World::of(f).runtime(), kUserTable, t.out(), err));
  Source rows(2);
  user_rows(&rows);
  gyr_upsert_stats stats = {};
  stats.struct_size = sizeof stats;
  f.after_failure([&] {
    EXPECT_LE(info_of(t).rows, stats.applied);
    EXPECT_GE(info_of(t).rows, std::min<uint64_t>(stats.applied, kUsers));
  });
  f.call([&](gyr_error* err) {
    ArrowArrayStream stream = rows.open();
    return finish(gyr_table_upsert(t, &stream, &stats, nullptr, err), &stream);
  });
  EXPECT_EQ(stats.rows, 2u * kUsers);
  EXPECT_EQ(info_of(t).rows, uint64_t(kUsers));
  EXPECT_EQ(age_of(t, user_id(1)), 30);
}

// Growing past the first buckets.
FAULT_VARIANT(gyr_table_upsert, growing) {
  TableHandle t = filled(f);
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < 300; i++) ids.push_back(i);
  Source rows;
  rows.ints("user_id", ids)
      .ints("at", std::vector<int64_t>(ids.size(), 5))
      .floats("age", std::vector<float>(ids.size(), 44));
  f.call([&](gyr_error* err) {
    ArrowArrayStream stream = rows.open();
    return finish(gyr_table_upsert(t, &stream, nullptr, nullptr, err), &stream);
  });
  EXPECT_EQ(info_of(t).rows, uint64_t(kUsers) + ids.size());
  EXPECT_EQ(age_of(t, 299), 44);
  EXPECT_EQ(age_of(t, user_id(1)), 30);
}

FAULT_SCENARIO(gyr_table_upsert_row) {
  TableHandle t = filled(f);
  int64_t id = 77, seen[] = {1, 2};
  gyr_keys key = int_keys(&id, 1);
  const char* columns[] = {"age", "seen"};
  gyr_value values[2] = {};
  values[0].dtype = GYR_DTYPE_FLOAT64;
  values[0].f = 50;
  values[1].dtype = GYR_DTYPE_INT64;
  values[1].is_list = 1;
  values[1].list = seen;
  values[1].count = 2;
  uint32_t applied = 9;
  f.after_failure([&] { EXPECT_EQ(info_of(t).rows, uint64_t(kUsers)) << "a failed upsert left a row"; });
  f.call([&](gyr_error* err) { return gyr_table_upsert_row(t, &key, 5, columns, values, 2, &applied, err); }, &applied);
  EXPECT_EQ(applied, 1u);
  EXPECT_EQ(age_of(t, id), 50);
  EXPECT_EQ(info_of(t).rows, uint64_t(kUsers) + 1);
}

FAULT_SCENARIO(gyr_table_delete) {
  TableHandle t = filled(f);
  int64_t ids[] = {user_id(0), user_id(3), 5};
  gyr_keys keys = int_keys(ids, 3);
  uint64_t deleted = 99;
  f.call([&](gyr_error* err) { return gyr_table_delete(t, &keys, &deleted, err); }, &deleted);
  EXPECT_EQ(info_of(t).rows, uint64_t(kUsers) - 2);
  EXPECT_EQ(age_of(t, user_id(0)), -1);
  EXPECT_EQ(age_of(t, user_id(1)), 30);
}

FAULT_SCENARIO(gyr_table_get) {
  gyr_table* t = World::of(f).items();
  int64_t ids[] = {item_id(2), 7};
  gyr_keys keys = int_keys(ids, 2);
  float years[2] = {};
  gyr_str genres[2] = {};
  char heap[16];
  uint8_t status[2][2];
  gyr_table_column c[2] = {};
  for (auto& column : c) column.struct_size = sizeof column, column.values_capacity = 2;
  c[0].name = "year", c[0].dtype = GYR_DTYPE_FLOAT32, c[0].values = years, c[0].status = status[0];
  c[1].name = "genre", c[1].dtype = GYR_DTYPE_STRING, c[1].values = genres, c[1].status = status[1];
  c[1].heap = heap, c[1].heap_capacity = sizeof heap;
  f.call([&](gyr_error* err) { return gyr_table_get(t, &keys, INT64_MAX, c, 2, err); });
  EXPECT_EQ(years[0], 1992);
  EXPECT_EQ(std::string(genres[0].data, genres[0].len), "g2");
  EXPECT_EQ(status[0][1], GYR_VALUE_MISSING);
}

constexpr const char* kPastTable = R"({"name":"past","key":"user_id","event_time":"at","created_time":"known",
  "history":{"versions":3},"columns":[{"name":"age","dtype":"float32"},{"name":"word","dtype":"string"}],
  "views":[{"name":"words","event_time":"said","columns":["word"]}]})";
constexpr int64_t kPastIds[] = {1, 1, 2}, kPastTimes[] = {20, 10, 30};

// Two versions of row 1, one of row 2.
TableHandle past(const Fault& f) {
  TableHandle t;
  GYR_SETUP(gyr_table_create(World::of(f).runtime(), kPastTable, t.out(), err));
  Source rows;
  rows.ints("user_id", {1, 1, 2}).ints("at", {20, 10, 30}).ints("known", {20, 10, 30}).floats("age", {2, 1, 3});
  ArrowArrayStream stream = rows.open();
  GYR_SETUP(gyr_table_upsert(t, &stream, nullptr, nullptr, err));
  return t;
}

// Every version at its time.
void check_past(const gyr_table* t) {
  float ages[3] = {};
  gyr_table_column c = {};
  c.struct_size = sizeof c, c.name = "age", c.dtype = GYR_DTYPE_FLOAT32, c.values = ages, c.values_capacity = 3;
  gyr_keys keys = int_keys(kPastIds, 3);
  GYR_SETUP(gyr_table_get_as_of(t, &keys, kPastTimes, 0, &c, 1, err));
  EXPECT_EQ(ages[0], 2);
  EXPECT_EQ(ages[1], 1);
  EXPECT_EQ(ages[2], 3);
}

// Rows of several groups, with late ones among them: a version and its row go in together or not at all.
FAULT_VARIANT(gyr_table_upsert, history) {
  TableHandle t = past(f);
  Source rows;
  rows.ints("user_id", {1, 2, 3}).ints("at", {15, 40, 50}).ints("known", {15, 40, 50}).floats("age", {8, 9, 10});
  gyr_upsert_stats stats = {};
  stats.struct_size = sizeof stats;
  f.after_failure([&] {
    check_past(t);
    EXPECT_GE(info_of(t).versions, 3 + stats.applied + stats.late);
  });
  f.call([&](gyr_error* err) {
    ArrowArrayStream stream = rows.open();
    return finish(gyr_table_upsert(t, &stream, &stats, nullptr, err), &stream);
  });
  EXPECT_EQ(stats.applied, 2u);
  EXPECT_EQ(stats.late, 1u);
  EXPECT_EQ(info_of(t).versions, 6u);
  EXPECT_EQ(age_of(t, 2), 9);
  check_past(t);
}

FAULT_SCENARIO(gyr_table_get_as_of) {
  TableHandle t = past(f);
  float ages[3] = {};
  uint8_t status[3] = {9, 9, 9};
  gyr_table_column c = {};
  c.struct_size = sizeof c, c.name = "age", c.dtype = GYR_DTYPE_FLOAT32, c.values = ages, c.values_capacity = 3;
  c.status = status;
  gyr_keys keys = int_keys(kPastIds, 3);
  const int64_t times[] = {15, 5, INT64_MAX};
  f.call([&](gyr_error* err) { return gyr_table_get_as_of(t, &keys, times, 0, &c, 1, err); });
  EXPECT_EQ(ages[0], 1);
  EXPECT_EQ(status[1], GYR_VALUE_MISSING);
  EXPECT_EQ(ages[2], 3);
}

FAULT_SCENARIO(gyr_table_export_as_of) {
  TableHandle t = past(f);
  const char* columns[] = {"age"};
  gyr_as_of_options o = {};
  o.struct_size = sizeof o, o.columns = columns, o.n_columns = 1, o.prefix = "then_", o.time = "when";
  Source labels;
  labels.ints("user_id", {1, 2, 7}).ints("when", {12, 30, 5});
  ArrowArrayStream out = {};
  f.call(
      [&](gyr_error* err) {
        ArrowArrayStream stream = labels.open();
        return finish(gyr_table_export_as_of(t, &stream, &o, &out, err), &stream);
      },
      &out);
  ArrowArray rows = {};
  ASSERT_EQ(out.get_next(&out, &rows), 0) << out.get_last_error(&out);
  ASSERT_EQ(rows.n_children, 3);
  const auto* ages = static_cast<const float*>(rows.children[2]->buffers[1]);
  EXPECT_EQ(ages[0], 1);
  EXPECT_EQ(ages[1], 3);
  EXPECT_EQ(rows.children[2]->null_count, 1);
  rows.release(&rows);
  out.release(&out);
}

FAULT_VARIANT(gyr_table_save, history) {
  World& w = World::of(f);
  TableHandle t = past(f);
  std::string path = w.path("past.gyr");
  f.call([&](gyr_error* err) { return gyr_table_save(t, path.c_str(), err); });
  gyr_runtime* runtime = w.runtime();
  TableHandle opened;
  GYR_SETUP(gyr_table_open(runtime, path.c_str(), opened.out(), err));
  check_past(opened);
}

FAULT_VARIANT(gyr_table_open, history) {
  World& w = World::of(f);
  std::string path = w.path("past.gyr");
  if (w.files().empty()) {
    TableHandle t = past(f);
    GYR_SETUP(gyr_table_save(t, path.c_str(), err));
  }
  gyr_runtime* runtime = w.runtime();
  TableHandle opened;
  f.call([&](gyr_error* err) { return gyr_table_open(runtime, path.c_str(), opened.out(), err); }, opened.out());
  check_past(opened);
}

struct PlanHandle {
  gyr_get_plan* plan = nullptr;
  ~PlanHandle() { gyr_get_plan_destroy(plan); }
};
const gyr_value kUnknown = {GYR_DTYPE_FLOAT64, 0, 0, -1, {}, nullptr, 0};
gyr_status make_plan(const gyr_table* users, const gyr_table* items, gyr_get_plan** out, gyr_error* err) {
  const gyr_table* tables[] = {users, items};
  gyr_get_column c[2] = {};
  c[0].struct_size = c[1].struct_size = sizeof c[0];
  c[0].name = "age", c[0].default_value = &kUnknown;
  c[1].name = "genre", c[1].table = 1;
  return gyr_get_plan_create(tables, 2, c, 2, out, err);
}
void check_plan(const gyr_get_plan* plan,
                const std::function<gyr_status(const std::function<gyr_status(gyr_error*)>&)>& call) {
  int64_t users[] = {user_id(1), 7}, items[] = {7, item_id(2)};
  gyr_keys keys[] = {int_keys(users, 2), int_keys(items, 2)};
  float ages[2] = {};
  gyr_str genres[2] = {};
  char heap[16];
  uint8_t status[2][2] = {};
  gyr_get_destination to[2] = {};
  for (auto& d : to) d.struct_size = sizeof d, d.values_capacity = 2;
  to[0].values = ages, to[0].status = status[0];
  to[1].values = genres, to[1].status = status[1], to[1].heap = heap, to[1].heap_capacity = sizeof heap;
  if (call([&](gyr_error* err) { return gyr_get_plan_run(plan, keys, 2, INT64_MAX, to, 2, err); }) != GYR_OK) return;
  EXPECT_EQ(ages[0], 30);
  EXPECT_EQ(ages[1], -1);
  EXPECT_EQ(status[0][1], GYR_VALUE_DEFAULT);
  EXPECT_EQ(status[1][0], GYR_VALUE_MISSING);
  EXPECT_EQ(std::string(genres[1].data, genres[1].len), "g2");
}
gyr_status simply(const std::function<gyr_status(gyr_error*)>& call) {
  gyr_error err = GYR_ERROR_INIT;
  gyr_status status = call(&err);
  EXPECT_EQ(status, GYR_OK) << err.message;
  return status;
}

FAULT_SCENARIO(gyr_get_plan_create) {
  gyr_table *users = World::of(f).users(), *items = World::of(f).items();
  PlanHandle p;
  f.call([&](gyr_error* err) { return make_plan(users, items, &p.plan, err); }, &p.plan);
  check_plan(p.plan, simply);
}

FAULT_SCENARIO(gyr_get_plan_run) {
  PlanHandle p;
  GYR_SETUP(make_plan(World::of(f).users(), World::of(f).items(), &p.plan, err));
  check_plan(p.plan, [&](const auto& call) {
    f.call(call);
    return GYR_OK;
  });
}

FAULT_SCENARIO(gyr_get_plan_destroy) {
  PlanHandle p;
  GYR_SETUP(make_plan(World::of(f).users(), World::of(f).items(), &p.plan, err));
  f.run([&] { gyr_get_plan_destroy(p.plan), p.plan = nullptr; });
}

constexpr const char* kShortLived = R"({"name":"t","key":"user_id","event_time":"at","ttl_seconds":1,
  "columns":[{"name":"age","dtype":"float32"}]})";

FAULT_SCENARIO(gyr_table_sweep) {
  TableHandle t;
  GYR_SETUP(gyr_table_create(World::of(f).runtime(), kShortLived, t.out(), err));
  Source rows;
  rows.ints("user_id", {1, 2, 3}).ints("at", {5, 6, 9'000'000}).floats("age", {1, 2, 3});
  ArrowArrayStream stream = rows.open();
  GYR_SETUP(gyr_table_upsert(t, &stream, nullptr, nullptr, err));
  uint64_t cursor = 0, removed = 99;
  f.after_failure([&] { EXPECT_EQ(age_of(t, 3), 3); });
  f.call([&](gyr_error* err) { return gyr_table_sweep(t, 5'000'000, 100, &cursor, &removed, err); }, &removed);
  EXPECT_EQ(cursor, UINT64_MAX);
  EXPECT_EQ(info_of(t).rows, 1u);
}

FAULT_SCENARIO(gyr_table_estimate) {
  uint64_t bytes = 0;
  f.call([&](gyr_error* err) { return gyr_table_estimate(kPastTable, 1000, 8, 3, &bytes, err); }, &bytes);
  EXPECT_GT(bytes, 1000u * 3 * 8);
}

FAULT_SCENARIO(gyr_table_get_info) {
  gyr_table* t = World::of(f).items();
  gyr_table_info info = {};
  info.struct_size = sizeof info;
  f.call([&](gyr_error* err) { return gyr_table_get_info(t, &info, err); }, &info);
  EXPECT_EQ(info.rows, uint64_t(kItems));
}

FAULT_SCENARIO(gyr_table_export) {
  gyr_table* t = World::of(f).users();
  ArrowArrayStream out = {};
  f.call([&](gyr_error* err) { return gyr_table_export(t, &out, err); }, &out);
  TableHandle copy;
  GYR_SETUP(gyr_table_create(World::of(f).runtime(), kUserTable, copy.out(), err));
  GYR_SETUP(gyr_table_upsert(copy, &out, nullptr, nullptr, err));
  EXPECT_EQ(info_of(copy).rows, uint64_t(kUsers));
}

// Pulling from the stream: its callbacks are gyr's code, too. A failed pull says ENOMEM and why.
FAULT_VARIANT(gyr_table_export, pull) {
  gyr_table* t = World::of(f).users();
  ArrowArrayStream out = {};
  GYR_SETUP(gyr_table_export(t, &out, err));
  ArrowSchema schema = {};
  ArrowArray rows = {};
  int rc = 0;
  f.run([&] {
    rc = out.get_schema(&out, &schema);
    if (rc == 0) rc = out.get_next(&out, &rows);
  });
  EXPECT_TRUE(rc == 0 || rc == ENOMEM) << rc;
  EXPECT_TRUE(rc == 0 || f.met());
  EXPECT_EQ(rc != 0, out.get_last_error(&out) != nullptr);
  EXPECT_EQ(rows.length, rc ? 0 : kUsers);
  ArrowArray more = {};  // no rows are skipped: the next pull fails as well, or begins where the first would have
  if (rc && schema.release) {
    EXPECT_EQ(out.get_next(&out, &more), rc);
    EXPECT_NE(out.get_last_error(&out), nullptr);
  }
  if (schema.release) schema.release(&schema);
  if (rows.release) rows.release(&rows);
  out.release(&out);
}

FAULT_SCENARIO(gyr_table_save) {
  World& w = World::of(f);
  gyr_table* t = w.users();
  std::string path = w.path("table.gyr");
  f.call([&](gyr_error* err) { return gyr_table_save(t, path.c_str(), err); });
  EXPECT_EQ(w.files(), std::vector<std::string>{"table.gyr"});
  TableHandle opened;
  GYR_SETUP(gyr_table_open(w.runtime(), path.c_str(), opened.out(), err));
  EXPECT_EQ(age_of(opened, user_id(2)), 40);
}

FAULT_SCENARIO(gyr_table_open) {
  World& w = World::of(f);
  std::string path = w.path("table.gyr");
  if (w.files().empty()) GYR_SETUP(gyr_table_save(w.users(), path.c_str(), err));
  gyr_runtime* runtime = w.runtime();
  TableHandle opened;
  f.call([&](gyr_error* err) { return gyr_table_open(runtime, path.c_str(), opened.out(), err); }, opened.out());
  EXPECT_EQ(age_of(opened, user_id(2)), 40);
}

// Tables in folders. The log's thread may be the one that finds no memory: it tries again, and its callers are told.
const gyr_table_log_options* log_options(gyr_durability durability) {
  static gyr_table_log_options o;
  o = {};
  o.struct_size = sizeof o;
  o.durability = durability;
  o.segment_bytes = 1 << 16;
  return &o;
}

constexpr const char* kLive = "live";

// Empty, in a folder of its own.
TableHandle live_table(const Fault& f, gyr_durability durability) {
  std::string folder = World::of(f).path(kLive);
  std::filesystem::remove_all(folder);
  TableHandle t;
  GYR_SETUP(gyr_table_open_live(World::of(f).runtime(), folder.c_str(), kUserTable, log_options(durability), nullptr,
                                t.out(), err));
  return t;
}
void put_live(gyr_table* t, int64_t id) {
  gyr_keys key = int_keys(&id, 1);
  const char* column = "age";
  gyr_value value = {};
  value.dtype = GYR_DTYPE_FLOAT64;
  value.f = 20;
  GYR_SETUP(gyr_table_upsert_row(t, &key, 5, &column, &value, 1, nullptr, err));
}

FAULT_SCENARIO(gyr_table_open_live) {
  World& w = World::of(f);
  {
    TableHandle t = live_table(f, GYR_DURABILITY_SYNC);
    for (int64_t i = 0; i < 5; i++) put_live(t, i);
  }
  gyr_runtime* runtime = w.runtime();
  std::string folder = w.path(kLive);
  TableHandle t;
  f.allow(GYR_E_RESOURCE_EXHAUSTED);  // of the log's thread: no memory for its stack
  f.call(
      [&](gyr_error* err) {
        return gyr_table_open_live(runtime, folder.c_str(), kUserTable, log_options(GYR_DURABILITY_SYNC), nullptr,
                                   t.out(), err);
      },
      t.out());
  EXPECT_EQ(info_of(t).rows, 5u);
  EXPECT_EQ(age_of(t, 3), 20);
}

FAULT_VARIANT(gyr_table_open_live, making) {
  World& w = World::of(f);
  std::string folder = w.path(kLive);
  std::filesystem::remove_all(folder);
  gyr_runtime* runtime = w.runtime();
  TableHandle t;
  f.allow(GYR_E_RESOURCE_EXHAUSTED);
  f.call(
      [&](gyr_error* err) {
        return gyr_table_open_live(runtime, folder.c_str(), kUserTable, nullptr, nullptr, t.out(), err);
      },
      t.out());
  EXPECT_EQ(info_of(t).rows, 0u);
}

FAULT_SCENARIO(gyr_table_checkpoint) {
  TableHandle t = live_table(f, GYR_DURABILITY_SYNC);
  put_live(t, 1);
  f.call([&](gyr_error* err) { return gyr_table_checkpoint(t, nullptr, err); });
  EXPECT_EQ(age_of(t, 1), 20);
}

FAULT_SCENARIO(gyr_table_flush) {
  TableHandle t = live_table(f, GYR_DURABILITY_ASYNC);
  put_live(t, 1);
  f.call([&](gyr_error* err) { return gyr_table_flush(t, err); });
  EXPECT_EQ(age_of(t, 1), 20);
}

FAULT_SCENARIO(gyr_table_get_log_info) {
  TableHandle t = live_table(f, GYR_DURABILITY_SYNC);
  put_live(t, 1);
  gyr_table_log_info info = {};
  info.struct_size = sizeof info;
  f.call([&](gyr_error* err) { return gyr_table_get_log_info(t, &info, err); }, &info);
  EXPECT_EQ(info.durable_lsn, 1u);
}

// What a failed upsert put in, and nothing else, is there when the table is opened again.
FAULT_VARIANT(gyr_table_upsert, logged) {
  TableHandle t = live_table(f, GYR_DURABILITY_SYNC);
  put_live(t, 900);  // the log's file is there
  Source rows(2);
  user_rows(&rows);
  f.call([&](gyr_error* err) {
    ArrowArrayStream stream = rows.open();
    return finish(gyr_table_upsert(t, &stream, nullptr, nullptr, err), &stream);
  });
  uint64_t there = info_of(t).rows;
  gyr_table_log_info info = {};
  info.struct_size = sizeof info;
  GYR_SETUP(gyr_table_get_log_info(t, &info, err));
  gyr_table_destroy(t.release());
  TableHandle again;
  std::string folder = World::of(f).path(kLive);
  GYR_SETUP(gyr_table_open_live(World::of(f).runtime(), folder.c_str(), nullptr, nullptr, nullptr, again.out(), err));
  if (!info.failed) {
    EXPECT_EQ(info_of(again).rows, there);
  }
}

FAULT_SCENARIO(gyr_table_destroy) {
  TableHandle t = filled(f);
  f.run([&] { gyr_table_destroy(t.release()); });
}

}  // namespace
}  // namespace gyr::test
