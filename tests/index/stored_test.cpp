// The precisions that an index keeps its vectors in: scores, recall, files, memory.
#include <cstring>

#include "index/id_map.h"
#include "index/store.h"
#include "io/container.h"
#include "tests/index/fixture.h"

namespace gyr::test {
namespace {

constexpr uint64_t kItems = kSanitized ? 3500 : 6000;  // enough for walks
constexpr gyr_metric kMetrics[] = {GYR_METRIC_IP, GYR_METRIC_COSINE, GYR_METRIC_L2};
constexpr gyr_stored kStored[] = {GYR_STORED_FP32, GYR_STORED_FP16, GYR_STORED_BF16, GYR_STORED_INT16, GYR_STORED_INT8};

// How far a score may be from that of the vector that was given, in parts of |q| |x|.
double precision(gyr_stored stored) {
  switch (stored) {
    case GYR_STORED_FP32:
      return 1e-5;
    case GYR_STORED_FP16:
      return 1e-3;
    case GYR_STORED_BF16:
      return 8e-3;
    case GYR_STORED_INT16:
      return 4e-4;
    default:
      return 5e-2;
  }
}

double length(const float* x, uint32_t dim) { return std::sqrt(score(GYR_METRIC_IP, x, x, dim)); }

class Stored : public testing::TestWithParam<std::tuple<gyr_metric, gyr_stored>> {};

// By the exact kind, and by a graph that is asked to scan: the scores are the same, of any number of dimensions.
TEST_P(Stored, ScoresAreNearThoseOfTheVectors) {
  auto [metric, stored] = GetParam();
  for (uint32_t dim : {1u, 3u, 20u, 64u, 100u, 300u}) {
    const uint64_t n = 700, n_queries = 10;
    const uint32_t k = 700;
    auto data = mixture(n, dim, 1, 0.5), queries = gaussian(n_queries, dim, 2);
    auto ids = numbers(n);
    Found found[2];
    for (gyr_index_kind kind : {GYR_INDEX_EXACT, GYR_INDEX_GRAPH}) {
      auto index = make(make_runtime(2), options_of(dim, metric, kind, stored));
      ASSERT_TRUE(index->upsert(ids.data(), data.data(), n, nullptr).ok());
      auto& f = found[kind == GYR_INDEX_GRAPH] = search(*index, {queries.data(), n_queries, k, 0, true});
      for (uint64_t i = 0; i < n_queries * k; i++) {
        const float *q = &queries[i / k * dim], *x = &data[uint64_t(f.ids[i]) * dim];
        double room = metric == GYR_METRIC_COSINE ? 1 : length(q, dim) * length(x, dim);
        if (metric == GYR_METRIC_L2) room += length(x, dim) * length(x, dim);
        // Codes are of the difference from the median, which may be longer than the vector.
        if (stored >= GYR_STORED_INT16) room += length(q, dim) * std::sqrt(double(dim)) * 2 + double(dim);
        ASSERT_NEAR(f.scores[i], score(metric, q, x, dim), 2 * precision(stored) * room + 1e-6) << "dim " << dim;
      }
    }
    if (stored == GYR_STORED_FP32) {
      EXPECT_EQ(found[0].ids, found[1].ids);
    }
  }
}

// A vector is its own nearest with a distance that no rounding makes positive, and equal vectors tie wherever they are.
TEST_P(Stored, TiesGoToTheSmallerId) {
  auto [metric, stored] = GetParam();
  for (gyr_index_kind kind : {GYR_INDEX_EXACT, GYR_INDEX_GRAPH}) {
    auto index = make(make_runtime(1), options_of(20, metric, kind, stored));
    auto two = gaussian(2, 20, 5);
    std::vector<int64_t> ids;
    std::vector<float> v;
    for (int64_t i = 0; i < 600; i++) {
      ids.push_back(i * 331 % 600 - 100);
      v.insert(v.end(), two.begin() + (i % 2) * 20, two.begin() + (i % 2 + 1) * 20);
    }
    for (uint64_t first = 0; first < 600; first += 300)  // the first of them gives the centre
      ASSERT_TRUE(index->upsert(&ids[first], &v[first * 20], 300, nullptr).ok());
    std::vector<int64_t> equal;
    for (uint64_t i = 0; i < 600; i += 2) equal.push_back(ids[i]);
    std::sort(equal.begin(), equal.end());
    std::vector<uint64_t> filter(10, 0x5555555555555555);  // and of rows picked by number
    for (bool few : {false, true}) {
      auto f = search(*index, {two.data(), 1, 300, 0, true, few ? filter.data() : nullptr, few ? 600u : 0u});
      EXPECT_EQ(f.ids, equal);
      EXPECT_EQ(f.scores[0], f.scores[299]);
      if (metric == GYR_METRIC_L2) {
        EXPECT_LE(f.scores[0], 0);
      }
    }
  }
}

// What is saved and loaded answers and goes on exactly as before: past the first centre, and into freed slots.
TEST_P(Stored, ThroughAFile) {
  auto [metric, stored] = GetParam();
  auto data = mixture(1200, 20, 1, 0.3), queries = mixture(20, 20, 2);
  auto ids = numbers(1200);
  for (gyr_index_kind kind : {GYR_INDEX_EXACT, GYR_INDEX_GRAPH}) {
    auto runtime = make_runtime(2);
    auto index = make(runtime, options_of(20, metric, kind, stored));
    ASSERT_TRUE(index->upsert(ids.data(), data.data(), 100, nullptr).ok());
    ASSERT_TRUE(index->upsert(ids.data() + 100, data.data() + 2000, 100, nullptr).ok());
    ASSERT_TRUE(index->remove(ids.data() + 5, 30, nullptr).ok());
    for (int step = 0; step < 2; step++) {
      auto bytes = saved(*index);
      auto file = Container::parse(bytes);
      ASSERT_TRUE(file.ok());
      auto loaded = Index::load(runtime, **file, "index");
      ASSERT_TRUE(loaded.ok()) << loaded.status().message();
      EXPECT_EQ(info_of(**loaded).stored, stored);
      EXPECT_EQ(saved(**loaded), bytes);
      for (auto& i : {index, *loaded})
        ASSERT_TRUE(i->upsert(ids.data() + step * 500 + 200, data.data() + step * 10000 + 4000, 500, nullptr).ok());
      auto a = search(*index, {queries.data(), 20, 10, 10}), b = search(**loaded, {queries.data(), 20, 10, 10});
      EXPECT_EQ(a.ids, b.ids);
      EXPECT_EQ(a.scores, b.scores);
      EXPECT_EQ(saved(*index), saved(**loaded));
    }
  }
}

// Vectors in large numbers, half of which replace others; long ones whose codes are along few axes. What is then kept,
// and the codes of it, are what comes back from a file.
TEST_P(Stored, ManyAtOnceAndLongOnes) {
  auto [metric, stored] = GetParam();
  const uint64_t n = 2200;
  for (uint32_t dim : {20u, 320u}) {
    if (kSanitized && (dim == 20) != (metric == GYR_METRIC_COSINE)) continue;  // slow there
    auto narrow = mixture(2 * n, 20, 1, 0.3), turn = gaussian(20, 320, 3);
    std::vector<float> data(2 * n * dim);
    for (uint64_t i = 0; i < 2 * n; i++)
      for (uint32_t d = 0; d < dim; d++)
        for (uint32_t j = 0; j < 20; j++)
          data[i * dim + d] += narrow[i * 20 + j] * (dim == 20 ? float(j == d) : turn[j * 320 + d]);
    auto runtime = make_runtime(2);
    auto index = make(runtime, options_of(dim, metric, GYR_INDEX_GRAPH, stored));
    ASSERT_TRUE(index->upsert(numbers(n).data(), data.data(), n, nullptr).ok());
    ASSERT_TRUE(index->upsert(numbers(n, n / 2).data(), data.data() + n * dim, n, nullptr).ok());
    auto bytes = saved(*index);
    auto loaded = Index::load(runtime, **Container::parse(bytes), "index");
    ASSERT_TRUE(loaded.ok()) << loaded.status().message();
    EXPECT_EQ(saved(**loaded), bytes);
    Index::Query q{data.data() + 2 * n * dim - 50 * dim, 50, 10, 20};  // vectors that are there
    auto walked = search(*index, q);
    EXPECT_EQ(walked.ids, search(**loaded, q).ids);
    EXPECT_EQ(walked.scores, search(**loaded, q).scores);
    q.exact = true;
    auto scanned = search(*index, q);
    EXPECT_GE(recall(walked, scanned, 10), 0.8);
    for (uint64_t i = 0; metric == GYR_METRIC_L2 && i < 50; i++)
      EXPECT_EQ(scanned.ids[i * 10], int64_t(n + n / 2 - 50 + i)) << "a replaced or late vector is not what it was";
    // Ended early, it leaves slots that nobody has.
    gyr_task cancelled;
    cancelled.cancelled = true;
    EXPECT_EQ(index->upsert(numbers(n, 9000).data(), data.data(), n, &cancelled).code(), GYR_E_CANCELLED);
    EXPECT_TRUE(Index::load(runtime, **Container::parse(saved(*index)), "index").ok());
    EXPECT_EQ(search(*index, q).ids, scanned.ids);
  }
}

INSTANTIATE_TEST_SUITE_P(All, Stored, testing::Combine(testing::ValuesIn(kMetrics), testing::ValuesIn(kStored)));

// Recall of what each precision finds, against the vectors as they were given, beside full precision's. The costs that
// docs/index.md names are a tenth of these.
TEST(StoredRecall, CostsLittle) {
  const uint32_t dim = 64, k = 10;
  auto data = mixture(kItems, dim, 1, 0.3), queries = mixture(100, dim, 2);
  auto ids = numbers(kItems);
  for (gyr_metric metric : {GYR_METRIC_IP, GYR_METRIC_L2}) {
    double full = 0;
    Found truth;
    for (gyr_stored stored : kStored) {
      auto index = make(make_runtime(2), options_of(dim, metric, GYR_INDEX_GRAPH, stored));
      ASSERT_TRUE(index->upsert(ids.data(), data.data(), kItems, nullptr).ok());
      if (stored == GYR_STORED_FP32) truth = search(*index, {queries.data(), 100, k, 0, true});
      const double found = recall(search(*index, {queries.data(), 100, k}), truth, k);
      if (stored == GYR_STORED_FP32) full = found;
      RecordProperty("recall_" + std::to_string(metric) + "_" + std::to_string(stored), std::to_string(found));
      EXPECT_GE(found, full - (stored == GYR_STORED_INT8   ? 0.1
                               : stored == GYR_STORED_BF16 ? 0.05
                                                           : 0.02))
          << "metric " << metric << ", stored " << stored;
    }
    EXPECT_GE(full, 0.9);
  }
}

// Vectors that come in small calls are coded before there is a centre, and again for it.
TEST(StoredRecall, ALateCentreCostsLittle) {
  const uint32_t dim = 16;
  auto data = mixture(5000, dim, 1);
  for (float& v : data) v += 50;  // codes without a centre would lose most of the rest
  auto ids = numbers(5000);
  for (gyr_stored stored : {GYR_STORED_INT8, GYR_STORED_INT16}) {
    auto index = make(make_runtime(1), options_of(dim, GYR_METRIC_L2, GYR_INDEX_EXACT, stored));
    for (uint64_t i = 0; i < 5000; i += 50) {
      auto moved = std::vector<float>(data.begin() + long(i * dim), data.begin() + long((i + 50) * dim));
      ASSERT_TRUE(index->upsert(&ids[i], moved.data(), 50, nullptr).ok());
    }
    auto f = search(*index, {data.data(), 200, 1});
    for (uint64_t i = 0; i < 200; i++) {
      EXPECT_EQ(f.ids[i], int64_t(i));
      EXPECT_GE(f.scores[i], stored == GYR_STORED_INT8 ? -0.05f : -1e-4f);
    }
  }
}

TEST(StoredInput, Fp16RefusesWhatItCannotHold) {
  auto index = make(make_runtime(1), options_of(2, GYR_METRIC_IP, GYR_INDEX_GRAPH, GYR_STORED_FP16));
  const float good[] = {1, 2, -65504, 65519}, bad[] = {1, 2, 3, 65520}, query[] = {0, 1e9f};
  const int64_t ids[] = {1, 2};
  Status refused = index->upsert(ids, bad, 2, nullptr);
  EXPECT_EQ(refused.code(), GYR_E_INVALID_ARGUMENT);
  EXPECT_NE(std::string(refused.message()).find("vectors[1][1]"), std::string::npos) << refused.message();
  EXPECT_EQ(info_of(*index).count, 0u);
  ASSERT_TRUE(index->upsert(ids, good, 2, nullptr).ok());
  auto f = search(*index, {query, 1, 1});  // queries stay floats
  EXPECT_EQ(f.ids[0], 2);
  EXPECT_EQ(f.scores[0], 65504 * 1e9f);
  // Under cosine every vector is of length 1 first.
  auto cosine = make(make_runtime(1), options_of(2, GYR_METRIC_COSINE, GYR_INDEX_GRAPH, GYR_STORED_FP16));
  const float large[] = {1e9f, 1e9f};
  EXPECT_TRUE(cosine->upsert(ids, large, 1, nullptr).ok());
  gyr_index_options o = options_of(2, GYR_METRIC_IP, GYR_INDEX_GRAPH, 6);
  EXPECT_EQ(Index::create(make_runtime(1), o).status().code(), GYR_E_INVALID_ARGUMENT);
}

TEST(StoredInput, ExtremeVectorsAreSavedAndFound) {
  for (gyr_stored stored : kStored) {
    if (stored == GYR_STORED_FP16) continue;
    for (gyr_metric metric : kMetrics) {
      auto runtime = make_runtime(1);
      auto index = make(runtime, options_of(3, metric, GYR_INDEX_GRAPH, stored));
      const float v[] = {1e18f, 0, 0, -7e17f, 7e17f, 0, 1e-30f, 2e-30f, 0, 1, -1, 1e-30f, 0, 0, 1e-3f};
      auto ids = numbers(5);
      ASSERT_TRUE(index->upsert(ids.data(), v, 5, nullptr).ok());
      auto f = search(*index, {v, 5, 5});
      for (uint32_t i = 0; i < 25; i++) ASSERT_TRUE(std::isfinite(f.scores[i]));
      auto file = Container::parse(saved(*index));
      auto loaded = Index::load(runtime, **file, "index");
      ASSERT_TRUE(loaded.ok()) << loaded.status().message();
      EXPECT_EQ(search(**loaded, {v, 5, 5}).scores, f.scores);
    }
  }
}

// Flips bytes inside the section under a right checksum: loading may succeed or say CORRUPT, never crash.
TEST(StoredInput, DamagedSectionsAreRefusedOrHarmless) {
  auto runtime = make_runtime(1);
  auto data = gaussian(80, 4, 1);
  auto ids = numbers(80);
  for (gyr_stored stored : {GYR_STORED_FP16, GYR_STORED_INT16, GYR_STORED_INT8}) {
    const gyr_metric metric = stored == GYR_STORED_INT8 ? GYR_METRIC_IP : GYR_METRIC_COSINE;
    auto index = make(runtime, options_of(4, metric, GYR_INDEX_GRAPH, stored));
    ASSERT_TRUE(index->upsert(ids.data(), data.data(), 80, nullptr).ok());
    EXPECT_GT(damage(*index, runtime, 1000).at_once, 100);
  }
}

// The estimate is what is then used, of an index that was reserved or filled at once; the runtime's account agrees.
TEST(IndexMemory, IsWhatWasEstimated) {
  const uint64_t n = 3000;
  for (gyr_index_kind kind : {GYR_INDEX_EXACT, GYR_INDEX_GRAPH})
    for (gyr_stored stored : kStored)
      for (uint32_t dim : {20u, 300u})
        for (bool reserve : {false, true}) {
          if (kSanitized && reserve != (stored % 2 == 0)) continue;  // slow there
          auto runtime = make_runtime(2);
          auto o = options_of(dim, dim == 20 ? GYR_METRIC_IP : GYR_METRIC_L2, kind, stored);
          o.degree = 8;
          o.build_effort = 40;
          if (reserve) o.reserve = n;
          gyr_runtime_info before{}, after{};
          runtime->fill_info(&before);
          auto estimate = Index::estimate(o, n, before.threads);
          ASSERT_TRUE(estimate.ok());
          auto index = make(runtime, o);
          auto data = gaussian(n, dim, 1);
          ASSERT_TRUE(index->upsert(numbers(n).data(), data.data(), n, nullptr).ok());
          auto info = info_of(*index);
          EXPECT_EQ(info.bytes, estimate->bytes) << "kind " << kind << ", stored " << stored << ", dim " << dim;
          EXPECT_EQ(info.bytes, info.bytes_vectors + info.bytes_codes + info.bytes_links + info.bytes_ids);
          EXPECT_EQ(info.capacity, n);
          runtime->fill_info(&after);
          const double used = double(after.memory_used), peak = double(after.memory_peak);
          EXPECT_GE(used, double(info.bytes));  // and what the next insert works with
          EXPECT_LE(peak, double(estimate->peak) * 1.02 + 4096);
          EXPECT_GE(peak, double(estimate->peak) * 0.5);
        }
}

TEST(IndexMemory, GrowthWastesAQuarterAtMost) {
  const uint32_t dim = 8;
  auto o = options_of(dim, GYR_METRIC_L2, GYR_INDEX_EXACT, GYR_STORED_FP32);
  auto index = make(make_runtime(1), o);
  auto data = gaussian(20000, dim, 1);
  auto ids = numbers(20000);
  for (uint64_t i = 0; i < 20000; i += 100) {
    ASSERT_TRUE(index->upsert(&ids[i], &data[i * dim], 100, nullptr).ok());
    auto info = info_of(*index);
    if (i > 1000) {
      ASSERT_LE(double(info.bytes), 1.26 * double(Index::estimate(o, i + 100, 1)->bytes));
    }
    ASSERT_LE(info.slots, info.capacity);
  }
}

// The smallest budget that the estimate allows is enough; a little less is refused with what is needed, and changes
// nothing.
TEST(IndexMemory, ABudgetIsKept) {
  const uint64_t n = 8000;
  const uint32_t dim = 32;
  auto data = gaussian(n, dim, 1);
  auto ids = numbers(n);
  for (gyr_stored stored : {GYR_STORED_FP32, GYR_STORED_INT16}) {
    auto o = options_of(dim, GYR_METRIC_L2, GYR_INDEX_GRAPH, stored);
    o.degree = 8;
    o.build_effort = 20;
    gyr_runtime_info threads{};
    make_runtime(1)->fill_info(&threads);
    const auto needed = *Index::estimate(o, n, threads.threads);
    auto enough = make(make_runtime(1, needed.peak + 4096), o);
    EXPECT_TRUE(enough->upsert(ids.data(), data.data(), n, nullptr).ok());

    auto index = make(make_runtime(1, needed.bytes * 9 / 10), o);
    ASSERT_TRUE(index->upsert(ids.data(), data.data(), 1000, nullptr).ok());
    auto before = saved(*index);
    Status refused = index->upsert(ids.data(), data.data(), n, nullptr);
    EXPECT_EQ(refused.code(), GYR_E_RESOURCE_EXHAUSTED);
    EXPECT_NE(
        std::string(refused.message()).find("8000 vectors, 7000 of them new, take " + std::to_string(needed.bytes)),
        std::string::npos)
        << refused.message();
    EXPECT_EQ(saved(*index), before);
    EXPECT_EQ(search(*index, {data.data(), 1, 10}).counts[0], 10u);
    // With room for the index, but not for finding all links at once, they are found one after the other.
    auto slow = make(make_runtime(1, needed.bytes * 11 / 10 + (400 << 10)), o);
    EXPECT_TRUE(slow->upsert(ids.data(), data.data(), n, nullptr).ok());
    o.reserve = n;
    EXPECT_EQ(Index::create(make_runtime(1, needed.bytes * 9 / 10), o).status().code(), GYR_E_RESOURCE_EXHAUSTED);
  }
}

// Against std::map, with ids that meet in the table and slots that come back.
TEST(IdMap, AgreesWithAModel) {
  index::IdMap map(std::pmr::get_default_resource());
  std::map<int64_t, uint32_t> model;
  std::vector<int64_t> by_slot;
  std::vector<uint32_t> free;
  Random random(1);
  EXPECT_EQ(map.find(3, nullptr), index::kNone);
  for (int step = 0; step < 30000; step++) {
    const auto id = int64_t(random.below(4000)) * (step % 2 ? 1 : -1);
    auto known = model.find(id);
    const uint32_t found = map.find(id, by_slot.data());
    ASSERT_EQ(found, known == model.end() ? index::kNone : known->second);
    if (known != model.end() && random.below(2)) {
      map.erase(id, by_slot.data());
      free.push_back(known->second);
      model.erase(known);
    } else if (known == model.end()) {
      uint32_t slot = uint32_t(by_slot.size());
      if (free.empty())
        by_slot.push_back(0);
      else
        slot = free.back(), free.pop_back();
      map.reserve(by_slot.size() + by_slot.size() / 8, by_slot.data());
      by_slot[slot] = id;
      map.insert(id, slot);
      model[id] = slot;
    }
  }
  std::vector<int64_t> wanted = numbers(5000, -2500);
  std::vector<uint32_t> found(5000);
  map.find_many(wanted.data(), 5000, by_slot.data(), found.data());
  for (size_t i = 0; i < 5000; i++) ASSERT_EQ(found[i], map.find(wanted[i], by_slot.data()));
}

}  // namespace
}  // namespace gyr::test
