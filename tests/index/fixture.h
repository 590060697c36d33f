// Data and the brute-force oracle of the index tests.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/random.h"
#include "index/index.h"
#include "io/container.h"

namespace gyr::test {

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitized = true;  // slow
#else
constexpr bool kSanitized = false;
#endif

inline std::shared_ptr<Runtime> make_runtime(uint32_t threads, uint64_t budget = 0) {
  gyr_runtime_options o{};
  o.struct_size = sizeof o;
  o.threads = threads;
  o.memory_budget = budget;
  auto r = Runtime::create(o);
  EXPECT_TRUE(r.ok()) << r.status().message();
  return *r;
}

inline gyr_index_options options_of(uint32_t dim, gyr_metric metric, gyr_index_kind kind,
                                    gyr_stored stored = GYR_STORED_FP32) {
  gyr_index_options o{};
  o.struct_size = sizeof o;
  o.dim = dim;
  o.metric = metric;
  o.kind = kind;
  o.stored = stored;
  return o;
}
inline std::shared_ptr<Index> make(const std::shared_ptr<Runtime>& runtime, const gyr_index_options& o) {
  auto r = Index::create(runtime, o);
  EXPECT_TRUE(r.ok()) << r.status().message();
  return *r;
}
inline std::shared_ptr<Index> make_index(const std::shared_ptr<Runtime>& runtime, uint32_t dim, gyr_metric metric,
                                         gyr_index_kind kind) {
  return make(runtime, options_of(dim, metric, kind));
}

inline std::vector<int64_t> numbers(uint64_t n, int64_t first = 0) {
  std::vector<int64_t> ids(n);
  for (uint64_t i = 0; i < n; i++) ids[i] = first + int64_t(i);
  return ids;
}
inline gyr_index_info info_of(const Index& index) {
  gyr_index_info info{};
  index.fill_info(&info);
  return info;
}
inline std::vector<uint8_t> saved(const Index& index) {
  ContainerWriter writer;
  EXPECT_TRUE(index.save(&writer, "index").ok());
  return *writer.serialize();
}

struct Found {
  std::vector<int64_t> ids;
  std::vector<float> scores;
  std::vector<uint32_t> counts;
};

inline Found search(const Index& index, Index::Query q, Index::Scratch* scratch = nullptr) {
  Found f{std::vector<int64_t>(q.n * q.k), std::vector<float>(q.n * q.k), std::vector<uint32_t>(q.n)};
  Status s = index.search(q, scratch, nullptr, f.ids.data(), f.scores.data(), f.counts.data());
  EXPECT_TRUE(s.ok()) << s.message();
  return f;
}

inline std::vector<float> gaussian(uint64_t n, uint32_t dim, uint64_t seed) {
  Random random(seed);
  std::vector<float> v(n * dim);
  for (auto& x : v) x = float(random.normal());
  return v;
}

// Points around 100 centres; `spread` is the standard deviation of the logarithm of their lengths' factor.
inline std::vector<float> mixture(uint64_t n, uint32_t dim, uint64_t seed, double spread = 0) {
  auto centres = gaussian(100, dim, 99);
  Random random(seed);
  std::vector<float> v(n * dim);
  for (uint64_t i = 0; i < n; i++) {
    const float* c = centres.data() + random.below(100) * dim;
    double length = std::exp(spread * random.normal());
    for (uint32_t d = 0; d < dim; d++) v[i * dim + d] = float((c[d] + 0.7 * random.normal()) * length);
  }
  return v;
}

inline double score(gyr_metric metric, const float* a, const float* b, uint32_t dim) {
  double dot = 0, aa = 0, bb = 0, l2 = 0;
  for (uint32_t d = 0; d < dim; d++) {
    dot += double(a[d]) * b[d];
    aa += double(a[d]) * a[d];
    bb += double(b[d]) * b[d];
    l2 += (double(a[d]) - b[d]) * (double(a[d]) - b[d]);
  }
  if (metric == GYR_METRIC_L2) return -l2;
  return metric == GYR_METRIC_COSINE ? dot / std::sqrt(aa * bb) : dot;
}

using Model = std::map<int64_t, std::vector<float>>;

// (score, id) of everything allowed, best first.
template <class Keep>
std::vector<std::pair<double, int64_t>> oracle(const Model& model, gyr_metric metric, const float* q, uint32_t dim,
                                               Keep&& keep) {
  std::vector<std::pair<double, int64_t>> all;
  for (auto& [id, v] : model)
    if (keep(id)) all.push_back({-score(metric, q, v.data(), dim), id});
  std::sort(all.begin(), all.end());
  for (auto& a : all) a.first = -a.first;
  return all;
}

inline double recall(const Found& got, const Found& truth, uint32_t k) {
  uint64_t hit = 0, all = 0;
  for (uint64_t q = 0; q < truth.counts.size(); q++) {
    std::set<int64_t> want(truth.ids.begin() + q * k, truth.ids.begin() + q * k + truth.counts[q]);
    all += want.size();
    for (uint32_t i = 0; i < got.counts[q]; i++) hit += want.count(got.ids[q * k + i]);
  }
  return double(hit) / double(all);
}

// An index whose file may say anything: searched before and after a change, which may find it out.
inline Status use_damaged(Index* index) {
  std::vector<float> q(info_of(*index).dim, 1.0f);
  const int64_t id = 77777;
  search(*index, {q.data(), 1, 5});
  search(*index, {q.data(), 1, 5, 0, true});
  Status changed = index->upsert(&id, q.data(), 1, nullptr);
  if (!changed.ok()) {
    EXPECT_EQ(changed.code(), GYR_E_CORRUPT) << changed.message();
  }
  EXPECT_EQ(index->remove(&id, 1, nullptr).ok(), changed.ok());
  EXPECT_EQ(index->compact(nullptr).ok(), changed.ok());
  search(*index, {q.data(), 1, 5});
  return changed;
}

struct Damages {
  int at_once = 0, by_change = 0;  // refused
};
// Loads the index's section cut off or with bytes changed, under a right checksum: a status may say CORRUPT, and
// nothing else may happen.
inline Damages damage(const Index& index, const std::shared_ptr<Runtime>& runtime, int rounds) {
  const auto good = *(*Container::parse(saved(index)))->read("index", "IDX2");
  Random random(5);
  Damages refused;
  for (int round = 0; round < rounds; round++) {
    auto bytes = good;
    if (round % 10 == 0)
      bytes.resize(random.below(bytes.size()));
    else
      for (uint64_t i = 0; i < 1 + random.below(4); i++)
        bytes[round % 3 ? random.below(bytes.size()) : random.below(60)] = uint8_t(random.next());
    ContainerWriter w;
    EXPECT_TRUE(w.add("index", "IDX2", bytes).ok());
    auto loaded = Index::load(runtime, **Container::parse(*w.serialize()), "index");
    if (!loaded.ok()) {
      EXPECT_EQ(loaded.status().code(), GYR_E_CORRUPT) << loaded.status().message();
      refused.at_once++;
    } else {
      refused.by_change += !use_damaged(loaded->get()).ok();
    }
  }
  return refused;
}

}  // namespace gyr::test
