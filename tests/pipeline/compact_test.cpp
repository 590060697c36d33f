// Dropping candidates in place, against a plain copy.
#include <gtest/gtest.h>

#include "base/random.h"
#include "pipeline/workspace.h"

namespace gyr {
namespace {

Column random_column(Random* random, gyr_dtype dtype, bool list, int64_t rows) {
  Column c;
  c.reset(dtype, list);
  auto leaf = [&] {
    if (random->below(5) == 0) return c.push_null_leaf();
    switch (c.physical()) {
      case Physical::kInt:
        return c.push_int(int64_t(random->below(100)));
      case Physical::kFloat:
        return c.push_float(random->uniform());
      case Physical::kString:
        return c.push_string(std::string(random->below(6), 'x') + std::to_string(random->below(50)));
    }
  };
  for (int64_t i = 0; i < rows; i++) {
    if (!list) {
      leaf();
    } else if (random->below(6) == 0) {
      c.push_null_row();
    } else {
      for (uint64_t n = random->below(4); n > 0; n--) leaf();
      c.end_list();
    }
  }
  return c;
}

TEST(Compact, EqualsCopyOfKeptRows) {
  Random random(3);
  for (gyr_dtype dtype : {GYR_DTYPE_INT64, GYR_DTYPE_FLOAT32, GYR_DTYPE_STRING})
    for (bool list : {false, true})
      for (int64_t rows : {0, 1, 7, 100}) {
        Column c = random_column(&random, dtype, list, rows), want;
        want.reset(dtype, list);
        std::vector<uint8_t> keep;
        for (int64_t i = 0; i < rows; i++) {
          keep.push_back(random.below(2));
          if (keep.back()) want.append_row(c, i);
        }
        compact_column(&c, keep);
        ASSERT_EQ(c.rows(), want.rows());
        for (int64_t i = 0; i < c.rows(); i++) EXPECT_EQ(c.row_is_null(i), want.row_is_null(i));
        if (list) {
          EXPECT_EQ(c.list_offsets, want.list_offsets);
        }
        ASSERT_EQ(c.leaves(), want.leaves());
        for (int64_t i = 0; i < c.leaves(); i++) {
          ASSERT_EQ(c.leaf_is_valid(i), want.leaf_is_valid(i));
          if (!c.leaf_is_valid(i)) continue;
          if (c.physical() == Physical::kString)
            EXPECT_EQ(c.string(i), want.string(i));
          else if (c.physical() == Physical::kInt)
            EXPECT_EQ(c.ints[size_t(i)], want.ints[size_t(i)]);
          else
            EXPECT_EQ(c.floats[size_t(i)], want.floats[size_t(i)]);
        }
      }
}

TEST(Compact, MovesUserBoundariesAndFilledSlots) {
  Workspace w;
  w.ids = {1, 2, 3, 4, 5};
  w.begin = {0, 2, 2, 5};
  w.keep = {0, 1, 1, 0, 0};
  w.slots.resize(2);
  w.item_slots = {0, 1};
  w.slots[0].add("x", GYR_DTYPE_INT64, false).ints = {10, 20, 30, 40, 50};
  w.slots[0].rows = 5;
  w.slots[1].rows = -1;
  compact(&w);
  EXPECT_EQ(w.ids, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(w.begin, (std::vector<int64_t>{0, 1, 1, 2}));
  EXPECT_EQ(w.slots[0].columns[0].ints, (std::vector<int64_t>{20, 30}));
}

}  // namespace
}  // namespace gyr
