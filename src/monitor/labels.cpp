#include "monitor/labels.h"

#include <algorithm>

#include "data/metrics.h"

namespace gyr {

LabelJoin::LabelJoin(const LabelOptions& options, std::pmr::memory_resource* memory)
    : options_(options),
      pending_(memory),
      by_time_(memory),
      closed_(memory),
      closed_order_(memory),
      samples_(memory),
      hits_(memory) {}

Status LabelJoin::served(uint64_t request, const int64_t* items, const float* scores, uint64_t n, int64_t time_us) {
  if (n > uint64_t(options_.capacity))
    return fail(GYR_E_INVALID_ARGUMENT, "monitor", "n: %llu items are more than pending_capacity (%lld)",
                (unsigned long long)n, (long long)options_.capacity);
  for (uint64_t i = 0; i < n; i++)
    if (!std::isfinite(scores[i]))
      return fail(GYR_E_INVALID_ARGUMENT, "monitor", "scores[%llu] is not finite", (unsigned long long)i);
  if (pending_.contains(request))
    return fail(GYR_E_INVALID_ARGUMENT, "monitor", "request %llu was noted as served already",
                (unsigned long long)request);
  if (n == 0) return {};
  close(time_us);
  // All memory first: once requests are dropped for this one, nothing can fail.
  Request r(pending_.get_allocator());
  r.time_us = time_us;
  r.left = n;
  r.items.reserve(n);
  for (uint64_t i = 0; i < n; i++) r.items.push_back({items[i], scores[i], false});
  Pending one(pending_.get_allocator());
  one.emplace(request, std::move(r));
  ByTime when(by_time_.get_allocator());
  when.emplace(time_us, request);
  pending_.reserve(pending_.size() + 1);
  while (pending_items_ + n > uint64_t(options_.capacity)) drop_oldest();
  pending_.insert(one.extract(one.begin()));
  by_time_.insert(when.extract(when.begin()));
  pending_items_ += n;
  counts_.served += n;
  return {};
}

Status LabelJoin::label(uint64_t request, int64_t item, uint32_t label, int64_t time_us) {
  if (label > 1) return fail(GYR_E_INVALID_ARGUMENT, "monitor", "label: expected 0 or 1, got %u", label);
  close(time_us);
  auto it = pending_.find(request);
  if (it == pending_.end()) {
    bool late = closed_.contains(request);
    (late ? counts_.late : counts_.unknown)++;
    return fail(GYR_E_NOT_FOUND, "monitor", "request %llu %s", (unsigned long long)request,
                late ? "is closed: all outcomes are in, or label_delay_seconds passed" : "is unknown");
  }
  Request& r = it->second;
  auto found = std::find_if(r.items.begin(), r.items.end(), [&](const Item& i) { return i.id == item; });
  if (found == r.items.end()) {
    counts_.unknown++;
    return fail(GYR_E_NOT_FOUND, "monitor", "item %lld was not served in request %llu", (long long)item,
                (unsigned long long)request);
  }
  if (found->done) {
    counts_.repeated++;
    return {};
  }
  bool hit = r.hit || label == 1;
  samples_.emplace_back(found->score, uint8_t(label));
  if (r.left == 1) {
    try {
      hits_.push_back(hit);
    } catch (...) {
      samples_.pop_back();
      throw;
    }
  }
  found->done = true;
  r.hit = hit;
  r.left--;
  counts_.joined++;
  if (r.left == 0) forget(it);
  trim();
  return {};
}

// The newest `window` of each.
void LabelJoin::trim() noexcept {
  while (samples_.size() > size_t(options_.window)) samples_.pop_front();
  while (hits_.size() > size_t(options_.window)) hits_.pop_front();
}

void LabelJoin::close(int64_t now_us) {
  int64_t before;
  if (__builtin_sub_overflow(now_us, options_.delay_us, &before)) return;
  while (!by_time_.empty() && by_time_.begin()->first < before) finish(pending_.find(by_time_.begin()->second));
}

// Closes one request, or changes nothing when memory is short.
void LabelJoin::finish(Pending::iterator it) {
  size_t before = samples_.size();
  try {
    for (const Item& i : it->second.items)
      if (!i.done) samples_.emplace_back(i.score, uint8_t(0));
    hits_.push_back(it->second.hit);
  } catch (...) {
    while (samples_.size() > before) samples_.pop_back();
    throw;
  }
  counts_.assumed_negative += it->second.left;
  forget(it);
  trim();
}

// Dropped for space: its open items say nothing, neither yes nor no.
void LabelJoin::drop_oldest() noexcept {
  auto it = pending_.find(by_time_.begin()->second);
  counts_.dropped += it->second.left;
  forget(it);
}

void LabelJoin::forget(Pending::iterator it) noexcept {
  uint64_t id = it->first;
  remember_closed(id);
  pending_items_ -= it->second.items.size();
  by_time_.erase({it->second.time_us, id});
  pending_.erase(it);
}

// Without memory for it, a late label counts as unknown.
void LabelJoin::remember_closed(uint64_t id) noexcept {
  bool fresh = false;
  try {
    fresh = closed_.insert(id).second;
    if (fresh) closed_order_.push_back(id);
  } catch (const std::bad_alloc&) {
    if (fresh) closed_.erase(id);
  }
  while (closed_order_.size() > size_t(options_.capacity)) {
    closed_.erase(closed_order_.front());
    closed_order_.pop_front();
  }
}

Status LabelJoin::auc(double* out, bool* fresh) {
  *fresh = false;
  *out = last_auc_;
  if (samples_.size() <= size_t(options_.min_labels)) return {};
  std::vector<float> scores;
  std::vector<uint8_t> labels;
  for (auto& [score, label] : samples_) scores.push_back(score), labels.push_back(label);
  double now;
  GYR_TRY(area_under_curve(scores.data(), labels.data(), scores.size(), &now));
  if (std::isnan(now)) return {};
  *out = last_auc_ = now;
  *fresh = true;
  return {};
}

double LabelJoin::hit_rate() const {
  if (hits_.empty()) return std::nan("");
  double sum = 0;
  for (uint8_t h : hits_) sum += h;
  return sum / double(hits_.size());
}

}  // namespace gyr
