// One walk through a graph: its memory and its pool of candidates.
#pragma once

#include "index/ranked.h"
#include "index/scan.h"

namespace gyr::index {

// The slots that a walk has reached. It empties by forgetting them one by one, or all when they are too many to list.
class Visited {
 public:
  explicit Visited(std::pmr::memory_resource* m) : bits_(Aligned<uint64_t>(m)), listed_(Aligned<uint32_t>(m)) {}
  // listed: about how many it will be.
  void reset(const Store& store, size_t listed) {
    if (count_ > listed_.size())
      std::fill(bits_.begin(), bits_.end(), 0);
    else
      for (size_t i = 0; i < count_; i++) bits_[listed_[i] >> 6] = 0;
    count_ = 0;
    const size_t words = (store.ids.capacity() + 63) / 64;  // capacity: grows seldom, and a writer knows it beforehand
    if (bits_.size() < words) bits_.resize(words);
    listed = std::min(listed, words);
    if (listed_.size() < listed) listed_.resize(listed);
  }
  // Moves those of [0, n) that were not reached before to the front, and says how many they are. Whether one was is a
  // coin's toss: no branch depends on it.
  uint32_t add(uint32_t* slots, uint32_t n) {
    uint32_t fresh = 0;
    for (uint32_t i = 0; i < n; i++) {
      const uint32_t slot = slots[i];
      uint64_t& word = bits_[slot >> 6];
      const uint64_t was = word, bit = uint64_t(1) << (slot & 63);
      word = was | bit;
      slots[fresh] = slot;
      fresh += (was & bit) == 0;
    }
    if (count_ + fresh <= listed_.size()) std::copy_n(slots, fresh, listed_.begin() + ptrdiff_t(count_));
    count_ += fresh;
    return fresh;
  }

 private:
  Array<uint64_t> bits_;
  Array<uint32_t> listed_;
  size_t count_ = 0;  // more than are listed: the list is not whole
};

// The best slots that a walk under a filter may return. The walk is over once `wanted` of them are better than all that
// is left to expand: the same rule as that of a walk without a filter, whose pool they would be.
class Best {
 public:
  explicit Best(std::pmr::memory_resource* m) : list_(m) {}
  void reset(uint32_t wanted, uint32_t kept) {
    wanted_ = wanted;
    list_.reset(std::max(wanted, kept), 1);
  }
  bool takes(float score) const { return list_.size() < list_.most() || score > list_.score(list_.size() - 1); }
  void offer(float score, uint32_t slot) { list_.offer(&score, &slot, 1); }
  bool better_than(float score) const { return list_.size() >= wanted_ && list_.score(wanted_ - 1) > score; }
  const Ranked& all() const { return list_; }

 private:
  Ranked list_;
  uint32_t wanted_ = 0;
};

struct Walk {
  explicit Walk(std::pmr::memory_resource* m)
      : query(m),
        here(m),
        visited(m),
        pool(m),
        at(Aligned<uint32_t>(m)),
        scores(Aligned<float>(m)),
        dots(Aligned<int32_t>(m)) {}
  // Makes all memory ready that a walk with these numbers takes.
  void reserve(const Store& store, uint32_t kept, uint32_t at_once) {
    visited.reset(store, size_t(kept) * 32 + at_once);
    here.values.reserve(kernels::code_stride(store.dim));
    pool.reserve(kept, at_once);
    if (at.size() < at_once) at.resize(at_once);
    scores.resize(std::max<size_t>(scores.size(), at_once));
    dots.resize(std::max<size_t>(dots.size(), at_once));
  }
  // The first n of `at`, with their scores.
  void offer(uint32_t n) {
    const int64_t best = pool.offer(scores.data(), at.data(), n);
    while (next > 0 && pool[next - 1] <= best) next--;
  }

  CodeQuery query;
  CodeQuery here;  // scratch
  bool l2 = false;
  uint32_t effort = 0;  // how many of the best are expanded
  uint32_t level = 0;   // only hubs of it or a higher one are looked at; 0: all
  bool astray = false;  // the best hubs were not those of the query's group
  Visited visited;
  Ranked pool;        // slots, marked once their links have been followed
  size_t next = 0;    // nothing before it is left to expand
  bool over = false;  // under a filter: found what it was to find
  uint64_t scored = 0;
  Array<uint32_t> at;  // [n_at], whose scores are wanted, on their way
  uint32_t n_at = 0;
  Array<float> scores;
  Array<int32_t> dots;
};

}  // namespace gyr::index
