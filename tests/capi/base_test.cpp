// The edges of functions that take next to nothing.
#include <gtest/gtest.h>
#include <gyr/gyr.h>

#include <set>
#include <string>

namespace {

TEST(BaseApi, EveryStatusHasANameOfItsOwn) {
  std::set<std::string> names;
  for (int s = GYR_OK; s <= GYR_E_INTERNAL; s++) names.insert(gyr_status_name(gyr_status(s)));
  EXPECT_EQ(names.size(), size_t(GYR_E_INTERNAL) + 1);
  EXPECT_FALSE(names.contains("GYR_E_UNKNOWN"));
  for (int s : {-1, int(GYR_E_INTERNAL) + 1, 100000}) EXPECT_STREQ(gyr_status_name(gyr_status(s)), "GYR_E_UNKNOWN");
}

TEST(BaseApi, HashesNothing) {
  EXPECT_EQ(gyr_hash64(nullptr, 0), gyr_hash64("abc", 0));
  EXPECT_NE(gyr_hash64("abc", 0), gyr_hash64("abc", 3));
  EXPECT_EQ(gyr_hash64(nullptr, 3), 0u);
}

TEST(BaseApi, MetricsOneByOne) {
  const float scores[] = {.9f, .1f, .6f};
  const uint8_t labels[] = {1, 0, 1};
  double auc = 0, loss = 0;
  EXPECT_EQ(gyr_metrics_binary(scores, labels, 3, &auc, nullptr, nullptr), GYR_OK);
  EXPECT_EQ(auc, 1);
  EXPECT_EQ(gyr_metrics_binary(scores, labels, 3, nullptr, &loss, nullptr), GYR_OK);
  EXPECT_GT(loss, 0);
}

TEST(BaseApi, NamesOfComponents) {
  gyr_error err = GYR_ERROR_INIT;
  gyr_runtime* runtime = nullptr;
  gyr_bundle_builder* builder = nullptr;
  ASSERT_EQ(gyr_runtime_create(nullptr, &runtime, &err), GYR_OK) << err.message;
  ASSERT_EQ(gyr_bundle_builder_create(runtime, &builder, &err), GYR_OK) << err.message;
  const gyr_str ids[] = {{"a", 1}, {nullptr, 0}};
  for (const std::string& name : {std::string("a"), std::string("z_09"), std::string(63, 'x')})
    EXPECT_EQ(gyr_bundle_builder_add_ids(builder, name.c_str(), ids, 2, &err), GYR_OK) << name << err.message;
  for (const std::string& name : {std::string(), std::string(64, 'x'), std::string("manifest"), std::string("A"),
                                  std::string("a/b"), std::string("a{"), std::string("a:"), std::string("a`")}) {
    EXPECT_EQ(gyr_bundle_builder_add_ids(builder, name.c_str(), ids, 2, &err), GYR_E_INVALID_ARGUMENT) << name;
    EXPECT_NE(std::string(err.message).find("\"" + name), std::string::npos) << err.message;
  }
  EXPECT_EQ(gyr_bundle_builder_add_ids(builder, "a", ids, 2, &err), GYR_E_ALREADY_EXISTS);
  gyr_str missing{nullptr, 1};
  EXPECT_EQ(gyr_bundle_builder_add_ids(builder, "b", &missing, 1, &err), GYR_E_INVALID_ARGUMENT);
  gyr_bundle_builder_destroy(builder);
  gyr_runtime_destroy(runtime);
}

// A handle of another type where only a number can be answered.
TEST(BaseApi, AnswersNothingAboutOtherHandles) {
  EXPECT_EQ(gyr_workflow_fit_passes_left(nullptr), 0u);
  alignas(16) char other[256] = {};
  EXPECT_EQ(gyr_workflow_fit_passes_left(reinterpret_cast<const gyr_workflow*>(other)), 0u);
  gyr_workflow_destroy(reinterpret_cast<gyr_workflow*>(other));
  gyr_task_cancel(reinterpret_cast<gyr_task*>(other));
  gyr_task_destroy(reinterpret_cast<gyr_task*>(other));
}

TEST(BaseApi, KeysOfNoKind) {
  gyr_error err = GYR_ERROR_INIT;
  gyr_runtime* runtime = nullptr;
  gyr_table* table = nullptr;
  ASSERT_EQ(gyr_runtime_create(nullptr, &runtime, &err), GYR_OK) << err.message;
  ASSERT_EQ(
      gyr_table_create(runtime, R"({"name":"t","key":"id","columns":[{"name":"a","dtype":"int64"}]})", &table, &err),
      GYR_OK)
      << err.message;
  int64_t id = 1;
  gyr_str text{"x", 1};
  for (auto [dtype, word] : {std::pair{GYR_DTYPE_FLOAT32, "keys.dtype"}, {GYR_DTYPE_STRING, "int64"}}) {
    gyr_keys keys{sizeof keys, dtype, 1, &id, &text};
    EXPECT_EQ(gyr_table_delete(table, &keys, nullptr, &err), GYR_E_INVALID_ARGUMENT);
    EXPECT_NE(std::string(err.message).find(word), std::string::npos) << err.message;
  }
  gyr_keys none{sizeof none, GYR_DTYPE_INT64, 1, nullptr, nullptr};
  uint32_t applied;
  EXPECT_EQ(gyr_table_upsert_row(table, &none, 0, nullptr, nullptr, 0, &applied, &err), GYR_E_INVALID_ARGUMENT);
  EXPECT_NE(std::string(err.message).find("key.ints"), std::string::npos) << err.message;
  gyr_table_destroy(table);
  gyr_runtime_destroy(runtime);
}

}  // namespace
