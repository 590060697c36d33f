// Evaluation metrics as pure functions; formulas and sources are in docs/metrics.md.
#pragma once

#include <cstdint>

#include "base/error.h"

namespace gyr {

struct RankingLists {
  uint64_t k = 0, n = 0;
  const int64_t* recommended = nullptr;       // [n, k]
  const uint32_t* counts = nullptr;           // [n], null = k each
  const int64_t* relevant = nullptr;          // [relevant_offsets[n]]
  const int64_t* relevant_offsets = nullptr;  // [n + 1]
};

struct RankingMetrics {
  double recall = 0, recall_capped = 0, precision = 0, ndcg = 0, mrr = 0, map = 0, hit_rate = 0;
};

// Checks everything before the first per-list result (nullable) is written.
Status ranking_metrics(const RankingLists& lists, RankingMetrics* out, double* per_list_ndcg, double* per_list_recall);

// NaN when a class is absent. Labels 0 or 1, finite scores.
Status area_under_curve(const float* scores, const uint8_t* labels, uint64_t n, double* out);
Status log_loss(const float* probabilities, const uint8_t* labels, uint64_t n, double* out);

Status bootstrap_mean(const double* values, uint64_t n, uint32_t resamples, double confidence, uint64_t seed,
                      double* low, double* high);

}  // namespace gyr
