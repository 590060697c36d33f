#include "index/store.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/hash.h"
#include "base/knobs.h"
#include "base/math.h"

namespace gyr::index {

uint64_t IdMap::home(int64_t id) const { return knobs::table_hash(mix64(uint64_t(id))) & (ids_.size() - 1); }

void IdMap::reserve(uint64_t n) {
  uint64_t size = std::bit_ceil(std::max<uint64_t>(knobs::capacity(16, 4), n + n / 2));
  if (size <= ids_.size()) return;
  Array<int64_t> ids(size, 0, ids_.get_allocator());
  Array<uint32_t> slots(size, kNone, slots_.get_allocator());
  ids.swap(ids_);
  slots.swap(slots_);
  for (uint64_t i = 0; i < ids.size(); i++)
    if (slots[i] != kNone) insert(ids[i], slots[i]);
}

uint32_t IdMap::find(int64_t id) const {
  if (ids_.empty()) return kNone;
  for (uint64_t i = home(id);; i = (i + 1) & (ids_.size() - 1)) {
    if (slots_[i] == kNone) return kNone;
    if (ids_[i] == id) return slots_[i];
  }
}

void IdMap::insert(int64_t id, uint32_t slot) {
  uint64_t i = home(id);
  while (slots_[i] != kNone) i = (i + 1) & (ids_.size() - 1);
  ids_[i] = id;
  slots_[i] = slot;
}

void IdMap::erase(int64_t id) {
  uint64_t mask = ids_.size() - 1, hole = home(id);
  while (ids_[hole] != id || slots_[hole] == kNone) hole = (hole + 1) & mask;
  for (uint64_t i = (hole + 1) & mask; slots_[i] != kNone; i = (i + 1) & mask) {
    // An entry may fill the hole when its home is not between the hole and itself.
    if (((i - home(ids_[i])) & mask) < ((i - hole) & mask)) continue;
    ids_[hole] = ids_[i];
    slots_[hole] = slots_[i];
    hole = i;
  }
  slots_[hole] = kNone;
}

Store::Store(std::pmr::memory_resource* memory, uint32_t dim, gyr_metric metric, bool with_codes)
    : dim(dim),
      stride(uint32_t(align_up(dim, 16))),
      metric(metric),
      ops(&kernels::best()),
      rows(Aligned<float>(memory)),
      ids(Aligned<int64_t>(memory)),
      alive(Aligned<uint64_t>(memory)),
      free_slots(Aligned<uint32_t>(memory)),
      map(memory) {
  if (with_codes) codes.emplace(memory, dim, ops);
}

void Store::reserve(uint64_t more) {
  uint64_t total = ids.size() + more;
  map.reserve(total);
  grow(&alive, div_up(total, 64));
  grow(&free_slots, total);
  grow(&ids, total);
  grow(&rows, total * stride);
  if (codes) codes->reserve(total);
}

void Store::write_row(uint32_t slot, const float* prepared) {
  std::copy_n(prepared, stride, rows.data() + uint64_t(slot) * stride);
}

void Store::write_coded_row(uint32_t slot, const float* prepared) {
  write_row(slot, prepared);
  if (codes) codes->write(slot, prepared);
}

uint32_t Store::take_slot() {
  if (!free_slots.empty()) {
    std::pop_heap(free_slots.begin(), free_slots.end(), std::greater<>());
    uint32_t slot = free_slots.back();
    free_slots.pop_back();
    return slot;
  }
  uint32_t slot = slots();
  ids.push_back(0);
  rows.resize(rows.size() + stride);
  if (codes) codes->resize(uint64_t(slot) + 1);
  if (slot % 64 == 0) alive.push_back(0);
  return slot;
}

void Store::publish(uint32_t slot, int64_t id) {
  ids[slot] = id;
  alive[slot >> 6] |= uint64_t(1) << (slot & 63);
  map.insert(id, slot);
  count++;
}

void Store::give_back(uint32_t slot) {
  free_slots.push_back(slot);
  std::push_heap(free_slots.begin(), free_slots.end(), std::greater<>());
}

bool Store::remove(int64_t id) {
  uint32_t slot = map.find(id);
  if (slot == kNone) return false;
  map.erase(id);
  ids[slot] = 0;  // dead slots look the same in every file
  alive[slot >> 6] &= ~(uint64_t(1) << (slot & 63));
  give_back(slot);
  count--;
  return true;
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

bool Store::prepare(const float* vector, float* row) const {
  const double squared = squared_length(vector, dim);
  if (!(squared <= kMaxSquaredNorm)) return false;  // also NaN and infinity
  if (metric == GYR_METRIC_COSINE) {
    if (squared == 0) return false;
    double inverse = 1 / std::sqrt(squared);
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

uint64_t Store::bytes() const {
  return rows.capacity() * 4 + ids.capacity() * 8 + alive.capacity() * 8 + free_slots.capacity() * 4 + map.bytes() +
         (codes ? codes->bytes() : 0);
}

}  // namespace gyr::index
