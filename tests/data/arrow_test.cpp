#include "data/arrow.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"
#include "base/utf8.h"
#include "tests/data/arrow_builder.h"

namespace gyr {
namespace {

using testing::array;
using testing::bits;
using testing::bytes;
using testing::schema;
using testing::stream;
using testing::text;
using Arrays = std::vector<ArrowArray>;
using Schemas = std::vector<ArrowSchema>;

class Arrow : public ::testing::Test {
 protected:
  void SetUp() override { testing::live = 0; }
  void TearDown() override { EXPECT_EQ(testing::live, 0) << "not released, or released twice"; }

  // One column as a one-batch import; the status is in `status`.
  Column import(ArrowSchema column, ArrowArray values) {
    int64_t rows = values.length;
    ArrowSchema s = schema("+s", "", {column});
    ArrowArray a = array(rows, {{}}, {values});
    Batch batch;
    status = import_batch(s, a, &batch);
    s.release(&s);
    a.release(&a);
    return batch.columns.empty() ? Column() : batch.columns[0];
  }
  void expect_refused(ArrowSchema column, ArrowArray values, gyr_status code, const char* part) {
    import(column, values);
    EXPECT_EQ(status.code(), code) << status.message();
    EXPECT_NE(std::string(status.message()).find(part), std::string::npos) << status.message();
  }
  Status status;
};

template <class T>
std::vector<int64_t> wide(const std::vector<T>& v) {
  return {v.begin(), v.end()};
}

TEST_F(Arrow, IntegersOfEveryWidthWithOffsetAndNulls) {
  auto check = [&]<class T>(const char* format, std::vector<T> v, gyr_dtype dtype) {
    Column c = import(schema(format, "x"), array(3, {bits({1, 1, 0, 1}), bytes(v)}, {}, {}, 1, 1));
    ASSERT_TRUE(status.ok()) << status.message();
    EXPECT_EQ(c.dtype, dtype);
    EXPECT_EQ(c.ints, (std::vector<int64_t>{int64_t(v[1]), 0, int64_t(v[3])}));
    EXPECT_EQ(c.leaf_valid, (std::vector<uint8_t>{1, 0, 1}));
  };
  check("c", std::vector<int8_t>{9, -128, 7, 127}, GYR_DTYPE_INT8);
  check("C", std::vector<uint8_t>{9, 255, 7, 0}, GYR_DTYPE_UINT8);
  check("s", std::vector<int16_t>{9, -32768, 7, 1}, GYR_DTYPE_INT16);
  check("S", std::vector<uint16_t>{9, 65535, 7, 1}, GYR_DTYPE_UINT16);
  check("i", std::vector<int32_t>{9, INT32_MIN, 7, 1}, GYR_DTYPE_INT32);
  check("I", std::vector<uint32_t>{9, UINT32_MAX, 7, 1}, GYR_DTYPE_UINT32);
  check("l", std::vector<int64_t>{9, INT64_MIN, 7, INT64_MAX}, GYR_DTYPE_INT64);
  check("L", std::vector<uint64_t>{9, INT64_MAX, UINT64_MAX, 1}, GYR_DTYPE_UINT64);
}

TEST_F(Arrow, BoolFloatNull) {
  Column b = import(schema("b", "x"), array(3, {{}, bits({1, 0, 1, 1})}, {}, {}, 1, 0));
  EXPECT_EQ(b.ints, (std::vector<int64_t>{0, 1, 1}));
  Column f = import(schema("f", "x"), array(2, {bits({1, 0}), bytes(std::vector<float>{0.5f, NAN})}));
  EXPECT_EQ(f.floats, (std::vector<double>{0.5, 0}));
  EXPECT_TRUE(f.row_is_null(1));
  Column n = import(schema("n", "x"), array(4, {}));
  EXPECT_EQ(n.rows(), 4);
  EXPECT_TRUE(n.row_is_null(0) && n.row_is_null(3));
}

TEST_F(Arrow, TimesBecomeMicroseconds) {
  std::vector<int64_t> v{-1, 1500, -1500};
  auto us = [&](const char* format) { return import(schema(format, "t"), array(3, {{}, bytes(v)})).ints; };
  EXPECT_EQ(us("tss:"), (std::vector<int64_t>{-1000000, 1500000000, -1500000000}));
  EXPECT_EQ(us("tsm:UTC"), (std::vector<int64_t>{-1000, 1500000, -1500000}));
  EXPECT_EQ(us("tsu:"), v);
  EXPECT_EQ(us("tsn:Europe/Berlin"), (std::vector<int64_t>{-1, 1, -2}));
  EXPECT_EQ(import(schema("tdD", "t"), array(1, {{}, bytes(std::vector<int32_t>{-1})})).ints,
            (std::vector<int64_t>{-86400000000}));
  expect_refused(schema("tss:", "t"), array(1, {{}, bytes(std::vector<int64_t>{INT64_MAX / 2})}), GYR_E_OUT_OF_RANGE,
                 "column \"t\", row 0");
}

TEST_F(Arrow, Strings) {
  std::vector<int32_t> offsets{2, 2, 4, 9, 10};
  std::string chars = "??caffe\xff\xff!";
  // The null's bytes are not UTF-8 and do not matter.
  Column c = import(schema("u", "x"), array(3, {bits({1, 1, 0, 1}), bytes(offsets), text(chars)}, {}, {}, 1, 1));
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(c.string(0), "ca");
  EXPECT_EQ(c.string(1), "");
  EXPECT_EQ(c.string(2), "!");
  expect_refused(schema("U", "x"), array(1, {{}, bytes(std::vector<int64_t>{6, 8}), text(chars)}), GYR_E_CORRUPT,
                 "column \"x\", row 0: not UTF-8");
  Column empty = import(schema("u", "x"), array(2, {{}, bytes(std::vector<int32_t>{0, 0, 0}), {}}));
  EXPECT_EQ(empty.rows(), 2);
  EXPECT_TRUE(import(schema("u", "x"), array(0, {{}, {}, {}})).rows() == 0 && status.ok());
}

struct View {
  int32_t size;
  char inlined[12] = {};
};
View view(const std::string& s) {
  View v{int32_t(s.size())};
  std::memcpy(v.inlined, s.data(), std::min<size_t>(12, s.size()));
  return v;
}
View view(int32_t size, const char* prefix, int32_t buffer, int32_t offset) {
  View v{size};
  std::memcpy(v.inlined, prefix, 4);
  std::memcpy(v.inlined + 4, &buffer, 4);
  std::memcpy(v.inlined + 8, &offset, 4);
  return v;
}

TEST_F(Arrow, StringViews) {
  std::string data = "xthirteen chars";
  auto one = [&](View v, std::vector<int64_t> sizes = {15}) {
    return array(2, {{}, bytes(std::vector<View>{view("short"), v}), text(data), bytes(sizes)});
  };
  Column c = import(schema("vu", "x"), one(view(14, "thir", 0, 1)));
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(c.string(0), "short");
  EXPECT_EQ(c.string(1), "thirteen chars");
  expect_refused(schema("vu", "x"), one(view(15, "thir", 0, 1)), GYR_E_CORRUPT, "row 1: string view leaves");
  expect_refused(schema("vu", "x"), one(view(14, "thiR", 0, 1)), GYR_E_CORRUPT, "prefix");
  expect_refused(schema("vu", "x"), one(view(14, "thir", 1, 1)), GYR_E_CORRUPT, "no buffer");
  expect_refused(schema("vu", "x"), one(view(14, "thir", 0, -1)), GYR_E_CORRUPT, "no buffer");
  expect_refused(schema("vu", "x"), one(view(-1, "thir", 0, 0)), GYR_E_CORRUPT, "negative");
  expect_refused(schema("vu", "x"), one(view("a\xc0"), {15}), GYR_E_CORRUPT, "UTF-8");
  expect_refused(schema("vu", "x"), one(view("a"), {-1}), GYR_E_CORRUPT, "negative size");
  import(schema("vu", "x"), array(1, {{}, bytes(std::vector<View>{view("only inline")}), {}}));
  EXPECT_TRUE(status.ok()) << status.message();
}

TEST_F(Arrow, Dictionaries) {
  auto words = [] { return array(2, {{}, bytes(std::vector<int32_t>{0, 1, 3}), text("abb")}); };
  auto encoded = [&](const char* index, testing::Bytes indices, testing::Bytes validity = {}) {
    return import(schema(index, "x", {}, {schema("u", "")}), array(3, {validity, indices}, {}, {words()}));
  };
  Column c = encoded("c", bytes(std::vector<int8_t>{1, 99, 0}), bits({1, 0, 1}));
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(c.dtype, GYR_DTYPE_STRING);
  EXPECT_EQ(c.string(0), "bb");
  EXPECT_TRUE(c.row_is_null(1));
  EXPECT_EQ(c.string(2), "a");
  encoded("L", bytes(std::vector<uint64_t>{0, 1, 1}));
  EXPECT_TRUE(status.ok());
  encoded("i", bytes(std::vector<int32_t>{0, 2, 0}));
  EXPECT_STREQ(status.message(), "column \"x\", row 1: dictionary index is out of range");
  encoded("L", bytes(std::vector<uint64_t>{0, 1, UINT64_MAX}));
  EXPECT_EQ(status.code(), GYR_E_CORRUPT);
  expect_refused(schema("f", "x", {}, {schema("u", "")}), array(0, {{}, {}}, {}, {words()}), GYR_E_CORRUPT, "indices");
  expect_refused(schema("i", "x", {}, {schema("u", "")}), array(0, {{}, {}}), GYR_E_CORRUPT, "dictionary is missing");
  expect_refused(schema("i", "x"), array(0, {{}, {}}, {}, {words()}), GYR_E_CORRUPT, "its schema has none");
  // Numbers, with a null among the values.
  Column n = import(schema("S", "x", {}, {schema("l", "")}),
                    array(2, {{}, bytes(std::vector<uint16_t>{1, 0})}, {},
                          {array(2, {bits({1, 0}), bytes(std::vector<int64_t>{5, 6})})}));
  EXPECT_TRUE(n.row_is_null(0));
  EXPECT_EQ(n.ints[1], 5);
}

TEST_F(Arrow, ListsSkipWhatNullRowsHide) {
  std::vector<int32_t> offsets{0, 1, 3, 5, 5, 6};
  auto child = [] {
    return array(6, {bits({1, 1, 1, 1, 0, 1, 1}), bytes(std::vector<int32_t>{0, 1, 2, 3, 4, 5, 6})}, {}, {}, 1);
  };
  Column c = import(schema("+l", "x", {schema("i", "item")}),
                    array(4, {bits({1, 1, 0, 1, 1}), bytes(offsets)}, {child()}, {}, 1, 1));
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(c.list_offsets, (std::vector<int64_t>{0, 2, 2, 2, 3}));
  EXPECT_EQ(c.list_valid, (std::vector<uint8_t>{1, 0, 1, 1}));
  EXPECT_EQ(c.ints, (std::vector<int64_t>{2, 3, 6}));

  Column fixed = import(schema("+w:2", "x", {schema("i", "item")}), array(2,
                                                                          {
                                                                              bits({1, 0, 1}),
                                                                          },
                                                                          {child()}, {}, 1));
  EXPECT_EQ(fixed.list_offsets, (std::vector<int64_t>{0, 0, 2}));
  EXPECT_EQ(fixed.ints, (std::vector<int64_t>{5, 6}));
  EXPECT_EQ(import(schema("+w:0", "x", {schema("i", "")}), array(2, {{}}, {array(0, {{}, {}})})).rows(), 2);
}

TEST_F(Arrow, HostileLists) {
  auto list = [&](std::vector<int64_t> offsets, const char* part) {
    int64_t rows = int64_t(offsets.size()) - 1;
    expect_refused(
        schema("+L", "x", {schema("u", "")}),
        array(rows, {{}, bytes(offsets)}, {array(2, {{}, bytes(std::vector<int32_t>{0, 1, 2}), text("a\xff")})}),
        GYR_E_CORRUPT, part);
  };
  list({0, 1, 0}, "row 1: list offsets do not rise");
  list({0, 1, 3}, "row 1: list leaves its child");
  list({-1, 1}, "row 0: negative");
  list({0, 0, 1, INT64_MAX}, "row 2: list leaves");
  list({0, 1, 1, 2}, "row 2: not UTF-8");
  expect_refused(schema("+w:3", "x", {schema("i", "")}),
                 array(1, {{}}, {array(2, {{}, bytes(std::vector<int32_t>{1, 2})})}), GYR_E_CORRUPT, "lists of 3");
  expect_refused(schema("+w:2147483647", "x", {schema("i", "")}), array(int64_t(1) << 45, {{}}, {array(0, {{}, {}})}),
                 GYR_E_CORRUPT, "need more");
  expect_refused(schema("+w:x", "x", {schema("i", "")}), array(0, {{}}, {array(0, {{}, {}})}), GYR_E_CORRUPT, "+w:x");
  expect_refused(schema("+l", "x", {schema("+l", "", {schema("i", "")})}), array(0, {{}, {}}), GYR_E_UNSUPPORTED,
                 "nesting");
  expect_refused(schema("+l", "x"), array(0, {{}, {}}), GYR_E_CORRUPT, "one child");
}

TEST_F(Arrow, HostileArrays) {
  auto ints = [&](std::function<void(ArrowArray*)> spoil, const char* part, gyr_status code = GYR_E_CORRUPT) {
    ArrowArray a = array(2, {bits({1, 0}), bytes(std::vector<int32_t>{1, 2})}, {}, {}, 0, 1);
    ArrowSchema s = schema("+s", "", {schema("i", "x")});
    ArrowArray batch = array(2, {{}}, {a});
    ArrowArray kept = *batch.children[0];
    spoil(batch.children[0]);
    Batch out;
    Status status = import_batch(s, batch, &out);
    EXPECT_EQ(status.code(), code) << part;
    EXPECT_NE(std::string(status.message()).find(part), std::string::npos) << status.message();
    *batch.children[0] = kept;
    s.release(&s);
    batch.release(&batch);
  };
  ints([](ArrowArray* a) { a->length = -1; }, "length");
  ints([](ArrowArray* a) { a->length = 1, a->null_count = -1; }, "batch needs 2");
  ints([](ArrowArray* a) { a->length = INT64_MAX; }, "length");
  ints([](ArrowArray* a) { a->offset = -1; }, "offset");
  ints([](ArrowArray* a) { a->offset = INT64_MAX; }, "offset");
  ints([](ArrowArray* a) { a->null_count = 3; }, "null_count");
  ints([](ArrowArray* a) { a->null_count = -2; }, "null_count");
  ints([](ArrowArray* a) { a->null_count = 0; }, "contradicts");
  ints([](ArrowArray* a) { a->n_buffers = 1; }, "number of buffers");
  ints([](ArrowArray* a) { a->buffers = nullptr; }, "buffers is NULL");
  ints([](ArrowArray* a) { a->n_children = 1; }, "number of children");
  ints([](ArrowArray* a) { a->release = nullptr; }, "released");
  expect_refused(schema("i", "x"), array(2, {{}, {}}), GYR_E_CORRUPT, "data buffer is NULL");
  expect_refused(schema("i", "x"), array(2, {{}, bytes(std::vector<int32_t>{1, 2})}, {}, {}, 0, 1), GYR_E_CORRUPT,
                 "without a validity");
  expect_refused(schema("u", "x"), array(2, {{}, bytes(std::vector<int32_t>{0, 2, 1}), text("ab")}), GYR_E_CORRUPT,
                 "row 1: string offsets");
  expect_refused(schema("u", "x"), array(1, {{}, bytes(std::vector<int32_t>{-1, 2}), text("ab")}), GYR_E_CORRUPT,
                 "negative");
  expect_refused(schema("u", "x"), array(1, {{}, bytes(std::vector<int32_t>{0, 2}), {}}), GYR_E_CORRUPT, "NULL");
  expect_refused(schema("L", "id"), array(2, {{}, bytes(std::vector<uint64_t>{1, UINT64_MAX})}), GYR_E_OUT_OF_RANGE,
                 "column \"id\", row 1: 18446744073709551615");
  for (const char* format : {"e", "d:10,2", "tdm", "tts", "z", "w:4", "+s", "+m", "+us:0", "", "ts", "tsx:", "ii"})
    expect_refused(schema(format, "x"), array(0, {}), GYR_E_UNSUPPORTED, "column \"x\"");
}

TEST_F(Arrow, BatchLevelRules) {
  ArrowSchema s = schema("+s", "", {schema("i", "x"), schema("i", "x")});
  EXPECT_EQ(import_fields(s).status().code(), GYR_E_INVALID_ARGUMENT);
  s.release(&s);
  s = schema("i", "x");
  EXPECT_EQ(import_fields(s).status().code(), GYR_E_UNSUPPORTED);
  s.release(&s);
  s = schema("+s", "", {schema("i", "x")});
  ArrowArray a = array(2, {bits({1, 0})}, {array(2, {{}, bytes(std::vector<int32_t>{1, 2})})});
  Batch batch;
  EXPECT_EQ(import_batch(s, a, &batch).code(), GYR_E_UNSUPPORTED);
  a.release(&a);
  // A sliced batch slices its children.
  a = array(2, {{}}, {array(4, {{}, bytes(std::vector<int32_t>{9, 1, 2, 3, 4})}, {}, {}, 1)}, {}, 1);
  ASSERT_TRUE(import_batch(s, a, &batch).ok());
  EXPECT_EQ(batch.columns[0].ints, (std::vector<int64_t>{2, 3}));
  a.release(&a);
  s.release(&s);
}

ArrowArray int_batch(std::vector<int32_t> v) {
  int64_t n = int64_t(v.size());
  return array(n, {{}}, {array(n, {{}, bytes(v)})});
}

TEST_F(Arrow, ReaderTakesTheStreamOnlyOnAccept) {
  ArrowArrayStream s = stream(schema("+s", "", {schema("i", "x")}), {int_batch({1, 2}), int_batch({}), int_batch({3})});
  {
    auto reader = ArrowReader::open(&s);
    ASSERT_TRUE(reader.ok());
    EXPECT_EQ((*reader)->fields()[0].name, "x");
    Batch batch;
    bool end = false;
    std::vector<int64_t> seen;
    while ((*reader)->next(&batch, &end).ok() && !end)
      seen.insert(seen.end(), batch.columns[0].ints.begin(), batch.columns[0].ints.end());
    EXPECT_EQ(seen, (std::vector<int64_t>{1, 2, 3}));
    EXPECT_NE(s.release, nullptr);
    (*reader)->accept();
  }
  EXPECT_EQ(s.release, nullptr);
  EXPECT_EQ(ArrowReader::open(&s).status().code(), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(ArrowReader::open(nullptr).status().code(), GYR_E_INVALID_ARGUMENT);
}

TEST_F(Arrow, ProducerErrorsLeaveTheStreamWithTheCaller) {
  ArrowArrayStream s = stream(schema("+s", "", {schema("i", "x")}), {int_batch({1})}, 12);
  Status status = std::move(ArrowReader::open(&s).status());
  EXPECT_EQ(status.code(), GYR_E_CALLBACK);
  EXPECT_STREQ(status.message(), "the Arrow stream's get_schema failed with 12: disk on fire");
  EXPECT_EQ(status.info()->flags, uint32_t(GYR_ERROR_FROM_CALLBACK));
  s.release(&s);
  s = stream(schema("+s", "", {schema("i", "x")}), {int_batch({1}), int_batch({1})}, 0, 1);
  {
    auto reader = ArrowReader::open(&s);
    Batch batch;
    bool end = false;
    EXPECT_TRUE((*reader)->next(&batch, &end).ok());
    EXPECT_EQ((*reader)->next(&batch, &end).code(), GYR_E_CALLBACK);
  }
  ASSERT_NE(s.release, nullptr);
  s.release(&s);
  s = stream(schema("+s", "", {schema("z", "x")}), {});
  EXPECT_EQ(ArrowReader::open(&s).status().code(), GYR_E_UNSUPPORTED);
  s.release(&s);
}

Batch random_batch(uint64_t seed, int64_t rows) {
  Random random(seed);
  Batch batch;
  for (gyr_dtype type = GYR_DTYPE_NONE; type <= GYR_DTYPE_TIMESTAMP; type++) {
    for (bool list : {false, true}) {
      Column& c = batch.add(std::string(dtype_name(type)) + (list ? "s" : ""), type, list);
      bool nulls = random.below(2);
      auto leaf = [&] {
        if (type == GYR_DTYPE_NONE || (nulls && random.below(4) == 0)) return c.push_null_leaf();
        int64_t small = int64_t(random.below(128));
        if (type == GYR_DTYPE_BOOL) return c.push_int(small & 1);
        if (c.physical() == Physical::kInt) return c.push_int(type == GYR_DTYPE_INT64 ? int64_t(random.next()) : small);
        if (c.physical() == Physical::kFloat) return c.push_float(double(small) / 4);
        c.push_string(std::string(random.below(20), 'q') + "\xc3\xa9");
      };
      for (int64_t i = 0; i < rows; i++) {
        if (!list)
          leaf();
        else if (nulls && random.below(5) == 0)
          c.push_null_row();
        else {
          for (uint64_t k = random.below(4); k > 0; k--) leaf();
          c.end_list();
        }
      }
    }
  }
  batch.rows = rows;
  return batch;
}

void expect_same(const Batch& a, const Batch& b) {
  EXPECT_EQ(a.names, b.names);
  ASSERT_EQ(a.rows, b.rows);
  for (size_t i = 0; i < a.columns.size(); i++) {
    const Column &x = a.columns[i], &y = b.columns[i];
    EXPECT_EQ(x.dtype, y.dtype);
    EXPECT_EQ(x.ints, y.ints) << a.names[i];
    EXPECT_EQ(x.floats, y.floats);
    EXPECT_EQ(x.chars, y.chars);
    EXPECT_EQ(x.char_offsets, y.char_offsets) << a.names[i];
    EXPECT_EQ(x.list_offsets, y.list_offsets) << a.names[i];
    for (int64_t k = 0; k < x.leaves(); k++) ASSERT_EQ(x.leaf_is_valid(k), y.leaf_is_valid(k)) << a.names[i];
    for (int64_t k = 0; k < x.rows(); k++) ASSERT_EQ(x.row_is_null(k), y.row_is_null(k)) << a.names[i];
  }
}

TEST_F(Arrow, ExportThenImportIsIdentity) {
  for (uint64_t seed = 0; seed < 20; seed++) {
    std::vector<Batch> batches;
    for (int64_t rows : {0, 1, 7, 64, 201}) batches.push_back(random_batch(seed, rows));
    size_t at = 0;
    ArrowArrayStream s{};
    ASSERT_TRUE(export_stream(
                    fields_of(batches[0]),
                    [&](Batch* out, bool* end) -> Status {
                      *end = at == batches.size();
                      if (!*end) *out = batches[at++];
                      return {};
                    },
                    &s)
                    .ok());
    auto reader = ArrowReader::open(&s);
    ASSERT_TRUE(reader.ok()) << reader.status().message();
    Batch got;
    bool end = false;
    for (const Batch& want : batches) {
      Status status = (*reader)->next(&got, &end);
      ASSERT_TRUE(status.ok()) << status.message();
      ASSERT_FALSE(end);
      expect_same(want, got);
    }
    ASSERT_TRUE((*reader)->next(&got, &end).ok());
    EXPECT_TRUE(end);
    (*reader)->accept();
    EXPECT_EQ(s.release, nullptr);
  }
}

TEST_F(Arrow, ExportRefusesNarrowingAndReportsThroughTheStream) {
  Batch batch;
  batch.add("n", GYR_DTYPE_INT8, false).push_int(128);
  batch.rows = 1;
  ArrowArray a{};
  EXPECT_EQ(export_batch(batch, &a).code(), GYR_E_OUT_OF_RANGE);
  EXPECT_EQ(a.release, nullptr);
  ArrowArrayStream s{};
  ASSERT_TRUE(export_stream(
                  fields_of(batch), [&](Batch* out, bool*) -> Status { return *out = batch, Status(); }, &s)
                  .ok());
  EXPECT_EQ(s.get_last_error(&s), nullptr);
  EXPECT_NE(s.get_next(&s, &a), 0);
  EXPECT_NE(std::string(s.get_last_error(&s)).find("128 does not fit in int8"), std::string::npos);
  s.release(&s);
}

TEST_F(Arrow, ConsumersMayMoveChildrenOut) {
  Batch batch = random_batch(3, 5);
  ArrowArray a{};
  ArrowSchema s{};
  ASSERT_TRUE(export_batch(batch, &a).ok());
  ASSERT_TRUE(export_schema(fields_of(batch), &s).ok());
  ArrowArray child = *a.children[3];
  a.children[3]->release = nullptr;
  ArrowSchema child_schema = *s.children[3];
  s.children[3]->release = nullptr;
  a.release(&a);
  s.release(&s);
  EXPECT_EQ(child.length, 5);
  EXPECT_STREQ(child_schema.format, "+L");
  child.release(&child);
  child_schema.release(&child_schema);
}

// Every string of up to 3 bytes from a set of telling bytes, against a decoder written the long way.
TEST(Utf8, AgreesWithADecoder) {
  auto decodes = [](const std::string& s) {
    for (size_t i = 0; i < s.size();) {
      auto byte = [&](size_t k) { return k < s.size() ? uint32_t(uint8_t(s[k])) : 0u; };
      uint32_t c = byte(i), code, n;
      if (c < 0x80) {
        i++;
        continue;
      }
      if ((c & 0xE0) == 0xC0)
        code = c & 31, n = 1;
      else if ((c & 0xF0) == 0xE0)
        code = c & 15, n = 2;
      else if ((c & 0xF8) == 0xF0)
        code = c & 7, n = 3;
      else
        return false;
      for (uint32_t k = 1; k <= n; k++) {
        if ((byte(i + k) & 0xC0) != 0x80) return false;
        code = code << 6 | (byte(i + k) & 63);
      }
      uint32_t least = n == 1 ? 0x80 : n == 2 ? 0x800 : 0x10000;
      if (code < least || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return false;
      i += n + 1;
    }
    return true;
  };
  const int set[] = {0,    'a',  0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF,
                     0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF};
  int good = 0;
  for (int a : set)
    for (int b : set)
      for (int c : set)
        for (int d : set) {
          std::string s{char(a), char(b), char(c), char(d)};
          ASSERT_EQ(valid_utf8(s), decodes(s)) << a << " " << b << " " << c << " " << d;
          ASSERT_EQ(valid_utf8(s.substr(0, 3)), decodes(s.substr(0, 3)));
          ASSERT_EQ(valid_utf8("12345678" + s), decodes(s));
          good += decodes(s);
        }
  EXPECT_GT(good, 100);
}

}  // namespace
}  // namespace gyr
