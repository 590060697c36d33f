// The key-to-row engine under tables and caches. Keys are int64 or bytes; a row is an immutable block that is replaced,
// never changed. Readers are lock-free: one guard per call, then plain loads. Writers lock one of kShards shards. What
// readers may still see is freed by the EpochDomain. Shard and place in it are the top bits of the hash.
//
// Batches are read in four waves over groups of keys, so that cache misses overlap: hash and ask for the buckets; probe
// and ask for the rows, or for the next bucket where the first one is full of others; probe there; hand the rows out.
// While one group is handed out the next three are on their way.
#pragma once

#include <gyr/base.h>

#include <atomic>
#include <cstring>
#include <memory_resource>
#include <mutex>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "base/knobs.h"
#include "base/math.h"
#include "exec/epoch.h"
#include "store/arena.h"
#include "store/buckets.h"

namespace gyr {

// A borrowed key with its hash and its word (store/buckets.h).
struct KeyRef {
  const void* data;
  uint32_t size;
  uint64_t hash;
  uint64_t word;
};

// A row that scan() met.
struct StoredRow {
  uint64_t hash;
  uint64_t word;
  const uint8_t* block;
  const uint8_t* payload;
  uint8_t mark;
  int64_t key_int() const { return int64_t(word); }
  std::string_view key_text() const;
};

class KeyedRows {
 public:
  using Hash = uint64_t (*)(const void*, size_t);
  enum class KeyKind : uint8_t { kInt, kBytes };
  static constexpr uint32_t kShardBits = 6, kShards = 1u << kShardBits;
  static constexpr uint64_t kScanEnd = UINT64_MAX;
  static constexpr size_t kGroup = 32;

  struct Options {
    KeyKind keys = KeyKind::kInt;
    uint64_t expected_rows = 0;
    uint32_t row_bytes = 0;         // of every payload, 0 = they differ; int keys only
    uint32_t prefetch_bytes = 128;  // how much of a row a batch lookup fetches ahead
    Hash hash = nullptr;            // tests: null = hash64
  };
  KeyedRows(std::pmr::memory_resource* memory, const Options& options);
  ~KeyedRows();
  KeyedRows(const KeyedRows&) = delete;
  KeyedRows& operator=(const KeyedRows&) = delete;

  KeyRef key(const int64_t* id) const { return {id, sizeof *id, hash_of(id, sizeof *id), uint64_t(*id)}; }
  KeyRef key(const gyr_str& s) const { return byte_key(s.data, uint32_t(s.len)); }
  KeyRef key(std::string_view s) const { return byte_key(s.data(), uint32_t(s.size())); }

  // Payloads found under a guard stay valid until it ends. Never write through this store while holding one.
  EpochDomain::ReadGuard read() const { return epochs_.enter(); }
  const uint8_t* find(const KeyRef& key) const;
  // Calls use(first, m, const uint8_t* const* payloads) for keys[first, first + m) in order; null = no such row. `Key`
  // is int64_t or gyr_str, as the store's keys are.
  template <class Key, class Use>
  void find(const Key* keys, size_t n, Use&& use) const {
    find(keys, n, use, NoTouch());
  }

  // Marks: 8 bits of every row's, beside its ref (RowArena::mark), which the store keeps and gives no meaning to. A row
  // is published with the mark in its NewRow's ref; readers may change it, see Mark.
  struct Mark {
    std::atomic<uint64_t>* at;
    uint64_t ref;
    uint8_t value() const { return RowArena::mark(ref); }
    // Lost when the row is another one by now, or the mark was changed meanwhile.
    void change(uint8_t to) const {
      uint64_t expected = ref, bits = uint64_t(to) << RowArena::kMarkShift;
      at->compare_exchange_strong(expected, (ref & ~kMarkBits) | bits, std::memory_order_relaxed);
    }
  };
  // The same with touch(Mark, hash) for every row found; int keys.
  template <class Key, class Use, class Touch>
  void find(const Key* keys, size_t n, Use&& use, const Touch& touch) const;
  // The key's mark, or -1 when there is no such row.
  int mark(const KeyRef& key) const;

  // A walk over rows in hash order, around and around: over all of them, or over one shard's while there are any. Every
  // shard remembers how far it was walked. For the only writer.
  struct Hand {
    uint64_t way[kShards] = {};
    uint32_t shard = 0;
    bool stays = false;  // in the shard
  };
  static void seek(Hand* hand, uint64_t hash) {
    hand->shard = uint32_t(hash >> (64 - kShardBits));
    hand->stays = true;
  }
  static void walk_all(Hand* hand) { hand->stays = false; }
  struct Met {
    uint64_t word;
    Mark mark;
  };
  // The next row; false when there is none.
  bool walk(Hand* hand, Met* out);

  // An unpublished row; what merge functions return. No ref = none.
  struct NewRow {
    uint64_t ref = 0;
    uint8_t* payload = nullptr;
  };
  // Calls merge(const uint8_t* old) with the key's stored payload or null; it returns the new row from make_row(), or
  // none to keep what is there. Other writers of the key wait meanwhile. True when a row was written. Throws bad_alloc
  // (or what merge throws) with nothing changed.
  template <class Merge>
  bool upsert(const KeyRef& key, Merge&& merge) {
    Shard& shard = shard_of(key.hash);
    uint64_t replaced;
    {
      std::lock_guard lock(shard.mutex);
      Spot spot = locate(key);
      if (spot.ref == kEmpty && make_room(key.hash)) spot = locate(key);
      NewRow fresh = merge(spot.row() ? payload_of(spot.ref) : nullptr);
      if (!fresh.ref) return false;
      publish(shard, spot, key, fresh.ref);
      if (!spot.row()) return true;
      replaced = spot.ref;
    }
    retire(replaced, key.hash);
    return true;
  }
  // Calls may(const uint8_t* row) with the key's payload or null, other writers of the key waiting; a row that it says
  // true to is erased. True when one was.
  template <class May>
  bool erase_if(const KeyRef& key, May&& may) {
    Shard& shard = shard_of(key.hash);
    Spot spot;
    {
      std::lock_guard lock(shard.mutex);
      spot = locate(key);
      if (!may(spot.row() ? payload_of(spot.ref) : nullptr) || !spot.row()) return false;
      spot.at->store(kErased, std::memory_order_release);
      shard.rows.store(--shard.live, std::memory_order_relaxed);
    }
    retire(spot.ref, key.hash);
    return true;
  }
  bool erase(const KeyRef& key) {
    return erase_if(key, [](const uint8_t*) { return true; });
  }
  // Asks for what upserts of the keys will touch: their buckets, and with `rows` the rows they may replace.
  void prefetch(const KeyRef* keys, size_t n, bool rows) const;

  // A row with its key filled in; drop_row() when it is not published after all.
  NewRow make_row(const KeyRef& key, uint64_t payload_size);
  void drop_row(const KeyRef& key, const NewRow& row) noexcept { arena_.free(shard_number(key.hash), row.ref); }

  // Rows in hash order (ties by key) from hash *cursor on; moves *cursor on, to kScanEnd at the end. Needs a guard. At
  // most max_rows, unless more rows than that share one hash. A row that exists during the whole scan is visited
  // exactly once, whatever is written meanwhile; others may or may not be.
  void scan(uint64_t* cursor, size_t max_rows, std::vector<StoredRow>* out) const;

  // About what bytes() will be with so many rows written one by one, each of `block` bytes, key of bytes included;
  // spread: block is a mean.
  static uint64_t estimate(uint64_t rows, uint64_t block, bool spread);

  uint64_t size() const;
  uint64_t bytes() const;  // rows, room for more, and buckets
  EpochDomain& epochs() { return epochs_; }

 private:
  // Of writers; what readers need lies apart (heads_), so that a writer's lock takes no line from them.
  struct alignas(64) Shard {
    std::mutex mutex;
    uint64_t live = 0, used = 0;  // used counts erased ways too; both under the mutex
    std::atomic<uint64_t> rows{0};
    KeyedRows* store = nullptr;
  };
  struct Spot {
    std::atomic<uint64_t>*word, *at;  // of the way
    uint64_t ref;
    bool row() const { return ref > kErased; }
  };
  struct Probe {
    uint64_t head, at, word, hash;
    Bucket& bucket() const { return Buckets::of(head).first[at]; }
  };

  struct NoTouch {};
  static constexpr uint64_t kMarkBits = uint64_t(0xff) << RowArena::kMarkShift;

  uint64_t hash_of(const void* data, size_t size) const {
    uint64_t h = hash_ ? hash_(data, size) : knobs::table_hash(hash64(data, size));
    return h == kScanEnd ? kScanEnd - 1 : h;  // the largest value is the scan's end
  }
  KeyRef byte_key(const char* data, uint32_t size) const {
    uint64_t h = hash_of(data, size);
    return {data, size, h, h};
  }
  uint64_t hash_of_word(uint64_t word) const { return bytes_ ? word : hash_of(&word, sizeof word); }
  static uint32_t shard_number(uint64_t hash) { return uint32_t(hash >> (64 - kShardBits)); }
  Shard& shard_of(uint64_t hash) { return shards_[shard_number(hash)]; }
  uint64_t head_of(uint64_t hash) const { return heads_[shard_number(hash)].load(std::memory_order_acquire); }
  Buckets buckets_of(uint64_t hash) const { return Buckets::of(head_of(hash)); }

  // A byte key lies before its payload: its size, then itself.
  static uint64_t key_room(uint32_t size) { return align_up(sizeof(uint32_t) + size, 8); }
  const uint8_t* payload_of(uint64_t ref) const {
    const uint8_t* block = RowArena::block(ref);
    if (!bytes_) return block;
    uint32_t size;
    std::memcpy(&size, block, sizeof size);
    return block + key_room(size);
  }
  bool same_key(uint64_t ref, const KeyRef& key) const;
  // The row's ref from bucket `at` on, or kEmpty. find_word(): of any row with the word.
  uint64_t find_ref(const Buckets& buckets, uint64_t at, const KeyRef& key) const;
  static Mark find_way(const Buckets& buckets, uint64_t at, uint64_t word);
  static uint64_t find_word(const Buckets& buckets, uint64_t at, uint64_t word) {
    return find_way(buckets, at, word).ref;
  }
  static Mark find_here(const Bucket& bucket, uint64_t word);
  Spot locate(const KeyRef& key) const;
  bool make_room(uint64_t hash);
  void publish(Shard& shard, const Spot& spot, const KeyRef& key, uint64_t ref) noexcept;
  void retire(uint64_t ref, uint64_t hash);
  Bucket* take_buckets(uint64_t count);
  Buckets make_buckets(uint64_t count);
  void free_buckets(Buckets buckets) noexcept;
  template <class Allocate>
  auto within_budget(Allocate&& allocate);
  static void free_block_callback(void* ref, void* shard);
  static void free_buckets_callback(void* head, void* store);
  void collect(const Buckets& buckets, uint64_t from, uint64_t to, uint64_t cursor, std::vector<StoredRow>* out) const;

  std::pmr::memory_resource* const memory_;
  const Hash hash_;
  const bool bytes_;
  const uint32_t row_bytes_, prefetch_bytes_;
  RowArena arena_;
  alignas(64) std::atomic<uint64_t> heads_[kShards] = {};  // Buckets::head(); 0 = none
  Shard shards_[kShards];
  // All shards' first arrays are one stretch, so that huge pages fit it; it goes when the last shard has outgrown its
  // own.
  Buckets initial_{};
  std::atomic<uint32_t> initial_users_{0};
  std::atomic<uint64_t> bucket_bytes_{0}, retired_bytes_{0};
  mutable EpochDomain epochs_;  // last member: frees what is retired before the rest goes
};

// Where the word is in this bucket, without a branch per way: which one it is cannot be predicted.
inline KeyedRows::Mark KeyedRows::find_here(const Bucket& b, uint64_t word) {
  uint32_t equal = 0;
#pragma GCC unroll 4
  for (uint32_t w = 0; w < Bucket::kWays; w++)
    equal |= uint32_t(b.word[w].load(std::memory_order_relaxed) == word) << w;
  if (!equal) return {nullptr, kEmpty};
  auto w = uint32_t(__builtin_ctz(equal));
  uint64_t ref = b.ref[w].load(std::memory_order_acquire);
  // The word is looked at again after the ref: an empty way's word, 0, could be the key, and another's a moment later.
  if (ref <= kErased || b.word[w].load(std::memory_order_relaxed) != word) return {nullptr, kErased};
  return {const_cast<std::atomic<uint64_t>*>(&b.ref[w]), ref};
}

template <class Key, class Use, class Touch>
void KeyedRows::find(const Key* keys, size_t n, Use&& use, [[maybe_unused]] const Touch& touch) const {
  constexpr bool kInt = std::is_same_v<Key, int64_t>;
  constexpr size_t kWaves = 4;
  Probe probes[kWaves][kGroup];
  uint64_t refs[kWaves][kGroup];
  uint8_t later[kWaves][kGroup];
  size_t n_later[kWaves];
  const uint8_t* rows[kGroup];
  static_assert(kGroup <= 256);
  const size_t group = knobs::capacity(kGroup), groups = (n + group - 1) / group;
  auto count = [&](size_t g) { return g + 1 < groups ? group : n - g * group; };
  auto found = [&](const Probe& p, const Mark& mark, uint64_t* ref) {
    *ref = mark.ref;
    if (!mark.at) return;
    if constexpr (!std::is_same_v<Touch, NoTouch>) touch(mark, p.hash);
    const auto* block = RowArena::block(mark.ref);
    for (uint32_t b = 0; b < prefetch_bytes_; b += 64) __builtin_prefetch(block + b);
  };
  for (size_t step = 0; step < groups + kWaves - 1; step++) {
    if (size_t g = step; g < groups) {
      Probe* p = probes[g % kWaves];
      for (size_t i = 0, m = count(g); i < m; i++, p++) {
        const KeyRef ref = [&] {
          if constexpr (kInt)
            return key(&keys[g * group + i]);
          else
            return key(keys[g * group + i]);
        }();
        const uint64_t head = head_of(ref.hash);
        *p = {head, Buckets::of(head).home(ref.hash, kShardBits), ref.word, ref.hash};
        __builtin_prefetch(&p->bucket());
      }
    }
    if (size_t g = step - 1; g < groups) {
      Probe* p = probes[g % kWaves];
      uint64_t* ref = refs[g % kWaves];
      size_t open = 0;
      for (size_t i = 0, m = count(g); i < m; i++, p++, ref++) {
        // Byte keys: whoever has this hash; nearly always the one.
        const Bucket& bucket = p->bucket();
        Mark mark = find_here(bucket, p->word);
        if (!mark.at && mark.ref == kErased)
          mark = find_way(Buckets::of(p->head), p->at, p->word);  // another with this word?
        else if (!mark.at && bucket.full()) {
          p->at = Buckets::of(p->head).next(p->at);
          __builtin_prefetch(&p->bucket());
          later[g % kWaves][open++] = uint8_t(i);
        }
        found(*p, mark, ref);
      }
      n_later[g % kWaves] = open;
    }
    if (size_t g = step - 2; g < groups) {
      for (size_t j = 0; j < n_later[g % kWaves]; j++) {
        size_t i = later[g % kWaves][j];
        const Probe& p = probes[g % kWaves][i];
        found(p, find_way(Buckets::of(p.head), p.at, p.word), &refs[g % kWaves][i]);
      }
    }
    if (size_t g = step - 3; g < groups) {
      const uint64_t* ref = refs[g % kWaves];
      size_t m = count(g);
      for (size_t i = 0; i < m; i++) {
        uint64_t r = ref[i];
        if constexpr (!kInt) {
          const Probe& p = probes[g % kWaves][i];
          const gyr_str& s = keys[g * group + i];
          const KeyRef wanted{s.data, uint32_t(s.len), p.hash, p.word};
          const Buckets buckets = Buckets::of(p.head);
          if (r != kEmpty && !same_key(r, wanted)) r = find_ref(buckets, buckets.home(p.hash, kShardBits), wanted);
        }
        rows[i] = r != kEmpty ? payload_of(r) : nullptr;
      }
      use(g * group, m, static_cast<const uint8_t* const*>(rows));
    }
  }
}

}  // namespace gyr
