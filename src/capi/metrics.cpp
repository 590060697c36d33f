#include "data/metrics.h"

#include <gyr/metrics.h>

#include "capi/guard.h"

using namespace gyr;        // NOLINT(google-build-using-namespace)
using namespace gyr::capi;  // NOLINT(google-build-using-namespace)

extern "C" {

GYR_API gyr_status gyr_metrics_ranking(const gyr_ranking_args* args, gyr_ranking_metrics* out, double* per_list_ndcg,
                                       double* per_list_recall, gyr_error* err) noexcept {
  return guard(err, "metrics", [&]() -> Status {
    gyr_ranking_args a;
    GYR_TRY(read_struct(args, "args", "gyr_ranking_args", &a));
    // The size is refused before the per-list results are written.
    GYR_TRY(require(out, "out"));
    GYR_TRY(check_size(out->struct_size, "out", "gyr_ranking_metrics"));
    GYR_TRY(require_array(a.recommended, "args.recommended", a.n, a.k * sizeof *a.recommended));
    GYR_TRY(require_array(a.relevant_offsets, "args.relevant_offsets", a.n, sizeof *a.relevant_offsets));
    RankingMetrics m;
    GYR_TRY(ranking_metrics({a.k, a.n, a.recommended, a.counts, a.relevant, a.relevant_offsets}, &m, per_list_ndcg,
                            per_list_recall));
    gyr_ranking_metrics filled = {sizeof filled, 0,     m.recall, m.recall_capped, m.precision,
                                  m.ndcg,        m.mrr, m.map,    m.hit_rate};
    return write_struct(filled, "out", "gyr_ranking_metrics", out);
  });
}

GYR_API gyr_status gyr_metrics_binary(const float* scores, const uint8_t* labels, uint64_t n, double* auc,
                                      double* logloss, gyr_error* err) noexcept {
  return guard(err, "metrics", [&]() -> Status {
    GYR_TRY(require_array(scores, "scores", n, sizeof *scores));
    GYR_TRY(require_array(labels, "labels", n, sizeof *labels));
    double area = 0, loss = 0;
    GYR_TRY(area_under_curve(scores, labels, n, &area));
    if (logloss) GYR_TRY(log_loss(scores, labels, n, &loss));
    if (auc) *auc = area;
    if (logloss) *logloss = loss;
    return {};
  });
}

GYR_API gyr_status gyr_metrics_bootstrap(const double* values, uint64_t n, uint32_t resamples, double confidence,
                                         uint64_t seed, double* low, double* high, gyr_error* err) noexcept {
  return guard(err, "metrics", [&]() -> Status {
    GYR_TRY(require_array(values, "values", n, sizeof *values));
    GYR_TRY(require(low, "low"));
    GYR_TRY(require(high, "high"));
    return bootstrap_mean(values, n, resamples, confidence, seed, low, high);
  });
}

}  // extern "C"
