// gyr/table.h with every allocation failing once.
#include <algorithm>
#include <cerrno>
#include <cstring>

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

FAULT_SCENARIO(gyr_table_destroy) {
  TableHandle t = filled(f);
  f.run([&] { gyr_table_destroy(t.release()); });
}

}  // namespace
}  // namespace gyr::test
