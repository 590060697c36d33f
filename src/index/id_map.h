// id -> slot. The ids themselves are where the slots say; the table holds slots only, and what bits of their words are
// left over hold part of the id's hash, so that a look at another id's entry seldom costs a look at that id.
#pragma once

#include <cstdint>

#include "index/codes.h"

namespace gyr::index {

// Open addressing with linear probing and backward-shift deletion; insertion after reserve() cannot fail. `ids`: by
// slot, right for every slot in the map.
class IdMap {
 public:
  explicit IdMap(std::pmr::memory_resource* memory) : words_(Aligned<uint32_t>(memory)) {}
  void reserve(uint64_t n, const int64_t* ids);  // n slots, all of them below n
  bool has_room(uint64_t n) const { return size_of(n) <= words_.size(); }
  uint32_t find(int64_t id, const int64_t* ids) const;  // kNone when absent
  // out[i] = find(wanted[i]), their memory asked for together.
  void find_many(const int64_t* wanted, uint64_t n, const int64_t* ids, uint32_t* out) const;
  void insert(int64_t id, uint32_t slot);      // absent before
  void erase(int64_t id, const int64_t* ids);  // present before
  // Takes the ids of the slots whose bits are set; room is reserved. False: one of them was there before.
  [[nodiscard]] bool fill(std::span<const int64_t> ids, std::span<const uint64_t> slots);
  // A table that came from a file. False when it cannot be that of these ids; it is looked through as far as it takes
  // for finding not to go astray.
  bool adopt(Array<uint32_t> words, std::span<const int64_t> ids, std::span<const uint64_t> alive);
  const Array<uint32_t>& words() const { return words_; }
  uint64_t bytes() const { return words_.capacity() * 4; }
  static uint64_t bytes_of(uint64_t n) { return size_of(n) * 4; }

 private:
  struct Place {
    uint64_t home;
    uint32_t tag;  // in the bits above a slot's
  };
  static uint64_t size_of(uint64_t n);
  Place place(int64_t id) const;
  uint32_t slot_mask() const { return uint32_t((uint64_t(1) << slot_bits_) - 1); }
  uint64_t after(uint64_t i) const { return i + 1 == words_.size() ? 0 : i + 1; }
  uint64_t distance(uint64_t from, uint64_t to) const { return to >= from ? to - from : to + words_.size() - from; }
  uint64_t find_word(int64_t id, const int64_t* ids) const;  // or of an empty word

  Array<uint32_t> words_;  // kNone = empty
  uint32_t slot_bits_ = 32;
};

}  // namespace gyr::index
