// Keys of candidates: one integer comparison instead of one of scores and one of slots.
#include "index/ranked.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <set>

namespace gyr::index {
namespace {

TEST(Ranked, KeysOrderByScoreThenSlot) {
  const float inf = std::numeric_limits<float>::infinity();
  const float rising[] = {-inf, -3e38f, -1.5f, -1, -1e-42f, 0, 1e-42f, 1, 1.5f, 3e38f, inf};
  for (size_t i = 0; i < std::size(rising); i++) {
    const int64_t low = ranked_key(rising[i], (1u << 31) - 1), high = ranked_key(rising[i], 0);
    EXPECT_EQ(score_of(low), rising[i]);
    EXPECT_EQ(slot_of(low), (1u << 31) - 1);
    EXPECT_EQ(slot_of(high | 1), 0u);
    EXPECT_LT(low | 1, high);
    if (i > 0) {
      EXPECT_LT(ranked_key(rising[i - 1], 0) | 1, low);
    }
  }
}

// What a walk does: the first that has no mark gets it, then others come in. With the mark above the slot, one of two
// alike that was marked before the other came stood behind it, and insertion made a third of them.
TEST(Ranked, MarksKeepTheOrder) {
  Ranked list(std::pmr::get_default_resource());
  std::mt19937 random(1);
  for (uint32_t most : {1u, 10u, 40u, 200u}) {
    list.reset(most, 16);
    uint32_t slot = 0, marks = 0;
    for (int turn = 0; turn < 300; turn++) {
      float scores[16];
      uint32_t slots[16];
      for (uint32_t i = 0; i < 16; i++) {
        scores[i] = float(int(random() % 50)) - 25 - float(turn);  // many are alike
        slots[i] = slot++;
      }
      list.offer(scores, slots, random() % 17);
      std::set<uint32_t> all;
      for (uint32_t i = 0; i < list.size(); i++) {
        ASSERT_TRUE(i == 0 || list[i - 1] > list[i]);
        ASSERT_TRUE(all.insert(list.slot(i)).second);
      }
      for (uint32_t i = 0; i < list.size(); i++) {
        if (list.marked(i)) continue;
        list.mark(i);
        marks++;
        break;
      }
    }
    EXPECT_LE(list.size(), most);
    EXPECT_GE(marks, most);
  }
}

TEST(Ranked, OfThoseThatAreAlikeTheSmallestSlotsStay) {
  Ranked list(std::pmr::get_default_resource());
  list.reset(10, 5);
  const float scores[] = {1, 1, 1, 1, 1};
  for (uint32_t turn = 0; turn < 20; turn++) {
    uint32_t slots[5];
    for (uint32_t i = 0; i < 5; i++) slots[i] = (turn * 5 + i) * 37 % 100;
    list.offer(scores, slots, 5);
  }
  for (uint32_t i = 0; i < 10; i++) EXPECT_EQ(list.slot(i), i);
}

TEST(Ranked, NotANumberIsTheLeast) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  for (float bad : {nan, -nan}) {
    EXPECT_LT(ranked_key(bad, 0), ranked_key(-3e38f, UINT32_MAX >> 1));
    EXPECT_EQ(ranked_key(bad, 3), ranked_key(-inf, 3));
  }
}

TEST(Ranked, OfferReturnsTheBest) {
  Ranked list(std::pmr::get_default_resource());
  list.reset(4, 3);
  const float scores[] = {1, 3, 2};
  const uint32_t slots[] = {7, 8, 9};
  EXPECT_EQ(list.offer(scores, slots, 3), ranked_key(3, 8));
  EXPECT_EQ(list.offer(scores, slots, 0), INT64_MIN);
  EXPECT_EQ(list.size(), 3u);
  EXPECT_EQ(list.slot(0), 8u);
  EXPECT_EQ(list.score(1), 2);
}

}  // namespace
}  // namespace gyr::index
