// A memory budget that is a little too small, for every size of "a little": whatever is refused is refused with
// RESOURCE_EXHAUSTED, and when all is destroyed nothing counts against the budget any more.
#include <algorithm>

#include "tests/fault/world.h"
#include "tests/support/contract.h"

namespace gyr::test {
namespace {

gyr_runtime_info info_of(const gyr_runtime* runtime) {
  gyr_runtime_info info = {};
  info.struct_size = sizeof info;
  GYR_SETUP(gyr_runtime_get_info(runtime, &info, err));
  return info;
}

struct Budget {
  RuntimeHandle runtime;
  bool refused = false;

  explicit Budget(uint64_t bytes) {
    gyr_runtime_options o = {};
    o.struct_size = sizeof o;
    o.threads = 2;
    o.memory_budget = bytes;
    GYR_SETUP(gyr_runtime_create(&o, runtime.out(), err));
  }

  // Runs the call unless an earlier one was refused already.
  template <class Call>
  void step(const char* function, Call&& call) {
    if (refused) return;
    gyr_error err = GYR_ERROR_INIT;
    gyr_status status = call(&err);
    expect_in_contract(function, status);
    EXPECT_TRUE(status == GYR_OK || status == GYR_E_RESOURCE_EXHAUSTED) << gyr_status_name(status) << err.message;
    refused = status != GYR_OK;
  }
};

using Work = void (*)(Budget&);

// Every multiple of a 100th of what the work needs.
void sweep_budget(Work work) {
  uint64_t peak = 0;
  {
    Budget unlimited(0);
    work(unlimited);
    EXPECT_FALSE(unlimited.refused);
    peak = info_of(unlimited.runtime).memory_peak;
    EXPECT_EQ(info_of(unlimited.runtime).memory_used, 0u);
  }
  ASSERT_GT(peak, 0u);
  for (uint64_t part = 1; part <= 100; part++) {
    uint64_t bytes = std::max<uint64_t>(1, peak * part / 100);
    SCOPED_TRACE("budget " + std::to_string(bytes) + " of " + std::to_string(peak));
    Budget b(bytes);
    work(b);
    // Between the two a store may make room by waiting for its readers.
    if (part == 1 || part == 100) {
      EXPECT_EQ(b.refused, part == 1) << "the peak of one run is what it needs";
    }
    EXPECT_EQ(info_of(b.runtime).memory_used, 0u);
    EXPECT_LE(info_of(b.runtime).memory_peak, bytes);
    if (::testing::Test::HasFailure()) return;
  }
}

TEST(Budget, Table) {
  sweep_budget([](Budget& b) {
    TableHandle t;
    Source rows(2);
    user_rows(&rows);
    b.step("gyr_table_create", [&](gyr_error* err) { return gyr_table_create(b.runtime, kUserTable, t.out(), err); });
    b.step("gyr_table_upsert", [&](gyr_error* err) {
      ArrowArrayStream stream = rows.open();
      return finish(gyr_table_upsert(t, &stream, nullptr, nullptr, err), &stream);
    });
  });
}

TEST(Budget, Cache) {
  sweep_budget([](Budget& b) {
    gyr_cache_options o = {};
    o.struct_size = sizeof o;
    o.dim = 8;
    std::vector<int64_t> keys;
    for (int64_t i = 0; i < 3000; i++) keys.push_back(i);
    std::vector<float> rows(keys.size() * 8, 1.0f);
    CacheHandle c;
    b.step("gyr_cache_create", [&](gyr_error* err) { return gyr_cache_create(b.runtime, &o, c.out(), err); });
    b.step("gyr_cache_put",
           [&](gyr_error* err) { return gyr_cache_put(c, keys.data(), rows.data(), keys.size(), err); });
  });
}

TEST(Budget, Index) {
  sweep_budget([](Budget& b) {
    gyr_index_options o = {};
    o.struct_size = sizeof o;
    o.dim = 4;
    o.degree = 4;
    std::vector<int64_t> ids;
    std::vector<float> vectors;
    for (int64_t i = 0; i < 200; i++) {
      ids.push_back(i);
      for (int d = 0; d < 4; d++) vectors.push_back(float((i * 7 + d * 13) % 31));
    }
    IndexHandle index;
    b.step("gyr_index_create", [&](gyr_error* err) { return gyr_index_create(b.runtime, &o, index.out(), err); });
    b.step("gyr_index_upsert", [&](gyr_error* err) {
      return gyr_index_upsert(index, ids.data(), vectors.data(), ids.size(), nullptr, err);
    });
    // What was refused left an index that answers.
    if (!index) return;
    float query[4] = {1, 2, 3, 4}, score = 0;
    int64_t id = 0;
    uint32_t count = 0;
    gyr_search_args args = {};
    args.struct_size = sizeof args;
    args.k = 1;
    args.n = 1;
    args.queries = query;
    args.out_ids = &id;
    args.out_scores = &score;
    args.out_counts = &count;
    gyr_error err = GYR_ERROR_INIT;
    gyr_status status = gyr_index_search(index, &args, nullptr, &err);
    EXPECT_TRUE(status == GYR_OK || status == GYR_E_RESOURCE_EXHAUSTED) << err.message;
  });
}

TEST(Budget, Workflow) {
  sweep_budget([](Budget& b) {
    WorkflowHandle w;
    Source rows;
    raw_rows(&rows);
    b.step("gyr_workflow_create", [&](gyr_error* err) { return gyr_workflow_create(b.runtime, kGraph, w.out(), err); });
    b.step("gyr_workflow_fit_partial", [&](gyr_error* err) {
      ArrowArrayStream stream = rows.open();
      return finish(gyr_workflow_fit_partial(w, &stream, nullptr, err), &stream);
    });
    b.step("gyr_workflow_fit_finish", [&](gyr_error* err) { return gyr_workflow_fit_finish(w, err); });
  });
}

template <const char* const& kKind>
void train(Budget& b) {
  static World plain(1, false);  // for its schema only
  TrainerHandle t;
  ModelHandle m;
  Source rows;
  plain.encoded_rows(&rows);
  b.step("gyr_trainer_create", [&](gyr_error* err) {
    return gyr_trainer_create(b.runtime, model_spec(kKind), plain.schema().c_str(), t.out(), err);
  });
  b.step("gyr_trainer_fit", [&](gyr_error* err) {
    ArrowArrayStream stream = rows.open();
    return finish(gyr_trainer_fit(t, &stream, nullptr, err), &stream);
  });
  b.step("gyr_trainer_export", [&](gyr_error* err) { return gyr_trainer_export(t, m.out(), err); });
}

const char* const kPopularity = "popularity";
const char* const kItemKnn = "item_knn";
const char* const kIals = "ials";
const char* const kTwoTower = "two_tower";
const char* const kDlrm = "dlrm";
TEST(Budget, Popularity) { sweep_budget(train<kPopularity>); }
TEST(Budget, ItemKnn) { sweep_budget(train<kItemKnn>); }
TEST(Budget, Ials) { sweep_budget(train<kIals>); }
TEST(Budget, TwoTower) { sweep_budget(train<kTwoTower>); }
TEST(Budget, Dlrm) { sweep_budget(train<kDlrm>); }

TEST(Budget, Bundle) {
  static World plain(1, false);
  sweep_budget([](Budget& b) {
    std::string path = plain.bundle_file();
    BundleHandle bundle;
    int64_t user = user_id(1), ids[3] = {};
    float scores[3] = {};
    uint32_t count = 0;
    gyr_keys keys = int_keys(&user, 1);
    gyr_recommend_args args = {};
    args.struct_size = sizeof args;
    args.k = 3;
    args.users = &keys;
    args.out_ids = ids;
    args.out_scores = scores;
    args.out_counts = &count;
    b.step("gyr_bundle_open",
           [&](gyr_error* err) { return gyr_bundle_open(b.runtime, path.c_str(), bundle.out(), err); });
    b.step("gyr_bundle_recommend", [&](gyr_error* err) { return gyr_bundle_recommend(bundle, &args, nullptr, err); });
    b.step("gyr_bundle_publish",
           [&](gyr_error* err) { return gyr_bundle_publish(bundle, path.c_str(), 0, nullptr, err); });
  });
}

}  // namespace
}  // namespace gyr::test
