#include "data/column.h"

#include <gtest/gtest.h>

namespace gyr {
namespace {

TEST(Column, DtypeNamesRoundTrip) {
  for (gyr_dtype t = GYR_DTYPE_BOOL; t <= GYR_DTYPE_TIMESTAMP; t++) {
    gyr_dtype back = GYR_DTYPE_NONE;
    EXPECT_TRUE(dtype_from_name(dtype_name(t), &back)) << t;
    EXPECT_EQ(back, t);
  }
  gyr_dtype untouched = 77;
  EXPECT_FALSE(dtype_from_name("none", &untouched));
  EXPECT_FALSE(dtype_from_name("int", &untouched));
  EXPECT_EQ(untouched, 77);
  EXPECT_STREQ(dtype_name(99), "unknown");
}

TEST(Column, ValidityAppearsWithFirstNull) {
  Column c;
  c.reset(GYR_DTYPE_INT64, false);
  c.push_int(1);
  c.push_int(2);
  EXPECT_TRUE(c.leaf_valid.empty());
  c.push_null_leaf();
  c.push_int(4);
  EXPECT_EQ(c.leaf_valid, (std::vector<uint8_t>{1, 1, 0, 1}));
  EXPECT_TRUE(c.row_is_null(2));
  EXPECT_EQ(c.rows(), 4);
  c.reset(GYR_DTYPE_STRING, true);
  EXPECT_EQ(c.rows(), 0);
  EXPECT_EQ(c.leaves(), 0);
}

TEST(Column, ListsWithNullsAndEmpties) {
  Column c;
  c.reset(GYR_DTYPE_STRING, true);
  c.push_string("a");
  c.push_null_leaf();
  c.end_list();
  c.end_list();
  c.push_null_row();
  c.push_string("bc");
  c.end_list();
  EXPECT_EQ(c.rows(), 4);
  EXPECT_EQ(c.list_offsets, (std::vector<int64_t>{0, 2, 2, 2, 3}));
  EXPECT_EQ(c.list_valid, (std::vector<uint8_t>{1, 1, 0, 1}));
  EXPECT_EQ(c.string(2), "bc");
  EXPECT_FALSE(c.leaf_is_valid(1));
}

void expect_same(const Column& a, const Column& b) {
  EXPECT_EQ(a.ints, b.ints);
  EXPECT_EQ(a.floats, b.floats);
  EXPECT_EQ(a.chars, b.chars);
  EXPECT_EQ(a.char_offsets, b.char_offsets);
  EXPECT_EQ(a.leaf_valid, b.leaf_valid);
  EXPECT_EQ(a.list_offsets, b.list_offsets);
  EXPECT_EQ(a.list_valid, b.list_valid);
}

TEST(Column, AppendingEveryRowCopiesTheColumn) {
  for (gyr_dtype type : {GYR_DTYPE_INT32, GYR_DTYPE_FLOAT32, GYR_DTYPE_STRING}) {
    for (bool list : {false, true}) {
      Column c, copy;
      c.reset(type, list);
      copy.reset(type, list);
      uint64_t x = 88172645463325252ull;
      auto leaf = [&] {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        if (x % 5 == 0) return c.push_null_leaf();
        if (type == GYR_DTYPE_INT32) return c.push_int(int64_t(x % 1000));
        if (type == GYR_DTYPE_FLOAT32) return c.push_float(double(x % 1000) / 8);
        c.push_string(std::string(x % 7, char('a' + x % 26)));
      };
      for (int i = 0; i < 200; i++) {
        if (!list)
          leaf();
        else if (x % 11 == 3)
          leaf(), c.end_list();
        else if (i % 7 == 0)
          c.push_null_row();
        else {
          for (uint64_t k = x % 4; k > 0; k--) leaf();
          c.end_list();
        }
      }
      for (int64_t i = 0; i < c.rows(); i++) copy.append_row(c, i);
      expect_same(c, copy);
    }
  }
}

TEST(Batch, FindsByName) {
  Batch b;
  b.add("x", GYR_DTYPE_INT64, false);
  b.add("y", GYR_DTYPE_STRING, true);
  EXPECT_EQ(b.find("y"), 1);
  EXPECT_EQ(b.find("z"), -1);
}

}  // namespace
}  // namespace gyr
