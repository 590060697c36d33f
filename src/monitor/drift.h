// One feature's distribution: bins fixed by a baseline, counts of live rows, and how far apart the two are.
#pragma once

#include <cstdint>
#include <memory_resource>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "data/column.h"

namespace gyr {

struct FeatureSpec {
  std::string name;
  bool numeric = true;
  int64_t bins = 10;  // numeric: quantile bins; categorical: top values kept
};

// sum (q - p) ln(q / p); shares below 1e-4 count as 1e-4, so that an empty bin gives a finite number.
double population_stability(std::span<const uint64_t> baseline, std::span<const uint64_t> live);
// Jensen-Shannon divergence, base 2: 0..1 (Lin 1991).
double jensen_shannon(std::span<const uint64_t> baseline, std::span<const uint64_t> live);

// Collects a baseline, then makes the bins: exact quantiles, or the most frequent values.
class BaselineBuilder {
 public:
  BaselineBuilder(const FeatureSpec& spec, std::pmr::memory_resource* memory)
      : spec_(spec), values_(memory), counts_(memory) {}
  void add(const Column& column);

 private:
  friend class DriftFeature;
  FeatureSpec spec_;
  std::pmr::vector<double> values_;
  std::pmr::unordered_map<std::pmr::string, uint64_t> counts_;
  uint64_t nulls_ = 0;
};

class DriftFeature {
 public:
  explicit DriftFeature(BaselineBuilder* builder);
  // Adds a column's values to counts of size bins().
  void count(const Column& column, std::vector<uint64_t>* counts) const;
  size_t bins() const { return baseline.size(); }

  FeatureSpec spec;
  std::vector<uint64_t> baseline;  // numeric: bins, null; categorical: top values, other, null

 private:
  std::vector<double> edges_;  // upper edges, inclusive; the last bin is open
  std::unordered_map<std::string, size_t> top_;
};

}  // namespace gyr
