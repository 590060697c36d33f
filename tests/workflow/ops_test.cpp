// Vectors N1..N6, B1, L1..L6, and the ops without vectors against their formulas.
#include "base/hash.h"
#include "tests/workflow/common.h"

namespace gyr::testing {
namespace {

Doubles numbers(const Batch& fit, const Batch& in, const std::string& op) {
  auto w = fitted(fit, op);
  return w ? column(transform(*w, in), "x").floats : Doubles();
}
void near(const Doubles& a, const Doubles& b, double tolerance = 1e-6) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); i++)
    if (std::isnan(b[i]))
      EXPECT_TRUE(std::isnan(a[i])) << i;
    else
      EXPECT_NEAR(a[i], b[i], tolerance) << i;
}
Batch floats(const Doubles& v) { return Table().floats("x", v).batch; }
const char* const kNormalize = R"({"op":"Normalize","columns":["x"]})";
const char* const kMinMax = R"({"op":"NormalizeMinMax","columns":["x"]})";

TEST(Normalize, Vectors) {
  Batch b = floats({1, 2, 3, 4});
  near(numbers(b, b, kNormalize), {-1.1618950, -0.3872983, 0.3872983, 1.1618950});  // N1
  Batch l = Table().float_lists("x", {{0, 1, 2}, {3, 4}, {5}}).batch;               // N2
  near(numbers(l, l, kNormalize), {-1.3363062, -.8017837, -.2672612, .2672612, .8017837, 1.3363062});
  Batch c = floats(Doubles(7, 10));
  EXPECT_EQ(numbers(c, c, kNormalize), Doubles(7, 0));  // N3
  Batch n = floats({1, NAN, 3});
  near(numbers(n, n, kNormalize), {-std::sqrt(.5), NAN, std::sqrt(.5)});
  Batch one = floats({4});
  EXPECT_EQ(numbers(one, one, kNormalize), (Doubles{0}));
  Batch all_null = floats({NAN, NAN});
  near(numbers(all_null, floats({3, NAN}), kNormalize), {3, NAN});
  auto w = fitted(b, kNormalize);
  EXPECT_TRUE(w->outputs().columns[0].tags & kTagContinuous);
}

TEST(Normalize, LargeOffsetKeepsItsVariance) {
  Doubles v;
  for (int i = 0; i < 1000; i++) v.push_back(1e9 + i % 2);
  Batch b = floats(v);
  near(numbers(b, b, kNormalize), numbers(floats(v), b, kNormalize), 0);
  EXPECT_NEAR(numbers(b, b, kNormalize)[1], 0.5 / std::sqrt(250.0 / 999), 1e-9);
}

TEST(Normalize, InfinityIsRefused) {
  auto w = make(graph(floats({1}), kNormalize));
  Status s = w->fit_batch(floats({1, INFINITY}));
  EXPECT_EQ(s.code(), GYR_E_INVALID_ARGUMENT);
  EXPECT_NE(std::string(s.message()).find("ops[0]"), std::string::npos);
}

TEST(NormalizeMinMax, Vectors) {
  for (double constant : {4.0, 0.0}) {  // N5: 0 for both, where NVTabular gives 0.5 and NaN
    Batch c = floats(Doubles(3, constant));
    EXPECT_EQ(numbers(c, c, kMinMax), Doubles(3, 0));
  }
  near(numbers(floats({0, 10}), floats({20, 5, NAN}), kMinMax), {2, .5, NAN});  // N6
}

TEST(LogOp, Vectors) {  // N4
  Batch l = Table().float_lists("x", {{0, M_E - 1}, {M_E * M_E - 1}, {}}).batch;
  near(numbers(l, l, R"({"op":"LogOp","columns":["x"]})"), {0, 1, 2});
  Doubles edge = numbers(floats({0}), floats({-1, -2}), R"({"op":"LogOp","columns":["x"]})");
  EXPECT_EQ(edge[0], -INFINITY);
  EXPECT_TRUE(std::isnan(edge[1]));
}

TEST(Bucketize, Vectors) {  // B1
  Batch b = floats({-2, -1, -.5, 0, .5, 1, 7, NAN});
  auto w = fitted(b, R"({"op":"Bucketize","columns":["x"],"boundaries":[-1,0,1]})");
  Batch out = transform(*w, b);
  EXPECT_EQ(column(out, "x").ints, (Ints{0, 1, 1, 2, 2, 3, 3, 0}));
  EXPECT_FALSE(column(out, "x").leaf_is_valid(7));
  EXPECT_EQ(w->outputs().columns[0].cardinality, 4);
  Batch i = Table().ints("x", {-2, -1, 0, 1, 2, INT64_MAX}).batch;
  EXPECT_EQ(
      column(transform(*fitted(i, R"({"op":"Bucketize","columns":["x"],"boundaries":{"x":[-1.5,0.5,1e300]}})"), i), "x")
          .ints,
      (Ints{0, 1, 1, 2, 2, 2}));
}

TEST(ListSlice, Vectors) {
  Batch b = Table().int_lists("x", {{0, 1, 2, 2, 767}, {1, 2, 2, 3}, {1, 223, 4}}).batch;
  struct {
    const char* params;
    Ints values, offsets;
  } cases[] = {
      {R"("start":0,"end":2)", {0, 1, 1, 2, 1, 223}, {0, 2, 4, 6}},
      {R"("start":3,"end":5)", {2, 767, 3}, {0, 2, 3, 3}},
      {R"("start":4,"end":10)", {767}, {0, 1, 1, 1}},
      {R"("start":-4)", {1, 2, 2, 767, 1, 2, 2, 3, 1, 223, 4}, {0, 4, 8, 11}},
      {R"("start":-3,"end":-1)", {2, 2, 2, 2, 1, 223}, {0, 2, 4, 6}},
      {R"("start":5,"pad":true)", {0, 1, 2, 2, 767, 1, 2, 2, 3, 0, 1, 223, 4, 0, 0}, {0, 5, 10, 15}},
      {R"("start":1,"end":6,"pad":true,"pad_value":123)",
       {1, 2, 2, 767, 123, 2, 2, 3, 123, 123, 223, 4, 123, 123, 123},
       {0, 5, 10, 15}},
      {R"("start":-4,"pad":true,"pad_value":-1)", {1, 2, 2, 767, 1, 2, 2, 3, 1, 223, 4, -1}, {0, 4, 8, 12}},
      {R"("start":-4,"end":-1,"pad":true,"pad_value":-1)", {1, 2, 2, 1, 2, 2, 1, 223, -1}, {0, 3, 6, 9}},
  };
  for (const auto& c : cases) {
    auto w = fitted(b, std::string(R"({"op":"ListSlice","columns":["x"],)") + c.params + "}");
    Batch out = transform(*w, b);
    EXPECT_EQ(column(out, "x").ints, c.values) << c.params;
    EXPECT_EQ(column(out, "x").list_offsets, c.offsets) << c.params;
  }
}

TEST(FillMissing, ValuesAndFlags) {
  Batch b = Table().floats("x", {1, NAN}).strings("s", {std::nullopt, "b"}).batch;
  b.columns[0].push_null_leaf(), b.columns[1].push_string("c"), b.rows = 3;
  auto w = fitted(b, R"({"op":"FillMissing","columns":["x"],"value":2.5,"add_binary_cols":true},
                        {"op":"FillMissing","columns":["s"],"value":"none"})");
  Batch out = transform(*w, b);
  EXPECT_EQ(column(out, "x").floats, (Doubles{1, 2.5, 2.5}));
  EXPECT_EQ(column(out, "x_filled").ints, (Ints{0, 1, 1}));
  EXPECT_EQ(column(out, "s").string(0), "none");
  EXPECT_EQ(column(out, "s").string(2), "c");
}

TEST(Clip, IntegersAndFloats) {
  Batch b = Table().floats("x", {-5, 0.5, 9, NAN, INFINITY}).ints("n", {-5, 0, 9, INT64_MAX, INT64_MIN}).batch;
  Batch out = transform(*fitted(b, R"({"op":"Clip","columns":["x","n"],"min_value":-1.5,"max_value":2.5})"), b);
  near(column(out, "x").floats, {-1.5, .5, 2.5, NAN, 2.5});
  EXPECT_EQ(column(out, "n").ints, (Ints{-1, 0, 2, 2, -1}));
}

TEST(HashBucket, PublishedHash) {
  Batch b = Table().strings("s", {"user", std::nullopt, ""}).ints("n", {-1, 0, 7}).batch;
  auto w = fitted(b, R"({"op":"HashBucket","columns":["s","n"],"num_buckets":{"s":100,"n":7}})");
  Batch out = transform(*w, b);
  EXPECT_EQ(column(out, "s").ints[0], int64_t(gyr_hash64("user", 4) % 100));
  EXPECT_FALSE(column(out, "s").leaf_is_valid(1));
  for (size_t i = 0; i < 3; i++) EXPECT_EQ(column(out, "n").ints[i], int64_t(gyr_hash64(&b.columns[1].ints[i], 8) % 7));
  EXPECT_EQ(w->outputs().find("n")->cardinality, 7);
}

TEST(SchemaOps, RenameAndTags) {
  Batch b = Table().ints("u", {1, 2}).floats("x", {1, 2}).batch;
  auto w =
      fitted(b, R"({"op":"AddTags","columns":["u"],"tags":["user_id"]},{"op":"Rename","columns":["u"],"name":"user"},
                        {"op":"Rename","columns":["user","x"],"postfix":"_f"},{"op":"Categorify","columns":["user_f"],"as":["code"]})");
  std::vector<std::string> names;
  for (const auto& c : w->outputs().columns) names.push_back(c.name);
  EXPECT_EQ(names, (std::vector<std::string>{"user_f", "x_f", "code"}));
  const ColumnSchema& code = *w->outputs().find("code");
  EXPECT_EQ(code.tags, uint32_t(kTagUser | kTagId | kTagCategorical));
  EXPECT_EQ(code.sources, std::vector<std::string>{"u"});
  EXPECT_EQ(code.cardinality, 5);
}

TEST(RowOps, FilterAndDropnaKeepRowsTogether) {
  Batch b =
      Table().ints("r", {5, 1, 4, 3, 5}).floats("x", {1, 2, NAN, 4, 6}).strings("s", {"a", "b", "c", "d", "e"}).batch;
  auto w = fitted(
      b, R"({"op":"Filter","expr":"r >= 3"},{"op":"Dropna","columns":["x"]},{"op":"Normalize","columns":["x"]})");
  std::vector<int64_t> map;
  Batch out = transform(*w, b, {}, &map);
  EXPECT_EQ(map, (Ints{0, 3, 4}));
  EXPECT_EQ(out.rows, 3);
  EXPECT_EQ(column(out, "r").ints, (Ints{5, 3, 5}));
  EXPECT_EQ(column(out, "s").string(1), "d");
  double mean = 11.0 / 3,
         std = std::sqrt(((1 - mean) * (1 - mean) + (4 - mean) * (4 - mean) + (6 - mean) * (6 - mean)) / 2);
  near(column(out, "x").floats, {(1 - mean) / std, (4 - mean) / std, (6 - mean) / std}, 1e-12);
}

TEST(RowOps, OptionalFilterFallsAwayWithItsColumn) {
  Batch b = Table().ints("r", {5, 1}).ints("x", {7, 8}).batch, serving = Table().ints("x", {7, 8, 9}).batch;
  auto w = fitted(b, R"({"op":"Filter","expr":"r >= 3","optional":true})");
  EXPECT_EQ(column(transform(*w, b), "x").ints, (Ints{7}));
  EXPECT_EQ(column(transform(*w, serving), "x").ints, (Ints{7, 8, 9}));
  auto strict = fitted(b, R"({"op":"Filter","expr":"r >= 3"})");
  auto plan = strict->plan(columns_of(serving), {"x"});
  ASSERT_FALSE(plan.ok());
  EXPECT_NE(std::string(plan.status().message()).find("\"r\""), std::string::npos);
}

}  // namespace
}  // namespace gyr::testing
