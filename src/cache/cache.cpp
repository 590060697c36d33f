#include "cache/cache.h"

#include <cmath>

namespace gyr {
namespace {

Status check_bags(const BagsIn& in) {
  if (in.pooling != GYR_POOLING_SUM && in.pooling != GYR_POOLING_MEAN)
    return fail(GYR_E_INVALID_ARGUMENT, "cache", "pooling is %d; expected GYR_POOLING_SUM or GYR_POOLING_MEAN",
                in.pooling);
  if (in.offsets[0] != 0)
    return fail(GYR_E_INVALID_ARGUMENT, "cache", "offsets[0] is %lld; expected 0", (long long)in.offsets[0]);
  for (uint64_t b = 0; b < in.bags; b++)
    if (in.offsets[b + 1] < in.offsets[b])
      return fail(GYR_E_INVALID_ARGUMENT, "cache", "offsets[%llu] is below the one before", (unsigned long long)b + 1);
  if (in.size() > 0 && !in.keys) return fail(GYR_E_INVALID_ARGUMENT, "cache", "keys is NULL");
  for (size_t i = 0; in.weights && i < in.size(); i++)
    if (!std::isfinite(in.weights[i]))
      return fail(GYR_E_INVALID_ARGUMENT, "cache", "weights[%zu] is NaN or infinite", i);
  return {};
}

}  // namespace

Result<std::shared_ptr<Cache>> Cache::create(std::shared_ptr<Runtime> runtime, const gyr_cache_options& options) {
  GYR_ASSIGN(auto content, CacheContent::create(std::move(runtime), options));
  return std::make_shared<Cache>(std::move(content));
}

Result<std::shared_ptr<Cache>> Cache::load(std::shared_ptr<Runtime> runtime, const Container& file,
                                           std::string_view name, const gyr_cache_tiers* tiers) {
  GYR_ASSIGN(SavedCache saved, read_cache(file, name));
  GYR_ASSIGN(auto content, CacheContent::restore(std::move(runtime), std::move(saved), tiers));
  return std::make_shared<Cache>(std::move(content));
}

Status Cache::get(const int64_t* keys, uint64_t n, float* out, uint8_t* status) const {
  CacheContent::Misses misses;
  std::shared_ptr<CacheContent> content;  // only where the tier is asked: that may take its time
  {
    auto guard = epochs_.enter();
    CacheContent* now = now_.load(std::memory_order_acquire);
    now->get_here(keys, n, out, status, &misses);
    if (!misses.empty()) content = now->shared_from_this();
  }
  if (content) content->get_below(keys, n, misses, out, status);
  return {};
}

Status Cache::pool(const int64_t* keys, const float* weights, const int64_t* offsets, uint64_t bags,
                   gyr_pooling pooling, float* out, uint8_t* status) const {
  const BagsIn in{keys, weights, offsets, bags, pooling};
  GYR_TRY(check_bags(in));
  std::shared_ptr<CacheContent> content;
  {
    auto guard = epochs_.enter();
    CacheContent* now = now_.load(std::memory_order_acquire);
    bool missed = false;
    now->pool_here(in, out, status, &missed);
    if (missed) content = now->shared_from_this();
  }
  if (content) content->pool_below(in, out, status);
  return {};
}

void Cache::wait_for_readers() {
  epochs_.retire(
      this, [](void*, void*) {}, nullptr);
  epochs_.synchronize();
}

Status Cache::publish(Cache* aside) {
  if (aside == this) return fail(GYR_E_INVALID_ARGUMENT, "cache", "aside is the cache itself; build another one");
  if (aside->dim_ != dim_)
    return fail(GYR_E_INVALID_ARGUMENT, "cache", "aside has rows of dim %u, the cache of dim %u; both must be equal",
                aside->dim_, dim_);
  std::scoped_lock lock(mutex_, aside->mutex_);
  std::swap(content_, aside->content_);
  now_.store(content_.get(), std::memory_order_release);
  aside->now_.store(aside->content_.get(), std::memory_order_release);
  // Either cache may be destroyed next, and its content with it.
  wait_for_readers();
  aside->wait_for_readers();
  return {};
}

}  // namespace gyr
