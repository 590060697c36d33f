// The embedding cache: see include/gyr/cache.h for the contract. A cache is a place for a content; calls look up which
// one it is at the moment and see that one until they return.
#pragma once

#include <gyr/cache.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string_view>

#include "cache/content.h"
#include "exec/epoch.h"

namespace gyr {

class Cache {
 public:
  static Result<std::shared_ptr<Cache>> create(std::shared_ptr<Runtime> runtime, const gyr_cache_options& options);
  // Section kind CCH1 or CCH2, perhaps with a CCT1. tiers: null = no limit, no tier.
  static Result<std::shared_ptr<Cache>> load(std::shared_ptr<Runtime> runtime, const Container& file,
                                             std::string_view name, const gyr_cache_tiers* tiers = nullptr);
  explicit Cache(std::shared_ptr<CacheContent> content)
      : dim_(content->dim()), now_(content.get()), content_(std::move(content)) {}

  // The last step of making one: from here on the tier is closed with the cache.
  void own_tier() { content_->own_tier(); }

  uint32_t dim() const { return dim_; }
  Status put(const int64_t* keys, const float* rows, uint64_t n) { return pin()->put(keys, rows, n); }
  Status remove(const int64_t* keys, uint64_t n, uint64_t* removed) { return pin()->remove(keys, n, removed); }
  // status may be null.
  Status get(const int64_t* keys, uint64_t n, float* out, uint8_t* status) const;
  // weights and status may be null.
  Status pool(const int64_t* keys, const float* weights, const int64_t* offsets, uint64_t bags, gyr_pooling pooling,
              float* out, uint8_t* status) const;
  Status apply(const gyr_cache_delta& delta, uint32_t* applied) { return pin()->apply(delta, applied); }
  Status last_offset(std::string_view source, uint64_t* offset) const { return pin()->last_offset(source, offset); }
  Status warm(const int64_t* keys, uint64_t n, uint64_t* loaded, gyr_task* task) {
    return pin()->warm(keys, n, loaded, task);
  }
  Status publish(Cache* aside);
  void fill_info(gyr_cache_info* info) const { pin()->fill_info(info); }
  Status save(ContainerWriter* file, std::string_view name) const { return pin()->save(file, name); }

 private:
  std::shared_ptr<CacheContent> pin() const {
    auto guard = epochs_.enter();
    return now_.load(std::memory_order_acquire)->shared_from_this();
  }
  void wait_for_readers();

  const uint32_t dim_;
  std::atomic<CacheContent*> now_;  // of content_, for readers
  std::mutex mutex_;                // of who publishes
  std::shared_ptr<CacheContent> content_;
  mutable EpochDomain epochs_;
};

}  // namespace gyr
