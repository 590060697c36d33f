#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "workflow/workflow.h"

namespace gyr::testing {

using Ints = std::vector<int64_t>;
using Doubles = std::vector<double>;
using Strings = std::vector<std::optional<std::string>>;
using Lists = std::vector<std::vector<std::string>>;

inline std::shared_ptr<Runtime> runtime() {
  static std::shared_ptr<Runtime> made = [] {
    gyr_runtime_options o = {};
    o.struct_size = sizeof o;
    return std::move(*Runtime::create(o));
  }();
  return made;
}

struct Table {
  Batch batch;
  Table& strings(const std::string& name, const Strings& v) {
    Column& c = batch.add(name, GYR_DTYPE_STRING, false);
    for (const auto& s : v) s ? c.push_string(*s) : c.push_null_row();
    batch.rows = c.rows();
    return *this;
  }
  Table& lists(const std::string& name, const Lists& v) {
    Column& c = batch.add(name, GYR_DTYPE_STRING, true);
    for (const auto& row : v) {
      for (const auto& s : row) c.push_string(s);
      c.end_list();
    }
    batch.rows = c.rows();
    return *this;
  }
  Table& ints(const std::string& name, const Ints& v, gyr_dtype t = GYR_DTYPE_INT64) {
    Column& c = batch.add(name, t, false);
    for (int64_t x : v) c.push_int(x);
    batch.rows = c.rows();
    return *this;
  }
  Table& floats(const std::string& name, const Doubles& v) {
    Column& c = batch.add(name, GYR_DTYPE_FLOAT64, false);
    for (double x : v) c.push_float(x);
    batch.rows = c.rows();
    return *this;
  }
  Table& float_lists(const std::string& name, const std::vector<Doubles>& v) {
    Column& c = batch.add(name, GYR_DTYPE_FLOAT64, true);
    for (const auto& row : v) {
      for (double x : row) c.push_float(x);
      c.end_list();
    }
    batch.rows = c.rows();
    return *this;
  }
  Table& int_lists(const std::string& name, const std::vector<Ints>& v) {
    Column& c = batch.add(name, GYR_DTYPE_INT64, true);
    for (const auto& row : v) {
      for (int64_t x : row) c.push_int(x);
      c.end_list();
    }
    batch.rows = c.rows();
    return *this;
  }
};

// {"name","dtype"} inputs from a batch, so that a test states its ops only.
inline std::string graph(const Batch& b, const std::string& ops, const std::string& outputs = "") {
  std::string s = R"({"version":1,"inputs":[)";
  for (size_t i = 0; i < b.names.size(); i++)
    s += std::string(i ? "," : "") + R"({"name":")" + b.names[i] + R"(","dtype":")" + dtype_name(b.columns[i].dtype) +
         R"(","list":)" + (b.columns[i].is_list ? "true" : "false") + "}";
  return s + R"(],"ops":[)" + ops + "]" + (outputs.empty() ? "" : ",\"outputs\":" + outputs) + "}";
}

inline std::shared_ptr<Workflow> make(const std::string& json) {
  auto w = Workflow::create(runtime(), json);
  EXPECT_TRUE(w.ok()) << w.status().message() << "\n" << json;
  return w.ok() ? *w : nullptr;
}

inline std::shared_ptr<Workflow> fitted(const Batch& b, const std::string& ops, const std::string& outputs = "") {
  auto w = make(graph(b, ops, outputs));
  while (w && w->passes_left()) {
    Status s = w->fit_batch(b);
    if (s.ok()) s = w->fit_finish();
    EXPECT_TRUE(s.ok()) << s.message();
    if (!s.ok()) break;
  }
  return w;
}

inline std::vector<ColumnSchema> columns_of(const Batch& b) {
  std::vector<ColumnSchema> out;
  for (size_t i = 0; i < b.names.size(); i++) out.push_back({b.names[i], b.columns[i].dtype, b.columns[i].is_list});
  return out;
}

inline Batch transform(const Workflow& w, const Batch& in, const std::vector<std::string>& wanted = {},
                       std::vector<int64_t>* map = nullptr) {
  Batch out;
  auto plan = w.plan(columns_of(in), wanted);
  EXPECT_TRUE(plan.ok()) << plan.status().message();
  if (!plan.ok()) return out;
  auto scratch = w.make_scratch();
  Status s = w.run(**plan, in, scratch.get(), &out, map);
  EXPECT_TRUE(s.ok()) << s.message();
  return out;
}

inline const Column& column(const Batch& b, const std::string& name) {
  int i = b.find(name);
  EXPECT_GE(i, 0) << name;
  static const Column none;
  return i < 0 ? none : b.columns[size_t(i)];
}

inline std::vector<uint8_t> bytes_of(const Workflow& w) {
  ContainerWriter file;
  EXPECT_TRUE(w.save(&file, "w").ok());
  return *file.serialize();
}

}  // namespace gyr::testing
