// Links and codes that are made at once: partitions, principal axes, and indexes that are filled or replaced by one
// call.
#include "index/build.h"

#include <atomic>
#include <numeric>
#include <thread>

#include "index/axes.h"
#include "io/container.h"
#include "tests/index/fixture.h"

namespace gyr::test {
namespace {

using index::Codes;
using index::kNone;

constexpr uint32_t kDim = 16;

std::vector<uint32_t> numbers(uint32_t n) {
  std::vector<uint32_t> v(n);
  std::iota(v.begin(), v.end(), 0);
  return v;
}
std::vector<int64_t> ids_of(uint64_t n, int64_t first = 0) {
  std::vector<int64_t> v(n);
  std::iota(v.begin(), v.end(), first);
  return v;
}

Codes codes_of(const std::vector<float>& rows, uint32_t dim) {
  Codes codes(std::pmr::get_default_resource(), dim, &kernels::best());
  const uint64_t n = rows.size() / dim;
  codes.learn([&](uint64_t i, float*) { return &rows[i * dim]; }, n);
  codes.resize(n);
  for (uint32_t i = 0; i < n; i++) codes.write(i, &rows[uint64_t(i) * dim]);
  return codes;
}

index::Neighbours neighbours(const Codes& codes, const std::vector<uint32_t>& members, uint32_t threads) {
  auto runtime = make_runtime(threads);
  index::Neighbours out(std::pmr::get_default_resource());
  index::find_neighbours(
      codes, members, {}, nullptr, runtime.get(), [] { return false; }, &out);
  return out;
}

TEST(Partitions, FindMostNeighboursForAnyThreads) {
  constexpr uint32_t kN = 5000, kNear = 5;
  const auto rows = mixture(kN, kDim, 1);
  const Codes codes = codes_of(rows, kDim);
  std::vector<uint32_t> members;  // a part of the slots
  for (uint32_t i = 0; i < kN; i++)
    if (i % 5 != 0) members.push_back(i);
  const auto got = neighbours(codes, members, 1), again = neighbours(codes, members, 3);
  EXPECT_EQ(got.order, again.order);
  uint64_t found = 0;
  for (uint32_t p = 0; p < members.size(); p++) {
    const auto list = got.of(p), other = again.of(p);
    ASSERT_EQ(list.size(), other.size());
    std::set<uint32_t> slots;
    for (size_t i = 0; i < list.size(); i++) {
      EXPECT_EQ(list[i].slot, other[i].slot);
      EXPECT_NE(list[i].slot, members[p]);
      EXPECT_NE(list[i].slot % 5, 0u);
      EXPECT_GE(list[i ? i - 1 : 0].score, list[i].score);
      EXPECT_TRUE(slots.insert(list[i].slot).second);
    }
    if (p % 50 != 0) continue;
    std::vector<std::pair<double, uint32_t>> all;
    for (uint32_t m : members)
      if (m != members[p]) all.push_back({-score(GYR_METRIC_L2, &rows[m * kDim], &rows[members[p] * kDim], kDim), m});
    std::partial_sort(all.begin(), all.begin() + kNear, all.end());
    for (uint32_t i = 0; i < kNear; i++) found += slots.count(all[i].second);
  }
  EXPECT_GE(double(found), 0.8 * kNear * double((members.size() + 49) / 50));
}

TEST(Partitions, TakeWhatCannotBeSplit) {
  const std::vector<float> rows(3000 * kDim, 1.5f);
  const Codes codes = codes_of(rows, kDim);
  const auto members = numbers(3000);
  const auto got = neighbours(codes, members, 2);
  for (uint32_t p = 0; p < members.size(); p++) ASSERT_GE(got.of(p).size(), 10u) << p;
}

class BuildTest : public testing::TestWithParam<gyr_metric> {};

TEST_P(BuildTest, LinksLeadEverywhere) {
  constexpr uint32_t kN = 6000, kWidth = 32;
  const auto rows = mixture(kN, kDim, 1, 0.5);
  const Codes codes = codes_of(rows, kDim);
  std::vector<uint32_t> members;
  for (uint32_t i = 0; i < kN; i++)
    if (i % 3 != 0) members.push_back(i);
  index::Links links(std::pmr::get_default_resource()), again(std::pmr::get_default_resource());
  for (auto [threads, out] : {std::pair{1u, &links}, {3u, &again}}) {
    auto runtime = make_runtime(threads);
    ASSERT_TRUE(index::build_links(codes, members, GetParam(), kWidth, 7, runtime.get(), nullptr, out).ok());
  }
  EXPECT_EQ(links.of, again.of);
  EXPECT_EQ(links.top_pivots, again.top_pivots);
  EXPECT_EQ(links.random_pivots, again.random_pivots);
  ASSERT_EQ(links.of.size(), kN * kWidth);
  std::vector<uint32_t> reached;
  std::set<uint32_t> seen;
  for (auto* pivots : {&links.top_pivots, &links.random_pivots})
    for (uint32_t p : *pivots)
      if (seen.insert(p).second) reached.push_back(p);
  for (size_t i = 0; i < reached.size(); i++)
    for (uint32_t j = 0; j < kWidth && links.of[reached[i] * kWidth + j] != kNone; j++)
      if (const uint32_t to = links.of[reached[i] * kWidth + j]; seen.insert(to).second) reached.push_back(to);
  for (uint32_t slot : reached) EXPECT_NE(slot % 3, 0u);
  EXPECT_GE(double(reached.size()), 0.999 * double(members.size()));
  for (uint32_t slot = 0; slot < kN; slot++) {
    std::set<uint32_t> distinct;
    bool ended = false;
    for (uint32_t j = 0; j < kWidth; j++) {
      const uint32_t to = links.of[slot * kWidth + j];
      ended |= to == kNone;
      ASSERT_EQ(to == kNone, ended);
      ASSERT_TRUE(ended || (to != slot && distinct.insert(to).second));
    }
    EXPECT_TRUE(slot % 3 != 0 || distinct.empty());
  }
}
INSTANTIATE_TEST_SUITE_P(All, BuildTest, testing::Values(GYR_METRIC_L2, GYR_METRIC_IP, GYR_METRIC_COSINE));

// One call that replaces some vectors and brings others: each id has its last vector, and keeps its slot.
TEST(Rebuild, ReplacesVectorsInPlace) {
  constexpr uint64_t kN = 5000;
  auto index = make_index(make_runtime(2), kDim, GYR_METRIC_L2, GYR_INDEX_GRAPH);
  const auto first = mixture(kN, kDim, 1), second = mixture(kN, kDim, 2);
  const auto ids = ids_of(kN), later = ids_of(kN, kN / 2);
  ASSERT_TRUE(index->upsert(ids.data(), first.data(), kN, nullptr).ok());
  std::vector<int64_t> before(kN), after(kN);
  index->slots(ids.data(), kN, before.data());
  ASSERT_TRUE(index->upsert(later.data(), second.data(), kN, nullptr).ok());
  index->slots(ids.data(), kN, after.data());
  EXPECT_EQ(before, after);
  gyr_index_info info{};
  index->fill_info(&info);
  EXPECT_EQ(info.count, kN + kN / 2);
  EXPECT_EQ(info.slots, kN + kN / 2);
  uint64_t found = 0;
  for (bool of_second : {false, true}) {
    const auto& vectors = of_second ? second : first;
    const uint64_t n = of_second ? kN : kN / 2;
    const auto got = search(*index, {vectors.data(), n, 1});
    for (uint64_t i = 0; i < n; i++) found += got.ids[i] == int64_t(of_second ? i + kN / 2 : i) && got.scores[i] == 0;
  }
  EXPECT_GE(double(found), 0.98 * double(kN + kN / 2));
}

// Searches go on while links are found anew, and one that is cancelled on the way leaves everything as it was.
TEST(Rebuild, IsSeenWholeOrNotAtAll) {
  constexpr uint64_t kN = 4000;
  auto index = make_index(make_runtime(2), kDim, GYR_METRIC_L2, GYR_INDEX_GRAPH);
  const auto data = mixture(2 * kN, kDim, 1);
  const auto ids = ids_of(2 * kN);
  ASSERT_TRUE(index->upsert(ids.data(), data.data(), kN, nullptr).ok());
  gyr_index_info before{}, after{};
  index->fill_info(&before);
  const auto truth = search(*index, {data.data(), 200, 10});
  gyr_task task;
  task.cancelled = true;
  EXPECT_EQ(index->upsert(ids.data() + kN / 2, data.data() + kN / 2 * kDim, kN, &task).code(), GYR_E_CANCELLED);
  index->fill_info(&after);
  EXPECT_EQ(after.count, before.count);
  EXPECT_EQ(search(*index, {data.data(), 200, 10}).ids, truth.ids);

  std::atomic<bool> done{false};
  std::atomic<uint64_t> searches{0};
  std::thread reader([&] {
    while (!done || searches == 0) {
      const auto got = search(*index, {data.data(), 20, 1});
      for (uint64_t i = 0; i < 20; i++) EXPECT_EQ(got.counts[i], 1u);
      searches++;
    }
  });
  ASSERT_TRUE(index->upsert(ids.data() + kN, data.data() + kN * kDim, kN, nullptr).ok());
  done = true;
  reader.join();
  index->fill_info(&after);
  EXPECT_EQ(after.count, 2 * kN);
  EXPECT_EQ(after.slots, 2 * kN);  // those that the cancelled call took were used again
}

// Vectors near a plane of `rank` dimensions.
std::vector<float> flat(uint64_t n, uint32_t dim, uint32_t rank, uint64_t seed) {
  const auto axes = gaussian(rank, dim, 5), at = mixture(n, rank, seed);
  auto rows = gaussian(n, dim, seed + 1);
  for (uint64_t i = 0; i < n; i++)
    for (uint32_t d = 0; d < dim; d++) {
      float v = 0.5f * rows[i * dim + d] + 3;
      for (uint32_t r = 0; r < rank; r++) v += at[i * rank + r] * axes[r * dim + d];
      rows[i * dim + d] = v;
    }
  return rows;
}

TEST(Axes, AreOrthonormalAndHoldMost) {
  constexpr uint32_t kLong = 300, kRank = 20, kWanted = 32;
  constexpr uint64_t kN = 500;
  auto rows = flat(kN, kLong, kRank, 1);
  for (auto& v : rows) v -= 3;
  index::Array<float> axes{index::Aligned<float>(std::pmr::get_default_resource())}, captured(axes);
  index::find_axes(rows.data(), kN, kLong, kWanted, 1, kernels::best(), &axes, &captured);
  for (uint32_t i = 0; i < kWanted; i++)
    for (uint32_t j = 0; j <= i; j++)
      ASSERT_NEAR(score(GYR_METRIC_IP, &axes[i * kLong], &axes[j * kLong], kLong), i == j, 1e-4);
  EXPECT_GE(captured[kRank - 1], 0.95);
  EXPECT_TRUE(std::is_sorted(captured.begin(), captured.end()));
  EXPECT_LE(captured.back(), 1.0001f);
  // No rows, no axes to find.
  std::fill(rows.begin(), rows.end(), 0);
  index::find_axes(rows.data(), kN, kLong, kWanted, 1, kernels::best(), &axes, &captured);
  EXPECT_EQ(captured.back(), 0);
}

TEST(Axes, LongVectorsAreCodedAlongThemWhereTheyHoldMost) {
  constexpr uint32_t kLong = 320;
  constexpr uint64_t kN = 3000;
  EXPECT_TRUE(codes_of(flat(kN, kLong, 20, 1), kLong).partial());
  EXPECT_FALSE(codes_of(gaussian(kN, kLong, 1), kLong).partial());
  auto outlier = gaussian(kN, kLong, 1);
  for (uint32_t d = 0; d < kLong; d++) outlier[d] = d % 2 ? 1e6f : -1e6f;
  EXPECT_FALSE(codes_of(outlier, kLong).partial());
  EXPECT_FALSE(codes_of(flat(kN, 128, 20, 1), 128).partial());
}

TEST(Axes, RecallOfLongVectorsAndThroughAFile) {
  constexpr uint32_t kLong = 320, kQueries = 50;
  constexpr uint64_t kN = 4000;
  auto runtime = make_runtime(2);
  const auto data = flat(kN, kLong, 30, 1), queries = flat(kQueries, kLong, 30, 9);
  for (gyr_metric metric : {GYR_METRIC_L2, GYR_METRIC_IP, GYR_METRIC_COSINE}) {
    auto index = make_index(runtime, kLong, metric, GYR_INDEX_GRAPH);
    ASSERT_TRUE(index->upsert(ids_of(kN).data(), data.data(), kN, nullptr).ok());
    Index::Query q{queries.data(), kQueries, 10, 32};
    const auto got = search(*index, q);
    q.exact = true;
    EXPECT_GE(recall(got, search(*index, q), 10), 0.9) << metric;
    q.exact = false;
    ContainerWriter writer;
    ASSERT_TRUE(index->save(&writer, "index").ok());
    auto file = Container::parse(*writer.serialize());
    ASSERT_TRUE(file.ok());
    auto loaded = Index::load(runtime, **file, "index");
    ASSERT_TRUE(loaded.ok()) << loaded.status().message();
    EXPECT_EQ(search(**loaded, q).ids, got.ids);
  }
}

}  // namespace
}  // namespace gyr::test
