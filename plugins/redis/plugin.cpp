// What the host sees: options in, a table of callbacks out.
#include <cstdio>
#include <cstring>
#include <new>

#include "tier.h"

namespace {

using gyr_redis::Batch;
using gyr_redis::Op;
using gyr_redis::Tier;

gyr_status fail(gyr_error* err, gyr_status code, const char* text) {
  if (!err || err->struct_size < sizeof *err) return code;
  err->code = code;
  err->os_errno = 0;
  err->flags = 0;
  std::snprintf(err->component, sizeof err->component, "redis");
  std::snprintf(err->message, sizeof err->message, "%s", text);
  return code;
}

gyr_status run(uintptr_t user, const Batch& batch) noexcept {
  gyr_redis::NoSigpipe quiet;
  try {
    return reinterpret_cast<Tier*>(user)->run(batch);
  } catch (const std::bad_alloc&) {
    return GYR_E_OUT_OF_MEMORY;
  } catch (...) {
    return GYR_E_INTERNAL;
  }
}

gyr_status fetch(uintptr_t user, const int64_t* keys, uint64_t n, void* rows, uint8_t* found, int64_t) {
  return run(user, {Op::kGet, keys, n, nullptr, static_cast<uint8_t*>(rows), found});
}
gyr_status put(uintptr_t user, const int64_t* keys, const void* rows, uint64_t n) {
  return run(user, {Op::kSet, keys, n, static_cast<const uint8_t*>(rows)});
}
gyr_status remove(uintptr_t user, const int64_t* keys, uint64_t n) { return run(user, {Op::kDelete, keys, n}); }
void close(uintptr_t user) { delete reinterpret_cast<Tier*>(user); }

bool is_address(const std::string& a) {
  if (a.starts_with("unix:/")) return a.size() > 6;
  size_t colon = a.rfind(':');
  if (colon == a.npos || colon == 0 || a.size() - colon < 2 || a.size() - colon > 6) return false;
  return a.find_first_not_of("0123456789", colon + 1) == a.npos && std::stoi(a.substr(colon + 1)) < 65536;
}

gyr_status make(const gyr_redis_options& o, gyr_cache_tier* out, gyr_error* err) {
  std::vector<std::string> addresses;
  std::string list = o.addresses;
  for (size_t from = 0; from <= list.size();) {
    size_t to = std::min(list.find(',', from), list.size());
    addresses.push_back(list.substr(from, to - from));
    from = to + 1;
    if (!is_address(addresses.back()))
      return fail(err, GYR_E_INVALID_ARGUMENT,
                  "options.addresses: expected host:port or unix:/path, with commas between");
  }
  if (o.cluster != 1 && addresses.size() != 1)
    return fail(err, GYR_E_INVALID_ARGUMENT, "options.addresses: one server has one address; set cluster for several");
  if (o.cluster && o.database)
    return fail(err, GYR_E_INVALID_ARGUMENT, "options.database: a cluster has only database 0");
  out->fetch = fetch;
  out->put = put;
  out->remove = remove;
  out->close = close;
  out->row_bytes = o.row_bytes;
  out->user = reinterpret_cast<uintptr_t>(new Tier(o, std::move(addresses)));
  return GYR_OK;
}

}  // namespace

extern "C" GYR_API gyr_status gyr_redis_tier(const gyr_redis_options* options, gyr_cache_tier* out,
                                             gyr_error* err) noexcept {
  if (!options || !out) return fail(err, GYR_E_INVALID_ARGUMENT, options ? "out is NULL" : "options is NULL");
  if (options->struct_size < sizeof *options)
    return fail(err, GYR_E_INVALID_ARGUMENT, "options.struct_size: set it to sizeof(gyr_redis_options)");
  if (options->struct_size > sizeof *options || options->reserved)
    return fail(err, GYR_E_OPTIONS_TOO_NEW, "options has fields that this library does not know");
  if (!options->addresses) return fail(err, GYR_E_INVALID_ARGUMENT, "options.addresses is NULL");
  if (options->row_bytes == 0 || options->row_bytes > (1u << 20) || options->batch > 1'000'000 || options->cluster > 1)
    return fail(err, GYR_E_INVALID_ARGUMENT,
                "options: expected row_bytes 1..1048576, batch at most 1000000, cluster 0 or 1");
  try {
    gyr_cache_tier made{};
    made.struct_size = sizeof made;
    gyr_status status = make(*options, &made, err);
    if (status == GYR_OK) *out = made;
    return status;
  } catch (const std::bad_alloc&) {
    return fail(err, GYR_E_OUT_OF_MEMORY, "out of memory");
  } catch (...) {
    return fail(err, GYR_E_INTERNAL, "unknown exception");
  }
}
