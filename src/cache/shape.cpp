#include "cache/shape.h"

#include <algorithm>
#include <cmath>

#include "base/math.h"
#include "cache/stored_row.h"

namespace gyr {
namespace {

using kernels::RowType;

constexpr uint32_t kMaxDim = 65536;
constexpr uint64_t kMaxCapacity = uint64_t(1) << 36;
constexpr uint64_t kPresize = uint64_t(1) << 24;  // expected rows are a hint: beyond this the index grows as they come
constexpr uint64_t kIndexBytes = 29;              // of a limited cache, per row: erased ways need room

Status check_tiers(const gyr_cache_tiers& t, const CacheShape& shape) {
  if (t.policy < GYR_CACHE_CLOCK || t.policy > GYR_CACHE_TINYLFU)
    return fail(GYR_E_INVALID_ARGUMENT, "cache", "tiers.policy is %d; expected GYR_CACHE_CLOCK to GYR_CACHE_TINYLFU",
                t.policy);
  if (t.wait < GYR_CACHE_WAIT || t.wait > GYR_CACHE_DEFAULT)
    return fail(GYR_E_INVALID_ARGUMENT, "cache", "tiers.wait is %d; expected GYR_CACHE_WAIT to GYR_CACHE_DEFAULT",
                t.wait);
  if (!(t.evict_to >= 0 && t.evict_to <= 1))
    return fail(GYR_E_OUT_OF_RANGE, "cache", "tiers.evict_to is %g; expected 0..1", double(t.evict_to));
  if (!(t.wait_below >= 0 && std::isfinite(t.wait_below)))
    return fail(GYR_E_OUT_OF_RANGE, "cache", "tiers.wait_below is %g; expected 0 or more", double(t.wait_below));
  if (t.admit_count > 255)
    return fail(GYR_E_OUT_OF_RANGE, "cache", "tiers.admit_count is %u; expected at most 255", t.admit_count);
  if (t.retry_ns > uint64_t(INT64_MAX) / 2 || t.max_rows > kMaxCapacity)
    return fail(GYR_E_OUT_OF_RANGE, "cache", "tiers.max_rows is %llu, retry_ns %llu; expected at most %llu and %llu",
                (unsigned long long)t.max_rows, (unsigned long long)t.retry_ns, (unsigned long long)kMaxCapacity,
                (unsigned long long)INT64_MAX / 2);
  if (shape.most_rows == 0)
    return fail(GYR_E_OUT_OF_RANGE, "cache", "tiers.max_bytes is %llu, less than a row needs",
                (unsigned long long)t.max_bytes);
  if (t.folder && t.below)
    return fail(GYR_E_INVALID_ARGUMENT, "cache", "tiers.folder and tiers.below are both set; a cache has one tier");
  if (t.folder && !*t.folder) return fail(GYR_E_INVALID_ARGUMENT, "cache", "tiers.folder is empty; name a folder");
  if (!t.below) return {};
  if (!t.below->fetch) return fail(GYR_E_INVALID_ARGUMENT, "cache", "tiers.below.fetch is NULL");
  if (t.below->row_bytes && t.below->row_bytes != shape.row_bytes)
    return fail(GYR_E_INVALID_ARGUMENT, "cache", "tiers.below.row_bytes is %u; rows of this cache have %u",
                t.below->row_bytes, shape.row_bytes);
  return {};
}

}  // namespace

uint64_t CacheShape::expected() const {
  return most_rows == UINT64_MAX ? std::min(options.capacity, kPresize) : std::min(most_rows, kPresize) * 11 / 8;
}

Status CacheShape::set_tiers(const gyr_cache_tiers& t) {
  tiers = t;
  most_rows = t.max_rows ? t.max_rows : UINT64_MAX;
  if (t.max_bytes) most_rows = std::min(most_rows, t.max_bytes / (align_up(row_bytes, 16) + kIndexBytes));
  return check_tiers(t, *this);
}

Result<CacheShape> CacheShape::of(const gyr_cache_options& o) {
  CacheShape s{o, {}, RowType(), 0, UINT64_MAX};
  GYR_ASSIGN(s.type, row_type(o.rows));
  if (o.dim < 1 || o.dim > kMaxDim)
    return fail(GYR_E_OUT_OF_RANGE, "cache", "options.dim is %u; expected 1..%u", o.dim, kMaxDim);
  if (o.keys != GYR_CACHE_HASHED && o.keys != GYR_CACHE_DENSE)
    return fail(GYR_E_INVALID_ARGUMENT, "cache", "options.keys is %d; expected GYR_CACHE_HASHED or GYR_CACHE_DENSE",
                o.keys);
  if (o.miss != GYR_CACHE_MISS_ZERO && o.miss != GYR_CACHE_MISS_DEFAULT)
    return fail(GYR_E_INVALID_ARGUMENT, "cache",
                "options.miss is %d; expected GYR_CACHE_MISS_ZERO or GYR_CACHE_MISS_DEFAULT", o.miss);
  if (o.capacity > kMaxCapacity || (o.keys == GYR_CACHE_DENSE && o.capacity == 0))
    return fail(GYR_E_OUT_OF_RANGE, "cache",
                "options.capacity is %llu; expected at most %llu, and 1 or more when dense",
                (unsigned long long)o.capacity, (unsigned long long)kMaxCapacity);
  if (o.miss == GYR_CACHE_MISS_DEFAULT) {
    if (!o.default_row) return fail(GYR_E_INVALID_ARGUMENT, "cache", "options.default_row is NULL; give dim floats");
    GYR_TRY(check_values(o.default_row, o.dim, o.dim, s.type, "options.default_row"));
  }
  s.row_bytes = uint32_t(kernels::stored_row_bytes(s.type, o.dim));
  if (o.tiers) GYR_TRY(s.set_tiers(*o.tiers));
  return s;
}

}  // namespace gyr
