// Ranked lists against a sort.
#include <algorithm>
#include <functional>

#include "tests/kernels/common.h"
#include "tests/kernels/stored_row.h"

namespace gyr::kernels {
namespace {

class RankedKernels : public Kernels {};

// A list whose last place ends right before a page that faults.
struct List {
  explicit List(size_t most) : bytes(ranked_places(most) * 8), keys(reinterpret_cast<int64_t*>(bytes.data())) {
    std::fill_n(keys, ranked_places(most), INT64_MIN);
  }
  GuardedBytes bytes;
  int64_t* keys;
};

TEST_P(RankedKernels, TheLargestStayInOrder) {
  std::mt19937_64 random(1);
  for (size_t most : {1, 2, 7, 8, 15, 16, 31, 32, 33, 63, 64, 65, 96, 97, 100, 127, 128, 129, 160, 161, 300, 1000}) {
    for (size_t at_once : {1, 3, 10, 32, 65, 130}) {
      for (int rising : {0, 1, 2}) {  // in any order, better and better, worse and worse
        List list(most);
        std::vector<int64_t> all, keys;
        for (int turn = 0; turn < 20; ++turn) {
          keys.clear();
          for (size_t i = 0; i < (turn % 3 == 2 ? at_once / 2 : at_once); ++i) {
            const auto number = static_cast<int64_t>(all.size() + i + 1);
            const auto any = static_cast<int64_t>(random());
            keys.push_back(rising == 0 ? any : (rising == 1 ? number : -number) * (int64_t{1} << 34) + any % 1000);
          }
          all.insert(all.end(), keys.begin(), keys.end());
          ops().insert_ranked(list.keys, most, keys.data(), keys.size());
          std::sort(all.begin(), all.end(), std::greater<>());
          for (size_t i = 0; i < most; ++i) {
            ASSERT_EQ(list.keys[i], i < all.size() ? all[i] : INT64_MIN)
                << "most " << most << ", " << at_once << " at once, turn " << turn << ", place " << i;
          }
        }
      }
    }
  }
}

TEST_P(RankedKernels, TheEndsOfTheirRangeAreKeys) {
  for (size_t most : {3, 40, 200}) {
    List list(most);
    const int64_t keys[] = {INT64_MIN + 1, INT64_MAX - 1, 0, -1, INT64_MIN, 1};
    ops().insert_ranked(list.keys, most, keys, 6);
    EXPECT_EQ((std::vector<int64_t>(list.keys, list.keys + 3)), (std::vector<int64_t>{INT64_MAX - 1, 1, 0}));
    if (most > 3) {
      EXPECT_EQ((std::vector<int64_t>(list.keys + 3, list.keys + 6)),
                (std::vector<int64_t>{-1, INT64_MIN + 1, INT64_MIN}));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, RankedKernels, testing::ValuesIn(implementations()), implementation_name);

}  // namespace
}  // namespace gyr::kernels
