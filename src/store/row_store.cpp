#include "store/row_store.h"

#include <algorithm>
#include <bit>

#include "base/error.h"

namespace gyr {
namespace {

constexpr uint64_t kMinLog2 = 4;
constexpr size_t kSlotAlign = 64, kRowAlign = 8;
constexpr size_t kGroup = 64;  // keys whose misses overlap

bool before(const Row* a, const Row* b) {
  if (a->hash != b->hash) return a->hash < b->hash;
  return a->key_text() < b->key_text();
}
bool equal_keys(const Row* a, const Row* b) { return a->hash == b->hash && a->key_text() == b->key_text(); }

KeyRef key_at(const KeyedRows& store, const int64_t* keys, size_t i) { return store.key(&keys[i]); }
KeyRef key_at(const KeyedRows& store, const gyr_str* keys, size_t i) { return store.key(keys[i]); }

}  // namespace

KeyedRows::KeyedRows(std::pmr::memory_resource* memory, const Options& options)
    : memory_(memory), hash_(options.hash), prefetch_bytes_(options.prefetch_bytes) {
  // 3/4 full at most, and shards are never quite even.
  uint64_t per_shard = options.expected_rows / kShards;
  uint64_t log2 =
      std::clamp<uint64_t>(uint64_t(std::bit_width(per_shard + per_shard / 2)), knobs::capacity(kMinLog2, 2), 40);
  try {
    for (auto& s : shards_) s.slots.store(make_slots(log2), std::memory_order_relaxed);
  } catch (...) {
    for (auto& s : shards_)
      if (auto* slots = s.slots.load(std::memory_order_relaxed)) free_slots(slots);
    throw;
  }
}

KeyedRows::~KeyedRows() {
  for (auto& s : shards_) {
    Slots* slots = s.slots.load(std::memory_order_acquire);
    for (uint64_t i = 0; i < slots->capacity(); i++) {
      uint64_t slot = slots->at()[i].load(std::memory_order_relaxed);
      if (slot > kTombstone) drop_row(const_cast<Row*>(row_in(slot)));
    }
    free_slots(slots);
  }
}

bool KeyedRows::same_key(const Row* row, const KeyRef& key) {
  return row->hash == key.hash && row->key_size == key.size &&
         (key.size == 0 || std::memcmp(row->key(), key.data, key.size) == 0);
}

const Row* KeyedRows::probe(const Slots* slots, uint64_t at, const KeyRef& key) {
  for (uint64_t steps = slots->capacity(); steps > 0; steps--, at = (at + 1) & slots->mask()) {
    uint64_t slot = slots->at()[at].load(std::memory_order_acquire);
    if (slot == kEmpty) return nullptr;
    if (tag_matches(slot, key.hash) && same_key(row_in(slot), key)) return row_in(slot);
  }
  return nullptr;
}

const Row* KeyedRows::find(const KeyRef& key) const {
  const Slots* slots = shard_of(key).slots.load(std::memory_order_acquire);
  return probe(slots, slots->home(key.hash), key);
}

template <class Key>
void KeyedRows::find_all(const Key* keys, size_t n, const Row** out) const {
  struct Probe {
    KeyRef key;
    const Slots* slots;
    uint64_t at;
  } probes[kGroup];
  const size_t group = knobs::capacity(kGroup);
  for (size_t base = 0; base < n; base += group) {
    size_t m = std::min(group, n - base);
    for (size_t i = 0; i < m; i++) {
      Probe& p = probes[i];
      p.key = key_at(*this, keys, base + i);
      p.slots = shard_of(p.key).slots.load(std::memory_order_acquire);
      p.at = p.slots->home(p.key.hash);
      __builtin_prefetch(&p.slots->at()[p.at]);
    }
    for (size_t i = 0; i < m; i++) {  // first slot with the key's 16 hash bits: nearly always the one
      Probe& p = probes[i];
      const Row* row = nullptr;
      for (uint64_t steps = p.slots->capacity(); steps > 0; steps--, p.at = (p.at + 1) & p.slots->mask()) {
        uint64_t slot = p.slots->at()[p.at].load(std::memory_order_acquire);
        if (slot == kEmpty) break;
        if (!tag_matches(slot, p.key.hash)) continue;
        row = row_in(slot);
        for (uint32_t b = 0; b < prefetch_bytes_; b += 64) __builtin_prefetch(reinterpret_cast<const char*>(row) + b);
        break;
      }
      out[base + i] = row;
    }
    for (size_t i = 0; i < m; i++) {
      Probe& p = probes[i];
      const Row*& row = out[base + i];
      if (row && !same_key(row, p.key)) row = probe(p.slots, (p.at + 1) & p.slots->mask(), p.key);
    }
  }
}

void KeyedRows::find(const int64_t* keys, size_t n, const Row** out) const { find_all(keys, n, out); }
void KeyedRows::find(const gyr_str* keys, size_t n, const Row** out) const { find_all(keys, n, out); }

KeyedRows::Spot KeyedRows::locate(Shard& shard, const KeyRef& key) {
  Slots* slots = shard.slots.load(std::memory_order_relaxed);
  Spot spot{slots, UINT64_MAX, nullptr, false};
  for (uint64_t at = slots->home(key.hash);; at = (at + 1) & slots->mask()) {  // make_room() left an empty slot
    uint64_t slot = slots->at()[at].load(std::memory_order_relaxed);
    if (slot == kTombstone && spot.at == UINT64_MAX) spot.at = at, spot.tombstone = true;
    if (slot == kEmpty) {
      if (spot.at == UINT64_MAX) spot.at = at;
      return spot;
    }
    if (tag_matches(slot, key.hash) && same_key(row_in(slot), key)) return {slots, at, row_in(slot), false};
  }
}

// Growth: a new array is filled aside and published; readers inside go on with the old one.
void KeyedRows::make_room(Shard& shard) {
  Slots* old = shard.slots.load(std::memory_order_relaxed);
  if (shard.used + 1 <= old->capacity() / 4 * 3) return;
  // Mostly tombstones: the same size will do.
  Slots* fresh = make_slots(shard.live + 1 > old->capacity() / 2 ? old->log2 + 1 : old->log2);
  for (uint64_t i = 0; i < old->capacity(); i++) {
    uint64_t slot = old->at()[i].load(std::memory_order_relaxed);
    if (slot <= kTombstone) continue;
    uint64_t at = fresh->home(row_in(slot)->hash);
    while (fresh->at()[at].load(std::memory_order_relaxed) != kEmpty) at = (at + 1) & fresh->mask();
    fresh->at()[at].store(slot, std::memory_order_relaxed);
  }
  shard.used = shard.live;
  shard.slots.store(fresh, std::memory_order_release);
  epochs_.retire(old, free_slots_callback, this);
}

void KeyedRows::publish(Shard& shard, const Spot& spot, const Row* fresh) noexcept {
  spot.slots->at()[spot.at].store(pack(fresh), std::memory_order_release);
  if (!spot.row) {
    shard.live++;
    if (!spot.tombstone) shard.used++;
  }
  shard.rows.store(shard.live, std::memory_order_relaxed);
  shard.bytes.fetch_add(fresh->bytes() - (spot.row ? spot.row->bytes() : 0), std::memory_order_relaxed);
}

void KeyedRows::retire(const Row* row) { epochs_.retire(const_cast<Row*>(row), free_row_callback, this); }

bool KeyedRows::erase(const KeyRef& key) {
  Shard& shard = shard_of(key);
  Spot spot;
  {
    std::lock_guard lock(shard.mutex);
    Slots* slots = shard.slots.load(std::memory_order_relaxed);
    if (shard.live == 0 || !probe(slots, slots->home(key.hash), key)) return false;
    spot = locate(shard, key);
    spot.slots->at()[spot.at].store(kTombstone, std::memory_order_release);
    shard.live--;
    shard.rows.store(shard.live, std::memory_order_relaxed);
    shard.bytes.fetch_sub(spot.row->bytes(), std::memory_order_relaxed);
  }
  retire(spot.row);
  return true;
}

// What readers no longer see still counts against the budget until it is freed: wait for that before giving up.
void* KeyedRows::allocate(uint64_t bytes, size_t align) {
  try {
    return memory_->allocate(bytes, align);
  } catch (const BudgetExceeded&) {
    if (epochs_.waiting() == 0) throw;
  }
  epochs_.synchronize();
  return memory_->allocate(bytes, align);
}

Row* KeyedRows::make_row(const KeyRef& key, uint64_t payload_size) {
  if (payload_size > UINT32_MAX) throw std::bad_alloc();
  uint64_t bytes = sizeof(Row) + align_up(key.size, 8) + payload_size;
  void* p = allocate(bytes, kRowAlign);
  if (reinterpret_cast<uintptr_t>(p) >> 48) {  // only a host allocator with exotic addresses gets here
    memory_->deallocate(p, bytes, kRowAlign);
    throw std::bad_alloc();
  }
  auto* row = new (p) Row{key.hash, key.size, uint32_t(payload_size)};
  if (key.size) {
    auto* at = const_cast<uint8_t*>(row->key());
    std::memset(at + align_up(key.size, 8) - 8, 0, 8);
    std::memcpy(at, key.data, key.size);
  }
  return row;
}

void KeyedRows::drop_row(Row* row) noexcept { memory_->deallocate(row, row->bytes(), kRowAlign); }

KeyedRows::Slots* KeyedRows::make_slots(uint64_t log2) {
  uint64_t bytes = sizeof(Slots) + (uint64_t(8) << log2);
  auto* slots = new (allocate(bytes, kSlotAlign)) Slots{log2};
  for (uint64_t i = 0; i < slots->capacity(); i++) new (&slots->at()[i]) std::atomic<uint64_t>(kEmpty);
  return slots;
}

void KeyedRows::free_slots(Slots* slots) noexcept { memory_->deallocate(slots, slots->bytes(), kSlotAlign); }

void KeyedRows::free_row_callback(void* p, void* store) {
  static_cast<KeyedRows*>(store)->drop_row(static_cast<Row*>(p));
}
void KeyedRows::free_slots_callback(void* p, void* store) {
  static_cast<KeyedRows*>(store)->free_slots(static_cast<Slots*>(p));
}

// Rows whose home is in [from, to) and whose hash is >= cursor: they lie between slot `from` and the first empty slot
// at or after `to`.
void KeyedRows::collect(const Slots* slots, uint64_t from, uint64_t to, uint64_t cursor, std::vector<const Row*>* out) {
  uint64_t at = from;
  for (uint64_t step = 0; step < slots->capacity(); step++, at = (at + 1) & slots->mask()) {
    uint64_t slot = slots->at()[at].load(std::memory_order_acquire);
    if (slot == kEmpty && from + step >= to) return;
    if (slot <= kTombstone) continue;
    const Row* row = row_in(slot);
    uint64_t home = slots->home(row->hash);
    if (home >= from && home < to && row->hash >= cursor) out->push_back(row);
  }
}

void KeyedRows::scan(uint64_t* cursor, size_t max_rows, std::vector<const Row*>* out) const {
  out->clear();
  max_rows = std::max<size_t>(max_rows, 1);
  while (*cursor != kScanEnd && out->size() < max_rows) {
    uint64_t shard = *cursor >> (64 - kShardBits);
    const Slots* slots = shards_[shard].slots.load(std::memory_order_acquire);
    uint64_t from = slots->home(*cursor);
    uint64_t to = std::min(slots->capacity(), from + std::max<uint64_t>(64, max_rows - out->size()));
    size_t begin = out->size();
    collect(slots, from, to, *cursor, out);
    std::sort(out->begin() + ptrdiff_t(begin), out->end(), before);
    // A key erased and inserted again meanwhile may have been met in both places.
    out->erase(std::unique(out->begin() + ptrdiff_t(begin), out->end(), equal_keys), out->end());
    if (out->size() <= max_rows) {
      if (to < slots->capacity())
        *cursor = shard << (64 - kShardBits) | to << (64 - kShardBits - slots->log2);
      else
        *cursor = shard + 1 < kShards ? (shard + 1) << (64 - kShardBits) : kScanEnd;
      continue;
    }
    // Stop before a hash whose rows do not all fit; one that never fits goes out whole.
    size_t end = max_rows;
    while (end > begin && (*out)[end]->hash == (*out)[end - 1]->hash) end--;
    if (end == 0)
      while (end < out->size() && (*out)[end]->hash == (*out)[0]->hash) end++;
    *cursor = end < out->size() ? (*out)[end]->hash : (*out)[end - 1]->hash + 1;
    out->resize(end);
    return;
  }
}

uint64_t KeyedRows::size() const {
  uint64_t n = 0;
  for (auto& s : shards_) n += s.rows.load(std::memory_order_relaxed);
  return n;
}

uint64_t KeyedRows::bytes() const {
  auto guard = read();
  uint64_t n = sizeof(KeyedRows);
  for (auto& s : shards_)
    n += s.bytes.load(std::memory_order_relaxed) + s.slots.load(std::memory_order_acquire)->bytes();
  return n;
}

}  // namespace gyr
