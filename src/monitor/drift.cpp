#include "monitor/drift.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace gyr {
namespace {

constexpr double kLeastShare = 1e-4;

double total(std::span<const uint64_t> counts) {
  double sum = 0;
  for (uint64_t c : counts) sum += double(c);
  return sum;
}

// Calls value(leaf) or null() for every leaf; a null list is one null.
template <class Value, class Null>
void each(const Column& column, Value value, Null null) {
  for (int64_t i = 0; column.is_list && i < column.rows(); i++)
    if (column.row_is_null(i)) null();
  for (int64_t i = 0; i < column.leaves(); i++) column.leaf_is_valid(i) ? value(i) : null();
}

double number_at(const Column& column, int64_t leaf) {
  return column.physical() == Physical::kFloat ? column.floats[size_t(leaf)] : double(column.ints[size_t(leaf)]);
}

// Categories are compared as text, so that 3 and "3" are one.
std::string_view text_at(const Column& column, int64_t leaf, char (&buffer)[40]) {
  if (column.physical() == Physical::kString) return column.string(leaf);
  auto end = column.physical() == Physical::kInt
                 ? std::to_chars(buffer, buffer + sizeof buffer, column.ints[size_t(leaf)])
                 : std::to_chars(buffer, buffer + sizeof buffer, column.floats[size_t(leaf)]);
  return {buffer, size_t(end.ptr - buffer)};
}

}  // namespace

double population_stability(std::span<const uint64_t> baseline, std::span<const uint64_t> live) {
  double n = total(baseline), m = total(live), sum = 0;
  if (n == 0 || m == 0) return 0;
  for (size_t i = 0; i < baseline.size(); i++) {
    if (baseline[i] == 0 && live[i] == 0) continue;
    double p = std::max(double(baseline[i]) / n, kLeastShare), q = std::max(double(live[i]) / m, kLeastShare);
    sum += (q - p) * std::log(q / p);
  }
  return sum;
}

double jensen_shannon(std::span<const uint64_t> baseline, std::span<const uint64_t> live) {
  double n = total(baseline), m = total(live), sum = 0;
  if (n == 0 || m == 0) return 0;
  for (size_t i = 0; i < baseline.size(); i++) {
    double p = double(baseline[i]) / n, q = double(live[i]) / m, mid = (p + q) / 2;
    if (p > 0) sum += p * std::log2(p / mid) / 2;
    if (q > 0) sum += q * std::log2(q / mid) / 2;
  }
  return std::clamp(sum, 0.0, 1.0);
}

void BaselineBuilder::add(const Column& column) {
  char buffer[40];
  each(
      column,
      [&](int64_t leaf) {
        if (!spec_.numeric) {
          counts_[std::pmr::string(text_at(column, leaf, buffer), counts_.get_allocator())]++;
          return;
        }
        double v = number_at(column, leaf);
        if (std::isnan(v))
          nulls_++;
        else
          values_.push_back(v);
      },
      [&] { nulls_++; });
}

DriftFeature::DriftFeature(BaselineBuilder* b) : spec(b->spec_) {
  if (spec.numeric) {
    auto& v = b->values_;
    std::sort(v.begin(), v.end());
    for (int64_t i = 1; i < spec.bins && !v.empty(); i++) {
      // Ceil(n i / bins)-th smallest; heavy ties give fewer bins.
      size_t at = (v.size() * size_t(i) + size_t(spec.bins) - 1) / size_t(spec.bins);
      double edge = v[at ? at - 1 : 0];
      if (edges_.empty() || edge > edges_.back()) edges_.push_back(edge);
    }
    baseline.assign(edges_.size() + 2, 0);
    for (double x : v) baseline[size_t(std::lower_bound(edges_.begin(), edges_.end(), x) - edges_.begin())]++;
  } else {
    std::vector<std::pair<uint64_t, std::string>> sorted;
    for (auto& [text, n] : b->counts_) sorted.emplace_back(n, text);
    std::sort(sorted.begin(), sorted.end(),
              [](auto& x, auto& y) { return x.first != y.first ? x.first > y.first : x.second < y.second; });
    size_t kept = std::min(sorted.size(), size_t(spec.bins));
    baseline.assign(kept + 2, 0);
    for (size_t i = 0; i < sorted.size(); i++) {
      baseline[std::min(i, kept)] += sorted[i].first;
      if (i < kept) top_.emplace(std::move(sorted[i].second), i);
    }
  }
  baseline.back() = b->nulls_;
}

void DriftFeature::count(const Column& column, std::vector<uint64_t>* counts) const {
  char buffer[40];
  std::string key;
  each(
      column,
      [&](int64_t leaf) {
        if (spec.numeric) {
          double v = number_at(column, leaf);
          size_t bin = size_t(std::lower_bound(edges_.begin(), edges_.end(), v) - edges_.begin());
          (*counts)[std::isnan(v) ? bins() - 1 : bin]++;
        } else {
          key = text_at(column, leaf, buffer);
          auto it = top_.find(key);
          (*counts)[it == top_.end() ? bins() - 2 : it->second]++;
        }
      },
      [&] { (*counts)[bins() - 1]++; });
}

}  // namespace gyr
