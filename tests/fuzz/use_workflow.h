// Uses a workflow in every way it can be used: fitting, batches, rows, decoding, saving.
#pragma once

#include "tests/fuzz/common.h"
#include "workflow/workflow.h"

namespace gyr::fuzz {

inline auto load_workflow(const Container& file) { return Workflow::load(runtime(), file, "x"); }

// The value that run_row gives against row 0 of the batch's column.
inline void same_value(const gyr_value& v, const Column& c) {
  if (v.dtype == GYR_DTYPE_NONE) return must(c.row_is_null(0), "one row: null where the batch has null");
  must(!c.row_is_null(0), "one row: a value where the batch has one");
  if (v.is_list) return must(int64_t(v.count) == c.list_offsets[1], "one row: lists as long as in the batch");
  if (c.physical() == Physical::kInt) must(v.i == c.ints[0], "one row: the batch's integer");
  if (c.physical() == Physical::kFloat)
    must(v.f == c.floats[0] || (v.f != v.f && c.floats[0] != c.floats[0]), "one row: the batch's number");
  if (c.physical() == Physical::kString)
    must(std::string_view(v.s.data, v.s.len) == c.string(0), "one row: the batch's text");
}

inline std::vector<gyr_value> row_of(const Batch& in, std::vector<std::vector<gyr_str>>* texts) {
  std::vector<gyr_value> row(in.columns.size());
  for (size_t i = 0; i < row.size(); i++) {
    const Column& c = in.columns[i];
    gyr_value& v = row[i];
    if (c.row_is_null(0)) continue;
    v.dtype = c.dtype;
    if (c.is_list) {
      v.is_list = 1;
      v.count = uint64_t(c.list_offsets[1]);
      auto& t = texts->emplace_back();
      if (c.physical() == Physical::kString)
        for (uint64_t k = 0; k < v.count; k++) t.push_back({c.string(int64_t(k)).data(), c.string(int64_t(k)).size()});
      v.list = c.physical() == Physical::kString  ? static_cast<const void*>(t.data())
               : c.physical() == Physical::kFloat ? static_cast<const void*>(c.floats.data())
                                                  : static_cast<const void*>(c.ints.data());
    } else if (c.physical() == Physical::kInt) {
      v.i = c.ints[0];
    } else if (c.physical() == Physical::kFloat) {
      v.f = c.floats[0];
    } else {
      v.s = {c.string(0).data(), c.string(0).size()};
    }
  }
  return row;
}

inline void transform(const Workflow& w, const Batch& in) {
  auto plan = w.plan(w.inputs().columns, {});
  if (!plan.ok()) return refused(plan.status());
  auto scratch = w.make_scratch();
  Batch out;
  std::vector<int64_t> map;
  Status s = w.run(**plan, in, scratch.get(), &out, &map);
  if (!s.ok()) return refused(s);
  must(out.columns.size() == (*plan)->output_names().size(), "a column per output");
  for (const Column& c : out.columns) {
    check_column(c);
    must(c.rows() == out.rows, "all outputs have as many rows");
  }
  if (out.columns.size() != w.outputs().columns.size()) return;
  std::vector<std::vector<gyr_str>> texts;
  texts.reserve(in.columns.size());  // rows point into it
  std::vector<gyr_value> row = row_of(in, &texts), got(out.columns.size());
  std::vector<uint64_t> arena(1 << 13);
  s = w.run_row(row.data(), row.size(), got.data(), got.size(), arena.data(), arena.size() * 8);
  if (!s.ok()) return refused(s);
  if (out.rows == 0 || map.empty() || map[0] != 0) return;
  for (size_t i = 0; i < got.size(); i++) same_value(got[i], out.columns[i]);
}

inline void use_workflow(Workflow* w) {
  must(!w->describe().dump().empty(), "a workflow describes itself");
  round_trip(*w, "WFL1", load_workflow);
  for (bool wild : {false, true}) transform(*w, rows_for(w->inputs().columns, wild));
  for (const ColumnSchema& c : w->outputs().columns)
    for (int64_t code : {int64_t(-1), int64_t(0), int64_t(2), c.cardinality - 1, c.cardinality}) {
      gyr_value v{};
      check(w->decode(c.name, code, &v));
    }
  // What can be read can be fitted further, and saved in the middle of it.
  for (int pass = 0; w->passes_left() && pass < 8; pass++) {
    auto fork = w->fork();
    expect_ok(fork.status(), "an unfitted workflow forks");
    Status s = (*fork)->fit_batch(rows_for(w->inputs().columns, false));
    if (s.ok()) s = w->merge(**fork);
    if (!s.ok()) return refused(s);
    round_trip(*w, "WFL1", load_workflow);
    if (s = w->fit_finish(); !s.ok()) return refused(s);
  }
  round_trip(*w, "WFL1", load_workflow);
  transform(*w, rows_for(w->inputs().columns, false));
}

}  // namespace gyr::fuzz
