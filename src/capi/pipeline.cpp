#include <gyr/pipeline.h>

#include <exception>

#include "bundle/bundle.h"
#include "capi/guard.h"
#include "capi/handles.h"

struct gyr_workspace {
  uint32_t magic = kMagic;
  std::shared_ptr<gyr::Runtime> runtime;
  gyr::Workspace impl;
  static constexpr uint32_t kMagic = 0x736b7277;
};

using namespace gyr;
using namespace gyr::capi;

namespace {

// Marks a workspace as used for one call; a second call at the same time is refused instead of corrupting it.
class Borrow {
 public:
  Status take(gyr_workspace* w) {
    if (!w) return {};
    GYR_TRY(enter(w, "workspace"));
    if (w->impl.busy.exchange(true, std::memory_order_acquire))
      return fail(GYR_E_BUSY, "pipeline", "the workspace is used by another call; use one per thread");
    workspace_ = &w->impl;
    return {};
  }
  ~Borrow() {
    // A call that ran out of memory may have left parts of different sizes: the next one starts afresh.
    if (workspace_ && std::uncaught_exceptions() > 0) workspace_->pipeline_id = 0;
    if (workspace_) workspace_->busy.store(false, std::memory_order_release);
  }
  Workspace* get() const { return workspace_; }

 private:
  Workspace* workspace_ = nullptr;
};

}  // namespace

extern "C" {

GYR_API gyr_status gyr_workspace_create(const gyr_bundle* bundle, gyr_workspace** out, gyr_error* err) noexcept {
  return guard(err, "pipeline", [&]() -> Status {
    GYR_TRY(enter(bundle, "bundle"));
    GYR_TRY(require(out, "out"));
    auto w = std::make_unique<gyr_workspace>();
    w->runtime = bundle->runtime;
    *out = w.release();
    return {};
  });
}

GYR_API void gyr_workspace_destroy(gyr_workspace* workspace) noexcept { destroy(workspace); }

GYR_API gyr_status gyr_bundle_recommend(const gyr_bundle* bundle, gyr_recommend_args* args, gyr_task* task,
                                        gyr_error* err) noexcept {
  return guard(err, "pipeline", [&]() -> Status {
    GYR_TRY(enter(bundle, "bundle"));
    GYR_TRY(enter_task(task));
    gyr_recommend_args local;
    GYR_TRY(read_struct(args, "args", "gyr_recommend_args", &local));
    gyr_keys users;
    GYR_TRY(read_struct(local.users, "args.users", "gyr_keys", &users));
    local.users = &users;
    Borrow borrow;
    GYR_TRY(borrow.take(local.workspace));
    GYR_TRY(bundle->impl->recommend(&local, borrow.get(), task));
    // An older caller's struct may end before these.
    auto has = [args](size_t end) { return args->struct_size >= end; };
    if (has(offsetof(gyr_recommend_args, trace_count) + sizeof local.trace_count))
      args->trace_count = local.trace_count;
    if (has(offsetof(gyr_recommend_args, generation) + sizeof local.generation)) args->generation = local.generation;
    return {};
  });
}

}  // extern "C"
