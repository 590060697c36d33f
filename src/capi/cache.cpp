#include <gyr/cache.h>

#include "cache/cache.h"
#include "capi/guard.h"
#include "capi/handles.h"

using gyr::fail;
using gyr::Status;
using namespace gyr::capi;

namespace {

Status check_pool(const gyr_cache* cache, const int64_t* offsets, uint64_t bags, const float* out) {
  GYR_TRY(enter(cache, "cache"));
  GYR_TRY(require(offsets, "offsets"));
  GYR_TRY(require_array(offsets, "offsets", bags, sizeof *offsets));
  return require_array(out, "out", bags, cache->impl->dim() * sizeof *out);
}

}  // namespace

extern "C" {

GYR_API gyr_status gyr_cache_create(gyr_runtime* runtime, const gyr_cache_options* options, gyr_cache** out,
                                    gyr_error* err) noexcept {
  return guard(err, "cache", [&]() -> Status {
    GYR_TRY(enter(runtime, "runtime"));
    GYR_TRY(require(out, "out"));
    gyr_cache_options o;
    GYR_TRY(read_struct(options, "options", "gyr_cache_options", &o));
    GYR_ASSIGN(auto cache, gyr::Cache::create(runtime->runtime, o));
    *out = make_handle<gyr_cache>(runtime->runtime, std::move(cache));
    return {};
  });
}

GYR_API gyr_status gyr_cache_put(gyr_cache* cache, const int64_t* keys, const float* rows, uint64_t n,
                                 gyr_error* err) noexcept {
  return guard(err, "cache", [&]() -> Status {
    GYR_TRY(enter(cache, "cache"));
    GYR_TRY(require_array(keys, "keys", n, sizeof *keys));
    GYR_TRY(require_array(rows, "rows", n, cache->impl->dim() * sizeof *rows));
    return cache->impl->put(keys, rows, n);
  });
}

GYR_API gyr_status gyr_cache_remove(gyr_cache* cache, const int64_t* keys, uint64_t n, uint64_t* removed,
                                    gyr_error* err) noexcept {
  return guard(err, "cache", [&]() -> Status {
    GYR_TRY(enter(cache, "cache"));
    GYR_TRY(require_array(keys, "keys", n, sizeof *keys));
    return cache->impl->remove(keys, n, removed);
  });
}

GYR_API gyr_status gyr_cache_get(const gyr_cache* cache, const int64_t* keys, uint64_t n, float* out, uint8_t* status,
                                 gyr_error* err) noexcept {
  return guard(err, "cache", [&]() -> Status {
    GYR_TRY(enter(cache, "cache"));
    GYR_TRY(require_array(keys, "keys", n, sizeof *keys));
    GYR_TRY(require_array(out, "out", n, cache->impl->dim() * sizeof *out));
    return cache->impl->get(keys, n, out, status);
  });
}

GYR_API gyr_status gyr_cache_pool(const gyr_cache* cache, const int64_t* keys, const int64_t* offsets, uint64_t bags,
                                  gyr_pooling pooling, float* out, uint8_t* status, gyr_error* err) noexcept {
  return guard(err, "cache", [&]() -> Status {
    GYR_TRY(check_pool(cache, offsets, bags, out));
    return cache->impl->pool(keys, nullptr, offsets, bags, pooling, out, status);
  });
}

GYR_API gyr_status gyr_cache_pool_weighted(const gyr_cache* cache, const int64_t* keys, const float* weights,
                                           const int64_t* offsets, uint64_t bags, gyr_pooling pooling, float* out,
                                           uint8_t* status, gyr_error* err) noexcept {
  return guard(err, "cache", [&]() -> Status {
    GYR_TRY(check_pool(cache, offsets, bags, out));
    if (offsets[bags] > 0) GYR_TRY(require(weights, "weights"));
    return cache->impl->pool(keys, weights, offsets, bags, pooling, out, status);
  });
}

GYR_API gyr_status gyr_cache_get_info(const gyr_cache* cache, gyr_cache_info* out, gyr_error* err) noexcept {
  return guard(err, "cache", [&]() -> Status {
    GYR_TRY(enter(cache, "cache"));
    gyr_cache_info info{};
    cache->impl->fill_info(&info);
    return write_struct(info, "out", "gyr_cache_info", out);
  });
}

GYR_API void gyr_cache_destroy(gyr_cache* cache) noexcept { destroy(cache); }

}  // extern "C"
