// One walk through a graph: its memory and its pool of candidates.
#pragma once

#include <cstring>
#include <span>

#include "index/diverse.h"
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

// Puts a candidate into the n best, of which `kept` at most are kept. Returns where; `kept` when it is none of them.
[[gnu::always_inline]] inline size_t insert_ranked(Candidate* pool, uint32_t* n_pool, uint32_t kept, float score,
                                                   uint32_t slot) {
  if (*n_pool == kept && score <= pool[*n_pool - 1].score) return kept;
  size_t position = 0;  // a search without branches, as no guess at them is good
  for (size_t n = *n_pool; n > 0; n -= std::max<size_t>(n / 2, 1)) {
    const size_t half = n / 2;
    position += (half + (n == 1)) & -size_t(pool[position + half - (n > 1)].score >= score);
  }
  const size_t moved = std::min<size_t>(*n_pool, kept - 1) - position;
  std::memmove(&pool[position + 1], &pool[position], moved * sizeof(Candidate));
  pool[position] = {score, slot};
  *n_pool += *n_pool < kept;
  return position;
}

// The best slots that a walk under a filter may return. The walk is over once `wanted` of them are better than all that
// is left to expand: the same rule as that of a walk without a filter, whose pool they would be.
class Best {
 public:
  explicit Best(std::pmr::memory_resource* m) : list_(Aligned<Candidate>(m)) {}
  void reset(uint32_t wanted, uint32_t kept) {
    wanted_ = wanted;
    kept_ = std::max(wanted, kept);
    n_ = 0;
    if (list_.size() <= kept_) list_.resize(size_t(kept_) + 1);
  }
  bool takes(float score) const { return n_ < kept_ || score > list_[n_ - 1].score; }
  void offer(float score, uint32_t slot) { insert_ranked(list_.data(), &n_, kept_, score, slot); }
  bool better_than(float score) const { return n_ >= wanted_ && list_[wanted_ - 1].score > score; }
  std::span<const Candidate> all() const { return {list_.data(), n_}; }

 private:
  Array<Candidate> list_;
  uint32_t wanted_ = 0, kept_ = 0, n_ = 0;
};

struct Walk {
  explicit Walk(std::pmr::memory_resource* m)
      : query(m),
        visited(m),
        pool(Aligned<Candidate>(m)),
        at(Aligned<uint32_t>(m)),
        scores(Aligned<float>(m)),
        dots(Aligned<int32_t>(m)) {}
  // Makes all memory ready that a walk with these numbers takes.
  void reserve(const Store& store, uint32_t kept, uint32_t at_once) {
    visited.reset(store, size_t(kept) * 32 + at_once);
    if (pool.size() <= kept) pool.resize(size_t(kept) + 1);
    if (at.size() < at_once) at.resize(at_once);
    scores.resize(std::max<size_t>(scores.size(), at_once));
    dots.resize(std::max<size_t>(dots.size(), at_once));
  }
  // Keeps the `kept` best, and where to go on.
  void offer(float score, uint32_t slot) {
    const size_t position = insert_ranked(pool.data(), &n_pool, kept, score, slot);
    next = std::min(next, position);
  }

  CodeQuery query;
  bool l2 = false;
  uint32_t effort = 0, kept = 0;  // how many of the best are expanded; are kept, at least as many
  Visited visited;
  Array<Candidate> pool;  // [n_pool], best first
  uint32_t n_pool = 0;
  size_t next = 0;    // nothing before it is left to expand
  bool over = false;  // under a filter: found what it was to find
  uint64_t scored = 0;
  Array<uint32_t> at;  // [n_at], whose scores are wanted, on their way
  uint32_t n_at = 0;
  Array<float> scores;
  Array<int32_t> dots;
};

}  // namespace gyr::index
