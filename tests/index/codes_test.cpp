// Codes: what they say of scores, and that odd data does not spoil what is found by them.
#include "index/codes.h"

#include <numeric>

#include "tests/index/fixture.h"

namespace gyr::test {
namespace {

using index::CodeQuery;
using index::Codes;

// Vectors far away from the origin, as offsets in all dimensions make them.
std::vector<float> moved(std::vector<float> v, float by) {
  for (float& x : v) x += by;
  return v;
}

TEST(Codes, ScoresAreNearThoseOfTheVectors) {
  constexpr uint64_t kN = 500;
  for (uint32_t dim : {1u, 7u, 64u, 100u, 784u}) {
    for (float offset : {0.0f, 300.0f}) {
      auto rows = moved(mixture(kN, dim, 1, 0.5), offset), queries = moved(gaussian(20, dim, 2), offset);
      const auto& ops = kernels::best();
      Codes codes(std::pmr::get_default_resource(), dim, &ops);
      codes.learn([&](uint64_t i, float*) { return &rows[i * dim]; }, kN);
      codes.resize(kN);
      for (uint32_t i = 0; i < kN; i++) codes.write(i, &rows[i * dim]);
      std::vector<uint32_t> at(kN);
      for (uint32_t i = 0; i < kN; i++) at[i] = uint32_t((i * 7) % kN);
      std::vector<int32_t> dots(kN);
      std::vector<float> got(kN);
      CodeQuery query(std::pmr::get_default_resource());
      auto length = [&](const float* x) {
        double sum = 0;
        for (uint32_t d = 0; d < dim; d++) sum += (x[d] - codes.centre()[d]) * (x[d] - codes.centre()[d]);
        return std::sqrt(sum);
      };
      for (uint32_t q = 0; q < 40; q++) {  // of vectors, and of slots
        const float* vector = q < 20 ? &queries[q * dim] : &rows[q * dim];
        q < 20 ? codes.prepare(vector, &query) : codes.prepare(q, &query);
        for (bool l2 : {false, true}) {
          codes.score(query, l2, at.data(), kN, dots.data(), got.data());
          for (uint64_t i = 0; i < kN; i++) {
            const float* x = &rows[at[i] * dim];
            const double want = score(l2 ? GYR_METRIC_L2 : GYR_METRIC_IP, vector, x, dim);
            // Of what lies near, distances are the more exact: by how far it is, not by how long.
            const double own = 0.03 * length(x), others = q < 20 ? 0 : 0.03 * length(vector);
            const double far = l2 ? std::sqrt(-want) : length(vector);
            const double rounded = l2 ? far * (own + others) + own * own + others * others : far * own;
            const double most = rounded + 1e-5 * std::abs(want) + 1e-5 * length(vector) * length(x) + 1e-4;
            ASSERT_NEAR(got[i], want, most) << "dim " << dim << ", offset " << offset << ", l2 " << l2;
          }
        }
      }
    }
  }
}

// Products need nothing but a scale, told in one byte: also of vectors whose scales no byte tells.
TEST(Codes, ProductsOfVectorsOfAllLengths) {
  constexpr uint64_t kN = 600;
  constexpr uint32_t kDim = 24;
  const auto& ops = kernels::best();
  auto* memory = std::pmr::get_default_resource();
  for (int decades : {0, 3, 12}) {
    auto rows = gaussian(kN, kDim, 1);
    const auto queries = gaussian(10, kDim, 2);
    for (uint64_t i = 0; i < kN; i++)
      for (uint32_t d = 0; d < kDim; d++)
        rows[i * kDim + d] *= float(std::pow(10.0, decades ? int(i % uint64_t(2 * decades + 1)) - decades : 0));
    Codes codes(memory, kDim, &ops, false, true), others(memory, kDim, &ops, false, true);
    codes.learn([&](uint64_t i, float*) { return &rows[i * kDim]; }, kN);
    EXPECT_EQ(codes.bytes_each(false), kernels::code_stride(kDim) + 1);
    for (Codes* c : {&codes, &others}) c->resize(kN);  // others: with no centre learned, from a file as it were
    for (uint32_t i = 0; i < kN; i++) codes.write(i, &rows[i * kDim]), others.copy(i, codes);
    std::vector<uint32_t> at(kN);
    std::iota(at.begin(), at.end(), 0);
    std::vector<int32_t> dots(kN);
    std::vector<float> got(kN), same(kN);
    CodeQuery query(memory);
    for (uint32_t q = 0; q < 10; q++) {
      codes.prepare(&queries[q * kDim], &query);
      codes.score(query, false, at.data(), kN, dots.data(), got.data());
      others.score(query, false, at.data(), kN, dots.data(), same.data());
      EXPECT_EQ(got, same);
      others.find_steps();
      others.score(query, false, at.data(), kN, dots.data(), same.data());
      EXPECT_EQ(got, same);
      for (uint64_t i = 0; i < kN; i++) {
        const float *x = &rows[i * kDim], *y = &queries[q * kDim];
        ASSERT_NEAR(got[i], score(GYR_METRIC_IP, y, x, kDim),
                    0.02 * std::sqrt(ops.dot(x, x, kDim) * ops.dot(y, y, kDim)))
            << i << ", decades " << decades;
      }
    }
  }
}

// What all vectors have in common stays the centre, also when one of those that are looked at is very long.
TEST(Codes, ACentreIsNotSmallBesideAnOutlier) {
  constexpr uint32_t kDim = 16;
  for (bool outlier : {false, true}) {
    auto rows = moved(gaussian(512, kDim, 1), 300);
    if (outlier) rows[0] = 1e7f;
    Codes codes(std::pmr::get_default_resource(), kDim, &kernels::best(), false, true);
    codes.learn([&](uint64_t i, float*) { return &rows[i * kDim]; }, 512);
    EXPECT_NEAR(codes.centre()[3], 300, 1);
    EXPECT_EQ(codes.bytes_each(false), kernels::code_stride(kDim) + sizeof(index::CodeNote));
  }
}

// Notes of a damaged file may hold anything: scores are then wrong, and that is all.
TEST(Codes, WalksOverDamagedNotesEnd) {
  constexpr uint64_t kN = 6000;
  const auto data = gaussian(kN, 8, 1), queries = gaussian(20, 8, 2);
  const float odd[] = {NAN, INFINITY, -INFINITY, -1, 1e38f, 0, 1e-42f};
  auto runtime = make_runtime(1);
  for (gyr_metric metric : {GYR_METRIC_IP, GYR_METRIC_L2})
    for (gyr_stored stored : {GYR_STORED_FP32, GYR_STORED_INT16}) {
      auto index = make(runtime, options_of(8, metric, GYR_INDEX_GRAPH, stored));
      ASSERT_TRUE(index->upsert(numbers(kN).data(), data.data(), kN, nullptr).ok());
      auto bytes = *(*Container::parse(saved(*index)))->read("index", "IDX2");
      const uint64_t links = info_of(*index).bytes_links / (kN * 4) * kN * 4, notes = kN * sizeof(index::CodeNote);
      Random random(1);
      for (int i = 0; i < 5000; i++)
        std::memcpy(&bytes[(bytes.size() - links - 256 - random.below(notes - 512)) / 4 * 4], &odd[random.below(7)], 4);
      ContainerWriter w;
      ASSERT_TRUE(w.add("index", "IDX2", bytes).ok());
      auto loaded = Index::load(runtime, **Container::parse(*w.serialize()), "index");
      ASSERT_TRUE(loaded.ok()) << loaded.status().message();
      for (uint32_t effort : {1u, 8u, 64u}) {
        const auto found = search(**loaded, {queries.data(), 20, 10, effort});
        for (uint64_t i = 0; i < 200; i++)
          EXPECT_TRUE(found.ids[i] >= -1 && found.ids[i] < int64_t(kN)) << found.ids[i];
      }
      EXPECT_EQ(use_damaged(loaded->get()).code(), GYR_E_CORRUPT);  // a change looks all of it through
    }
}

TEST(Codes, ExtremeVectorsHaveFiniteScores) {
  const std::vector<std::vector<float>> rows = {{0, 0, 0},           {1e18f, 0, 0},   {-1e18f, 1, 0},
                                                {1e-38f, 1e-40f, 0}, {1, -1, 1e-30f}, {5e17f, -5e17f, 5e17f}};
  const auto& ops = kernels::best();
  for (bool centred : {false, true}) {
    Codes codes(std::pmr::get_default_resource(), 3, &ops);
    if (centred) codes.learn([&](uint64_t i, float*) { return rows[i].data(); }, rows.size());
    codes.resize(rows.size());
    for (uint32_t i = 0; i < rows.size(); i++) codes.write(i, rows[i].data());
    CodeQuery query(std::pmr::get_default_resource());
    const uint32_t at[] = {0, 1, 2, 3, 4, 5};
    int32_t dots[6];
    float got[6];
    for (auto& r : rows)
      for (bool l2 : {false, true}) {
        codes.prepare(r.data(), &query);
        codes.score(query, l2, at, 6, dots, got);
        for (float s : got) ASSERT_TRUE(std::isfinite(s));
      }
  }
}

constexpr uint64_t kItems = kSanitized ? 3500 : 8000;  // enough for walks

double recall_of(gyr_metric metric, const std::vector<float>& data, const std::vector<float>& queries, uint32_t dim) {
  const uint64_t n = data.size() / dim, n_queries = queries.size() / dim;
  auto index = make_index(make_runtime(2), dim, metric, GYR_INDEX_GRAPH);
  std::vector<int64_t> ids(n);
  for (uint64_t i = 0; i < n; i++) ids[i] = int64_t(i);
  EXPECT_TRUE(index->upsert(ids.data(), data.data(), n, nullptr).ok());
  Index::Query q{queries.data(), n_queries, 10};
  auto got = search(*index, q);
  q.exact = true;
  return recall(got, search(*index, q), 10);
}

// Differences that a code of the whole vector would not see. Which links are chosen follows the rounding of a SIMD
// level, so the bar is the same data's recall without the offset: codes of whole vectors find less than half of it.
TEST(Codes, AnOffsetInAllDimensionsDoesNotSpoilRecall) {
  constexpr uint32_t kDim = 32;
  auto data = mixture(kItems, kDim, 1), queries = mixture(100, kDim, 2);
  const double without = recall_of(GYR_METRIC_L2, data, queries, kDim);
  EXPECT_GE(without, 0.9);
  EXPECT_GE(recall_of(GYR_METRIC_L2, moved(data, 1000), moved(queries, 1000), kDim), without - 0.03);
}

TEST(Codes, AnOutlierDoesNotSpoilRecall) {
  constexpr uint32_t kDim = 32;
  auto data = mixture(kItems, kDim, 1, 0.3), queries = mixture(100, kDim, 2);
  for (uint32_t d = 0; d < kDim; d++) data[kItems / 2 * kDim + d] = (d % 2 ? 1e7f : -1e7f) / float(d + 1);
  for (gyr_metric metric : {GYR_METRIC_IP, GYR_METRIC_COSINE, GYR_METRIC_L2})
    EXPECT_GE(recall_of(metric, data, queries, kDim), 0.95) << metric;
}

}  // namespace
}  // namespace gyr::test
