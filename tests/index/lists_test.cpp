// Inverted files: k-means, that lists suit inner products, and that they follow the data.
#include "base/math.h"
#include "index/kmeans.h"
#include "io/container.h"
#include "tests/index/fixture.h"

namespace gyr::test {
namespace {

using index::Centres;

double distance(const float* a, const float* b, uint32_t dim) { return -score(GYR_METRIC_L2, a, b, dim); }

// Mean squared distance of points from the centre that nearest() gives, and from the nearest one there is.
std::pair<double, double> distortion(const Centres& centres, const std::vector<float>& points, uint32_t dim,
                                     Runtime* runtime) {
  const uint64_t n = points.size() / dim;
  std::vector<uint32_t> near(n);
  centres.nearest(runtime, {points.data(), n}, near.data());
  double given = 0, best = 0;
  for (uint64_t i = 0; i < n; i++) {
    auto to = [&](uint32_t c) { return distance(&points[i * dim], centres.values().data() + c * dim, dim); };
    double least = to(0);
    for (uint32_t c = 1; c < centres.size(); c++) least = std::min(least, to(c));
    given += to(near[i]);
    best += least;
  }
  return {given / double(n), best / double(n)};
}

TEST(Kmeans, FindsClustersAndNearlyTheNearestCentre) {
  constexpr uint32_t kDim = 16;
  auto runtime = make_runtime(2);
  auto points = mixture(6000, kDim, 1);  // 100 clusters of deviation 0.7
  Centres centres(std::pmr::get_default_resource(), kDim, &kernels::best());
  ASSERT_TRUE(centres.train(runtime.get(), {points.data(), 6000}, 200, 7, nullptr).ok());
  EXPECT_GE(centres.size(), 150u);
  EXPECT_LE(centres.size(), 250u);
  auto [given, best] = distortion(centres, points, kDim, runtime.get());
  EXPECT_LE(given, best * 1.02);
  EXPECT_LE(best, 0.49 * kDim * 1.1);  // that of the clusters themselves: 0.7 squared in each dimension
  Centres again(std::pmr::get_default_resource(), kDim, &kernels::best());
  ASSERT_TRUE(again.train(make_runtime(1).get(), {points.data(), 6000}, 200, 7, nullptr).ok());
  EXPECT_TRUE(
      std::equal(again.values().begin(), again.values().end(), centres.values().begin(), centres.values().end()));
}

TEST(Kmeans, MoreCentresThanDifferentPoints) {
  auto runtime = make_runtime(2);
  std::vector<float> points(1000 * 3);
  for (uint32_t i = 0; i < 1000; i++) points[i * 3] = float(i % 5);
  Centres centres(std::pmr::get_default_resource(), 3, &kernels::best());
  ASSERT_TRUE(centres.train(runtime.get(), {points.data(), 1000}, 64, 7, nullptr).ok());
  EXPECT_GE(centres.size(), 5u);
  EXPECT_EQ(distortion(centres, points, 3, runtime.get()).first, 0);
}

double recall_at(const Index& index, const std::vector<float>& queries, uint32_t dim, uint32_t effort) {
  Index::Query q{queries.data(), queries.size() / dim, 10, effort};
  auto got = search(index, q);
  q.exact = true;
  return recall(got, search(index, q), 10);
}

// Lengths that differ as item factors' do: the answers are few and long.
TEST(Lists, LongVectorsAreFoundByInnerProduct) {
  constexpr uint32_t kDim = 32;
  constexpr uint64_t kItems = 20000;
  auto index = make_index(make_runtime(2), kDim, GYR_METRIC_IP, GYR_INDEX_IVF);
  auto data = mixture(kItems, kDim, 1, 0.7), queries = mixture(200, kDim, 2);
  auto ids = numbers(kItems);
  ASSERT_TRUE(index->upsert(ids.data(), data.data(), kItems, nullptr).ok());
  const double found = recall_at(*index, queries, kDim, 64);
  RecordProperty("recall", std::to_string(found));
  EXPECT_GE(found, 0.95);
}

// A few vectors must not draw all the lists to themselves, however long they are.
TEST(Lists, AnOutlierTakesNoMoreThanItsShare) {
  constexpr uint32_t kDim = 16;
  constexpr uint64_t kItems = 8000;
  auto data = mixture(kItems, kDim, 1, 0.3), queries = mixture(100, kDim, 2);
  for (uint64_t i = 0; i < 8; i++)
    for (uint32_t d = 0; d < kDim; d++) data[i * 1000 * kDim + d] *= 1e9f;
  for (gyr_metric metric : {GYR_METRIC_IP, GYR_METRIC_COSINE, GYR_METRIC_L2}) {
    auto index = make_index(make_runtime(2), kDim, metric, GYR_INDEX_IVF);
    auto ids = numbers(kItems);
    ASSERT_TRUE(index->upsert(ids.data(), data.data(), kItems, nullptr).ok());
    EXPECT_GE(recall_at(*index, queries, kDim, 100), 0.95) << metric;
  }
}

TEST(Lists, AnOffsetInAllDimensionsDoesNotSpoilRecall) {
  constexpr uint32_t kDim = 32;
  auto data = mixture(8000, kDim, 1), queries = mixture(100, kDim, 2);
  auto ids = numbers(8000);
  double found[2];
  for (int moved : {0, 1}) {
    if (moved)
      for (auto* v : {&data, &queries})
        for (float& x : *v) x += 1000;
    auto index = make_index(make_runtime(2), kDim, GYR_METRIC_L2, GYR_INDEX_IVF);
    ASSERT_TRUE(index->upsert(ids.data(), data.data(), 8000, nullptr).ok());
    found[moved] = recall_at(*index, queries, kDim, 30);
  }
  EXPECT_GE(found[0], 0.9);
  EXPECT_GE(found[1], found[0] - 0.03);
}

// The index is filled a little at a time, and then with other vectors altogether.
TEST(Lists, FollowTheData) {
  constexpr uint32_t kDim = 16;
  constexpr uint64_t kItems = 12000;
  auto index = make_index(make_runtime(2), kDim, GYR_METRIC_L2, GYR_INDEX_IVF);
  auto ids = numbers(kItems);
  auto data = mixture(kItems, kDim, 1), queries = mixture(100, kDim, 2);
  for (uint64_t i = 0; i < kItems; i += 500)
    ASSERT_TRUE(index->upsert(ids.data() + i, data.data() + i * kDim, 500, nullptr).ok());
  const double before = recall_at(*index, queries, kDim, 0);
  EXPECT_GE(before, 0.95);
  auto far = gaussian(kItems, kDim, 5), far_queries = gaussian(100, kDim, 6);
  for (auto* v : {&far, &far_queries})
    for (float& x : *v) x = x * 3 + 100;
  for (int round = 0; round < 4; round++) {
    ASSERT_TRUE(index->upsert(ids.data(), far.data(), kItems, nullptr).ok());
    EXPECT_GE(recall_at(*index, far_queries, kDim, 2000), 0.95) << round;
  }
  // Few of the old lists hold anything now; new ones do again.
  EXPECT_GE(recall_at(*index, far_queries, kDim, 100), 0.8);
}

TEST(Lists, KResultsWheneverKExist) {
  constexpr uint32_t kDim = 8;
  auto index = make_index(make_runtime(2), kDim, GYR_METRIC_IP, GYR_INDEX_IVF);
  auto data = mixture(9000, kDim, 1, 0.5);
  auto ids = numbers(9000);
  ASSERT_TRUE(index->upsert(ids.data(), data.data(), 9000, nullptr).ok());
  for (uint32_t k : {1u, 100u, 3000u, 9000u, 10000u}) {
    auto f = search(*index, {data.data(), 2, k, 1});
    for (uint32_t c : f.counts) EXPECT_EQ(c, std::min(k, 9000u));
  }
  std::vector<uint64_t> filter((9000 + 63) / 64, 0);
  for (int slot : {5, 77, 8999}) filter[slot / 64] |= uint64_t(1) << (slot % 64);
  auto f = search(*index, {data.data(), 1, 5, 10, false, filter.data(), 9000});
  EXPECT_EQ(f.counts[0], 3u);
}

TEST(Lists, OptionsSayHowMany) {
  auto runtime = make_runtime(2);
  auto data = mixture(8000, 8, 1);
  auto ids = numbers(8000);
  uint64_t bytes[2];
  for (uint32_t lists : {1u, 2000u}) {
    gyr_index_options o{};
    o.dim = 8;
    o.kind = GYR_INDEX_IVF;
    o.metric = GYR_METRIC_L2;
    o.lists = lists;
    auto index = *Index::create(runtime, o);
    ASSERT_TRUE(index->upsert(ids.data(), data.data(), 8000, nullptr).ok());
    // One list is all there is to read; of many, an effort of 2 reads a single one.
    const double found = recall_at(*index, {data.begin(), data.begin() + 800}, 8, 11);
    if (lists == 1)
      EXPECT_GE(found, 0.999);
    else
      EXPECT_LE(found, 0.9);
    gyr_index_info info{};
    index->fill_info(&info);
    bytes[lists > 1] = info.bytes;
  }
  EXPECT_GT(bytes[1], bytes[0]);
  gyr_index_options o{};
  o.dim = 8;
  o.lists = 65537;
  EXPECT_EQ(Index::create(runtime, o).status().code(), GYR_E_OUT_OF_RANGE);
}

std::shared_ptr<Index> reloaded(const Index& index) {
  ContainerWriter writer;
  EXPECT_TRUE(index.save(&writer, "index").ok());
  auto loaded = Index::load(make_runtime(1), **Container::parse(*writer.serialize()), "index");
  EXPECT_TRUE(loaded.ok()) << loaded.status().message();
  return *loaded;
}

constexpr gyr_stored kStored[] = {GYR_STORED_FP32, GYR_STORED_FP16, GYR_STORED_BF16, GYR_STORED_INT16, GYR_STORED_INT8};

TEST(Lists, StandOverVectorsOfEveryPrecision) {
  constexpr uint32_t kDim = 24;
  constexpr uint64_t kItems = 8000;
  auto data = mixture(kItems, kDim, 1, 0.3), queries = mixture(100, kDim, 2);
  auto ids = numbers(kItems);
  for (gyr_stored stored : kStored)
    for (gyr_metric metric : {GYR_METRIC_IP, GYR_METRIC_COSINE, GYR_METRIC_L2}) {
      gyr_index_options o{};
      o.dim = kDim;
      o.kind = GYR_INDEX_IVF;
      o.metric = metric;
      o.stored = stored;
      o.lists = 100;
      auto index = *Index::create(make_runtime(2), o);
      ASSERT_TRUE(index->upsert(ids.data(), data.data(), 6000, nullptr).ok());
      ASSERT_TRUE(index->upsert(&ids[5500], &data[5500 * kDim], 2500, nullptr).ok());  // into lists that are there
      EXPECT_GE(recall_at(*index, queries, kDim, 60), 0.95) << stored << " " << metric;
      auto loaded = reloaded(*index);
      auto got = search(*index, {queries.data(), 100, 10, 60}), again = search(*loaded, {queries.data(), 100, 10, 60});
      EXPECT_EQ(got.ids, again.ids);
      EXPECT_EQ(got.scores, again.scores);
      EXPECT_EQ(info_of(*loaded).stored, stored);
    }
}

// Filters that have to do with the query, and such that do not: as good as without any, and k results.
TEST(Lists, FiltersCostNoRecall) {
  constexpr uint32_t kDim = 16, kK = 10, kQueries = 60;
  constexpr uint64_t kItems = 20000;
  auto data = mixture(kItems, kDim, 1, 0.3), queries = mixture(kQueries, kDim, 2);
  auto ids = numbers(kItems);
  for (gyr_metric metric : {GYR_METRIC_IP, GYR_METRIC_L2}) {
    auto index = make_index(make_runtime(2), kDim, metric, GYR_INDEX_IVF);
    ASSERT_TRUE(index->upsert(ids.data(), data.data(), kItems, nullptr).ok());
    std::vector<int64_t> half, away, excluded, offsets(1), listed(1);
    std::vector<uint64_t> bits(div_up(kItems, 64));
    std::vector<int64_t> slots(kItems);
    index->slots(ids.data(), kItems, slots.data());
    for (uint64_t i = 0; i < kItems; i++) {
      if (i * 7 % 10 >= 5) continue;
      half.push_back(ids[i]);
      bits[uint64_t(slots[i]) / 64] |= uint64_t(1) << (slots[i] % 64);
    }
    // The answers to one query, and all that is near to it, are left out.
    const auto near = search(*index, {queries.data(), 1, 1000, 0, true});
    const std::set<int64_t> left_out(near.ids.begin(), near.ids.end());
    for (int64_t id : ids)
      if (!left_out.contains(id)) away.push_back(id);
    const auto best = search(*index, {queries.data(), kQueries, 300, 0, true});
    std::vector<int64_t> own;
    for (uint64_t q = 0; q < kQueries; q++) {
      excluded.insert(excluded.end(), &best.ids[q * 300], &best.ids[q * 300] + 200);
      offsets.push_back(int64_t(excluded.size()));
      for (uint64_t i = q; i < kItems; i += 2) own.push_back(ids[i]);
      listed.push_back(int64_t(own.size()));
    }
    const auto prepared = *index->select(half, {}, nullptr), far = *index->select(away, {}, nullptr);
    const Index::Query plain{queries.data(), kQueries, kK, 80};
    std::vector<std::pair<const char*, Index::Query>> cases(6, {"bitmap", plain});
    cases[0].second.filter = bits.data();
    cases[0].second.filter_bits = kItems;
    cases[1] = {"prepared", plain};
    cases[1].second.selection = prepared.get();
    cases[2] = {"none near", plain};
    cases[2].second.selection = far.get();
    cases[2].second.n = 1;
    cases[2].second.effort = 350;
    cases[3] = {"ids", plain};
    cases[3].second.listed = true;
    cases[3].second.allowed_ids = half;
    cases[4] = {"ids of each", plain};
    cases[4].second.listed = true;
    cases[4].second.allowed_ids = own;
    cases[4].second.allowed_offsets = listed.data();
    cases[5] = {"excluded", plain};
    cases[5].second.excluded = excluded.data();
    cases[5].second.excluded_offsets = offsets.data();
    for (auto& [what, q] : cases) {
      const uint64_t before = info_of(*index).codes_touched;
      const auto got = search(*index, q);
      EXPECT_GT(info_of(*index).codes_touched, before) << what << " is answered by a scan";
      q.exact = true;
      const auto truth = search(*index, q);
      EXPECT_GE(recall(got, truth, kK), q.n == 1 ? 0.8 : 0.95) << what << " " << metric;
      for (uint32_t c : got.counts) EXPECT_EQ(c, kK) << what;
      q.exact = false;
      q.k = 900;
      for (uint32_t c : search(*index, q).counts) EXPECT_EQ(c, 900u) << what;
    }
  }
}

TEST(Lists, AreEvaluatedAndTuned) {
  constexpr uint32_t kDim = 24;
  auto index = make_index(make_runtime(2), kDim, GYR_METRIC_L2, GYR_INDEX_IVF);
  auto data = gaussian(10000, kDim, 1), queries = gaussian(100, kDim, 2);
  auto ids = numbers(10000);
  ASSERT_TRUE(index->upsert(ids.data(), data.data(), 10000, nullptr).ok());
  const Index::Trial trial{10, queries.data(), 100};
  const uint32_t efforts[] = {10, 40, 160};
  Index::Point points[3], tuned{};
  ASSERT_TRUE(index->evaluate(trial, efforts, nullptr, points).ok());
  for (int i = 0; i < 3; i++) {
    EXPECT_NEAR(points[i].recall, recall_at(*index, queries, kDim, efforts[i]), 1e-9);
    EXPECT_EQ(points[i].rows, 20);
    EXPECT_DOUBLE_EQ(points[i].bytes, points[i].codes * (32 + 8) + points[i].rows * kDim * 4);
    if (i > 0) {
      EXPECT_GT(points[i].codes, points[i - 1].codes);
    }
  }
  ASSERT_TRUE(index->tune(trial, 0.9, true, nullptr, &tuned).ok());
  EXPECT_GE(tuned.recall, 0.9);
  auto loaded = reloaded(*index);
  EXPECT_EQ(info_of(*loaded).tuned_effort, tuned.effort);
  EXPECT_EQ(search(*loaded, {queries.data(), 100, 10}).ids,
            search(*index, {queries.data(), 100, 10, tuned.effort}).ids);
}

TEST(Lists, TakeAboutWhatWasEstimated) {
  for (uint64_t n : {500u, 6000u})
    for (uint32_t dim : {20u, 300u})
      for (gyr_stored stored : kStored) {
        auto runtime = make_runtime(2);
        gyr_index_options o{};
        o.dim = dim;
        o.kind = GYR_INDEX_IVF;
        o.metric = GYR_METRIC_L2;
        o.stored = stored;
        gyr_runtime_info used{};
        runtime->fill_info(&used);
        const auto estimate = *Index::estimate(o, n, used.threads);
        auto index = *Index::create(runtime, o);
        auto data = gaussian(n, dim, 1);
        auto ids = numbers(n);
        ASSERT_TRUE(index->upsert(ids.data(), data.data(), n, nullptr).ok());
        const auto info = info_of(*index);
        EXPECT_EQ(info.bytes, info.bytes_vectors + info.bytes_codes + info.bytes_links + info.bytes_ids);
        EXPECT_NEAR(double(info.bytes), double(estimate.bytes), 0.1 * double(estimate.bytes)) << n << " " << dim;
        runtime->fill_info(&used);
        EXPECT_GE(double(used.memory_used), double(info.bytes));
        EXPECT_LE(double(used.memory_peak), double(estimate.peak) * 1.1 + 65536) << n << " " << dim;
        EXPECT_GE(double(used.memory_peak), double(estimate.peak) * 0.5) << n << " " << dim;
      }
}

// The vectors are in by then: it was said that there was no room for them, at every upsert from then on.
TEST(Lists, WithoutMemoryForNewListsTheOldOnesDo) {
  const uint64_t n = 6000, dim = 32;
  auto o = options_of(dim, GYR_METRIC_L2, GYR_INDEX_IVF);
  const auto estimate = *Index::estimate(o, n, 1);
  const auto data = gaussian(n, dim, 1);
  const auto ids = numbers(n);
  bool put_off = false;
  for (uint64_t budget = estimate.bytes / 2; budget < estimate.peak * 5 / 4; budget += estimate.bytes / 20) {
    auto index = make(make_runtime(1, budget), o);
    uint64_t in = 0;
    Status status;
    for (; in < n && status.ok(); in += 1000)
      status = index->upsert(ids.data() + in, data.data() + in * dim, 1000, nullptr);
    if (status.ok()) {
      EXPECT_EQ(info_of(*index).count, n);
      put_off |= budget < estimate.peak * 9 / 10;
    } else {
      EXPECT_EQ(status.code(), GYR_E_RESOURCE_EXHAUSTED);
      EXPECT_LT(info_of(*index).count, in) << "all vectors are in, and the call failed";
    }
    const auto found = search(*index, {data.data(), 1, 1});
    EXPECT_EQ(found.ids[0], 0);
  }
  EXPECT_TRUE(put_off);
}

}  // namespace
}  // namespace gyr::test
