#include "cache/cache.h"

#include <atomic>
#include <cmath>

#include "base/bytes.h"
#include "cache/rows.h"
#include "kernels/kernels.h"

namespace gyr {
namespace {

constexpr uint32_t kMaxDim = 65536;
constexpr uint64_t kMaxCapacity = uint64_t(1) << 36;
constexpr uint64_t kPresize = uint64_t(1) << 24;  // expected rows are a hint: beyond this the index grows as they come
// A dense cache in a file may be this sparse: a few bytes must not claim gigabytes when they are loaded.
constexpr uint64_t kFilePointers = uint64_t(1) << 24, kFilePointersPerRow = 256;
constexpr size_t kGroup = 256;  // rows in flight, pointers on the stack

bool too_sparse_for_a_file(uint64_t capacity, uint64_t rows) {
  return capacity > kFilePointers && capacity / kFilePointersPerRow > rows;
}

Status check_finite(const float* values, uint64_t n, uint32_t dim, const char* what) {
  for (uint64_t i = 0; i < n; i++)
    if (!std::isfinite(values[i]))
      return fail(GYR_E_INVALID_ARGUMENT, "cache", "%s: row %llu, value %llu is NaN or infinite; nothing was inserted",
                  what, (unsigned long long)(i / dim), (unsigned long long)(i % dim));
  return {};
}

template <class Rows>
class CacheImpl final : public Cache {
 public:
  static constexpr bool kDense = std::is_same_v<Rows, DenseRows>;

  CacheImpl(std::shared_ptr<Runtime> runtime, const gyr_cache_options& o)
      : runtime_(std::move(runtime)),
        dim_(o.dim),
        miss_(o.miss),
        rows_(runtime_->memory(), o.dim, kDense ? o.capacity : std::min(o.capacity, kPresize)) {
    default_row_.assign(o.dim, 0.0f);
    if (miss_ == GYR_CACHE_MISS_DEFAULT) default_row_.assign(o.default_row, o.default_row + o.dim);
  }

  uint32_t dim() const override { return dim_; }

  Status put(const int64_t* keys, const float* rows, uint64_t n) override {
    uint64_t values;
    if (!checked_mul(n, dim_, &values)) return fail(GYR_E_INVALID_ARGUMENT, "cache", "n x dim overflows");
    GYR_TRY(check_keys(keys, n));
    GYR_TRY(check_finite(rows, values, dim_, "rows"));
    for (uint64_t i = 0; i < n; i++) rows_.put(keys[i], rows + i * dim_);
    return {};
  }

  Status remove(const int64_t* keys, uint64_t n, uint64_t* removed) override {
    GYR_TRY(check_keys(keys, n));
    uint64_t count = 0;
    for (uint64_t i = 0; i < n; i++) count += rows_.remove(keys[i]);
    if (removed) *removed = count;
    return {};
  }

  Status get(const int64_t* keys, uint64_t n, float* out, uint8_t* status) const override {
    const float* found[kGroup];
    uint64_t hits = 0;
    auto guard = rows_.read();
    const uint64_t group = knobs::capacity(kGroup);
    for (uint64_t base = 0; base < n; base += group) {
      size_t m = size_t(std::min(group, n - base));
      rows_.find(keys + base, m, found);
      hits += mark(found, m, status ? status + base : nullptr);
      for (size_t i = 0; i < m; i++, out += dim_)
        std::memcpy(out, found[i] ? found[i] : default_row_.data(), size_t(dim_) * sizeof(float));
    }
    count(hits, n);
    return {};
  }

  Status pool(const int64_t* keys, const int64_t* offsets, uint64_t bags, gyr_pooling pooling, float* out,
              uint8_t* status) const override {
    if (pooling != GYR_POOLING_SUM && pooling != GYR_POOLING_MEAN)
      return fail(GYR_E_INVALID_ARGUMENT, "cache", "pooling is %d; expected GYR_POOLING_SUM or GYR_POOLING_MEAN",
                  pooling);
    if (offsets[0] != 0)
      return fail(GYR_E_INVALID_ARGUMENT, "cache", "offsets[0] is %lld; expected 0", (long long)offsets[0]);
    for (uint64_t b = 0; b < bags; b++)
      if (offsets[b + 1] < offsets[b])
        return fail(GYR_E_INVALID_ARGUMENT, "cache", "offsets[%llu] is below the one before",
                    (unsigned long long)b + 1);
    if (offsets[bags] > 0 && !keys) return fail(GYR_E_INVALID_ARGUMENT, "cache", "keys is NULL");
    uint64_t hits = 0;
    auto guard = rows_.read();
    for (uint64_t b = 0; b < bags; b++, out += dim_)
      hits += pool_bag(keys, offsets[b], offsets[b + 1], pooling, out, status);
    count(hits, uint64_t(offsets[bags]));
    return {};
  }

  void fill_info(gyr_cache_info* info) const override {
    info->dim = dim_;
    info->rows = rows_.size();
    info->bytes = rows_.bytes();
    info->hits = hits_.load(std::memory_order_relaxed);
    info->misses = misses_.load(std::memory_order_relaxed);
  }

  // CCH1: dim, dense, miss, reserved, capacity, the default row, keys, rows.
  Status save(ContainerWriter* file, std::string_view name) const override {
    std::vector<int64_t> keys;
    std::vector<float> values;
    std::vector<const float*> found;
    for (uint64_t cursor = 0; cursor != KeyedRows::kScanEnd;) {
      auto guard = rows_.read();
      found.clear();
      rows_.scan(&cursor, knobs::capacity(4096), &keys, &found);
      for (const float* row : found) values.insert(values.end(), row, row + dim_);
    }
    uint64_t capacity = keys.size();
    if constexpr (kDense) capacity = rows_.capacity();
    if (too_sparse_for_a_file(capacity, keys.size()))
      return fail(GYR_E_INVALID_STATE, "cache",
                  "a dense cache of capacity %llu with %llu rows is too sparse to save (at most %llu places per row); "
                  "use GYR_CACHE_HASHED",
                  (unsigned long long)capacity, (unsigned long long)keys.size(),
                  (unsigned long long)kFilePointersPerRow);
    ByteWriter out;
    out.put<uint32_t>(dim_);
    out.put<uint32_t>(kDense ? GYR_CACHE_DENSE : GYR_CACHE_HASHED);
    out.put<uint32_t>(uint32_t(miss_));
    out.put<uint32_t>(0);
    out.put<uint64_t>(capacity);
    out.put_array(default_row_);
    out.put_array(keys);
    out.put_array(values);
    return file->add(name, "CCH1", std::move(out.bytes()));
  }

 private:
  Status check_keys(const int64_t* keys, uint64_t n) const {
    if constexpr (kDense) {
      for (uint64_t i = 0; i < n; i++)
        if (uint64_t(keys[i]) >= rows_.capacity())
          return fail(GYR_E_OUT_OF_RANGE, "cache",
                      "keys[%llu] is %lld; a dense cache of capacity %llu has rows 0..%llu", (unsigned long long)i,
                      (long long)keys[i], (unsigned long long)rows_.capacity(),
                      (unsigned long long)rows_.capacity() - 1);
    }
    return {};
  }

  // Writes the statuses; returns the number of rows found.
  size_t mark(const float* const* found, size_t n, uint8_t* status) const {
    size_t hits = 0;
    for (size_t i = 0; i < n; i++) hits += found[i] != nullptr;
    uint8_t missing = miss_ == GYR_CACHE_MISS_DEFAULT ? GYR_VALUE_DEFAULT : GYR_VALUE_MISSING;
    for (size_t i = 0; status && i < n; i++) status[i] = found[i] ? uint8_t(GYR_VALUE_PRESENT) : missing;
    return hits;
  }

  size_t pool_bag(const int64_t* keys, int64_t begin, int64_t end, gyr_pooling pooling, float* out,
                  uint8_t* status) const {
    const auto& ops = kernels::best();
    const float* found[kGroup + 1];
    size_t hits = 0;
    std::memset(out, 0, size_t(dim_) * sizeof(float));
    const int64_t group = int64_t(knobs::capacity(kGroup));
    for (int64_t base = begin; base < end; base += group) {
      size_t m = size_t(std::min(group, end - base));
      rows_.find(keys + base, m, found);
      hits += mark(found, m, status ? status + base : nullptr);
      if (miss_ == GYR_CACHE_MISS_DEFAULT)
        for (size_t i = 0; i < m; i++)
          if (!found[i]) found[i] = default_row_.data();
      if (base == begin) {
        ops.pool_rows(found, nullptr, m, dim_, out);
        continue;
      }
      // Long bags: group by group, in key order.
      for (size_t i = 0; i < m; i++)
        if (found[i]) ops.axpy(1.0f, found[i], out, dim_);
    }
    uint64_t counted = miss_ == GYR_CACHE_MISS_DEFAULT ? uint64_t(end - begin) : hits;
    if (pooling == GYR_POOLING_MEAN && counted > 1) ops.scale(1.0f / float(counted), out, dim_);
    return hits;
  }

  void count(uint64_t hits, uint64_t n) const {
    if (hits) hits_.fetch_add(hits, std::memory_order_relaxed);
    if (n > hits) misses_.fetch_add(n - hits, std::memory_order_relaxed);
  }

  std::shared_ptr<Runtime> runtime_;
  const uint32_t dim_;
  const gyr_cache_miss miss_;
  std::vector<float> default_row_;  // zeros when missing rows read as zeros
  Rows rows_;
  alignas(64) mutable std::atomic<uint64_t> hits_{0};
  mutable std::atomic<uint64_t> misses_{0};
};

}  // namespace

Result<std::shared_ptr<Cache>> Cache::create(std::shared_ptr<Runtime> runtime, const gyr_cache_options& o) {
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
    GYR_TRY(check_finite(o.default_row, o.dim, o.dim, "options.default_row"));
  }
  if (o.keys == GYR_CACHE_DENSE)
    return std::shared_ptr<Cache>(std::make_shared<CacheImpl<DenseRows>>(std::move(runtime), o));
  return std::shared_ptr<Cache>(std::make_shared<CacheImpl<HashedRows>>(std::move(runtime), o));
}

Result<std::shared_ptr<Cache>> Cache::load(std::shared_ptr<Runtime> runtime, const Container& file,
                                           std::string_view name) {
  GYR_ASSIGN(std::vector<uint8_t> bytes, file.read(name, "CCH1"));
  ByteReader in(bytes, "cache");
  uint32_t kind = 0, miss = 0, reserved = 0;
  gyr_cache_options o{};
  GYR_TRY(in.get(&o.dim));
  GYR_TRY(in.get(&kind));
  GYR_TRY(in.get(&miss));
  GYR_TRY(in.get(&reserved));
  GYR_TRY(in.get(&o.capacity));
  std::span<const float> default_row, values;
  std::span<const int64_t> keys;
  GYR_TRY(in.get_array(&default_row));
  GYR_TRY(in.get_array(&keys));
  GYR_TRY(in.get_array(&values));
  GYR_TRY(in.finish());
  o.keys = gyr_cache_keys(kind);
  o.miss = gyr_cache_miss(miss);
  o.default_row = default_row.data();
  uint64_t expected;
  if (reserved != 0 || default_row.size() != o.dim || !checked_mul(keys.size(), o.dim, &expected) ||
      values.size() != expected || (kind == GYR_CACHE_HASHED && o.capacity != keys.size()) ||
      too_sparse_for_a_file(o.capacity, keys.size()))
    return fail(GYR_E_CORRUPT, "cache", "saved cache \"%.*s\": sizes contradict each other", int(name.size()),
                name.data());
  auto made = create(std::move(runtime), o);
  if (!made.ok()) return std::move(made.status()).in_file("saved cache");
  GYR_TRY((*made)->put(keys.data(), values.data(), keys.size()).in_file("saved cache"));
  gyr_cache_info info{};
  (*made)->fill_info(&info);
  if (info.rows != keys.size()) return fail(GYR_E_CORRUPT, "cache", "saved cache: keys repeat");
  return made;
}

}  // namespace gyr
