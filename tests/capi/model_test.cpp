// Models and trainers given rows that do not fit: every column left out, of another type, or out of range. The models
// are the golden files'.
#include <gtest/gtest.h>
#include <gyr/gyr.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "tests/support/contract.h"
#include "tests/support/rows.h"

namespace {

using gyr::test::Rows;

// Columns of four rows, by name; one of them may be spoilt.
using Columns = std::vector<std::pair<std::string, std::function<void(Rows&, const char*)>>>;

Columns columns() {
  auto ints = [](std::vector<int64_t> v) { return [v](Rows& r, const char* name) { r.ints(name, v); }; };
  auto floats = [](std::vector<float> v) { return [v](Rows& r, const char* name) { r.floats(name, v); }; };
  auto lists = [](std::vector<std::vector<int64_t>> v) { return [v](Rows& r, const char* name) { r.lists(name, v); }; };
  return {{"age", floats({0, .5, 1, .25})},     {"history", lists({{3}, {4, 5}, {}, {6}})},
          {"item_id", ints({3, 4, 5, 6})},      {"genre", ints({3, 4, 3, 4})},
          {"year", floats({.1f, .2f, .3f, 1})}, {"label", floats({1, 0, 1, 0})},
          {"weight", floats({1, 2, 1, .5})},    {"user", ints({0, 1, 2, 1})}};
}

struct Mistake {
  const char* what;
  std::function<void(Rows&, const char*)> put;  // null: the column is left out
};
const std::vector<Mistake>& mistakes() {
  using Lists = std::vector<std::vector<int64_t>>;
  static const std::vector<Mistake> all = {{"missing", nullptr},
                                           {"strings",
                                            [](Rows& r, const char* name) {
                                              r.strings(name, {"a", "b", "c", "d"});
                                            }},
                                           {"lists of strings",
                                            [](Rows& r, const char* name) {
                                              r.string_lists(name, {{"a"}, {}, {"c"}, {}});
                                            }},
                                           {"lists",
                                            [](Rows& r, const char* name) {
                                              r.lists(name, Lists{{1}, {}, {2}, {}});
                                            }},
                                           {"no lists",
                                            [](Rows& r, const char* name) {
                                              r.ints(name, {1, 2, 1, 2});
                                            }},
                                           {"beyond the codes",
                                            [](Rows& r, const char* name) {
                                              r.ints(name, {3, 4, 5, 99});
                                            }},
                                           {"negative",
                                            [](Rows& r, const char* name) {
                                              r.ints(name, {3, 4, -5, 6});
                                            }},
                                           {"lists beyond the codes",
                                            [](Rows& r, const char* name) {
                                              r.lists(name, Lists{{1}, {99}, {}, {}});
                                            }},
                                           {"huge",
                                            [](Rows& r, const char* name) {
                                              r.ints(name, {3, 4, 5, int64_t(1) << 40});
                                            }},
                                           {"not finite",
                                            [](Rows& r, const char* name) {
                                              r.floats(name, {0, 1, NAN, INFINITY});
                                            }},
                                           {"negative floats",
                                            [](Rows& r, const char* name) {
                                              r.floats(name, {0, 1, -2, 0});
                                            }},
                                           {"doubles", [](Rows& r, const char* name) {
                                              r.doubles(name, {0, 1, .5, 0});
                                            }}};
  return all;
}

class Models : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(gyr_runtime_create(nullptr, &runtime_, &err_), GYR_OK) << err_.message; }
  void TearDown() override {
    for (gyr_model* m : opened_) gyr_model_destroy(m);
    gyr_runtime_destroy(runtime_);
  }
  gyr_model* model(const std::string& kind) {
    gyr_model* m = nullptr;
    EXPECT_EQ(gyr_model_open(runtime_, (GYR_SOURCE_DIR "/tests/golden/1.0/model_" + kind + ".gyr").c_str(), &m, &err_),
              GYR_OK)
        << err_.message;
    opened_.push_back(m);
    return m;
  }
  using Use = std::function<gyr_status(ArrowArrayStream*)>;
  gyr_status with(const Use& use, const std::string& spoilt = "", const Mistake* mistake = nullptr) {
    Rows rows;
    for (auto& [name, put] : columns())
      if (name != spoilt)
        put(rows, name.c_str());
      else if (mistake->put)
        mistake->put(rows, name.c_str());
    ArrowArrayStream s = rows.stream();
    gyr_status status = use(&s);
    if (status != GYR_OK) {
      EXPECT_NE(s.release, nullptr) << "a failed call took the stream";
    }
    if (s.release) s.release(&s);
    return status;
  }
  // The columns of which at least one mistake is refused.
  std::string sweep(const char* function, const Use& use) {
    EXPECT_EQ(with(use), GYR_OK) << err_.message;
    std::string noticed;
    for (auto& [name, unused] : columns()) {
      int refused = 0;
      for (const Mistake& mistake : mistakes()) {
        gyr_status status = with(use, name, &mistake);
        gyr::test::expect_in_contract(function, status);
        if (status == GYR_OK) continue;
        refused++;
        EXPECT_NE(std::string(err_.message).find(name), std::string::npos)
            << name << ", " << mistake.what << ": " << err_.message;
      }
      if (refused) noticed += (noticed.empty() ? "" : " ") + name;
    }
    return noticed;
  }

  gyr_runtime* runtime_ = nullptr;
  gyr_error err_ = GYR_ERROR_INIT;
  std::vector<gyr_model*> opened_;
};

TEST_F(Models, EncodeNamesTheColumn) {
  gyr_model* m = model("two_tower");
  float out[16];
  uint64_t rows = 0;
  for (gyr_side side : {GYR_SIDE_USER, GYR_SIDE_ITEM}) {
    auto use = [&](ArrowArrayStream* s) { return gyr_model_encode(m, side, s, out, 4, &rows, &err_); };
    EXPECT_EQ(sweep("gyr_model_encode", use), side == GYR_SIDE_USER ? "age history" : "item_id genre");
    EXPECT_EQ(rows, 4u);
  }
  auto side = [&](ArrowArrayStream* s) { return gyr_model_encode(m, 7, s, out, 4, &rows, &err_); };
  EXPECT_EQ(with(side), GYR_E_INVALID_ARGUMENT);
  auto small = [&](ArrowArrayStream* s) { return gyr_model_encode(m, GYR_SIDE_USER, s, out, 3, &rows, &err_); };
  EXPECT_EQ(with(small), GYR_E_RESOURCE_EXHAUSTED);
  auto none = [&](ArrowArrayStream* s) { return gyr_model_encode(m, GYR_SIDE_USER, s, nullptr, 4, &rows, &err_); };
  EXPECT_EQ(with(none), GYR_E_INVALID_ARGUMENT);
  m = model("popularity");
  EXPECT_EQ(with([&](ArrowArrayStream* s) { return gyr_model_encode(m, GYR_SIDE_USER, s, out, 4, &rows, &err_); }),
            GYR_E_UNSUPPORTED);
}

TEST_F(Models, PredictNamesTheColumn) {
  float out[4];
  uint64_t rows = 0;
  for (std::string kind : {"two_tower", "dlrm", "ials"}) {
    gyr_model* m = model(kind);
    auto use = [&](ArrowArrayStream* s) { return gyr_model_predict(m, s, out, 4, &rows, &err_); };
    std::string noticed = sweep("gyr_model_predict", use);
    EXPECT_EQ(noticed, kind == "dlrm"   ? "age history item_id genre year"
                       : kind == "ials" ? "history item_id"
                                        : "age history item_id genre");
    auto small = [&](ArrowArrayStream* s) { return gyr_model_predict(m, s, out, 3, &rows, &err_); };
    EXPECT_EQ(with(small), GYR_E_RESOURCE_EXHAUSTED);
    EXPECT_EQ(with([&](ArrowArrayStream* s) { return gyr_model_predict(m, s, nullptr, 4, &rows, &err_); }),
              GYR_E_INVALID_ARGUMENT);
  }
}

TEST_F(Models, RecommendRefusesBadShapes) {
  gyr_model* m = model("item_knn");
  const int64_t items[] = {3, 4}, offsets[] = {0, 2}, falling[] = {2, 0}, far[] = {99, 3};
  int64_t out[3];
  float scores[3];
  auto ask = [&](const int64_t* of, const int64_t* at, uint32_t k, const int64_t* without, const int64_t* without_at) {
    gyr_status s = gyr_model_recommend(m, of, at, 1, k, without, without_at, out, scores, &err_);
    gyr::test::expect_in_contract("gyr_model_recommend", s);
    return s;
  };
  EXPECT_EQ(ask(items, offsets, 3, nullptr, nullptr), GYR_OK) << err_.message;
  EXPECT_EQ(ask(items, offsets, 3, items, offsets), GYR_OK) << err_.message;
  for (uint32_t k : {0u, 65537u, UINT32_MAX})
    EXPECT_EQ(ask(items, offsets, k, nullptr, nullptr), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(ask(items, offsets, 3, items, nullptr), GYR_E_INVALID_ARGUMENT);
  EXPECT_NE(ask(items, falling, 3, nullptr, nullptr), GYR_OK);
  EXPECT_NE(ask(items, offsets, 3, items, falling), GYR_OK);
  EXPECT_NE(ask(far, offsets, 3, nullptr, nullptr), GYR_OK);
  EXPECT_EQ(gyr_model_recommend(m, nullptr, nullptr, 0, 3, nullptr, nullptr, nullptr, nullptr, &err_), GYR_OK);
}

TEST_F(Models, FitNamesTheColumn) {
  const char* schema = R"({"columns":[
    {"name":"user","dtype":"int64","tags":["categorical","user","id"],"cardinality":3},
    {"name":"item_id","dtype":"int64","tags":["categorical","item","id"],"cardinality":13,"domain":"items"},
    {"name":"history","dtype":"int64","list":true,"tags":["categorical","user"],"cardinality":13,"domain":"items"},
    {"name":"genre","dtype":"int64","tags":["categorical","item"],"cardinality":5},
    {"name":"age","dtype":"float32","tags":["continuous","user"]},
    {"name":"year","dtype":"float32","tags":["continuous","item"]},
    {"name":"label","dtype":"float32","tags":["target"]},{"name":"weight","dtype":"float32"}]})";
  const std::pair<const char*, const char*> specs[] = {
      {R"({"version":1,"kind":"dlrm","label":"label","dim":4,"bottom":[4],"top":[4],"epochs":1,
           "user_features":["history","age"],"item_features":["item_id","genre","year"]})",
       "age history item_id genre year label"},
      {R"({"version":1,"kind":"two_tower","item":"item_id","sampling":{"column":"weight"},"dim":4,"embedding_dim":4,"hidden":[4],
           "epochs":1,"user_features":["history","age"],"item_features":["item_id","genre"]})",
       "age history item_id genre weight"},
      {R"({"version":1,"kind":"ials","item":"item_id","user":"user","dim":4,"epochs":1})", "item_id user"},
      {R"({"version":1,"kind":"popularity","item":"item_id"})", "item_id"}};
  for (auto& [spec, expected] : specs) {
    gyr_trainer* probe = nullptr;
    if (gyr_trainer_create(runtime_, spec, schema, &probe, &err_) != GYR_OK) {
      ADD_FAILURE() << spec << ": " << err_.message;
      continue;
    }
    gyr_trainer_destroy(probe);
    auto use = [&](ArrowArrayStream* s) {
      gyr_trainer* t = nullptr;
      EXPECT_EQ(gyr_trainer_create(runtime_, spec, schema, &t, &err_), GYR_OK);
      gyr_status status = gyr_trainer_fit(t, s, nullptr, &err_);
      gyr_model* none = nullptr;
      gyr_error other = GYR_ERROR_INIT;
      gyr_status exported = gyr_trainer_export(t, &none, &other);
      EXPECT_EQ(exported == GYR_OK, status == GYR_OK) << other.message;
      gyr_model_destroy(none);
      gyr_trainer_destroy(t);
      return status;
    };
    EXPECT_EQ(sweep("gyr_trainer_fit", use), expected) << spec;
  }
}

}  // namespace
