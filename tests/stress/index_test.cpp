// An index under everything at once. Every id has a direction of its own and its vector is that times a small whole
// number, so each score tells whether it was computed from a whole vector of its id.
#include <cmath>
#include <cstdio>
#include <fstream>

#include "src/data/dlpack.h"
#include "tests/stress/rows.h"
#include "tests/support/source.h"

namespace gyr::stress {
namespace {

constexpr uint32_t kDim = 8;
constexpr int64_t kChanging = 120, kStable = 40, kIds = kChanging + kStable;  // the last ones are never deleted
constexpr int kFactors = 8;

// Where an id stands, by the thread that owns it: counts up, each step before or after a call.
enum { kIn = 0, kDeleting = 1, kOut = 2, kInserting = 3 };

struct IndexStress : ::testing::TestWithParam<gyr_index_kind> {
  IndexStress() : runtime(make_runtime(3)) {
    std::mt19937_64 random(4);
    for (auto& row : base)
      for (float& x : row) x = float(int(random() % 15) - 7);
    for (auto& row : base) row[0] = float(1 + random() % 7);  // never the zero vector
    Error err;
    gyr_index_options o{};
    o.struct_size = sizeof o;
    o.dim = kDim;
    o.kind = GetParam();
    o.degree = 4;
    o.build_effort = 16;
    MUST_OK(err, gyr_index_create(runtime, &o, &index, &err));
    std::vector<int64_t> ids;
    for (int64_t id = 0; id < kIds; id++) ids.push_back(id);
    upsert(index, ids, 1);
    stable.resize(kStable);
    MUST_OK(err, gyr_index_slots(index, ids.data() + kChanging, kStable, stable.data(), &err));
    evens = make_filter();
  }
  ~IndexStress() override {
    gyr_runtime_destroy(runtime);
    gyr_index_destroy(index);
    gyr_index_filter_destroy(evens);
  }

  gyr_index_filter* make_filter() {  // the even ids
    std::vector<int64_t> ids;
    for (int64_t id = 0; id < kIds; id += 2) ids.push_back(id);
    gyr_index_filter_options o{};
    o.struct_size = sizeof o;
    o.ids = ids.data(), o.n_ids = ids.size();
    gyr_index_filter* filter = nullptr;
    Error err;
    MUST_OK(err, CALL(gyr_index_filter_create)(index, &o, nullptr, &filter, &err));
    return filter;
  }
  std::vector<float> vectors_of(const std::vector<int64_t>& ids, int factor) const {
    std::vector<float> vectors;
    for (int64_t id : ids)
      for (float x : base[id]) vectors.push_back(x * float(factor));
    return vectors;
  }
  gyr_status upsert(gyr_index* into, const std::vector<int64_t>& ids, int factor, gyr_task* task = nullptr) {
    const auto vectors = vectors_of(ids, factor);
    Error err;
    gyr_status s = CALL(gyr_index_upsert)(into, ids.data(), vectors.data(), ids.size(), task, &err);
    MUST(s == GYR_OK || (task && (s == GYR_E_CANCELLED || s == GYR_E_DEADLINE))) << err.message;
    return s;
  }

  struct Found {
    std::vector<int64_t> ids;
    std::vector<float> scores;
    std::vector<uint32_t> counts;
  };
  // Checks what holds for every answer: distinct, best first, each score a whole multiple of the id's own.
  Found search(gyr_index* in, const std::vector<float>& queries, uint32_t k, gyr_search_args args = {},
               gyr_task* task = nullptr) {
    uint64_t n = queries.size() / kDim;
    Found f{std::vector<int64_t>(n * k), std::vector<float>(n * k), std::vector<uint32_t>(n)};
    args.struct_size = sizeof args;
    args.k = k, args.queries = queries.data(), args.n = n;
    args.out_ids = f.ids.data(), args.out_scores = f.scores.data(), args.out_counts = f.counts.data();
    Error err;
    gyr_status s = CALL(gyr_index_search)(in, &args, task, &err);
    MUST(s == GYR_OK || (task && (s == GYR_E_CANCELLED || s == GYR_E_DEADLINE))) << err.message;
    if (s != GYR_OK) return {{}, {}, {}};
    for (uint64_t q = 0; q < n; q++) {
      std::vector<bool> seen(kIds);
      for (uint32_t i = 0; i < f.counts[q]; i++) {
        int64_t id = f.ids[q * k + i];
        float score = f.scores[q * k + i], own = 0;
        MUST(id >= 0 && id < kIds) << id;
        if (id < 0 || id >= kIds) return f;
        MUST(!seen[size_t(id)]) << id << " twice";
        seen[size_t(id)] = true;
        MUST(i == 0 || score <= f.scores[q * k + i - 1]);
        for (uint32_t d = 0; d < kDim; d++) own += base[id][d] * queries[q * kDim + d];
        float factor = own == 0 ? 1 : score / own;
        MUST(own == 0 ? score == 0 : factor >= 1 && factor <= kFactors && factor == std::floor(factor))
            << "id " << id << " scores " << score << ", its direction " << own;
      }
    }
    return f;
  }
  static std::vector<float> queries(Worker& w, size_t n) {
    std::vector<float> q(n * kDim);
    for (float& x : q) x = float(int(w.below(15)) - 7);
    return q;
  }

  gyr_runtime* runtime;
  gyr_index* index = nullptr;
  float base[kIds][kDim];
  std::atomic<uint64_t> steps[kIds] = {};
  std::vector<int64_t> stable;  // slots of the stable ids
  gyr_index_filter* evens;      // refreshed while others search with it
};

TEST_P(IndexStress, DeletedStaysAwayAndPresentIsFound) {
  Hammer hammer;
  auto own_id = [&](Worker& w) {
    return w.number + int64_t(w.below(uint64_t(kChanging / hammer.threads))) * hammer.threads;
  };
  hammer.operation(4, [&](Worker& w) {
    int64_t id = own_id(w);
    if (steps[id] % 4 != kIn) return;
    steps[id]++;
    uint64_t deleted = 0;
    Error err;
    MUST_OK(err, CALL(gyr_index_delete)(index, &id, 1, &deleted, &err));
    MUST(deleted == 1) << id;
    steps[id]++;
  });
  hammer.operation(4, [&](Worker& w) {
    int64_t id = own_id(w);
    if (steps[id] % 4 != kOut) {
      upsert(index, {id}, 1 + int(w.below(kFactors)));
      return;
    }
    steps[id]++;
    upsert(index, {id}, 1 + int(w.below(kFactors)));
    steps[id]++;
  });
  hammer.operation(2, [&](Worker& w) {  // many at once; none of them is ever away
    std::vector<int64_t> ids;
    for (int64_t id = kChanging; id < kIds; id++)
      if (w.one_in(2)) ids.push_back(id);
    upsert(index, ids, 1 + int(w.below(kFactors)));
  });
  hammer.operation(1, [&](Worker& w) {  // the same from a stream, a tensor and a file
    std::vector<int64_t> ids;
    for (int64_t id = kChanging; id < kIds; id++) ids.push_back(id);
    auto vectors = vectors_of(ids, 1 + int(w.below(kFactors)));
    Error err;
    test::Source rows;
    rows.ints("id", ids).vectors("vector", kDim, vectors);
    ArrowArrayStream stream = rows.open();
    MUST_OK(err, CALL(gyr_index_upsert_arrow)(index, &stream, "id", "vector", nullptr, &err));
    int64_t shape[] = {kStable, kDim};
    DlTensor tensor{};
    tensor.data = vectors.data(), tensor.shape = shape;
    tensor.device_type = DlTensor::kCpu, tensor.ndim = 2, tensor.code = DlTensor::kFloat, tensor.bits = 32,
    tensor.lanes = 1;
    MUST_OK(err, CALL(gyr_index_upsert_dlpack)(index, ids.data(), &tensor, ids.size(), nullptr, &err));
    const std::string path = w.path("rows.fvecs");
    std::ofstream file(path, std::ios::binary);
    for (int64_t i = 0; i < kStable; i++) {
      const uint32_t dim = kDim;
      file.write(reinterpret_cast<const char*>(&dim), sizeof dim);
      file.write(reinterpret_cast<const char*>(&vectors[size_t(i) * kDim]), kDim * sizeof(float));
    }
    file.close();
    MUST_OK(err, CALL(gyr_index_upsert_file)(index, path.c_str(), nullptr, 0, kChanging, nullptr, &err));
    std::remove(path.c_str());
  });
  hammer.operation(6, [&](Worker& w) {  // a full scan is told by each id's state before and after
    std::vector<uint64_t> before(kIds);
    for (int64_t id = 0; id < kIds; id++) before[size_t(id)] = steps[id];
    gyr_search_args args{};
    args.exact = 1;
    Found f = search(index, queries(w, 1), kIds, args);
    std::vector<bool> seen(kIds);
    for (uint32_t i = 0; i < f.counts[0]; i++) seen[size_t(f.ids[i])] = true;
    for (int64_t id = 0; id < kIds; id++) {
      if (steps[id] != before[size_t(id)]) continue;
      if (before[size_t(id)] % 4 == kIn) MUST(seen[size_t(id)]) << id << " is in and was not found";
      if (before[size_t(id)] % 4 == kOut) MUST(!seen[size_t(id)]) << id << " was deleted and was found";
    }
  });
  hammer.operation(8, [&](Worker& w) {
    Found f = search(index, queries(w, 1 + w.below(40)), 10);
    for (uint32_t count : f.counts) MUST(count == 10) << count;
  });
  hammer.operation(4, [&](Worker& w) {  // a filter over the stable ids' slots lets nothing else through
    gyr_index_info info{};
    info.struct_size = sizeof info;
    Error err;
    MUST_OK(err, CALL(gyr_index_get_info)(index, &info, &err));
    MUST(info.count >= uint64_t(kStable) && info.count <= uint64_t(kIds) && info.slots <= uint64_t(kIds));
    std::vector<uint64_t> filter(info.slots / 64 + 1);
    for (int64_t slot : stable) filter[size_t(slot) / 64] |= uint64_t(1) << (slot % 64);
    gyr_search_args args{};
    args.filter = filter.data(), args.filter_bits = info.slots;
    Found f = search(index, queries(w, 2), kStable + 5, args);
    for (uint32_t count : f.counts) MUST(count == uint32_t(kStable)) << count;
    for (uint32_t i = 0; i < uint32_t(kStable); i++) MUST(f.ids[i] >= kChanging) << f.ids[i];
  });
  hammer.operation(4, [&](Worker& w) {  // the same of filters over ids, an own and a shared one
    gyr_index_filter* own = w.one_in(2) ? make_filter() : nullptr;
    Error err;
    if (w.one_in(2)) MUST_OK(err, CALL(gyr_index_filter_refresh)(evens, nullptr, &err));
    gyr_search_args args{};
    args.selection = own ? own : evens;
    Found f = search(index, queries(w, 1), kIds, args);
    int found = 0;
    for (uint32_t i = 0; i < f.counts[0]; i++) {
      MUST(f.ids[i] % 2 == 0) << f.ids[i];
      found += f.ids[i] >= kChanging;
    }
    MUST(found == kStable / 2) << found;
    gyr_index_filter_info info{};
    info.struct_size = sizeof info;
    MUST_OK(err, CALL(gyr_index_filter_get_info)(args.selection, &info, &err));
    MUST(info.count >= uint64_t(kStable / 2) && info.count <= uint64_t(kIds / 2)) << info.count;
    if (own) CALL(gyr_index_filter_destroy)(own);
  });
  hammer.operation(1, [&](Worker& w) {
    const auto some = queries(w, 3);
    gyr_evaluate_args args{};
    args.struct_size = sizeof args;
    args.k = 5, args.n = 3;
    args.queries = some.data();
    gyr_search_quality quality[2] = {};
    quality[0].struct_size = sizeof quality[0];
    const uint32_t efforts[] = {8, 64};
    Error err;
    MUST_OK(err, CALL(gyr_index_evaluate)(index, &args, efforts, 2, quality, nullptr, &err));
    for (const auto& q : quality) MUST(q.recall > 0 && q.recall <= 1) << q.recall;
    const gyr_status s = CALL(gyr_index_tune)(index, &args, 0.9, w.one_in(2), quality, nullptr, &err);
    MUST(s == GYR_OK ? quality[0].effort > 0 : s == GYR_E_OUT_OF_RANGE)
        << err.message;  // what changes meanwhile is lost
  });
  hammer.operation(4, [&](Worker& w) {
    std::vector<int64_t> ids, slots(kStable);
    for (int64_t id = kChanging; id < kIds; id++) ids.push_back(id);
    Error err;
    MUST_OK(err, CALL(gyr_index_slots)(index, ids.data(), ids.size(), slots.data(), &err));
    MUST(slots == stable) << w.number;
  });
  hammer.operation(2, [&](Worker& w) {
    Error err;
    gyr_task* task = nullptr;
    MUST_OK(err, CALL(gyr_task_create)(&task, &err));
    if (w.one_in(2)) CALL(gyr_task_cancel)(task);
    CALL(gyr_task_set_timeout)(task, 1000);
    search(index, queries(w, 20), 10, {}, task);
    upsert(index, {kChanging, kChanging + 1}, 1 + int(w.below(kFactors)), task);
    gyr_task_destroy(task);
  });
  hammer.operation(1, [&](Worker& w) {
    Error err;
    std::string path = w.path("index.gyr");
    gyr_index* opened = nullptr;
    MUST_OK(err, CALL(gyr_index_save)(index, path.c_str(), &err));
    MUST_OK(err, CALL(gyr_index_open)(runtime, path.c_str(), &opened, &err));
    std::remove(path.c_str());
    if (!opened) return;
    Found f = search(opened, queries(w, 1), kIds);
    int found = 0;
    for (uint32_t i = 0; i < f.counts[0]; i++) found += f.ids[i] >= kChanging;
    MUST(found == kStable) << found;
    CALL(gyr_index_destroy)(opened);
  });
  hammer.operation(2, [&](Worker& w) {
    Error err;
    gyr_task* task = nullptr;
    MUST_OK(err, CALL(gyr_task_create)(&task, &err));
    if (w.one_in(4)) CALL(gyr_task_cancel)(task);
    gyr_status s = CALL(gyr_index_compact)(index, task, &err);
    MUST(s == GYR_OK || s == GYR_E_CANCELLED) << err.message;
    gyr_task_destroy(task);
  });
  hammer.operation(1, [&](Worker& w) {
    Error err;
    gyr_index_options o{};
    o.struct_size = sizeof o;
    o.dim = kDim;
    o.stored = gyr_stored(w.below(3));  // those that hold small whole numbers exactly
    uint64_t bytes = 0, peak = 0;
    MUST_OK(err, CALL(gyr_index_estimate)(&o, 1000, 2, &bytes, &peak, &err));
    MUST(bytes > 0 && peak > bytes);
    gyr_index* other = nullptr;
    MUST_OK(err, CALL(gyr_index_create)(runtime, &o, &other, &err));
    upsert(other, {1, 2, 3}, 2);
    search(other, queries(w, 1), 3);
    CALL(gyr_index_destroy)(other);
  });
  hammer.run();
}

INSTANTIATE_TEST_SUITE_P(Kinds, IndexStress, ::testing::Values(GYR_INDEX_EXACT, GYR_INDEX_GRAPH, GYR_INDEX_IVF),
                         [](const auto& p) {
                           return p.param == GYR_INDEX_EXACT ? "exact" : p.param == GYR_INDEX_GRAPH ? "graph" : "ivf";
                         });

}  // namespace
}  // namespace gyr::stress
