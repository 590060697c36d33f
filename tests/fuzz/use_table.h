// Uses a table: every row found again by its key, replayed, deleted, saved.
#pragma once

#include "table/table.h"
#include "tests/fuzz/common.h"

namespace gyr::fuzz {

inline auto load_table(const Container& file) { return Table::load(runtime(), file, "x"); }

struct KeyList {
  std::vector<gyr_str> strings;
  Keys keys;
  explicit KeyList(const Column& c) {
    keys.dtype = c.dtype;
    keys.count = uint64_t(c.rows());
    if (c.physical() == Physical::kInt) keys.ints = c.ints.data();
    for (int64_t i = 0; c.physical() == Physical::kString && i < c.rows(); i++)
      strings.push_back({c.string(i).data(), c.string(i).size()});
    if (!strings.empty()) keys.strings = strings.data();
  }
};

inline Batch scan_all(const Table& t) {
  Batch all;
  for (uint64_t cursor = 0; cursor != UINT64_MAX;) {
    Batch batch;
    expect_ok(t.scan(&cursor, 1 << 20, &batch), "a table can be scanned");
    if (all.columns.empty()) {
      all = std::move(batch);
      continue;
    }
    for (size_t c = 0; c < batch.columns.size(); c++)
      for (int64_t i = 0; i < batch.rows; i++) all.columns[c].append_row(batch.columns[c], i);
    all.rows += batch.rows;
  }
  return all;
}

// As of any time: what append_as_of() makes are columns.
inline void use_history(const Table& t, const Keys& keys, const std::vector<int>& wanted) {
  for (int64_t time : {INT64_MIN, int64_t(0), INT64_MAX})
    for (bool known : {false, true}) {
      std::vector<int64_t> times(keys.count, time);
      std::vector<Column> out(wanted.size());
      for (size_t c = 0; c < wanted.size(); c++) out[c].reset(t.columns()[c].dtype, t.columns()[c].is_list);
      expect_ok(t.append_as_of(keys, times.data(), known, wanted, out.data()), "a history can be read");
      for (const Column& c : out) {
        check_column(c);
        must(c.rows() == int64_t(keys.count), "as-of reads give a value per key");
      }
    }
}

inline void use_table(Table* t) {
  const bool past = t->schema().versions > 0;
  round_trip(*t, past || t->schema().has_views() ? "TBL2" : "TBL1", load_table);
  Batch all = scan_all(*t);
  must(all.rows == int64_t(t->rows()), "a scan visits every row");
  if (all.rows == 0) return;
  for (const Column& c : all.columns) check_column(c);
  KeyList keys(all.columns[size_t(all.find(t->key_field().name))]);
  std::vector<int> wanted;
  for (size_t i = 0; i < t->columns().size(); i++) wanted.push_back(int(i));
  Batch got;
  std::vector<uint8_t> status;
  expect_ok(t->get(keys.keys, INT64_MAX, wanted, &got, &status), "rows can be read");
  for (size_t c = 0; c < wanted.size(); c++) {
    const Column& scanned = all.columns[size_t(all.find(t->columns()[c].name))];
    for (int64_t i = 0; i < all.rows; i++) must(same_row(got.columns[c], i, scanned, i), "get reads what scan reads");
  }
  Table::UpsertStats stats;
  expect_ok(t->upsert(all, &stats), "a table's own rows can be written again");
  // What the history knows from later than now stays.
  must(stats.applied == uint64_t(all.rows) || (past && stats.applied + stats.late + stats.stale == stats.rows),
       "replayed rows are applied");
  must(t->rows() == uint64_t(all.rows), "replaying rows changes nothing");
  if (past) use_history(*t, keys.keys, wanted);
  uint64_t removed = 0;
  keys.keys.count = 1;
  expect_ok(t->remove(keys.keys, &removed), "a row can be deleted");
  must(removed == 1 && t->rows() == uint64_t(all.rows) - 1, "the row is gone");
}

}  // namespace gyr::fuzz
