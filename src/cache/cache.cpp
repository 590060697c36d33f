#include "cache/cache.h"

#include <atomic>
#include <cmath>
#include <cstring>
#include <span>

#include "base/bytes.h"
#include "cache/rows.h"
#include "cache/stored_row.h"
#include "kernels/kernels.h"

namespace gyr {
namespace {

using kernels::RowType;

constexpr uint32_t kMaxDim = 65536;
constexpr uint64_t kMaxCapacity = uint64_t(1) << 36;
constexpr uint64_t kPresize = uint64_t(1) << 24;  // expected rows are a hint: beyond this the index grows as they come
// A dense cache in a file may be this sparse: a few bytes must not claim gigabytes when they are loaded.
constexpr size_t kGroup = KeyedRows::kGroup;
constexpr uint64_t kFilePointers = uint64_t(1) << 24, kFilePointersPerRow = 256;

bool too_sparse_for_a_file(uint64_t capacity, uint64_t rows) {
  return capacity > kFilePointers && capacity / kFilePointersPerRow > rows;
}

template <class Rows>
class CacheImpl final : public Cache {
 public:
  static constexpr bool kDense = std::is_same_v<Rows, DenseRows>;

  CacheImpl(std::shared_ptr<Runtime> runtime, const gyr_cache_options& o, RowType type)
      : runtime_(std::move(runtime)),
        dim_(o.dim),
        row_bytes_(uint32_t(kernels::stored_row_bytes(type, o.dim))),
        type_(type),
        miss_(o.miss),
        rows_(runtime_->memory(), row_bytes_, kDense ? o.capacity : std::min(o.capacity, kPresize)) {
    default_row_.assign(o.dim, 0.0f);
    if (miss_ != GYR_CACHE_MISS_DEFAULT) return;
    default_stored_.resize(row_bytes_);
    store_row(type_, o.default_row, dim_, default_stored_.data());
    const void* stored = default_stored_.data();
    kernels::ref().unpack_rows(type_, &stored, 1, dim_, nullptr, default_row_.data());
  }

  uint32_t dim() const override { return dim_; }

  Status put(const int64_t* keys, const float* rows, uint64_t n) override {
    uint64_t values;
    if (!checked_mul(n, dim_, &values)) return fail(GYR_E_INVALID_ARGUMENT, "cache", "n x dim overflows");
    GYR_TRY(check_keys(keys, n));
    GYR_TRY(check_values(rows, values, dim_, type_, "rows"));
    rows_.put(keys, n, [&](size_t i, uint8_t* to) { store_row(type_, rows + i * dim_, dim_, to); });
    return {};
  }

  // Rows as another cache of this kind stored them; what they read as is checked like any other input.
  Status put_stored(std::span<const int64_t> keys, std::span<const uint8_t> rows) override {
    GYR_TRY(check_keys(keys.data(), keys.size()));
    std::vector<float> row(dim_);
    for (size_t i = 0; i < keys.size(); i++) {
      const void* stored = rows.data() + i * row_bytes_;
      kernels::ref().unpack_rows(type_, &stored, 1, dim_, nullptr, row.data());
      GYR_TRY(check_values(row.data(), dim_, dim_, RowType::kFloat32, "saved row"));
    }
    rows_.put(keys.data(), keys.size(),
              [&](size_t i, uint8_t* to) { std::memcpy(to, rows.data() + i * row_bytes_, row_bytes_); });
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
    uint64_t hits = 0;
    auto guard = rows_.read();
    const auto& ops = kernels::best();
    rows_.find(keys, n, [&](size_t first, size_t m, const uint8_t* const* found) {
      hits += mark(found, m, status ? status + first : nullptr);
      ops.unpack_rows(type_, reinterpret_cast<const void* const*>(found), m, dim_, default_row_.data(),
                      out + first * dim_);
    });
    count(hits, n);
    return {};
  }

  Status pool(const int64_t* keys, const float* weights, const int64_t* offsets, uint64_t bags, gyr_pooling pooling,
              float* out, uint8_t* status) const override {
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
    for (int64_t i = 0; weights && i < offsets[bags]; i++)
      if (!std::isfinite(weights[i]))
        return fail(GYR_E_INVALID_ARGUMENT, "cache", "weights[%lld] is NaN or infinite", (long long)i);
    uint64_t hits = 0;
    auto guard = rows_.read();
    Bags to{offsets, weights, bags, pooling, out, 0, 0};
    rows_.find(keys, size_t(offsets[bags]), [&](size_t first, size_t m, const uint8_t* const* found) {
      size_t here = mark(found, m, status ? status + first : nullptr);
      hits += here;
      add(&to, int64_t(first), m, found);
    });
    finish(&to, int64_t(offsets[bags]));
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

  // CCH1: dim, dense, miss, reserved, capacity, the default row, keys, rows as floats. CCH2: the row type in the
  // reserved place, and rows as they are stored.
  Status save(ContainerWriter* file, std::string_view name) const override {
    std::vector<int64_t> keys;
    std::vector<uint8_t> stored;
    std::vector<CachedRow> found;
    for (uint64_t cursor = 0; cursor != KeyedRows::kScanEnd;) {
      auto guard = rows_.read();
      found.clear();
      rows_.scan(&cursor, knobs::capacity(4096), &found);
      for (auto& [key, row] : found) {
        keys.push_back(key);
        stored.insert(stored.end(), row, row + row_bytes_);
      }
    }
    uint64_t capacity = keys.size();
    if constexpr (kDense) capacity = rows_.capacity();
    if (too_sparse_for_a_file(capacity, keys.size()))
      return fail(GYR_E_INVALID_STATE, "cache",
                  "a dense cache of capacity %llu with %llu rows is too sparse to save (at most %llu places per row); "
                  "use GYR_CACHE_HASHED",
                  (unsigned long long)capacity, (unsigned long long)keys.size(),
                  (unsigned long long)kFilePointersPerRow);
    const bool floats = type_ == RowType::kFloat32;
    ByteWriter out;
    out.put<uint32_t>(dim_);
    out.put<uint32_t>(kDense ? GYR_CACHE_DENSE : GYR_CACHE_HASHED);
    out.put<uint32_t>(uint32_t(miss_));
    out.put<uint32_t>(uint32_t(type_));
    out.put<uint64_t>(capacity);
    out.put_array(default_row_);
    out.put_array(keys);
    if (floats)
      out.put_array(std::span(reinterpret_cast<const float*>(stored.data()), stored.size() / sizeof(float)));
    else
      out.put_array(stored);
    return file->add(name, floats ? "CCH1" : "CCH2", std::move(out.bytes()));
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
  size_t mark(const uint8_t* const* found, size_t n, uint8_t* status) const {
    size_t hits = 0;
    for (size_t i = 0; i < n; i++) hits += found[i] != nullptr;
    uint8_t missing = miss_ == GYR_CACHE_MISS_DEFAULT ? GYR_VALUE_DEFAULT : GYR_VALUE_MISSING;
    for (size_t i = 0; status && i < n; i++) status[i] = found[i] ? uint8_t(GYR_VALUE_PRESENT) : missing;
    return hits;
  }

  // Bags being summed: groups of found rows arrive in order, bags begin and end within them.
  struct Bags {
    const int64_t* offsets;
    const float* weights;  // per key, or null
    uint64_t bags;
    gyr_pooling pooling;
    float* out;
    uint64_t at;    // the bag that is being summed
    float divisor;  // of its mean, so far
  };

  void add(Bags* to, int64_t first, size_t m, const uint8_t* const* found) const {
    const auto& ops = kernels::best();
    const bool defaults = miss_ == GYR_CACHE_MISS_DEFAULT;
    const void* rows[kGroup];
    for (size_t i = 0; i < m;) {
      int64_t at = first + int64_t(i);
      finish(to, at);
      size_t n = size_t(std::min(to->offsets[to->at + 1] - at, int64_t(m - i)));
      const float* weights = to->weights ? to->weights + at : nullptr;
      for (size_t k = 0; k < n; k++) {
        const uint8_t* row = found[i + k];
        rows[k] = row || !defaults ? row : default_stored_.data();
        if (rows[k]) to->divisor += weights ? weights[k] : 1.0f;
      }
      ops.pool_rows(type_, rows, weights, n, dim_, at != to->offsets[to->at], to->out + to->at * dim_);
      i += n;
    }
  }

  // Closes the bags that end at or before key `at`; empty ones are zeros.
  void finish(Bags* to, int64_t at) const {
    for (; to->at < to->bags && to->offsets[to->at + 1] <= at; to->at++, to->divisor = 0) {
      float* out = to->out + to->at * dim_;
      if (to->offsets[to->at + 1] == to->offsets[to->at]) std::memset(out, 0, size_t(dim_) * sizeof(float));
      if (to->pooling == GYR_POOLING_MEAN && to->divisor != 0 && to->divisor != 1)
        kernels::best().scale(1.0f / to->divisor, out, dim_);
    }
  }

  void count(uint64_t hits, uint64_t n) const {
    if (hits) hits_.fetch_add(hits, std::memory_order_relaxed);
    if (n > hits) misses_.fetch_add(n - hits, std::memory_order_relaxed);
  }

  std::shared_ptr<Runtime> runtime_;
  const uint32_t dim_, row_bytes_;
  const RowType type_;
  const gyr_cache_miss miss_;
  std::vector<float> default_row_;       // zeros when missing rows read as zeros
  std::vector<uint8_t> default_stored_;  // the default row as rows are stored; empty without one
  Rows rows_;
  alignas(64) mutable std::atomic<uint64_t> hits_{0};
  mutable std::atomic<uint64_t> misses_{0};
};

}  // namespace

Result<std::shared_ptr<Cache>> Cache::create(std::shared_ptr<Runtime> runtime, const gyr_cache_options& o) {
  GYR_ASSIGN(RowType type, row_type(o.rows));
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
    GYR_TRY(check_values(o.default_row, o.dim, o.dim, type, "options.default_row"));
  }
  if (o.keys == GYR_CACHE_DENSE)
    return std::shared_ptr<Cache>(std::make_shared<CacheImpl<DenseRows>>(std::move(runtime), o, type));
  return std::shared_ptr<Cache>(std::make_shared<CacheImpl<HashedRows>>(std::move(runtime), o, type));
}

Result<std::shared_ptr<Cache>> Cache::load(std::shared_ptr<Runtime> runtime, const Container& file,
                                           std::string_view name) {
  bool floats = std::none_of(file.sections().begin(), file.sections().end(),
                             [&](auto& section) { return section.name == name && section.kind == "CCH2"; });
  GYR_ASSIGN(std::vector<uint8_t> bytes, file.read(name, floats ? "CCH1" : "CCH2"));
  ByteReader in(bytes, "cache");
  uint32_t kind = 0, miss = 0, type = 0;
  gyr_cache_options o{};
  GYR_TRY(in.get(&o.dim));
  GYR_TRY(in.get(&kind));
  GYR_TRY(in.get(&miss));
  GYR_TRY(in.get(&type));
  GYR_TRY(in.get(&o.capacity));
  std::span<const float> default_row, values;
  std::span<const int64_t> keys;
  std::span<const uint8_t> stored;
  GYR_TRY(in.get_array(&default_row));
  GYR_TRY(in.get_array(&keys));
  if (floats) {
    GYR_TRY(in.get_array(&values));
    stored = {reinterpret_cast<const uint8_t*>(values.data()), values.size_bytes()};
  } else {
    GYR_TRY(in.get_array(&stored));
  }
  GYR_TRY(in.finish());
  o.keys = gyr_cache_keys(kind);
  o.miss = gyr_cache_miss(miss);
  o.rows = gyr_cache_rows(type);
  o.default_row = default_row.data();
  uint64_t expected;
  if (type > GYR_CACHE_INT8 || (type == GYR_CACHE_FLOAT32) != floats || default_row.size() != o.dim ||
      !checked_mul(keys.size(), kernels::stored_row_bytes(RowType(type), o.dim), &expected) ||
      stored.size() != expected || (kind == GYR_CACHE_HASHED && o.capacity != keys.size()) ||
      too_sparse_for_a_file(o.capacity, keys.size()))
    return fail(GYR_E_CORRUPT, "cache", "saved cache \"%.*s\": sizes contradict each other", int(name.size()),
                name.data());
  auto made = create(std::move(runtime), o);
  if (!made.ok()) return std::move(made.status()).in_file("saved cache");
  GYR_TRY((*made)->put_stored(keys, stored).in_file("saved cache"));
  gyr_cache_info info{};
  (*made)->fill_info(&info);
  if (info.rows != keys.size()) return fail(GYR_E_CORRUPT, "cache", "saved cache: keys repeat");
  return made;
}

}  // namespace gyr
