// The key-to-row engine under tables and caches. Keys are bytes (an int64 key is its 8 bytes); a row is an immutable
// block that is replaced, never changed. Readers are lock-free: one guard per call, then plain loads. Writers lock one
// of kShards shards. What readers may still see is freed by the EpochDomain.
//
// A shard is an open-addressing array of 8-byte slots: 48 bits of row pointer and 16 bits of hash, so one atomic store
// publishes, replaces or erases a row, and a slot never says half of two things. Shard and position are the top bits
// of the hash: slots lie in hash order, which is what scan() walks, before and after growth.
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

namespace gyr {

// A borrowed key with its hash.
struct KeyRef {
  const void* data;
  uint32_t size;
  uint64_t hash;
};

struct Row {
  uint64_t hash;
  uint32_t key_size;
  uint32_t size;  // of the payload

  const uint8_t* key() const { return reinterpret_cast<const uint8_t*>(this + 1); }
  const uint8_t* payload() const { return key() + align_up(key_size, 8); }
  uint8_t* payload() { return const_cast<uint8_t*>(static_cast<const Row*>(this)->payload()); }
  std::string_view key_text() const { return {reinterpret_cast<const char*>(key()), key_size}; }
  int64_t key_int() const {
    int64_t v;
    std::memcpy(&v, key(), sizeof v);
    return v;
  }
  uint64_t bytes() const { return sizeof(Row) + align_up(key_size, 8) + size; }
};
static_assert(sizeof(Row) == 16);

class KeyedRows {
 public:
  using Hash = uint64_t (*)(const void*, size_t);
  static constexpr uint32_t kShardBits = 6, kShards = 1u << kShardBits;
  static constexpr uint64_t kScanEnd = UINT64_MAX;

  struct Options {
    uint64_t expected_rows = 0;
    uint32_t prefetch_bytes = 128;  // how much of a row a batch lookup fetches ahead
    Hash hash = nullptr;            // tests: null = hash64
  };
  KeyedRows(std::pmr::memory_resource* memory, const Options& options);
  ~KeyedRows();
  KeyedRows(const KeyedRows&) = delete;
  KeyedRows& operator=(const KeyedRows&) = delete;

  KeyRef key(const int64_t* id) const { return make_key(id, sizeof *id); }
  KeyRef key(const gyr_str& s) const { return make_key(s.data, uint32_t(s.len)); }
  KeyRef key(std::string_view s) const { return make_key(s.data(), uint32_t(s.size())); }

  // Rows found under a guard stay valid until it ends. Never write through this store while holding one.
  EpochDomain::ReadGuard read() const { return epochs_.enter(); }
  const Row* find(const KeyRef& key) const;
  // out[i] = row of keys[i] or null. Works in groups, so that the cache misses of a group overlap.
  void find(const int64_t* keys, size_t n, const Row** out) const;
  void find(const gyr_str* keys, size_t n, const Row** out) const;

  // Calls merge(const Row* old) with the key's stored row or null; it returns the new row from make_row(), or null to
  // keep what is there. Other writers of the key wait meanwhile. True when a row was written. Throws bad_alloc (or
  // what merge throws) with nothing changed.
  template <class Merge>
  bool upsert(const KeyRef& key, Merge&& merge) {
    Shard& shard = shard_of(key);
    const Row* replaced;
    {
      std::lock_guard lock(shard.mutex);
      make_room(shard);
      Spot spot = locate(shard, key);
      Row* fresh = merge(spot.row);
      if (!fresh) return false;
      publish(shard, spot, fresh);
      replaced = spot.row;
    }
    if (replaced) retire(replaced);
    return true;
  }
  bool erase(const KeyRef& key);

  // An unpublished row with its key filled in; drop_row() when it is not published after all.
  Row* make_row(const KeyRef& key, uint64_t payload_size);
  void drop_row(Row* row) noexcept;

  // Rows in hash order (ties by key bytes) from hash *cursor on; moves *cursor on, to kScanEnd at the end. Needs a
  // guard. At most max_rows, unless more rows than that share one hash. A row that exists during the whole scan is
  // visited exactly once, whatever is written meanwhile; others may or may not be.
  void scan(uint64_t* cursor, size_t max_rows, std::vector<const Row*>* out) const;

  uint64_t size() const;
  uint64_t bytes() const;  // rows and slots
  EpochDomain& epochs() { return epochs_; }

 private:
  struct alignas(64) Slots {
    uint64_t log2 = 0;
    std::atomic<uint64_t>* at() { return reinterpret_cast<std::atomic<uint64_t>*>(this + 1); }
    const std::atomic<uint64_t>* at() const { return reinterpret_cast<const std::atomic<uint64_t>*>(this + 1); }
    uint64_t capacity() const { return uint64_t(1) << log2; }
    uint64_t mask() const { return capacity() - 1; }
    uint64_t home(uint64_t hash) const { return (hash << kShardBits) >> (64 - log2); }
    uint64_t bytes() const { return sizeof(Slots) + capacity() * 8; }
  };
  struct alignas(64) Shard {
    std::atomic<Slots*> slots{nullptr};
    std::mutex mutex;
    uint64_t live = 0, used = 0;  // used counts tombstones too; both under the mutex
    std::atomic<uint64_t> rows{0}, bytes{0};
  };
  struct Spot {
    Slots* slots;
    uint64_t at;
    const Row* row;  // null: `at` is where a new one goes
    bool tombstone;
  };
  static constexpr uint64_t kEmpty = 0, kTombstone = 1;

  static uint64_t pack(const Row* row) { return row->hash << 48 | reinterpret_cast<uintptr_t>(row); }
  static const Row* row_in(uint64_t slot) { return reinterpret_cast<const Row*>(slot & ((uint64_t(1) << 48) - 1)); }
  static bool tag_matches(uint64_t slot, uint64_t hash) { return slot > kTombstone && (slot ^ hash << 48) >> 48 == 0; }
  static bool same_key(const Row* row, const KeyRef& key);

  KeyRef make_key(const void* data, uint32_t size) const {
    uint64_t h = hash_ ? hash_(data, size) : knobs::table_hash(hash64(data, size));
    return {data, size, h == kScanEnd ? kScanEnd - 1 : h};  // the largest value is the scan's end
  }
  Shard& shard_of(const KeyRef& key) { return shards_[key.hash >> (64 - kShardBits)]; }
  const Shard& shard_of(const KeyRef& key) const { return shards_[key.hash >> (64 - kShardBits)]; }
  static const Row* probe(const Slots* slots, uint64_t at, const KeyRef& key);
  template <class Key>
  void find_all(const Key* keys, size_t n, const Row** out) const;
  static Spot locate(Shard& shard, const KeyRef& key);
  void make_room(Shard& shard);
  void publish(Shard& shard, const Spot& spot, const Row* fresh) noexcept;
  void retire(const Row* row);
  Slots* make_slots(uint64_t log2);
  void free_slots(Slots* slots) noexcept;
  void* allocate(uint64_t bytes, size_t align);
  static void free_row_callback(void* p, void* store);
  static void free_slots_callback(void* p, void* store);
  static void collect(const Slots* slots, uint64_t from, uint64_t to, uint64_t cursor, std::vector<const Row*>* out);

  std::pmr::memory_resource* const memory_;
  const Hash hash_;
  const uint32_t prefetch_bytes_;
  Shard shards_[kShards];
  mutable EpochDomain epochs_;  // last member: frees what is retired before the shards go
};

}  // namespace gyr
