// Tables and rows for tests of them: made, written and read in a line each.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "table/row_format.h"
#include "table/table.h"

namespace gyr {

constexpr int64_t kAll = INT64_MAX;  // no TTL, no future check

inline std::shared_ptr<Runtime> runtime(uint64_t budget = 0) {
  gyr_runtime_options o{};
  o.struct_size = sizeof o;
  o.threads = 1;
  o.memory_budget = budget;
  return *Runtime::create(o);
}
inline std::shared_ptr<Table> make(const char* schema, uint64_t budget = 0) {
  auto t = Table::create(runtime(budget), schema);
  EXPECT_TRUE(t.ok()) << t.status().message();
  return *t;
}

inline Batch row(int64_t id, int64_t ts, std::vector<std::pair<std::string, int64_t>> values) {
  Batch b;
  b.rows = 1;
  b.add("id", GYR_DTYPE_INT64, false).push_int(id);
  b.add("ts", GYR_DTYPE_TIMESTAMP, false).push_int(ts);
  for (auto& [name, v] : values) b.add(name, GYR_DTYPE_INT64, false).push_int(v);
  return b;
}
struct Got {
  Batch batch;
  std::vector<uint8_t> status;
};
inline Got get(const Table& t, std::vector<int64_t> ids, int64_t now, std::vector<int> columns) {
  Got g;
  Status s = t.get({GYR_DTYPE_INT64, ids.data(), nullptr, ids.size()}, now, columns, &g.batch, &g.status);
  EXPECT_TRUE(s.ok()) << s.message();
  return g;
}
// An int64 column as of times: "4", "null", "missing" or "expired", by key.
inline std::vector<std::string> as_of(const Table& t, std::vector<int64_t> ids, std::vector<int64_t> times,
                                      const char* column, bool known = true) {
  std::vector<int64_t> values(ids.size());
  std::vector<uint8_t> status(ids.size(), 99);
  gyr_table_column c{};
  c.struct_size = sizeof c;
  c.name = column;
  c.dtype = GYR_DTYPE_INT64;
  c.values = values.data();
  c.values_capacity = values.size();
  c.status = status.data();
  Status s = t.read_as_of({GYR_DTYPE_INT64, ids.data(), nullptr, ids.size()}, times.data(), known, &c, 1);
  EXPECT_TRUE(s.ok()) << s.message();
  static const char* const kNames[] = {"", "null", "missing", "expired"};
  std::vector<std::string> out;
  for (size_t i = 0; i < ids.size(); i++)
    out.push_back(status[i] == GYR_VALUE_PRESENT ? std::to_string(values[i]) : kNames[status[i]]);
  return out;
}
inline std::shared_ptr<Table> reopened(const Table& t) {
  ContainerWriter writer;
  EXPECT_TRUE(t.save(&writer, "t").ok());
  auto loaded = Table::load(runtime(), **Container::parse(*writer.serialize()), "t");
  EXPECT_TRUE(loaded.ok()) << loaded.status().message();
  return loaded.ok() ? *loaded : nullptr;
}
inline int64_t at(int hour, int minute) { return (int64_t(hour) * 60 + minute) * 60'000'000; }

}  // namespace gyr
