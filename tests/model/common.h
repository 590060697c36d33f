#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "model/model.h"

namespace gyr::testing {

using Ints = std::vector<int64_t>;
using Lists = std::vector<std::vector<int64_t>>;

inline std::shared_ptr<Runtime> runtime(uint32_t threads = 1) {
  gyr_runtime_options o = {};
  o.struct_size = sizeof o;
  o.threads = threads;
  auto made = Runtime::create(o);
  EXPECT_TRUE(made.ok()) << made.status().message();
  return std::move(*made);
}

struct Rows {
  Batch batch;
  Rows& ints(const std::string& name, const Ints& v) {
    Column& c = batch.add(name, GYR_DTYPE_INT64, false);
    for (int64_t x : v) c.push_int(x);
    batch.rows = c.rows();
    return *this;
  }
  Rows& floats(const std::string& name, const std::vector<double>& v) {
    Column& c = batch.add(name, GYR_DTYPE_FLOAT32, false);
    for (double x : v) c.push_float(x);
    batch.rows = c.rows();
    return *this;
  }
  Rows& lists(const std::string& name, const Lists& v) {
    Column& c = batch.add(name, GYR_DTYPE_INT64, true);
    for (const auto& row : v) {
      for (int64_t x : row) c.push_int(x);
      c.end_list();
    }
    batch.rows = c.rows();
    return *this;
  }
};

// One column of a schema: code(), list() or number().
inline std::string code(const std::string& name, int64_t cardinality, const char* tag, const char* domain = "") {
  return R"({"name":")" + name + R"(","dtype":"int64","tags":[")" + tag + R"(","categorical"],"cardinality":)" +
         std::to_string(cardinality) + R"(,"domain":")" + domain + "\"}";
}
inline std::string list(const std::string& name, int64_t cardinality, const char* tag, const char* domain = "") {
  std::string s = code(name, cardinality, tag, domain);
  return s.substr(0, s.size() - 1) + R"(,"list":true})";
}
inline std::string number(const std::string& name, const char* tag) {
  return R"({"name":")" + name + R"(","dtype":"float32","tags":[")" + tag + R"(","continuous"]})";
}
inline std::string schema(const std::vector<std::string>& columns) {
  std::string s = R"({"columns":[)";
  for (size_t i = 0; i < columns.size(); i++) s += (i ? "," : "") + columns[i];
  return s + "]}";
}

inline ::testing::AssertionResult ok(const Status& s) {
  if (s.ok()) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "status " << s.code() << ": " << s.message();
}

// A status with this code whose message holds every word.
inline ::testing::AssertionResult fails(const Status& s, gyr_status code, const std::vector<std::string>& words) {
  if (s.code() != code)
    return ::testing::AssertionFailure() << "expected status " << code << ", got " << s.code() << ": " << s.message();
  for (const std::string& w : words)
    if (std::string(s.message()).find(w) == std::string::npos)
      return ::testing::AssertionFailure() << "\"" << s.message() << "\" does not say \"" << w << "\"";
  return ::testing::AssertionSuccess();
}

inline std::unique_ptr<Trainer> trainer(std::shared_ptr<Runtime> rt, const std::string& spec, const std::string& sch) {
  auto t = Trainer::create(std::move(rt), spec, sch);
  EXPECT_TRUE(t.ok()) << t.status().message();
  return t.ok() ? std::move(*t) : nullptr;
}

inline Status fit(Trainer& t, const Batch& rows, gyr_task* task = nullptr) {
  Status s = t.add_rows(rows);
  if (s.ok()) s = t.fit(task);
  t.drop_rows();
  return s;
}

inline std::shared_ptr<const Model> exported(const Trainer& t) {
  auto m = t.export_model();
  EXPECT_TRUE(m.ok()) << m.status().message();
  return m.ok() ? *m : nullptr;
}

inline std::vector<uint8_t> bytes_of(const Model& m) {
  ContainerWriter file;
  EXPECT_TRUE(m.save(&file, "m").ok());
  return *file.serialize();
}

inline Result<std::shared_ptr<const Model>> loaded(std::shared_ptr<Runtime> rt, std::vector<uint8_t> bytes) {
  GYR_ASSIGN(std::shared_ptr<const Container> file, Container::parse(std::move(bytes)));
  return Model::load(std::move(rt), *file, "m");
}

inline std::vector<const Column*> columns_of(const Batch& b, const ModelInputs& inputs) {
  std::vector<const Column*> out;
  for (const std::string& name : inputs.names) {
    int at = b.find(name);
    EXPECT_GE(at, 0) << name;
    out.push_back(&b.columns[size_t(at)]);
  }
  return out;
}

inline std::vector<float> predicted(const Model& m, const Batch& b) {
  std::vector<float> out(size_t(b.rows), NAN);
  auto scratch = m.make_scratch();
  EXPECT_TRUE(ok(m.predict(b, scratch.get(), out.data())));
  return out;
}

inline std::vector<float> encoded(const Model& m, gyr_side side, const Batch& b) {
  std::vector<float> out(size_t(b.rows) * m.dim(), NAN);
  auto scratch = m.make_scratch();
  EXPECT_TRUE(ok(m.encode(side, columns_of(b, m.encode_inputs(side)), b.rows, scratch.get(), out.data())));
  return out;
}

inline std::vector<float> normals(Random& random, size_t n, double stddev = 1) {
  std::vector<float> v(n);
  for (float& x : v) x = float(random.normal() * stddev);
  return v;
}

// Central differences of `loss` over the array x; holds them against `grad`. The tolerance is for float arithmetic.
inline void check_gradient(const char* what, float* x, const float* grad, size_t n, const std::function<double()>& loss,
                           double step = 1e-2, double tolerance = 2e-3) {
  for (size_t i = 0; i < n; i++) {
    float old = x[i];
    x[i] = old + float(step);
    double up = loss(), at_up = x[i];
    x[i] = old - float(step);
    double down = loss(), at_down = x[i];
    x[i] = old;
    double expected = (up - down) / (at_up - at_down);
    ASSERT_NEAR(grad[i], expected, tolerance * std::max(1.0, std::fabs(expected))) << what << "[" << i << "]";
  }
}

}  // namespace gyr::testing
