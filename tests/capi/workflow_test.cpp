// The workflow through the public C API, with a hand-made Arrow stream of one int64 column.
#include <gtest/gtest.h>
#include <gyr/gyr.h>

#include <cstdio>
#include <string>
#include <vector>

namespace {

struct Source {
  std::vector<int64_t> values;
  const char* name = "a";
  int batches = 1;   // batches before the end
  int fail_at = -1;  // batch that fails
  int given = 0;
  bool released = false;
  ArrowSchema child_schema{}, *child_schemas[1];
  ArrowArray child{}, *children[1];
  const void* buffers[2] = {nullptr, nullptr};
  const void* no_buffers[1] = {nullptr};
};

int get_schema(ArrowArrayStream* s, ArrowSchema* out) {
  auto* self = static_cast<Source*>(s->private_data);
  self->child_schema = {
      "l", self->name, nullptr, 0, 0, nullptr, nullptr, [](ArrowSchema* x) { x->release = nullptr; }, nullptr};
  self->child_schemas[0] = &self->child_schema;
  *out = {"+s", "", nullptr, 0, 1, self->child_schemas, nullptr, [](ArrowSchema* x) { x->release = nullptr; }, nullptr};
  return 0;
}
int get_next(ArrowArrayStream* s, ArrowArray* out) {
  auto* self = static_cast<Source*>(s->private_data);
  *out = {};
  if (self->given == self->fail_at) return 5;
  if (self->given++ >= self->batches) return 0;
  int64_t n = int64_t(self->values.size());
  self->buffers[1] = self->values.data();
  self->child = {n, 0, 0, 2, 0, self->buffers, nullptr, nullptr, [](ArrowArray* x) { x->release = nullptr; }, nullptr};
  self->children[0] = &self->child;
  *out = {n,      0, 0, 1, 1, self->no_buffers, self->children, nullptr, [](ArrowArray* x) { x->release = nullptr; },
          nullptr};
  return 0;
}
ArrowArrayStream stream(Source* source) {
  return {get_schema, get_next, [](ArrowArrayStream*) -> const char* { return "disk on fire"; },
          [](ArrowArrayStream* s) {
            static_cast<Source*>(s->private_data)->released = true;
            s->release = nullptr;
          },
          source};
}
const char* const kGraph =
    R"({"version":1,"inputs":[{"name":"a","dtype":"int64"}],"ops":[{"op":"Categorify","columns":["a"]}]})";

TEST(WorkflowApi, FitTransformSaveOpen) {
  gyr_error err = GYR_ERROR_INIT;
  gyr_runtime* runtime = nullptr;
  ASSERT_EQ(gyr_runtime_create(nullptr, &runtime, &err), GYR_OK) << err.message;
  gyr_workflow *w = nullptr, *opened = nullptr;
  EXPECT_EQ(gyr_workflow_create(runtime, "{", &w, &err), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(w, nullptr);
  ASSERT_EQ(gyr_workflow_create(runtime, kGraph, &w, &err), GYR_OK) << err.message;
  EXPECT_EQ(gyr_workflow_fit_passes_left(w), 1u);

  // A stream that fails after a good batch leaves no trace and stays with the caller.
  Source broken{{99, 99, 99}}, other{{1}, "b"}, good{{7, 5, 7}}, more{{5, 7, 99}};
  broken.fail_at = 1;
  ArrowArrayStream s = stream(&broken);
  EXPECT_EQ(gyr_workflow_fit_partial(w, &s, nullptr, &err), GYR_E_CALLBACK);
  EXPECT_NE(std::string(err.message).find("disk on fire"), std::string::npos);
  ASSERT_NE(s.release, nullptr);
  s.release(&s);
  s = stream(&other);
  EXPECT_EQ(gyr_workflow_fit_partial(w, &s, nullptr, &err), GYR_E_INVALID_ARGUMENT);
  EXPECT_FALSE(other.released);
  EXPECT_EQ(gyr_workflow_fit_finish(w, &err), GYR_E_INVALID_STATE);
  s = stream(&good);
  ASSERT_EQ(gyr_workflow_fit_partial(w, &s, nullptr, &err), GYR_OK) << err.message;
  EXPECT_TRUE(good.released);
  EXPECT_EQ(s.release, nullptr);
  ASSERT_EQ(gyr_workflow_fit_finish(w, &err), GYR_OK) << err.message;

  std::string path = ::testing::TempDir() + "gyr_workflow_api.gyr";
  ASSERT_EQ(gyr_workflow_save(w, path.c_str(), &err), GYR_OK) << err.message;
  gyr_workflow_destroy(w);
  ASSERT_EQ(gyr_workflow_open(runtime, path.c_str(), &opened, &err), GYR_OK) << err.message;
  std::remove(path.c_str());
  s = stream(&more);
  ArrowArrayStream out{};
  ASSERT_EQ(gyr_workflow_transform(opened, &s, &out, &err), GYR_OK) << err.message;
  gyr_value in{}, row{};
  in.dtype = GYR_DTYPE_INT64, in.i = 5;
  ASSERT_EQ(gyr_workflow_transform_row(opened, &in, 1, &row, 1, nullptr, 0, &err), GYR_OK) << err.message;
  EXPECT_EQ(row.i, 4);
  gyr_workflow_destroy(opened);  // the stream keeps it alive
  gyr_runtime_destroy(runtime);
  ArrowArray batch{};
  ASSERT_EQ(out.get_next(&out, &batch), 0);
  const auto* codes = static_cast<const int64_t*>(batch.children[0]->buffers[1]);
  EXPECT_EQ(std::vector<int64_t>(codes, codes + 3), (std::vector<int64_t>{4, 3, 2}));
  batch.release(&batch);
  out.release(&out);
  EXPECT_TRUE(more.released);
}

}  // namespace
