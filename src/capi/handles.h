// What the opaque handles are: a type mark and a reference to the C++ object. The mark is checked at entry and cleared
// on destroy, so a wrong or dead handle is refused (best effort) instead of crashing.
#pragma once

#include <gyr/gyr.h>

#include <memory>

#include "base/error.h"
#include "base/host_thread.h"
#include "exec/runtime.h"
#include "exec/task.h"

namespace gyr {
class Workflow;
class Table;
class GetPlan;
class Cache;
class Index;
class ItemFilter;
class Model;
class Trainer;
class Monitor;
class Bundle;
class BundleBuilder;
}  // namespace gyr

namespace gyr::capi {

template <class T, uint32_t kMark>
struct Handle {
  uint32_t magic = kMark;
  std::shared_ptr<Runtime> runtime;
  std::shared_ptr<T> impl;
  static constexpr uint32_t kMagic = kMark;
};

// First statement of every call on a handle: right type, alive, and not inherited through fork().
template <class H>
Status enter(const H* handle, const char* name) {
  if (!handle || handle->magic != H::kMagic)
    return fail(GYR_E_INVALID_HANDLE, "capi", "%s is NULL, destroyed, or another type of handle", name);
  return handle->runtime->check_process();
}

// A task may be NULL, and belongs to no runtime.
inline Status enter_task(const gyr_task* task) {
  if (!task || task->magic == gyr_task::kMagic) return {};
  return fail(GYR_E_INVALID_HANDLE, "capi", "task is destroyed or another type of handle");
}

// A new handle for the caller, or nothing leaked.
template <class H, class T>
H* make_handle(std::shared_ptr<Runtime> runtime, std::shared_ptr<T> impl) {
  auto h = std::make_unique<H>();
  h->runtime = std::move(runtime);
  h->impl = std::move(impl);
  return h.release();
}

template <class H>
void destroy(H* handle) noexcept {
  if (!handle || handle->magic != H::kMagic) return;
  HostThread borrowed;  // the last reference joins threads
  handle->magic = 0;
  delete handle;
}

}  // namespace gyr::capi

struct gyr_runtime {
  uint32_t magic = kMagic;
  std::shared_ptr<gyr::Runtime> runtime;
  static constexpr uint32_t kMagic = 0x676e7275;
};
struct gyr_workflow : gyr::capi::Handle<gyr::Workflow, 0x6b6c6677> {};
struct gyr_table : gyr::capi::Handle<gyr::Table, 0x6c626174> {};
struct gyr_get_plan : gyr::capi::Handle<gyr::GetPlan, 0x6e6c7067> {};
struct gyr_cache : gyr::capi::Handle<gyr::Cache, 0x68636163> {};
struct gyr_index : gyr::capi::Handle<gyr::Index, 0x78646e69> {};
struct gyr_index_filter : gyr::capi::Handle<gyr::ItemFilter, 0x746c6669> {};
struct gyr_model : gyr::capi::Handle<const gyr::Model, 0x6c646f6d> {};
struct gyr_trainer : gyr::capi::Handle<gyr::Trainer, 0x6e696172> {};
struct gyr_monitor : gyr::capi::Handle<gyr::Monitor, 0x696e6f6d> {};
struct gyr_bundle : gyr::capi::Handle<gyr::Bundle, 0x6c646e62> {};
struct gyr_bundle_builder : gyr::capi::Handle<gyr::BundleBuilder, 0x646c6962> {};
