// Vectors C1..C18 (without combo) and E1: NVTabular's tests of Categorify and its documented layout.
#include "base/hash.h"
#include "tests/workflow/common.h"

namespace gyr::testing {
namespace {

Ints codes(const Batch& in, const std::string& op, const std::string& name) {
  auto w = fitted(in, op);
  return w ? column(transform(*w, in), name).ints : Ints();
}
Strings letters(const std::string& s) {  // '-' is null
  Strings out;
  for (char c : s) c == '-' ? out.push_back(std::nullopt) : out.push_back(std::string(1, c));
  return out;
}
const char* const kBoth = R"({"op":"Categorify","columns":["a","e"]})";

TEST(Categorify, IndependentAndJoint) {
  Table t;
  t.strings("a", letters("AEBC")).strings("e", letters("BBAD"));
  EXPECT_EQ(codes(t.batch, kBoth, "a"), (Ints{3, 6, 4, 5}));  // C1
  EXPECT_EQ(codes(t.batch, kBoth, "e"), (Ints{3, 3, 4, 5}));
  for (const char* op : {R"({"op":"Categorify","columns":["a","e"],"joint":true})",
                         R"({"op":"Categorify","columns":["a","e"],"groups":[["a","e"]]})"}) {
    EXPECT_EQ(codes(t.batch, op, "a"), (Ints{4, 7, 3, 5}));  // C2
    EXPECT_EQ(codes(t.batch, op, "e"), (Ints{3, 3, 4, 6}));
    auto w = fitted(t.batch, op);
    EXPECT_EQ(w->outputs().find("a")->domain, w->outputs().find("e")->domain);
    EXPECT_FALSE(w->outputs().find("a")->domain.empty());
    EXPECT_EQ(w->outputs().find("a")->cardinality, 8);
    EXPECT_EQ(w->outputs().find("a")->sources, std::vector<std::string>{"a"});
    EXPECT_TRUE(w->outputs().find("a")->tags & kTagCategorical);
  }
}

TEST(Categorify, CountThenValueOrder) {
  struct {
    const char *a, *e;
    Ints want_a, want_e;
  } cases[] = {{"BEBC", "CBAD", {3, 5, 3, 4}, {5, 4, 3, 6}},   // C4
               {"CEBC", "BBAD", {3, 5, 4, 3}, {3, 3, 4, 5}},   // C5
               {"ABCC", "ABCC", {4, 5, 3, 3}, {4, 5, 3, 3}},   // C6
               {"CEBA", "CBAD", {5, 6, 4, 3}, {5, 4, 3, 6}},   // C7
               {"-EBA", "CBAD", {1, 5, 4, 3}, {5, 4, 3, 6}}};  // C8
  for (const auto& c : cases) {
    Table t;
    t.strings("a", letters(c.a)).strings("e", letters(c.e));
    EXPECT_EQ(codes(t.batch, kBoth, "a"), c.want_a) << c.a;
    EXPECT_EQ(codes(t.batch, kBoth, "e"), c.want_e) << c.e;
  }
}

TEST(Categorify, Lists) {
  Table t;
  t.lists("l", {{"A"}, {"A", "E"}, {"B", "C"}, {"C"}});
  EXPECT_EQ(codes(t.batch, R"({"op":"Categorify","columns":["l"],"freq_threshold":1})", "l"), (Ints{3, 3, 6, 5, 4, 4}));
  EXPECT_EQ(codes(t.batch, R"({"op":"Categorify","columns":["l"],"freq_threshold":2})", "l"), (Ints{3, 3, 2, 2, 4, 4}));
  EXPECT_EQ(codes(t.batch, R"({"op":"Categorify","columns":["l"],"vocabs":{"l":["A","C","B","E"]}})", "l"),
            (Ints{3, 3, 6, 5, 4, 4}));  // C11
  Table u;
  u.strings("a", letters("AEBC")).lists("l", {{"B", "C"}, {}, {"A", "D"}, {"A"}});
  const char* joint = R"({"op":"Categorify","columns":["a","l"],"joint":true})";  // C12
  EXPECT_EQ(codes(u.batch, joint, "a"), (Ints{3, 7, 4, 5}));
  EXPECT_EQ(codes(u.batch, joint, "l"), (Ints{4, 5, 3, 6, 3}));
  EXPECT_EQ(column(transform(*fitted(u.batch, joint), u.batch), "l").list_offsets, (Ints{0, 2, 2, 4, 5}));
}

TEST(Categorify, ThresholdPerColumn) {  // C13
  Table t;
  t.strings("a", letters("AAEEBBBCCC")).strings("e", letters("BBBAADDDDC"));
  auto w = fitted(t.batch, R"({"op":"Categorify","columns":["a","e"],"freq_threshold":{"a":3,"e":4}})");
  Batch out = transform(*w, t.batch);
  EXPECT_EQ(*std::max_element(column(out, "a").ints.begin(), column(out, "a").ints.end()), 4);
  EXPECT_EQ(*std::max_element(column(out, "e").ints.begin(), column(out, "e").ints.end()), 3);
}

TEST(Categorify, MaxSizeAndBuckets) {
  Ints many(1000);
  for (size_t i = 0; i < many.size(); i++) many[i] = int64_t(i) * 7 - 300;
  Table t;
  t.ints("a", many);
  Ints c = codes(t.batch, R"({"op":"Categorify","columns":["a"],"max_size":1000})", "a");  // C14
  EXPECT_EQ(std::count(c.begin(), c.end(), 2), 3);
  EXPECT_EQ(*std::max_element(c.begin(), c.end()), 999);
  EXPECT_EQ(c[0], 3);  // ties go by value, so the largest three fell out
  auto w = fitted(t.batch, R"({"op":"Categorify","columns":["a"],"max_size":12,"num_buckets":10})");  // C15
  EXPECT_EQ(w->outputs().columns[0].cardinality, 12);
  c = column(transform(*w, t.batch), "a").ints;
  for (size_t i = 0; i < c.size(); i++) EXPECT_EQ(c[i], 2 + int64_t(hash64(many[i]) % 10));
}

TEST(Categorify, UnseenNullAndBuckets) {
  Table t, u;
  t.strings("a", letters("AAB"));
  u.strings("a", letters("Z-A"));
  EXPECT_EQ(column(transform(*fitted(t.batch, R"({"op":"Categorify","columns":["a"]})"), u.batch), "a").ints,
            (Ints{2, 1, 3}));                                                          // C16
  auto w = fitted(t.batch, R"({"op":"Categorify","columns":["a"],"num_buckets":5})");  // C17
  EXPECT_EQ(column(transform(*w, u.batch), "a").ints, (Ints{2 + int64_t(hash64(std::string_view("Z")) % 5), 1, 7}));
  EXPECT_EQ(w->outputs().columns[0].cardinality, 9);
}

TEST(Categorify, RefusedSettings) {  // C18
  Table t;
  t.strings("a", letters("AB")).ints("n", {1, 2});
  struct {
    const char *params, *part;
  } cases[] = {{R"("freq_threshold":2,"max_size":10)", "freq_threshold"},
               {R"("num_buckets":0)", "ops[0].num_buckets"},
               {R"("start_index":3)", "start_index"},
               {R"("max_size":2)", "num_buckets + 2"},
               {R"("max_size":11,"num_buckets":10)", "num_buckets + 2"},
               {R"("groups":[["a"],["a"]])", "two groups"},
               {R"("groups":[["b"]])", "\"b\""},
               {R"("vocabs":{"a":["x","x"]})", "twice"},
               {R"("vocabs":{"a":[1]})", "strings"},
               {R"("vocabs":{"z":["x"]})", "vocabs"},
               {R"("freq_threshold":{"z":3})", "ops[0].freq_threshold.z"}};
  for (const auto& c : cases) {
    auto w = Workflow::create(runtime(),
                              graph(t.batch, std::string(R"({"op":"Categorify","columns":["a"],)") + c.params + "}"));
    ASSERT_FALSE(w.ok()) << c.params;
    EXPECT_EQ(w.status().code(), GYR_E_INVALID_ARGUMENT);
    EXPECT_NE(std::string(w.status().message()).find(c.part), std::string::npos) << w.status().message();
  }
  EXPECT_FALSE(
      Workflow::create(runtime(), graph(t.batch, R"({"op":"Categorify","columns":["a","n"],"joint":true})")).ok());
}

TEST(Categorify, FloatsAndNaN) {
  Table t;
  t.floats("f", {1.5, NAN, -2, -0.0, 0.0, 1.5});
  auto w = fitted(t.batch, R"({"op":"Categorify","columns":["f"],"as":["c"]})");
  EXPECT_EQ(column(transform(*w, t.batch), "c").ints, (Ints{4, 1, 5, 3, 3, 4}));
  gyr_value v;
  ASSERT_TRUE(w->decode("c", 4, &v).ok());
  EXPECT_EQ(v.dtype, GYR_DTYPE_FLOAT64);
  EXPECT_EQ(v.f, 1.5);
}

TEST(Categorify, DecodeIsTheInverse) {
  Table t;
  t.strings("a", letters("QQXAZ")).ints("n", {5, -9, 5, 7, 1});
  auto w = fitted(t.batch, R"({"op":"Categorify","columns":["a","n"]})");
  Batch out = transform(*w, t.batch);
  gyr_value v;
  for (size_t i = 0; i < 5; i++) {
    ASSERT_TRUE(w->decode("a", column(out, "a").ints[i], &v).ok());
    EXPECT_EQ(std::string(v.s.data, v.s.len), t.batch.columns[0].string(int64_t(i)));
    ASSERT_TRUE(w->decode("n", column(out, "n").ints[i], &v).ok());
    EXPECT_EQ(v.i, t.batch.columns[1].ints[i]);
  }
  for (int64_t code : {0, 1, 2}) {
    ASSERT_TRUE(w->decode("a", code, &v).ok());
    EXPECT_EQ(v.dtype, GYR_DTYPE_NONE);
  }
  EXPECT_EQ(w->decode("a", -1, &v).code(), GYR_E_OUT_OF_RANGE);
  EXPECT_EQ(w->decode("a", 7, &v).code(), GYR_E_OUT_OF_RANGE);
  EXPECT_EQ(w->decode("zz", 3, &v).code(), GYR_E_NOT_FOUND);
}

TEST(Categorify, EmbeddingSizeRule) {  // E1
  int64_t n[] = {3, 29, 100, 1000, 10000, 1000000}, want[] = {16, 16, 21, 77, 278, 512};
  for (int i = 0; i < 6; i++) EXPECT_EQ(embedding_size(n[i]), want[i]);
}

}  // namespace
}  // namespace gyr::testing
