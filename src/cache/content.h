// What a cache holds at a time: rows, limits, tier, offsets, figures. gyr_cache_publish() exchanges it as a whole.
#pragma once

#include <gyr/cache.h>

#include <memory>
#include <vector>

#include "base/error.h"
#include "cache/bags.h"
#include "cache/cache_file.h"
#include "exec/runtime.h"

namespace gyr {

class CacheContent : public std::enable_shared_from_this<CacheContent> {
 public:
  // options.tiers null: no limit, no tier.
  static Result<std::shared_ptr<CacheContent>> create(std::shared_ptr<Runtime> runtime,
                                                      const gyr_cache_options& options);
  static Result<std::shared_ptr<CacheContent>> restore(std::shared_ptr<Runtime> runtime, SavedCache saved,
                                                       const gyr_cache_tiers* tiers);
  virtual ~CacheContent() = default;
  // From here on the tier is closed with the content; before, it is the host's.
  virtual void own_tier() = 0;
  uint32_t dim() const { return dim_; }

  // Places of keys that are not in memory and may be in the tier.
  using Misses = std::vector<size_t>;

  // What is in memory; the rest is answered as missing and noted in `misses`. For callers that hold a guard: brief.
  virtual void get_here(const int64_t* keys, size_t n, float* out, uint8_t* status, Misses* misses) const = 0;
  virtual void pool_here(const BagsIn& bags, float* out, uint8_t* status, bool* missed) const = 0;
  // What those left open, out of the tier.
  virtual void get_below(const int64_t* keys, size_t n, const Misses& misses, float* out, uint8_t* status) const = 0;
  virtual void pool_below(const BagsIn& bags, float* out, uint8_t* status) const = 0;

  virtual Status put(const int64_t* keys, const float* rows, uint64_t n) = 0;
  virtual Status remove(const int64_t* keys, uint64_t n, uint64_t* removed) = 0;
  virtual Status apply(const gyr_cache_delta& delta, uint32_t* applied) = 0;
  virtual Status last_offset(std::string_view source, uint64_t* offset) const = 0;
  virtual Status warm(const int64_t* keys, uint64_t n, uint64_t* loaded, gyr_task* task) = 0;
  virtual void fill_info(gyr_cache_info* info) const = 0;
  virtual Status save(ContainerWriter* file, std::string_view name) const = 0;

 protected:
  explicit CacheContent(uint32_t dim) : dim_(dim) {}
  const uint32_t dim_;
};

}  // namespace gyr
