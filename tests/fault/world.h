// What the scenarios work on: one tiny fitted recommender per kind of runtime, made through the C interface when first
// asked for and kept for the whole sweep.
#pragma once

#include <gyr/gyr.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/source.h"
#include "tests/fault/sweep.h"

namespace gyr::test {

template <class H, void (*kDestroy)(H*) noexcept>
class Owned {
 public:
  Owned() = default;
  Owned(Owned&& other) noexcept : handle_(other.handle_) { other.handle_ = nullptr; }
  ~Owned() { kDestroy(handle_); }
  H** out() { return &handle_; }
  operator H*() const { return handle_; }  // NOLINT(google-explicit-constructor)
  H* release() {
    H* h = handle_;
    handle_ = nullptr;
    return h;
  }

 private:
  H* handle_ = nullptr;
};
using RuntimeHandle = Owned<gyr_runtime, gyr_runtime_destroy>;
using TaskHandle = Owned<gyr_task, gyr_task_destroy>;
using WorkflowHandle = Owned<gyr_workflow, gyr_workflow_destroy>;
using TableHandle = Owned<gyr_table, gyr_table_destroy>;
using CacheHandle = Owned<gyr_cache, gyr_cache_destroy>;
using IndexHandle = Owned<gyr_index, gyr_index_destroy>;
using IndexFilterHandle = Owned<gyr_index_filter, gyr_index_filter_destroy>;
using TrainerHandle = Owned<gyr_trainer, gyr_trainer_destroy>;
using ModelHandle = Owned<gyr_model, gyr_model_destroy>;
using MonitorHandle = Owned<gyr_monitor, gyr_monitor_destroy>;
using BuilderHandle = Owned<gyr_bundle_builder, gyr_bundle_builder_destroy>;
using BundleHandle = Owned<gyr_bundle, gyr_bundle_destroy>;
using WorkspaceHandle = Owned<gyr_workspace, gyr_workspace_destroy>;

constexpr int kUsers = 6, kItems = 9;
inline int64_t user_id(int u) { return 1000 + u; }
inline int64_t item_id(int i) { return 500 + i; }

extern const char* const kGraph;      // of the workflow
extern const char* const kUserTable;  // schemas
extern const char* const kItemTable;
extern const char* const kPipeline;
extern const char* const kMonitorOptions;
// popularity, item_knn, ials, two_tower, dlrm
const char* model_spec(const std::string& kind);

void raw_rows(Source* out);   // what the workflow is fitted on: one row per interaction
void user_rows(Source* out);  // of the user table
void item_rows(Source* out);  // of the item table

// Expects GYR_OK in set-up.
#define GYR_SETUP(call)                                         \
  do {                                                          \
    gyr_error setup_err = GYR_ERROR_INIT;                       \
    gyr_error* err = &setup_err;                                \
    EXPECT_EQ(call, GYR_OK) << "set-up: " << setup_err.message; \
  } while (0)

// gyr_allocator's side of the sweep.
void arm_hook(int64_t n, allocations::Mode mode);
int64_t disarm_hook();  // allocations asked for
int64_t hook_failed();
gyr_allocator failing_allocator();

class World {
 public:
  static World& of(const Fault& f);
  static void close_all();

  gyr_runtime* runtime();
  gyr_workflow* workflow();                       // fitted
  const std::string& schema();                    // of its outputs
  void encoded_rows(Source* out) const;           // codes as the workflow makes them, with the label
  gyr_trainer* trainer(const std::string& kind);  // fitted once
  gyr_model* model(const std::string& kind);
  gyr_table* users();
  gyr_table* items();
  gyr_index* index();
  const std::string& bundle_file();
  gyr_bundle* bundle();
  // A file in the world's own folder.
  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  std::vector<std::string> files() const;  // of the folder

  World(uint32_t threads, bool hook);
  ~World();
  World(const World&) = delete;

 private:
  uint32_t threads_;
  bool hook_;
  std::string folder_, schema_, bundle_file_;
  RuntimeHandle runtime_;
  WorkflowHandle workflow_;
  std::map<std::string, TrainerHandle> trainers_;
  std::map<std::string, ModelHandle> models_;
  TableHandle users_, items_;
  IndexHandle index_;
  BundleHandle bundle_;
};

// Text by the size-then-fill convention, out of any function of that kind.
template <class Call>
std::string text_of(Call&& call) {
  uint64_t size = 0;
  gyr_error err = GYR_ERROR_INIT;
  EXPECT_EQ(call(nullptr, 0, &size, &err), GYR_OK) << err.message;
  std::string text(size_t(size), 0);
  EXPECT_EQ(call(text.data(), text.size(), &size, &err), GYR_OK) << err.message;
  if (!text.empty()) text.pop_back();
  return text;
}

inline gyr_keys int_keys(const int64_t* ids, uint64_t n) {
  gyr_keys k = {};
  k.struct_size = sizeof k;
  k.dtype = GYR_DTYPE_INT64;
  k.count = n;
  k.ints = ids;
  return k;
}

}  // namespace gyr::test
