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

// The k best hits: a heap with the worst on top.
class TopK {
 public:
  explicit TopK(std::pmr::memory_resource* memory) : hits_(Aligned<Hit>(memory)) {}
  void reset(uint32_t k) {
    hits_.clear();
    hits_.reserve(k);
    k_ = k;
    bar_ = -INFINITY;
  }
  // The score that a hit must at least have; checked before the rest is looked up.
  float bar() const { return bar_; }
  void offer(float score, int64_t id) {
    Hit hit{score, id};
    if (hits_.size() == k_) {
      if (!better(hit, hits_.front())) return;
      std::pop_heap(hits_.begin(), hits_.end(), better);
      hits_.back() = hit;
    } else {
      hits_.push_back(hit);
    }
    std::push_heap(hits_.begin(), hits_.end(), better);
    if (hits_.size() == k_) bar_ = hits_.front().score;
  }
  uint32_t size() const { return uint32_t(hits_.size()); }
  // Sorts and writes the hits; the rest becomes id -1, score NaN.
  void finish(int64_t* ids, float* scores, uint32_t* count);

 private:
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
Status scan(const Store& store, const float* query, const Allowed& allowed, TopK* top, const gyr_task* task);

}  // namespace gyr::index
