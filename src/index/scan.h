// What a query may return, its k best so far, and the exact scan.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>

#include "index/index.h"
#include "index/store.h"

namespace gyr::index {

struct Hit {
  float score;
  int64_t id;
};
inline bool better(const Hit& a, const Hit& b) { return a.score > b.score || (a.score == b.score && a.id < b.id); }

// The k best hits. They gather in a buffer of twice k, whose worse half is dropped when it is full: for the hundreds of
// candidates of a retrieval stage that is some three times cheaper than a heap.
class TopK {
 public:
  explicit TopK(std::pmr::memory_resource* memory) : hits_(Aligned<Hit>(memory)) {}
  void reset(uint32_t k) {
    hits_.clear();
    hits_.reserve(2 * size_t(k) + kSlack);
    k_ = k;
    bar_ = -INFINITY;
  }
  // The score that a hit must at least have; checked before the rest is looked up.
  float bar() const { return bar_; }
  void offer(float score, int64_t id) {
    if (!(score >= bar_)) return;  // nor NaN: a damaged file's vectors are not looked at before
    hits_.push_back({score, id});
    if (hits_.size() == 2 * size_t(k_) + kSlack) shrink();
  }
  // Of the k best, in any order.
  template <class Use>
  void each(Use&& use) {
    shrink();
    for (const Hit& hit : hits_) use(hit);
  }
  uint32_t k() const { return k_; }
  uint32_t size() const { return uint32_t(std::min<size_t>(hits_.size(), k_)); }
  // Sorts and writes the hits; the rest becomes id -1, score NaN.
  void finish(int64_t* ids, float* scores, uint32_t* count);

 private:
  static constexpr size_t kSlack = 64;
  void shrink() {
    if (hits_.size() <= k_) return;
    std::nth_element(hits_.begin(), hits_.begin() + (k_ - 1), hits_.end(), better);
    hits_.resize(k_);
    bar_ = hits_.back().score;
  }
  Array<Hit> hits_;
  uint32_t k_ = 0;
  float bar_ = 0;
};

// A set of slots that empties in O(1): a slot is in it when its mark is the current round.
class Marks {
 public:
  explicit Marks(std::pmr::memory_resource* memory) : marks_(Aligned<uint16_t>(memory)) {}
  void reset(const Store& store) {
    if (marks_.size() < store.ids.capacity()) {  // capacity: grows seldom, and a writer knows it beforehand
      marks_.assign(store.ids.capacity(), 0);
      round_ = 0;
    }
    if (++round_ == 0) {
      std::fill(marks_.begin(), marks_.end(), 0);
      round_ = 1;
    }
  }
  bool has(uint32_t slot) const { return marks_[slot] == round_; }
  // True when it was not in the set.
  bool add(uint32_t slot) {
    if (marks_[slot] == round_) return false;
    marks_[slot] = round_;
    return true;
  }

 private:
  Array<uint16_t> marks_;
  uint16_t round_ = 0;
};

// Bits over slots, set = allowed; slots beyond them are not.
struct Bitmap {
  const uint64_t* words = nullptr;
  uint64_t bits = 0;
  uint64_t word(uint64_t w) const {
    if (w * 64 >= bits) return 0;
    return bits - w * 64 < 64 ? words[w] & ((uint64_t(1) << (bits - w * 64)) - 1) : words[w];
  }
};

// Which slots one query may return: those of all its bitmaps.
struct Allowed {
  static constexpr uint32_t kMost = 3;  // a caller's, a prepared one, a list's
  const Store* store = nullptr;
  const Marks* excluded = nullptr;
  Bitmap maps[kMost];
  uint32_t n_maps = 0;

  void narrow(Bitmap map) { maps[n_maps++] = map; }
  uint64_t word(uint64_t w) const {
    uint64_t bits = store->alive[w];
    for (uint32_t i = 0; i < n_maps; i++) bits &= maps[i].word(w);
    return bits;
  }
  bool unfiltered(uint32_t slot) const { return word(slot >> 6) >> (slot & 63) & 1; }
  bool operator()(uint32_t slot) const { return unfiltered(slot) && !(excluded && excluded->has(slot)); }
  uint64_t count() const;  // without `excluded`
};

// Goes through the slots that may be returned, a block at a time: a list where there is one, else in memory's order.
class Blocks {
 public:
  Blocks(const Allowed& allowed, std::span<const uint32_t> few) : allowed_(allowed), few_(few) {}
  // Fills at[most] and says how many they are; 0 at the end. `most`: whole words. What is excluded is among them.
  uint32_t next(uint32_t* at, uint32_t most);

 private:
  const Allowed& allowed_;
  std::span<const uint32_t> few_;
  uint64_t next_ = 0;
};

constexpr uint32_t kBlock = 256;  // rows scored at a time

// Scores every allowed slot by its vector; few: a list of them, or empty. Checks the task every kBlock * 64 rows.
Status scan(const Store& store, const VectorQuery& query, const Allowed& allowed, std::span<const uint32_t> few,
            TopK* top, const gyr_task* task);

}  // namespace gyr::index
