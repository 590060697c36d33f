/* gyr/metrics.h: evaluation metrics. Formulas: docs/metrics.md. */
#ifndef GYR_METRICS_H
#define GYR_METRICS_H

#include <gyr/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Recommended lists and what was relevant. */
typedef struct gyr_ranking_args {
  uint32_t struct_size;
  uint32_t k;                        /**< length of each recommended list, 1..65536 */
  uint64_t n;                        /**< lists */
  const int64_t *recommended;        /**< [n, k] ids, best first, distinct within a list */
  const uint32_t *counts;            /**< [n] valid entries per list; NULL = k */
  const int64_t *relevant;           /**< [relevant_offsets[n]] ids, distinct within a list */
  const int64_t *relevant_offsets;   /**< [n+1] */
} gyr_ranking_args;

/** Per list and mean. Lists without any relevant id contribute 0 (Merlin's rule); leave them out beforehand if you
 * want otherwise. */
typedef struct gyr_ranking_metrics {
  uint32_t struct_size;
  uint32_t reserved;
  double recall;        /**< mean of hits / |relevant| */
  double recall_capped; /**< mean of hits / min(|relevant|, k) (Merlin Models' "recall") */
  double precision;     /**< mean of hits / k */
  double ndcg;          /**< binary gain, log2(rank + 1), ideal over min(|relevant|, k) */
  double mrr;           /**< mean of 1 / rank of the first hit within k, else 0 */
  double map;           /**< mean of sum_i precision@i * rel_i / min(|relevant|, k) */
  double hit_rate;      /**< share of lists with a hit */
} gyr_ranking_metrics;

/** Ranking metrics at k.
 * @param args lists
 * @param out in: struct_size; out: means
 * @param per_list_ndcg nullable [n]
 * @param per_list_recall nullable [n]
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT, OUT_OF_RANGE
 * @ownership fills caller memory
 * @threadsafe any
 * @blocking computes
 * @since 0.1 */
GYR_API gyr_status gyr_metrics_ranking(const gyr_ranking_args *args, gyr_ranking_metrics *out, double *per_list_ndcg,
                                       double *per_list_recall, gyr_error *err) GYR_NOEXCEPT;

/** AUC (rank statistic, ties count half; Mann-Whitney) and logloss (natural log, probabilities clipped to
 * [1e-7, 1-1e-7]).
 * @param scores [n] probabilities for logloss, any order-preserving score for AUC; finite
 * @param labels [n] 0 or 1
 * @param n rows
 * @param auc nullable; NaN when one class is absent
 * @param logloss nullable
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT (NaN, other labels, n = 0), OUT_OF_RANGE (n)
 * @ownership fills caller memory
 * @threadsafe any
 * @blocking sorts n scores
 * @since 0.1 */
GYR_API gyr_status gyr_metrics_binary(const float *scores, const uint8_t *labels, uint64_t n, double *auc,
                                      double *logloss, gyr_error *err) GYR_NOEXCEPT;

/** Percentile bootstrap of the mean of values, resampling with replacement.
 * @param values [n]
 * @param n 1..
 * @param resamples e.g. 1000
 * @param confidence e.g. 0.95
 * @param seed same seed, same interval
 * @param low receives the lower bound
 * @param high receives the upper bound
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT, OUT_OF_RANGE (n)
 * @ownership fills caller memory
 * @threadsafe any
 * @blocking computes
 * @since 0.1 */
GYR_API gyr_status gyr_metrics_bootstrap(const double *values, uint64_t n, uint32_t resamples, double confidence,
                                         uint64_t seed, double *low, double *high, gyr_error *err) GYR_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif
