// The live handle: serves one generation, swaps to another under load, and goes back.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "bundle/generation.h"
#include "exec/epoch.h"

namespace gyr {

// Workspaces for callers that bring none: taken and returned without a lock.
class WorkspacePool {
 public:
  ~WorkspacePool();
  std::unique_ptr<Workspace> take();
  void give(std::unique_ptr<Workspace> workspace);

 private:
  static constexpr size_t kSlots = 64;
  std::atomic<Workspace*> slots_[kSlots] = {};
};

class Bundle {
 public:
  static Result<std::shared_ptr<Bundle>> open(std::shared_ptr<Runtime> runtime, const std::string& path);
  ~Bundle();

  Status publish(const std::string& path, uint32_t flags, uint64_t* generation);
  Status rollback(uint64_t* generation);
  // `workspace` null: one from the pool.
  Status recommend(gyr_recommend_args* args, Workspace* workspace, gyr_task* task);

  // Calls f(const Generation&) with the serving generation pinned.
  template <class F>
  auto with_generation(F&& f) const {
    auto guard = epochs_.enter();
    return f(*current_.load(std::memory_order_acquire));
  }
  // Prometheus text.
  std::string metrics() const;

 private:
  explicit Bundle(std::shared_ptr<Runtime> runtime) : runtime_(std::move(runtime)) {}

  std::shared_ptr<Runtime> runtime_;
  mutable EpochDomain epochs_;
  std::atomic<Generation*> current_{nullptr};
  std::mutex publish_mutex_;        // publish and rollback, one at a time
  Generation* previous_ = nullptr;  // guarded by publish_mutex_
  uint64_t last_number_ = 1;        // guarded by publish_mutex_
  WorkspacePool workspaces_;
  std::atomic<uint64_t> requests_{0}, users_{0}, errors_{0}, publishes_{0};
};

}  // namespace gyr
