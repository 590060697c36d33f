// Sets of ids in order of insertion: open addressing on the published hash, linear probing, at most half full.
// Serves as the counting table while fitting and as the vocabulary afterwards. No removal.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <memory_resource>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "base/knobs.h"

namespace gyr::workflow {

constexpr size_t kMaxKeys = 0xfffffff0u;

inline size_t slots_for(size_t keys) { return std::bit_ceil(std::max<size_t>(knobs::capacity(16, 2), keys * 2)); }

class IntKeys {
 public:
  using Key = int64_t;
  explicit IntKeys(std::pmr::memory_resource* memory) : slots_(memory), keys_(memory) {}

  size_t size() const { return keys_.size(); }
  Key key(size_t i) const { return keys_[i]; }
  const std::pmr::vector<int64_t>& keys() const { return keys_; }
  void prefetch(uint64_t hash) const {
    if (mask_) __builtin_prefetch(&slots_[knobs::table_hash(hash) & mask_]);
  }
  // Position of the key, or -1.
  int64_t find(Key key, uint64_t hash) const {
    if (!mask_) return -1;
    for (size_t s = knobs::table_hash(hash) & mask_;; s = (s + 1) & mask_) {
      const Slot& slot = slots_[s];
      if (slot.place == 0) return -1;
      if (slot.key == key) return int64_t(slot.place) - 1;
    }
  }
  // Position of the key, which is size() before the call when it is new.
  size_t insert(Key key, uint64_t hash) {
    int64_t found = find(key, hash);
    if (found >= 0) return size_t(found);
    if ((keys_.size() + 1) * 2 > slots_.size()) reserve(std::max<size_t>(8, keys_.size() * 2));
    keys_.push_back(key);
    put(&slots_, key, hash, uint32_t(keys_.size()));
    return keys_.size() - 1;
  }
  // Afterwards the set holds n keys without allocating.
  void reserve(size_t n) {
    keys_.reserve(n);
    if (slots_for(n) <= slots_.size()) return;
    std::pmr::vector<Slot> bigger(slots_for(n), Slot{}, slots_.get_allocator());
    mask_ = bigger.size() - 1;
    for (size_t i = 0; i < keys_.size(); i++) put(&bigger, keys_[i], hash64(keys_[i]), uint32_t(i + 1));
    slots_ = std::move(bigger);
  }
  void reserve_for(const IntKeys& other) { reserve(size() + other.size()); }

 private:
  struct Slot {
    int64_t key = 0;
    uint32_t place = 0;  // position + 1; 0 = free
  };
  void put(std::pmr::vector<Slot>* slots, Key key, uint64_t hash, uint32_t place) const {
    size_t s = knobs::table_hash(hash) & mask_;
    while ((*slots)[s].place) s = (s + 1) & mask_;
    (*slots)[s] = {key, place};
  }
  std::pmr::vector<Slot> slots_;
  std::pmr::vector<int64_t> keys_;
  size_t mask_ = 0;
};

class StringKeys {
 public:
  using Key = std::string_view;
  explicit StringKeys(std::pmr::memory_resource* memory) : slots_(memory), chars_(memory), ends_(memory) {}

  size_t size() const { return ends_.size(); }
  Key key(size_t i) const {
    uint64_t begin = i ? ends_[i - 1] : 0;
    return {chars_.data() + begin, size_t(ends_[i] - begin)};
  }
  const std::pmr::vector<char>& chars() const { return chars_; }
  const std::pmr::vector<uint64_t>& ends() const { return ends_; }
  void prefetch(uint64_t hash) const {
    if (mask_) __builtin_prefetch(&slots_[knobs::table_hash(hash) & mask_]);
  }
  int64_t find(Key key, uint64_t hash) const {
    if (!mask_) return -1;
    uint32_t tag = uint32_t(hash >> 32);
    for (size_t s = knobs::table_hash(hash) & mask_;; s = (s + 1) & mask_) {
      const Slot& slot = slots_[s];
      if (slot.place == 0) return -1;
      if (slot.tag == tag && this->key(slot.place - 1) == key) return int64_t(slot.place) - 1;
    }
  }
  size_t insert(Key key, uint64_t hash) {
    int64_t found = find(key, hash);
    if (found >= 0) return size_t(found);
    if ((ends_.size() + 1) * 2 > slots_.size()) reserve(std::max<size_t>(8, ends_.size() * 2), 0);
    chars_.insert(chars_.end(), key.begin(), key.end());
    ends_.push_back(chars_.size());
    put(&slots_, hash, uint32_t(ends_.size()));
    return ends_.size() - 1;
  }
  void reserve(size_t n, size_t bytes) {
    ends_.reserve(n);
    if (bytes) chars_.reserve(bytes);
    if (slots_for(n) <= slots_.size()) return;
    std::pmr::vector<Slot> bigger(slots_for(n), Slot{}, slots_.get_allocator());
    mask_ = bigger.size() - 1;
    for (size_t i = 0; i < ends_.size(); i++) put(&bigger, hash64(key(i)), uint32_t(i + 1));
    slots_ = std::move(bigger);
  }
  void reserve_for(const StringKeys& other) { reserve(size() + other.size(), chars_.size() + other.chars_.size()); }

 private:
  struct Slot {
    uint32_t tag = 0;    // upper half of the hash: spares most comparisons
    uint32_t place = 0;  // position + 1; 0 = free
  };
  void put(std::pmr::vector<Slot>* slots, uint64_t hash, uint32_t place) const {
    size_t s = knobs::table_hash(hash) & mask_;
    while ((*slots)[s].place) s = (s + 1) & mask_;
    (*slots)[s] = {uint32_t(hash >> 32), place};
  }
  std::pmr::vector<Slot> slots_;
  std::pmr::vector<char> chars_;
  std::pmr::vector<uint64_t> ends_;
  size_t mask_ = 0;
};

}  // namespace gyr::workflow
