// The embedding cache's host tier: see include/gyr/cache.h for the contract.
#pragma once

#include <gyr/cache.h>

#include <memory>
#include <span>
#include <string_view>

#include "base/error.h"
#include "exec/runtime.h"
#include "io/container.h"

namespace gyr {

class Cache {
 public:
  static Result<std::shared_ptr<Cache>> create(std::shared_ptr<Runtime> runtime, const gyr_cache_options& options);
  // Section kind CCH1 or CCH2.
  static Result<std::shared_ptr<Cache>> load(std::shared_ptr<Runtime> runtime, const Container& file,
                                             std::string_view name);
  virtual ~Cache() = default;

  virtual uint32_t dim() const = 0;
  virtual Status put(const int64_t* keys, const float* rows, uint64_t n) = 0;
  // Rows as save() writes them, of a cache of the same kind.
  virtual Status put_stored(std::span<const int64_t> keys, std::span<const uint8_t> rows) = 0;
  virtual Status remove(const int64_t* keys, uint64_t n, uint64_t* removed) = 0;
  // status may be null.
  virtual Status get(const int64_t* keys, uint64_t n, float* out, uint8_t* status) const = 0;
  // weights may be null.
  virtual Status pool(const int64_t* keys, const float* weights, const int64_t* offsets, uint64_t bags,
                      gyr_pooling pooling, float* out, uint8_t* status) const = 0;
  virtual void fill_info(gyr_cache_info* info) const = 0;
  virtual Status save(ContainerWriter* file, std::string_view name) const = 0;
};

}  // namespace gyr
