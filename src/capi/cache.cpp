#include <gyr/cache.h>

#include "cache/cache.h"
#include "capi/guard.h"
#include "capi/handles.h"
#include "capi/open.h"

using gyr::fail;
using gyr::Status;
using namespace gyr::capi;

namespace {

Status check_pool(const gyr_cache* cache, const int64_t* keys, const int64_t* offsets, uint64_t bags, const float* out) {
  GYR_TRY(enter(cache, "cache"));
  GYR_TRY(require(offsets, "offsets"));
  GYR_TRY(require_array(offsets, "offsets", bags, sizeof *offsets));
  GYR_TRY(require_array(out, "out", bags, cache->impl->dim() * sizeof *out));
  return offsets[bags] > 0 ? require_array(keys, "keys", uint64_t(offsets[bags]), cache->impl->dim() * sizeof *out)
                           : Status();
}

// Tiers with the tier below, both of any version, as structs of this one.
struct Tiers {
  gyr_cache_tiers tiers{};
  gyr_cache_tier below{};
  Status read(const gyr_cache_tiers* from, const char* name) {
    GYR_TRY(read_struct(from, name, "gyr_cache_tiers", &tiers));
    if (!tiers.below) return {};
    GYR_TRY(read_struct(tiers.below, "below", "gyr_cache_tier", &below));
    tiers.below = &below;
    return {};
  }
};

// The cache is made: hands it over, with its tier.
Status hand_over(gyr_runtime* runtime, std::shared_ptr<gyr::Cache> cache, gyr_cache** out) {
  *out = make_handle<gyr_cache>(runtime->runtime, cache);
  cache->own_tier();
  return {};
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
    Tiers tiers;
    if (o.tiers) {
      GYR_TRY(tiers.read(o.tiers, "options.tiers"));
      o.tiers = &tiers.tiers;
    }
    GYR_ASSIGN(auto cache, gyr::Cache::create(runtime->runtime, o));
    return hand_over(runtime, std::move(cache), out);
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
    GYR_TRY(check_pool(cache, keys, offsets, bags, out));
    return cache->impl->pool(keys, nullptr, offsets, bags, pooling, out, status);
  });
}

GYR_API gyr_status gyr_cache_pool_weighted(const gyr_cache* cache, const int64_t* keys, const float* weights,
                                           const int64_t* offsets, uint64_t bags, gyr_pooling pooling, float* out,
                                           uint8_t* status, gyr_error* err) noexcept {
  return guard(err, "cache", [&]() -> Status {
    GYR_TRY(check_pool(cache, keys, offsets, bags, out));
    if (offsets[bags] > 0) GYR_TRY(require(weights, "weights"));
    return cache->impl->pool(keys, weights, offsets, bags, pooling, out, status);
  });
}

GYR_API gyr_status gyr_cache_apply(gyr_cache* cache, const gyr_cache_delta* delta, uint32_t* applied,
                                   gyr_error* err) noexcept {
  return guard(err, "cache", [&]() -> Status {
    GYR_TRY(enter(cache, "cache"));
    gyr_cache_delta d;
    GYR_TRY(read_struct(delta, "delta", "gyr_cache_delta", &d));
    GYR_TRY(require(d.source, "delta.source"));
    GYR_TRY(require_array(d.keys, "delta.keys", d.n, sizeof *d.keys));
    GYR_TRY(require_array(d.rows, "delta.rows", d.n, cache->impl->dim() * sizeof *d.rows));
    GYR_TRY(require_array(d.removed, "delta.removed", d.n_removed, sizeof *d.removed));
    return cache->impl->apply(d, applied);
  });
}

GYR_API gyr_status gyr_cache_get_offset(const gyr_cache* cache, const char* source, uint64_t* offset,
                                        gyr_error* err) noexcept {
  return guard(err, "cache", [&]() -> Status {
    GYR_TRY(enter(cache, "cache"));
    GYR_TRY(require(source, "source"));
    GYR_TRY(require(offset, "offset"));
    return cache->impl->last_offset(source, offset);
  });
}

GYR_API gyr_status gyr_cache_publish(gyr_cache* cache, gyr_cache* aside, gyr_error* err) noexcept {
  return guard(err, "cache", [&]() -> Status {
    GYR_TRY(enter(cache, "cache"));
    GYR_TRY(enter(aside, "aside"));
    return cache->impl->publish(aside->impl.get());
  });
}

GYR_API gyr_status gyr_cache_warm(gyr_cache* cache, const int64_t* keys, uint64_t n, uint64_t* loaded, gyr_task* task,
                                  gyr_error* err) noexcept {
  return guard(err, "cache", [&]() -> Status {
    GYR_TRY(enter(cache, "cache"));
    GYR_TRY(enter_task(task));
    GYR_TRY(require_array(keys, "keys", n, sizeof *keys));
    return cache->impl->warm(keys, n, loaded, task);
  });
}

GYR_API gyr_status gyr_cache_save(const gyr_cache* cache, const char* path, gyr_error* err) noexcept {
  return guard(err, "cache", [&]() -> Status {
    GYR_TRY(enter(cache, "cache"));
    GYR_TRY(require(path, "path"));
    gyr::ContainerWriter file;
    GYR_TRY(cache->impl->save(&file, "cache"));
    return file.save(path);
  });
}

GYR_API gyr_status gyr_cache_open(gyr_runtime* runtime, const char* path, const gyr_cache_tiers* tiers, gyr_cache** out,
                                  gyr_error* err) noexcept {
  return guard(err, "cache", [&]() -> Status {
    GYR_TRY(enter(runtime, "runtime"));
    GYR_TRY(require(path, "path"));
    GYR_TRY(require(out, "out"));
    Tiers read;
    if (tiers) GYR_TRY(read.read(tiers, "tiers"));
    GYR_ASSIGN(auto file, gyr::Container::open(path, gyr::Container::Access::kRead));
    auto made = gyr::Cache::load(runtime->runtime, *file, "cache", tiers ? &read.tiers : nullptr);
    if (!made.ok()) return std::move(made.status()).at(path);
    return hand_over(runtime, std::move(*made), out);
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
