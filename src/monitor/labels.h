// Joins outcomes with what was served, and keeps the windows from which AUC and hit rate are taken.
#pragma once

#include <cmath>
#include <cstdint>
#include <deque>
#include <memory_resource>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/error.h"

namespace gyr {

struct LabelOptions {
  int64_t window = 500, min_labels = 250, delay_us = 86400'000'000, capacity = 100000;
};

struct LabelCounts {
  uint64_t served = 0, joined = 0, assumed_negative = 0, late = 0, unknown = 0, repeated = 0, dropped = 0;
};

class LabelJoin {
 public:
  LabelJoin(const LabelOptions& options, std::pmr::memory_resource* memory);
  Status served(uint64_t request, const int64_t* items, const float* scores, uint64_t n, int64_t time_us);
  Status label(uint64_t request, int64_t item, uint32_t label, int64_t time_us);
  // Requests older than the delay: items without an outcome become label 0.
  void close(int64_t now_us);
  // The AUC when there are more than min_labels samples of both classes, else the last one (NaN: never any).
  // *fresh: whether it was computed now.
  Status auc(double* out, bool* fresh);
  double hit_rate() const;  // NaN when no request was closed
  void clear_samples() { samples_.clear(); }

  const LabelCounts& counts() const { return counts_; }
  uint64_t pending_items() const { return pending_items_; }
  uint64_t samples() const { return samples_.size(); }
  uint64_t requests() const { return hits_.size(); }

 private:
  struct Item {
    int64_t id;
    float score;
    bool done;
  };
  struct Request {
    using allocator_type = std::pmr::polymorphic_allocator<Item>;
    explicit Request(const allocator_type& a) : items(a) {}
    Request(Request&& o, const allocator_type& a)
        : time_us(o.time_us), left(o.left), hit(o.hit), items(std::move(o.items), a) {}
    int64_t time_us = 0;
    uint64_t left = 0;
    bool hit = false;
    std::pmr::vector<Item> items;
  };
  using Pending = std::pmr::unordered_map<uint64_t, Request>;
  using ByTime = std::pmr::set<std::pair<int64_t, uint64_t>>;
  void finish(Pending::iterator it);
  void drop_oldest() noexcept;
  void forget(Pending::iterator it) noexcept;
  void remember_closed(uint64_t id) noexcept;
  void trim() noexcept;

  LabelOptions options_;
  Pending pending_;
  ByTime by_time_;
  std::pmr::unordered_set<uint64_t> closed_;  // the last `capacity` closed or dropped ids, to tell late from unknown
  std::pmr::deque<uint64_t> closed_order_;
  std::pmr::deque<std::pair<float, uint8_t>> samples_;
  std::pmr::deque<uint8_t> hits_;
  uint64_t pending_items_ = 0;
  double last_auc_ = std::nan("");
  LabelCounts counts_;
};

}  // namespace gyr
