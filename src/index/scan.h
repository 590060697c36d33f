// What a query may return, its k best so far, and the exact scan.
#pragma once

#include <algorithm>
#include <cmath>

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
    if (score < bar_) return;
    hits_.push_back({score, id});
    if (hits_.size() == 2 * size_t(k_) + kSlack) shrink();
  }
  // Of the k best, in any order.
  template <class Use>
  void each(Use&& use) {
    shrink();
    for (const Hit& hit : hits_) use(hit);
  }
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

// Which slots one query may return.
struct Allowed {
  const Store* store;
  const uint64_t* filter = nullptr;
  uint64_t filter_bits = 0;
  const Marks* excluded = nullptr;

  uint64_t word(uint64_t w) const {
    uint64_t bits = store->alive[w];
    if (!filter) return bits;
    if (w * 64 >= filter_bits) return 0;
    bits &= filter[w];
    return filter_bits - w * 64 < 64 ? bits & ((uint64_t(1) << (filter_bits - w * 64)) - 1) : bits;
  }
  bool unfiltered(uint32_t slot) const { return word(slot >> 6) >> (slot & 63) & 1; }
  bool operator()(uint32_t slot) const { return unfiltered(slot) && !(excluded && excluded->has(slot)); }
  uint64_t count() const;  // without `excluded`
};

constexpr uint32_t kBlock = 256;  // rows scored at a time

// Scores every allowed slot. Checks the task every kBlock * 64 rows.
Status scan(const Store& store, const VectorQuery& query, const Allowed& allowed, TopK* top, const gyr_task* task);

}  // namespace gyr::index
