#include "index/id_map.h"

#include <bit>

#include "base/hash.h"
#include "base/knobs.h"

namespace gyr::index {

// Two thirds full at most, and never full.
uint64_t IdMap::size_of(uint64_t n) { return std::max<uint64_t>(knobs::capacity(16, 4), n + n / 2 + 1); }

IdMap::Place IdMap::place(int64_t id) const {
  const uint64_t hash = knobs::table_hash(mix64(uint64_t(id)));
  const auto home = uint64_t((static_cast<unsigned __int128>(hash) * words_.size()) >> 64);
  return {home, uint32_t(hash << slot_bits_)};  // of the low bits: the home is made of the high ones
}

void IdMap::reserve(uint64_t n, const int64_t* ids) {
  const uint64_t size = size_of(n);
  if (size <= words_.size()) return;
  Array<uint32_t> words(size, kNone, words_.get_allocator());
  words.swap(words_);
  const uint32_t mask = slot_mask();
  slot_bits_ = uint32_t(std::bit_width(size));  // a slot is below two thirds of the size: no word becomes kNone
  for (uint32_t word : words)
    if (word != kNone) insert(ids[word & mask], word & mask);
}

bool IdMap::fill(std::span<const int64_t> ids, std::span<const uint64_t> slots) {
  bool fresh = true;
  each_bit(slots, [&](uint32_t slot) {
    uint32_t& word = words_[find_word(ids[slot], ids.data())];
    fresh &= word == kNone;
    if (word == kNone) word = place(ids[slot]).tag | slot;
  });
  return fresh;
}

bool IdMap::adopt(Array<uint32_t> words, std::span<const int64_t> ids, std::span<const uint64_t> alive) {
  words_ = std::move(words);
  slot_bits_ = uint32_t(std::bit_width(words_.size()));
  const uint32_t mask = slot_mask();
  bool good = words_.size() > ids.size(), empty = false;
  for (uint32_t word : words_) {
    empty |= word == kNone;
    good &= word == kNone || (word & mask) < ids.size();
  }
  good = good && empty;
  constexpr uint64_t kSample = 64;
  for (uint64_t i = 0; good && i < kSample; i++) {
    const uint64_t slot = i * ids.size() / kSample;
    if (slot < ids.size() && alive[slot >> 6] >> (slot & 63) & 1) good = find(ids[slot], ids.data()) == slot;
  }
  return good;
}

uint64_t IdMap::find_word(int64_t id, const int64_t* ids) const {
  const Place p = place(id);
  const uint32_t mask = slot_mask();
  for (uint64_t i = p.home;; i = after(i)) {
    const uint32_t word = words_[i];
    if (word == kNone || ((word & ~mask) == p.tag && ids[word & mask] == id)) return i;
  }
}

uint32_t IdMap::find(int64_t id, const int64_t* ids) const {
  if (words_.empty()) return kNone;
  const uint32_t word = words_[find_word(id, ids)];
  return word == kNone ? kNone : word & slot_mask();
}

void IdMap::find_many(const int64_t* wanted, uint64_t n, const int64_t* ids, uint32_t* out) const {
  constexpr uint64_t kAtOnce = 16;
  for (uint64_t first = 0; first < n; first += kAtOnce) {
    const uint64_t end = words_.empty() ? first : std::min(first + kAtOnce, n);
    for (uint64_t i = first; i < end; i++) __builtin_prefetch(&words_[place(wanted[i]).home]);
    for (uint64_t i = first; i < end; i++) {
      const uint32_t word = words_[place(wanted[i]).home];
      if (word != kNone) __builtin_prefetch(&ids[word & slot_mask()]);
    }
    for (uint64_t i = first; i < std::min(first + kAtOnce, n); i++) out[i] = find(wanted[i], ids);
  }
}

void IdMap::insert(int64_t id, uint32_t slot) {
  const Place p = place(id);
  uint64_t i = p.home;
  while (words_[i] != kNone) i = after(i);
  words_[i] = p.tag | slot;
}

void IdMap::erase(int64_t id, const int64_t* ids) {
  uint64_t hole = find_word(id, ids);
  for (uint64_t i = after(hole); words_[i] != kNone; i = after(i)) {
    // An entry may fill the hole when its home is not between the hole and itself.
    if (distance(place(ids[words_[i] & slot_mask()]).home, i) < distance(hole, i)) continue;
    words_[hole] = words_[i];
    hole = i;
  }
  words_[hole] = kNone;
}

}  // namespace gyr::index
