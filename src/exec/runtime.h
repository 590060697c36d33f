// The runtime: threads, bulk memory, hooks. Components hold a shared_ptr to it.
#pragma once

#include <gyr/runtime.h>

#include <functional>
#include <memory>
#include <memory_resource>
#include <string>

#include "base/error.h"

namespace gyr {

class Memory;  // exec/memory.h: budgeted, hooked, fault-pointed std::pmr::memory_resource

class Runtime {
 public:
  // `options.device` is not looked at here: the device layer selects and calls set_device. `before_commit` runs last;
  // when it fails there is no runtime and the hooks' user_free are not called (the caller still owns them).
  static Result<std::shared_ptr<Runtime>> create(const gyr_runtime_options& options,
                                                 const std::function<Status(Runtime&)>& before_commit = {});
  virtual ~Runtime() = default;

  // Bulk memory: throws bad_alloc, or BudgetExceeded beyond the budget. Use it for everything that grows with the
  // data: std::pmr::vector<T> v(runtime->memory()).
  virtual std::pmr::memory_resource* memory() = 0;

  virtual uint32_t concurrency() const = 0;  // caller included
  // Runs body(i) for i in [0, n) on the pool or the host's executor and returns when all are done; runs inline when
  // concurrency is 1, n is 1, or when called from inside another body. `body` reports through its own state; should it
  // throw all the same (bad_alloc), remaining items may be skipped and the first exception leaves parallel_for.
  virtual void parallel_for(uint64_t n, const std::function<void(uint64_t)>& body) = 0;

  virtual void log(gyr_log_level level, const char* component, const char* format, ...)
      __attribute__((format(printf, 4, 5))) = 0;

  // What computes, for the info and for whoever needs it; the runtime keeps `device` alive (device/backend.h).
  virtual void set_device(std::string name, std::string reason, std::shared_ptr<void> device) = 0;
  virtual void* device() const = 0;

  virtual void fill_info(gyr_runtime_info* info) const = 0;
  // GYR_E_FORKED in a child of the process that created it.
  virtual Status check_process() const = 0;
};

}  // namespace gyr
