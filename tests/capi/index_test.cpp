#include <gtest/gtest.h>
#include <gyr/gyr.h>

#include <cmath>
#include <cstddef>
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

namespace {

struct IndexApi : testing::Test {
  void SetUp() override {
    ASSERT_EQ(gyr_runtime_create(nullptr, &runtime, &err), GYR_OK) << err.message;
    options.struct_size = sizeof options;
    options.dim = 3;
    ASSERT_EQ(gyr_index_create(runtime, &options, &index, &err), GYR_OK) << err.message;
    args.struct_size = sizeof args;
    args.k = 2;
    args.queries = query;
    args.n = 1;
    args.out_ids = ids;
    args.out_scores = scores;
    args.out_counts = &count;
  }
  void TearDown() override {
    gyr_runtime_destroy(runtime);  // parents first: the index keeps what it needs
    gyr_index_destroy(index);
  }
  gyr_error err = GYR_ERROR_INIT;
  gyr_runtime* runtime = nullptr;
  gyr_index* index = nullptr;
  gyr_index_options options{};
  gyr_search_args args{};
  float query[3] = {1, 0, 0}, scores[2] = {};
  int64_t ids[2] = {};
  uint32_t count = 0;
};

TEST_F(IndexApi, ARefusedBatchWritesNothing) {
  int64_t keys[] = {1, 2};
  float vectors[] = {1, 0, 0, 0, 1, 0};
  ASSERT_EQ(gyr_index_upsert(index, keys, vectors, 2, nullptr, &err), GYR_OK) << err.message;
  float queries[] = {1, 0, 0, 0, NAN, 0};
  int64_t out_ids[] = {7, 7};
  float out_scores[] = {7, 7};
  uint32_t counts[] = {7, 7};
  args.k = 1;
  args.n = 2;
  args.queries = queries;
  args.out_ids = out_ids;
  args.out_scores = out_scores;
  args.out_counts = counts;
  EXPECT_EQ(gyr_index_search(index, &args, nullptr, &err), GYR_E_INVALID_ARGUMENT);
  EXPECT_NE(std::string(err.message).find("queries[1]"), std::string::npos) << err.message;
  EXPECT_EQ(out_ids[0], 7);
  EXPECT_EQ(counts[0], 7u);
}

TEST_F(IndexApi, InsertSearchDeleteSaveOpen) {
  int64_t keys[] = {30, 10, 20};
  float vectors[] = {1, 0, 0, 1, 5, 5, 0, 1, 0};
  ASSERT_EQ(gyr_index_upsert(index, keys, vectors, 3, nullptr, &err), GYR_OK) << err.message;
  ASSERT_EQ(gyr_index_search(index, &args, nullptr, &err), GYR_OK) << err.message;
  EXPECT_EQ(count, 2u);
  EXPECT_EQ(ids[0], 10);  // ties: smaller id first
  EXPECT_EQ(ids[1], 30);
  int64_t slots[2], wanted[] = {20, 99};
  ASSERT_EQ(gyr_index_slots(index, wanted, 2, slots, &err), GYR_OK);
  EXPECT_EQ(slots[1], -1);
  uint64_t filter = uint64_t(1) << slots[0];
  args.filter = &filter;
  args.filter_bits = 3;
  ASSERT_EQ(gyr_index_search(index, &args, nullptr, &err), GYR_OK);
  EXPECT_EQ(count, 1u);
  EXPECT_EQ(ids[0], 20);
  EXPECT_EQ(ids[1], -1);
  EXPECT_TRUE(std::isnan(scores[1]));
  args.filter = nullptr;
  args.filter_bits = 0;
  uint64_t deleted;
  int64_t gone[] = {10, 11};
  ASSERT_EQ(gyr_index_delete(index, gone, 2, &deleted, &err), GYR_OK);
  EXPECT_EQ(deleted, 1u);

  std::string path = testing::TempDir() + "gyr_index_api_test.gyr";
  ASSERT_EQ(gyr_index_save(index, path.c_str(), &err), GYR_OK) << err.message;
  gyr_index* opened = nullptr;
  ASSERT_EQ(gyr_index_open(runtime, path.c_str(), &opened, &err), GYR_OK) << err.message;
  ASSERT_EQ(gyr_index_search(opened, &args, nullptr, &err), GYR_OK);
  EXPECT_EQ(ids[0], 30);
  EXPECT_EQ(ids[1], 20);
  gyr_index_info info{};
  info.struct_size = sizeof info;
  ASSERT_EQ(gyr_index_get_info(opened, &info, &err), GYR_OK);
  EXPECT_EQ(info.count, 2u);
  EXPECT_EQ(info.slots, 3u);
  EXPECT_EQ(info.metric, GYR_METRIC_IP);
  EXPECT_EQ(info.kind, GYR_INDEX_GRAPH);
  EXPECT_GT(info.bytes, 0u);
  gyr_index_destroy(opened);
  std::remove(path.c_str());
  EXPECT_EQ(gyr_index_open(runtime, path.c_str(), &opened, &err), GYR_E_NOT_FOUND);
}

TEST_F(IndexApi, KeepsVectorsAsItIsTold) {
  const int64_t keys[] = {1, 2, 3};
  const float vectors[] = {1, 0, 0, 0.5f, 0.25f, 0, 0, 1, 0};
  for (gyr_stored stored : {GYR_STORED_FP16, GYR_STORED_BF16, GYR_STORED_INT16, GYR_STORED_INT8}) {
    options.stored = stored;
    gyr_index* mine = nullptr;
    ASSERT_EQ(gyr_index_create(runtime, &options, &mine, &err), GYR_OK) << err.message;
    ASSERT_EQ(gyr_index_upsert(mine, keys, vectors, 3, nullptr, &err), GYR_OK) << err.message;
    ASSERT_EQ(gyr_index_search(mine, &args, nullptr, &err), GYR_OK) << err.message;
    EXPECT_EQ(ids[0], 1);
    EXPECT_EQ(ids[1], 2);
    EXPECT_NEAR(scores[1], 0.5, 0.01);
    gyr_index_info info{};
    info.struct_size = sizeof info;
    ASSERT_EQ(gyr_index_get_info(mine, &info, &err), GYR_OK);
    EXPECT_EQ(info.stored, stored);
    uint64_t bytes = 0, peak = 0;
    ASSERT_EQ(gyr_index_estimate(&options, 3, 0, &bytes, &peak, &err), GYR_OK) << err.message;
    // Coded vectors have a centre here, and then no byte for each one's scale.
    const bool centred = stored == GYR_STORED_INT16 || stored == GYR_STORED_INT8;
    EXPECT_EQ(bytes, info.bytes + (centred ? 3 : 0));
    EXPECT_GT(peak, bytes);
    EXPECT_EQ(gyr_index_estimate(&options, 3, 1, nullptr, nullptr, nullptr), GYR_OK);
    gyr_index_destroy(mine);
  }
  // A host that was compiled before there was a choice.
  options.struct_size = offsetof(gyr_index_options, stored);
  gyr_index* old = nullptr;
  ASSERT_EQ(gyr_index_create(runtime, &options, &old, &err), GYR_OK) << err.message;
  gyr_index_info info{};
  info.struct_size = sizeof info;
  ASSERT_EQ(gyr_index_get_info(old, &info, &err), GYR_OK);
  EXPECT_EQ(info.stored, GYR_STORED_FP32);
  gyr_index_destroy(old);
}

TEST_F(IndexApi, WrongArgumentsGiveStatuses) {
  float vector[3] = {1, 2, 3};
  int64_t id = 1;
  gyr_index* out = nullptr;
  EXPECT_EQ(gyr_index_create(nullptr, &options, &out, &err), GYR_E_INVALID_HANDLE);
  EXPECT_EQ(gyr_index_create(runtime, nullptr, &out, &err), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(gyr_index_create(runtime, &options, nullptr, &err), GYR_E_INVALID_ARGUMENT);
  uint64_t bytes = 7;
  EXPECT_EQ(gyr_index_estimate(nullptr, 1, 1, &bytes, nullptr, &err), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(gyr_index_estimate(&options, uint64_t(1) << 31, 1, &bytes, nullptr, &err), GYR_E_OUT_OF_RANGE);
  EXPECT_EQ(gyr_index_estimate(&options, 1, UINT32_MAX, &bytes, nullptr, &err), GYR_E_OUT_OF_RANGE);
  options.stored = 77;
  EXPECT_EQ(gyr_index_estimate(&options, 1, 1, &bytes, nullptr, &err), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(gyr_index_create(runtime, &options, &out, &err), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(bytes, 7u);
  options.stored = GYR_STORED_DEFAULT;
  options.lists = 65537;
  EXPECT_EQ(gyr_index_create(runtime, &options, &out, &err), GYR_E_OUT_OF_RANGE);
  options.lists = 0;
  options.struct_size = 1;
  EXPECT_EQ(gyr_index_create(runtime, &options, &out, &err), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(out, nullptr);
  EXPECT_EQ(gyr_index_upsert(nullptr, &id, vector, 1, nullptr, &err), GYR_E_INVALID_HANDLE);
  EXPECT_EQ(gyr_index_upsert(index, nullptr, vector, 1, nullptr, &err), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(gyr_index_upsert(index, &id, nullptr, 1, nullptr, &err), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(gyr_index_upsert(index, nullptr, nullptr, 0, nullptr, nullptr), GYR_OK);
  EXPECT_EQ(gyr_index_upsert(index, &id, vector, UINT64_MAX / 2, nullptr, &err), GYR_E_OUT_OF_RANGE);
  EXPECT_EQ(gyr_index_search(index, nullptr, nullptr, &err), GYR_E_INVALID_ARGUMENT);
  for (auto field : {&args.k, &args.exact}) {
    uint32_t old = *field;
    *field = 70000;
    EXPECT_EQ(gyr_index_search(index, &args, nullptr, &err), GYR_E_OUT_OF_RANGE);
    *field = old;
  }
  args.filter_bits = 5;
  EXPECT_EQ(gyr_index_search(index, &args, nullptr, &err), GYR_E_INVALID_ARGUMENT);
  args.filter_bits = 0;
  args.out_counts = nullptr;
  EXPECT_EQ(gyr_index_search(index, &args, nullptr, &err), GYR_E_INVALID_ARGUMENT);
  args.out_counts = &count;
  query[1] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(gyr_index_search(index, &args, nullptr, &err), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(gyr_index_get_info(index, nullptr, &err), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(gyr_index_save(index, nullptr, &err), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(gyr_index_save(index, "/nonexistent/folder/x", &err), GYR_E_IO);
  EXPECT_EQ(gyr_index_open(runtime, nullptr, &out, &err), GYR_E_INVALID_ARGUMENT);
  gyr_index_destroy(nullptr);
}

TEST_F(IndexApi, FiltersThatMakeNoSenseAreRefused) {
  int64_t keys[] = {1, 2, 3};
  float vectors[] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
  ASSERT_EQ(gyr_index_upsert(index, keys, vectors, 3, nullptr, &err), GYR_OK) << err.message;
  auto refused = [&](gyr_status status, const char* what) {
    EXPECT_EQ(gyr_index_search(index, &args, nullptr, &err), status);
    EXPECT_NE(std::string(err.message).find(what), std::string::npos) << err.message;
  };
  args.n_allowed_ids = 2;
  refused(GYR_E_INVALID_ARGUMENT, "allowed_ids");
  args.allowed_ids = keys;
  args.n_allowed_ids = UINT64_MAX / 4;
  refused(GYR_E_OUT_OF_RANGE, "allowed_ids");
  args.n_allowed_ids = 3;
  for (auto [from, to] : {std::pair{-1, 1}, {2, 1}, {0, 4}, {5, 6}}) {
    int64_t offsets[] = {from, to};
    args.allowed_offsets = offsets;
    refused(GYR_E_INVALID_ARGUMENT, "allowed_offsets[0]");
  }
  int64_t some[] = {1, 3};
  args.allowed_offsets = some;
  ASSERT_EQ(gyr_index_search(index, &args, nullptr, &err), GYR_OK) << err.message;
  EXPECT_EQ(count, 2u);
  EXPECT_EQ(ids[0], 2);
  args.allowed_offsets = nullptr;
  args.n_allowed_ids = 0;  // a list of none
  ASSERT_EQ(gyr_index_search(index, &args, nullptr, &err), GYR_OK) << err.message;
  EXPECT_EQ(count, 0u);
  args.allowed_ids = nullptr;
  args.selection = reinterpret_cast<const gyr_index_filter*>(index);
  refused(GYR_E_INVALID_HANDLE, "args.selection");
}

TEST_F(IndexApi, PreparedFilters) {
  int64_t keys[] = {1, 2, 3};
  float vectors[] = {1, 0, 0, 2, 1, 0, 0, 0, 1};
  ASSERT_EQ(gyr_index_upsert(index, keys, vectors, 3, nullptr, &err), GYR_OK) << err.message;
  gyr_index_filter_options o{};
  o.struct_size = sizeof o;
  gyr_index_filter* filter = nullptr;
  o.n_ids = 1;
  EXPECT_EQ(gyr_index_filter_create(index, &o, nullptr, &filter, &err), GYR_E_INVALID_ARGUMENT);
  o.ids = keys;
  o.n_ids = UINT64_MAX / 4;
  EXPECT_EQ(gyr_index_filter_create(index, &o, nullptr, &filter, &err), GYR_E_OUT_OF_RANGE);
  o.n_ids = 1;
  o.condition = "x > 1";
  EXPECT_EQ(gyr_index_filter_create(index, &o, nullptr, &filter, &err), GYR_E_INVALID_ARGUMENT);
  o.condition = nullptr;
  gyr_str names[1] = {{"a", 1}};
  o.keys = names;
  o.n_keys = 1;
  EXPECT_EQ(gyr_index_filter_create(index, &o, nullptr, &filter, &err), GYR_E_INVALID_ARGUMENT);
  o.keys = nullptr;
  o.n_keys = 0;
  EXPECT_EQ(filter, nullptr);
  ASSERT_EQ(gyr_index_filter_create(index, &o, nullptr, &filter, &err), GYR_OK) << err.message;
  args.selection = filter;
  ASSERT_EQ(gyr_index_search(index, &args, nullptr, &err), GYR_OK) << err.message;
  EXPECT_EQ(count, 1u);
  EXPECT_EQ(ids[0], 1);
  gyr_index_filter_info info{};
  info.struct_size = sizeof info;
  EXPECT_EQ(gyr_index_filter_get_info(filter, nullptr, &err), GYR_E_INVALID_ARGUMENT);
  ASSERT_EQ(gyr_index_filter_get_info(filter, &info, &err), GYR_OK);
  EXPECT_EQ(info.count, 1u);
  EXPECT_GT(info.bytes, 0u);
  gyr_index_destroy(index);  // the filter keeps it alive
  index = nullptr;
  EXPECT_EQ(gyr_index_filter_refresh(filter, nullptr, &err), GYR_OK) << err.message;
  gyr_index_filter_destroy(filter);
  EXPECT_EQ(gyr_index_filter_refresh(nullptr, nullptr, &err), GYR_E_INVALID_HANDLE);
  gyr_index_filter_destroy(nullptr);
}

TEST_F(IndexApi, EvaluationsAreRefusedWithAReason) {
  gyr_evaluate_args a{};
  a.struct_size = sizeof a;
  a.k = 1;
  uint32_t effort = 4;
  gyr_search_quality q[2]{};
  q[0].struct_size = sizeof q[0];
  EXPECT_EQ(gyr_index_evaluate(index, &a, &effort, 1, q, nullptr, &err), GYR_E_INVALID_STATE);  // empty
  int64_t keys[] = {1, 2, 3};
  float vectors[] = {1, 0, 0, 2, 1, 0, 0, 0, 1};
  ASSERT_EQ(gyr_index_upsert(index, keys, vectors, 3, nullptr, &err), GYR_OK) << err.message;
  EXPECT_EQ(gyr_index_evaluate(index, nullptr, &effort, 1, q, nullptr, &err), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(gyr_index_evaluate(index, &a, nullptr, 1, q, nullptr, &err), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(gyr_index_evaluate(index, &a, &effort, 1, nullptr, nullptr, &err), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(gyr_index_evaluate(index, &a, nullptr, 0, nullptr, nullptr, &err), GYR_OK);
  effort = 1u << 21;
  EXPECT_EQ(gyr_index_evaluate(index, &a, &effort, 1, q, nullptr, &err), GYR_E_OUT_OF_RANGE);
  uint32_t efforts[] = {0, 9};
  ASSERT_EQ(gyr_index_evaluate(index, &a, efforts, 2, q, nullptr, &err), GYR_OK) << err.message;
  EXPECT_EQ(q[0].effort, 64u);
  EXPECT_EQ(q[1].effort, 9u);
  EXPECT_EQ(q[1].recall, 1);
  for (double recall : {-0.5, 1.5, std::numeric_limits<double>::quiet_NaN()})
    EXPECT_EQ(gyr_index_tune(index, &a, recall, 0, nullptr, nullptr, &err), GYR_E_OUT_OF_RANGE) << recall;
  EXPECT_EQ(gyr_index_tune(index, &a, 0.5, 2, nullptr, nullptr, &err), GYR_E_OUT_OF_RANGE);
  a.k = 65536;
  EXPECT_EQ(gyr_index_tune(index, &a, 0.5, 1, nullptr, nullptr, &err), GYR_E_OUT_OF_RANGE);
  a.k = 0;
  a.n = 2;
  ASSERT_EQ(gyr_index_tune(index, &a, 0, 1, nullptr, nullptr, &err), GYR_OK) << err.message;
  gyr_index_info info{};
  info.struct_size = sizeof info;
  ASSERT_EQ(gyr_index_get_info(index, &info, &err), GYR_OK);
  EXPECT_EQ(info.tuned_k, 10u);
  EXPECT_GE(info.tuned_effort, 1u);
}

}  // namespace
