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
    EXPECT_EQ(bytes, info.bytes);
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
  options.reserved = 1;
  EXPECT_EQ(gyr_index_create(runtime, &options, &out, &err), GYR_E_OPTIONS_TOO_NEW);
  options.reserved = 0;
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

}  // namespace
