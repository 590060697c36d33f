#include "store/row_store.h"

#include <algorithm>

#include "base/error.h"
#include "exec/huge_pages.h"

namespace gyr {
namespace {

constexpr uint64_t kSmallestCount = 2;   // buckets of a shard
constexpr uint64_t kDoubleBelow = 1024;  // buckets; larger arrays grow by a quarter, so that little is spare
constexpr uint64_t kRetiredShare = 50;   // retired rows: this part of the store, or the number below
constexpr uint64_t kRetiredBytes = uint64_t(4) << 20;
constexpr int64_t kRetireWaitNs = 1'000'000;

// Ways in use at most, erased ones included: at least one way stays empty, which ends every probe.
uint64_t most_used(uint64_t ways) { return ways * 4 / 5; }

bool before(const StoredRow& a, const StoredRow& b, bool bytes) {
  if (a.hash != b.hash) return a.hash < b.hash;
  return bytes ? a.key_text() < b.key_text() : a.word < b.word;
}
bool same(const StoredRow& a, const StoredRow& b, bool bytes) {
  return a.hash == b.hash && (bytes ? a.key_text() == b.key_text() : a.word == b.word);
}
size_t array_align(uint64_t bytes) { return huge_align(bytes, alignof(Bucket)); }

}  // namespace

std::string_view StoredRow::key_text() const {
  uint32_t size;
  std::memcpy(&size, block, sizeof size);
  return {reinterpret_cast<const char*>(block) + sizeof size, size};
}

KeyedRows::KeyedRows(std::pmr::memory_resource* memory, const Options& options)
    : memory_(memory),
      hash_(options.hash),
      bytes_(options.keys == KeyKind::kBytes),
      row_bytes_(options.row_bytes),
      prefetch_bytes_(options.prefetch_bytes),
      arena_(memory, options.row_bytes) {
  // 3/4 full at most; shards are never quite even.
  uint64_t per_shard = std::min(options.expected_rows, uint64_t(1) << 40) / kShards;
  uint64_t count = std::max(per_shard / 3 + 1, knobs::capacity(kSmallestCount));
  count = Buckets::rounded(count);
  Bucket* first = take_buckets(count * kShards);
  initial_ = {first, count * kShards};
  initial_users_.store(kShards, std::memory_order_relaxed);
  for (uint32_t i = 0; i < kShards; i++) {
    shards_[i].store = this;
    heads_[i].store(Buckets{first + i * count, count}.head(), std::memory_order_relaxed);
  }
}

KeyedRows::~KeyedRows() {
  for (auto& head : heads_) {
    const Buckets buckets = Buckets::of(head.load(std::memory_order_acquire));
    for (uint64_t w = 0; !row_bytes_ && w < buckets.ways(); w++) {  // blocks of the usual sizes go with the arena
      uint64_t ref = buckets.first[w / Bucket::kWays].ref[w % Bucket::kWays].load(std::memory_order_relaxed);
      if (RowArena::is_large(ref)) arena_.free(0, ref);
    }
    free_buckets(buckets);
  }
}

bool KeyedRows::same_key(uint64_t ref, const KeyRef& key) const {
  if (!bytes_) return true;  // the word is the key
  const uint8_t* block = RowArena::block(ref);
  uint32_t size;
  std::memcpy(&size, block, sizeof size);
  return size == key.size && (size == 0 || std::memcmp(block + sizeof size, key.data, size) == 0);
}

// From bucket `at` on. A mark is no part of what the store promises its readers.
KeyedRows::Mark KeyedRows::find_way(const Buckets& buckets, uint64_t at, uint64_t word) {
  for (uint64_t steps = buckets.count; steps > 0; steps--, at = buckets.next(at)) {
    const Bucket& b = buckets.first[at];
    for (uint32_t w = 0; w < Bucket::kWays; w++) {
      if (b.word[w].load(std::memory_order_relaxed) != word) continue;
      uint64_t ref = b.ref[w].load(std::memory_order_acquire);
      if (ref > kErased && b.word[w].load(std::memory_order_relaxed) == word)
        return {const_cast<std::atomic<uint64_t>*>(&b.ref[w]), ref};
    }
    if (!b.full()) break;
  }
  return {nullptr, kEmpty};
}

int KeyedRows::mark(const KeyRef& key) const {
  auto guard = read();
  const Buckets buckets = buckets_of(key.hash);
  Mark mark = find_way(buckets, buckets.home(key.hash, kShardBits), key.word);
  return mark.at ? mark.value() : -1;
}

bool KeyedRows::walk(Hand* hand, Met* out) {
  for (uint32_t shards = 0; shards <= kShards; shards++) {
    Shard& shard = shards_[hand->shard];
    const Buckets buckets = Buckets::of(heads_[hand->shard].load(std::memory_order_relaxed));
    for (uint64_t& way = hand->way[hand->shard];; way = 0) {
      for (; way < buckets.ways(); way++) {
        Bucket& b = buckets.first[way / Bucket::kWays];
        auto& at = b.ref[way % Bucket::kWays];
        uint64_t ref = at.load(std::memory_order_relaxed);
        if (ref <= kErased) continue;
        *out = {b.word[way % Bucket::kWays].load(std::memory_order_relaxed), {&at, ref}};
        way++;
        return true;
      }
      if (!hand->stays || shard.rows.load(std::memory_order_relaxed) == 0) break;
    }
    hand->way[hand->shard] = 0;
    hand->shard = (hand->shard + 1) % kShards;
  }
  return false;
}

uint64_t KeyedRows::find_ref(const Buckets& buckets, uint64_t at, const KeyRef& key) const {
  if (!bytes_) return find_word(buckets, at, key.word);
  for (uint64_t steps = buckets.count; steps > 0; steps--, at = buckets.next(at)) {
    const Bucket& b = buckets.first[at];
    for (uint32_t w = 0; w < Bucket::kWays; w++) {
      if (b.word[w].load(std::memory_order_relaxed) != key.word) continue;
      uint64_t ref = b.ref[w].load(std::memory_order_acquire);
      if (ref > kErased && same_key(ref, key)) return ref;
    }
    if (!b.full()) break;
  }
  return kEmpty;
}

const uint8_t* KeyedRows::find(const KeyRef& key) const {
  const Buckets buckets = buckets_of(key.hash);
  uint64_t ref = find_ref(buckets, buckets.home(key.hash, kShardBits), key);
  return ref != kEmpty ? payload_of(ref) : nullptr;
}

void KeyedRows::prefetch(const KeyRef* keys, size_t n, bool rows) const {
  if (n < 2) return;
  auto guard = read();
  for (size_t i = 0; i < n; i++) {
    const Buckets buckets = buckets_of(keys[i].hash);
    __builtin_prefetch(&buckets.first[buckets.home(keys[i].hash, kShardBits)], 1);
  }
  for (size_t i = 0; rows && i < n; i++) {
    const Buckets buckets = buckets_of(keys[i].hash);
    uint64_t ref = find_word(buckets, buckets.home(keys[i].hash, kShardBits), keys[i].word);
    if (ref == kEmpty) continue;
    for (uint32_t b = 0; b < prefetch_bytes_; b += 64) __builtin_prefetch(RowArena::block(ref) + b);
  }
}

// The key's way; else an erased one of the same word; else the first empty one.
KeyedRows::Spot KeyedRows::locate(const KeyRef& key) const {
  const Buckets buckets = buckets_of(key.hash);
  Spot erased{};
  for (uint64_t at = buckets.home(key.hash, kShardBits);; at = buckets.next(at)) {  // there is always an empty way
    Bucket& b = buckets.first[at];
    for (uint32_t w = 0; w < Bucket::kWays; w++) {
      uint64_t ref = b.ref[w].load(std::memory_order_relaxed);
      if (ref == kEmpty) return erased.at ? erased : Spot{&b.word[w], &b.ref[w], kEmpty};
      if (b.word[w].load(std::memory_order_relaxed) != key.word) continue;
      if (ref == kErased)
        erased = {&b.word[w], &b.ref[w], kErased};
      else if (same_key(ref, key))
        return {&b.word[w], &b.ref[w], ref};
    }
  }
}

// Room for one more way; true when the array is another one. A new array is filled aside and published; readers inside
// go on with the old one. Rows are met, and placed, in hash order: both arrays are walked once from front to back.
bool KeyedRows::make_room(uint64_t hash) {
  Shard& shard = shard_of(hash);
  auto& head = heads_[shard_number(hash)];
  const Buckets old = Buckets::of(head.load(std::memory_order_relaxed));
  if (shard.used + 1 <= most_used(old.ways())) return false;
  uint64_t count = old.count;  // mostly erased ways: the same size will do
  if (shard.live + 1 > old.ways() * 3 / 5) count += count < knobs::capacity(kDoubleBelow) ? count : count / 4 + 1;
  const Buckets fresh = make_buckets(count);
  for (uint64_t way = 0; way < old.ways(); way++) {
    const Bucket& from = old.first[way / Bucket::kWays];
    uint64_t ref = from.ref[way % Bucket::kWays].load(std::memory_order_relaxed);
    if (ref <= kErased) continue;
    uint64_t word = from.word[way % Bucket::kWays].load(std::memory_order_relaxed);
    uint64_t at = fresh.home(hash_of_word(word), kShardBits);
    while (fresh.first[at].full()) at = fresh.next(at);
    Bucket& to = fresh.first[at];
    uint32_t w = 0;
    while (to.ref[w].load(std::memory_order_relaxed) != kEmpty) w++;
    to.word[w].store(word, std::memory_order_relaxed);
    to.ref[w].store(ref, std::memory_order_relaxed);
  }
  shard.used = shard.live;
  head.store(fresh.head(), std::memory_order_release);
  epochs_.retire(reinterpret_cast<void*>(old.head()), free_buckets_callback, this);
  return true;
}

void KeyedRows::publish(Shard& shard, const Spot& spot, const KeyRef& key, uint64_t ref) noexcept {
  if (spot.ref == kEmpty) {
    spot.word->store(key.word, std::memory_order_relaxed);
    shard.used++;
  }
  spot.at->store(ref, std::memory_order_release);
  if (!spot.row()) shard.rows.store(++shard.live, std::memory_order_relaxed);
}

// Readers that linger must not let replaced rows pile up.
void KeyedRows::retire(uint64_t ref, uint64_t hash) {
  uint64_t size = arena_.block_bytes(ref);
  uint64_t waiting = retired_bytes_.fetch_add(size, std::memory_order_relaxed) + size;
  epochs_.retire(reinterpret_cast<void*>(ref), free_block_callback, &shard_of(hash));
  if (waiting > std::max(kRetiredBytes, arena_.bytes() / kRetiredShare)) epochs_.synchronize_for(kRetireWaitNs);
}

void KeyedRows::free_block_callback(void* ref, void* at) {
  auto* shard = static_cast<Shard*>(at);
  KeyedRows& store = *shard->store;
  auto r = reinterpret_cast<uint64_t>(ref);
  store.retired_bytes_.fetch_sub(store.arena_.block_bytes(r), std::memory_order_relaxed);
  store.arena_.free(uint32_t(shard - store.shards_), r);
}

// What readers no longer see still counts against the budget until it is freed: wait for that before giving up.
template <class Allocate>
auto KeyedRows::within_budget(Allocate&& allocate) {
  try {
    return allocate();
  } catch (const BudgetExceeded&) {
    if (epochs_.waiting() == 0) throw;
  }
  epochs_.synchronize();
  return allocate();
}

KeyedRows::NewRow KeyedRows::make_row(const KeyRef& key, uint64_t payload_size) {
  if (payload_size > UINT32_MAX) throw std::bad_alloc();
  uint64_t room = bytes_ ? key_room(key.size) : 0;
  uint64_t ref = within_budget([&] { return arena_.allocate(shard_number(key.hash), room + payload_size); });
  uint8_t* block = RowArena::block(ref);
  if (bytes_) {
    std::memcpy(block, &key.size, sizeof key.size);
    if (key.size) std::memcpy(block + sizeof key.size, key.data, key.size);
  }
  return {ref, block + room};
}

Bucket* KeyedRows::take_buckets(uint64_t count) {
  const uint64_t bytes = count * sizeof(Bucket);
  void* p = within_budget([&] { return memory_->allocate(bytes, array_align(bytes)); });
  if ((reinterpret_cast<uintptr_t>(p) + bytes) >> 48) {  // as in RowArena
    memory_->deallocate(p, bytes, array_align(bytes));
    throw std::bad_alloc();
  }
  advise_huge(p, bytes);
  auto* first = static_cast<Bucket*>(p);
  for (uint64_t i = 0; i < count; i++) new (&first[i]) Bucket{};
  bucket_bytes_.fetch_add(bytes, std::memory_order_relaxed);
  return first;
}

Buckets KeyedRows::make_buckets(uint64_t count) {
  count = Buckets::rounded(count);
  return {take_buckets(count), count};
}

void KeyedRows::free_buckets(Buckets buckets) noexcept {
  // Without users the stretch is gone, and another array may lie there.
  if (initial_users_.load(std::memory_order_acquire) > 0 && buckets.first >= initial_.first &&
      buckets.first < initial_.first + initial_.count) {
    if (initial_users_.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
    buckets = initial_;
  }
  bucket_bytes_.fetch_sub(buckets.bytes(), std::memory_order_relaxed);
  memory_->deallocate(buckets.first, buckets.bytes(), array_align(buckets.bytes()));
}
void KeyedRows::free_buckets_callback(void* head, void* store) {
  static_cast<KeyedRows*>(store)->free_buckets(Buckets::of(reinterpret_cast<uint64_t>(head)));
}

// Rows whose home is in [from, to) and whose hash is >= cursor: they lie between bucket `from` and the first bucket at
// or after `to` that is not full.
void KeyedRows::collect(const Buckets& buckets, uint64_t from, uint64_t to, uint64_t cursor,
                        std::vector<StoredRow>* out) const {
  uint64_t at = from;
  for (uint64_t step = 0; step < buckets.count; step++, at = buckets.next(at)) {
    const Bucket& b = buckets.first[at];
    for (uint32_t w = 0; w < Bucket::kWays; w++) {
      uint64_t ref = b.ref[w].load(std::memory_order_acquire);
      if (ref <= kErased) continue;
      uint64_t word = b.word[w].load(std::memory_order_relaxed), hash = hash_of_word(word);
      uint64_t home = buckets.home(hash, kShardBits);
      if (home >= from && home < to && hash >= cursor)
        out->push_back({hash, word, RowArena::block(ref), payload_of(ref), RowArena::mark(ref)});
    }
    if (from + step + 1 >= to && !b.full()) return;
  }
}

void KeyedRows::scan(uint64_t* cursor, size_t max_rows, std::vector<StoredRow>* out) const {
  out->clear();
  max_rows = std::max<size_t>(max_rows, 1);
  while (*cursor != kScanEnd && out->size() < max_rows) {
    uint64_t shard = *cursor >> (64 - kShardBits);
    const Buckets buckets = Buckets::of(heads_[shard].load(std::memory_order_acquire));
    uint64_t from = buckets.home(*cursor, kShardBits);
    uint64_t to = std::min(buckets.count, from + std::max<uint64_t>(16, (max_rows - out->size()) / Bucket::kWays));
    auto begin = ptrdiff_t(out->size());
    collect(buckets, from, to, *cursor, out);
    std::sort(out->begin() + begin, out->end(), [&](auto& a, auto& b) { return before(a, b, bytes_); });
    // A key erased and inserted again meanwhile may have been met in both places.
    out->erase(std::unique(out->begin() + begin, out->end(), [&](auto& a, auto& b) { return same(a, b, bytes_); }),
               out->end());
    if (out->size() <= max_rows) {
      if (to < buckets.count)
        *cursor = shard << (64 - kShardBits) | buckets.first_hash(to, kShardBits);
      else
        *cursor = shard + 1 < kShards ? (shard + 1) << (64 - kShardBits) : kScanEnd;
      continue;
    }
    // Stop before a hash whose rows do not all fit; one that never fits goes out whole.
    size_t end = max_rows;
    while (end > size_t(begin) && (*out)[end].hash == (*out)[end - 1].hash) end--;
    if (end == 0)
      while (end < out->size() && (*out)[end].hash == (*out)[0].hash) end++;
    *cursor = end < out->size() ? (*out)[end].hash : (*out)[end - 1].hash + 1;
    out->resize(end);
    return;
  }
}

uint64_t KeyedRows::estimate(uint64_t rows, uint64_t block, bool spread) {
  uint64_t count = kSmallestCount, most = (rows + kShards - 1) / kShards;
  while (most > most_used(count * Bucket::kWays)) count += count < kDoubleBelow ? count : count / 4 + 1;
  uint64_t blocks;
  if (__builtin_mul_overflow(rows, RowArena::block_bytes_of(block, spread), &blocks)) return UINT64_MAX;
  blocks += std::min(blocks / 128, UINT64_MAX - blocks);  // chunks are a 64th of what there is
  uint64_t index = kShards * count * sizeof(Bucket) + sizeof(KeyedRows);
  return blocks > UINT64_MAX - index ? UINT64_MAX : blocks + index;
}

uint64_t KeyedRows::size() const {
  uint64_t n = 0;
  for (auto& s : shards_) n += s.rows.load(std::memory_order_relaxed);
  return n;
}

uint64_t KeyedRows::bytes() const {
  return sizeof(KeyedRows) + arena_.bytes() + bucket_bytes_.load(std::memory_order_relaxed);
}

}  // namespace gyr
