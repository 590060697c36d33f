#include "index/store.h"

#include <algorithm>
#include <cmath>

#include "base/math.h"

namespace gyr::index {

Store::Store(std::pmr::memory_resource* memory, uint32_t dim, gyr_metric metric, gyr_stored stored, bool with_codes)
    : dim(dim),
      metric(metric),
      stored(stored),
      ops(&kernels::best()),
      codes(with_codes ? std::optional(empty_codes(memory)) : std::nullopt),
      vectors(memory, dim, stored, codes ? &*codes : nullptr, ops),
      stride(vectors.stride),
      ids(Aligned<int64_t>(memory)),
      alive(Aligned<uint64_t>(memory)),
      map(memory),
      free_(Aligned<uint64_t>(memory)),
      scratch_(stride, 0, Aligned<float>(memory)) {}

void Store::reserve(uint64_t total) {
  map.reserve(total, ids.data());
  alive.reserve(div_up(total, 64));
  free_.reserve(div_up(total, 64));
  ids.reserve(total);
  vectors.reserve(total);
  if (codes) codes->reserve(total);
}

// Of what is kept, so that codes are the same when that comes from a file.
void Store::write_code(uint32_t slot) {
  if (codes && !vectors.share_codes()) codes->write(slot, read(slot, scratch_.data()));
}

void Store::write_coded_row(uint32_t slot, const float* prepared) {
  vectors.write(slot, prepared);
  write_code(slot);
}

uint32_t Store::take_slot() {
  if (free_slots() > 0) {
    while (free_[first_free_] == 0) first_free_++;
    const auto slot = uint32_t(first_free_ * 64) + uint32_t(std::countr_zero(free_[first_free_]));
    free_[first_free_] &= free_[first_free_] - 1;
    free_count_.store(free_slots() - 1, std::memory_order_relaxed);
    return slot;
  }
  uint32_t slot = slots();
  ids.push_back(0);
  vectors.resize(uint64_t(slot) + 1);
  if (codes) codes->resize(uint64_t(slot) + 1);
  if (slot % 64 == 0) alive.push_back(0), free_.push_back(0);
  return slot;
}

void Store::give_back(uint32_t slot) {
  uint64_t& word = free_[slot >> 6];
  const uint64_t bit = uint64_t(1) << (slot & 63), had = free_slots();
  if (word & bit) return;
  word |= bit;
  first_free_ = had ? std::min<uint64_t>(first_free_, slot >> 6) : slot >> 6;
  free_count_.store(had + 1, std::memory_order_relaxed);
}

void Store::publish(uint32_t slot, int64_t id) {
  ids[slot] = id;
  std::atomic_ref(alive[slot >> 6]).store(alive[slot >> 6] | uint64_t(1) << (slot & 63), std::memory_order_relaxed);
  map.insert(id, slot);
  count_.store(count() + 1, std::memory_order_relaxed);
}

// The slot's id stays: who makes another map reads it beside deletions.
void Store::remove(uint32_t slot) {
  map.erase(ids[slot], ids.data());
  std::atomic_ref(alive[slot >> 6]).store(alive[slot >> 6] & ~(uint64_t(1) << (slot & 63)), std::memory_order_relaxed);
  give_back(slot);
  count_.store(count() - 1, std::memory_order_relaxed);
}

Array<uint64_t> Store::alive_now() const {
  Array<uint64_t> words(alive.size(), 0, alive.get_allocator());
  for (uint64_t w = 0; w < words.size(); w++) words[w] = alive_word(w);
  return words;
}

void Store::adopt_bits() {
  free_.assign(alive.size(), 0);
  uint64_t used = 0;
  for (uint64_t w = 0; w < alive.size(); w++) {
    const uint64_t here = std::min<uint64_t>(64, ids.size() - w * 64);
    free_[w] = ~alive[w] & (here == 64 ? UINT64_MAX : (uint64_t(1) << here) - 1);
    used += uint64_t(std::popcount(alive[w]));
  }
  first_free_ = 0;
  free_count_.store(ids.size() - used, std::memory_order_relaxed);
  count_.store(used, std::memory_order_relaxed);
}

uint64_t Store::used_slots() const {
  uint64_t n = slots();
  while (n > 0 && free_[(n - 1) >> 6] >> ((n - 1) & 63) & 1) n--;
  return n;
}

void Store::cut(uint64_t slots) {
  uint64_t freed = 0;
  for (uint64_t slot = slots; slot < ids.size(); slot++) {
    uint64_t& word = free_[slot >> 6];
    freed += word >> (slot & 63) & 1;
    word &= ~(uint64_t(1) << (slot & 63));
  }
  free_count_.store(free_slots() - freed, std::memory_order_relaxed);
  ids.resize(slots);
  each_bits([&](auto* bits) { bits->resize(div_up(slots, 64)); });
  each_array([&](auto* array, uint64_t each) { array->resize(slots * each); });
}

namespace {

// Several sums, as one would wait for itself.
double squared_length(const float* x, uint32_t n) {
  double sums[8] = {};
  uint32_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (uint32_t j = 0; j < 8; j++) sums[j] += double(x[i + j]) * x[i + j];
  for (; i < n; i++) sums[0] += double(x[i]) * x[i];
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

}  // namespace

bool Store::takes(const float* vector) const {
  const float about = ops->dot(vector, vector, dim);
  if (about > 1e-30f && about < 1e30f) return true;  // far from all that is refused
  const double squared = squared_length(vector, dim);
  return squared <= kMaxSquaredNorm && (squared > 0 || metric != GYR_METRIC_COSINE);  // also not NaN or infinity
}

bool Store::prepare(const float* vector, float* row) const {
  if (!takes(vector)) return false;
  if (metric == GYR_METRIC_COSINE) {
    const double inverse = 1 / std::sqrt(squared_length(vector, dim));
    for (uint32_t i = 0; i < dim; i++) row[i] = float(vector[i] * inverse);
  } else {
    std::copy_n(vector, dim, row);
  }
  std::fill(row + dim, row + stride, 0.0f);
  return true;
}

Status Store::refuse(const float* vector, const char* what, uint64_t number) const {
  for (uint32_t i = 0; i < dim; i++)
    if (!std::isfinite(vector[i]))
      return fail(GYR_E_INVALID_ARGUMENT, "index", "%s[%llu][%u] is not finite; pass real numbers only", what,
                  (unsigned long long)number, i);
  if (std::all_of(vector, vector + dim, [](float v) { return v == 0; }))
    return fail(GYR_E_INVALID_ARGUMENT, "index",
                "%s[%llu] is all zero, which has no direction; leave it out or use another metric", what,
                (unsigned long long)number);
  return fail(GYR_E_INVALID_ARGUMENT, "index", "%s[%llu] is longer than 1e18; scale the vectors down", what,
              (unsigned long long)number);
}

Status Store::refuse_range(const float* vector, const char* what, uint64_t number) const {
  for (uint32_t i = 0; i < dim; i++)
    if (std::abs(vector[i]) >= 65504)
      return fail(GYR_E_INVALID_ARGUMENT, "index",
                  "%s[%llu][%u] is %g; GYR_STORED_FP16 ends at 65504: scale the vectors down or keep them as BF16",
                  what, (unsigned long long)number, i, double(vector[i]));
  return {};
}

uint64_t Store::id_bytes() const {
  return ids.capacity() * 8 + (alive.capacity() + free_.capacity()) * 8 + map.bytes() + scratch_.capacity() * 4;
}

uint64_t Store::id_bytes_of(uint64_t slots, uint32_t dim) {
  return slots * 8 + div_up(slots, 64) * 16 + (slots ? IdMap::bytes_of(slots) : 0) + uint64_t(padded_row(dim)) * 4;
}

}  // namespace gyr::index
