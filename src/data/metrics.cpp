#include "data/metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "base/math.h"
#include "base/number.h"
#include "base/random.h"

namespace gyr {
namespace {

constexpr uint64_t kMaxK = 65536;
constexpr uint32_t kMaxResamples = 1000000;

uint64_t count_of(const RankingLists& lists, uint64_t i) { return lists.counts ? lists.counts[i] : lists.k; }

// `relevant` may be NULL when every list is empty.
std::span<const int64_t> relevant_of(const RankingLists& lists, uint64_t i) {
  int64_t begin = lists.relevant_offsets[i], end = lists.relevant_offsets[i + 1];
  if (begin == end) return {};
  return {lists.relevant + begin, size_t(end - begin)};
}

Status check_distinct(std::span<const int64_t> ids, const char* what, uint64_t list, std::vector<int64_t>* sorted) {
  sorted->assign(ids.begin(), ids.end());
  std::sort(sorted->begin(), sorted->end());
  auto twice = std::adjacent_find(sorted->begin(), sorted->end());
  if (twice == sorted->end()) return {};
  return fail(GYR_E_INVALID_ARGUMENT, "metrics", "list %llu: %s id %lld appears twice", (unsigned long long)list, what,
              (long long)*twice);
}

Status check_lists(const RankingLists& lists) {
  uint64_t cells;
  if (lists.k < 1 || lists.k > kMaxK)
    return fail(GYR_E_OUT_OF_RANGE, "metrics", "k: expected 1..%llu, got %llu", (unsigned long long)kMaxK,
                (unsigned long long)lists.k);
  if (lists.n == 0) return fail(GYR_E_INVALID_ARGUMENT, "metrics", "n: there are no lists to average over");
  if (!checked_mul(lists.n, lists.k * sizeof(int64_t), &cells))
    return fail(GYR_E_OUT_OF_RANGE, "metrics", "n: %llu lists of %llu do not fit in memory",
                (unsigned long long)lists.n, (unsigned long long)lists.k);
  if (lists.relevant_offsets[0] < 0) return fail(GYR_E_INVALID_ARGUMENT, "metrics", "relevant_offsets[0] is negative");
  for (uint64_t i = 0; i < lists.n; i++)
    if (lists.relevant_offsets[i + 1] < lists.relevant_offsets[i])
      return fail(GYR_E_INVALID_ARGUMENT, "metrics", "relevant_offsets[%llu] is below the one before",
                  (unsigned long long)i + 1);
  if (!lists.relevant && lists.relevant_offsets[lists.n] > lists.relevant_offsets[0])
    return fail(GYR_E_INVALID_ARGUMENT, "metrics", "relevant is NULL");
  std::vector<int64_t> sorted;
  for (uint64_t i = 0; i < lists.n; i++) {
    if (count_of(lists, i) > lists.k)
      return fail(GYR_E_OUT_OF_RANGE, "metrics", "counts[%llu]: expected 0..%llu, got %llu", (unsigned long long)i,
                  (unsigned long long)lists.k, (unsigned long long)count_of(lists, i));
    GYR_TRY(check_distinct({lists.recommended + i * lists.k, count_of(lists, i)}, "recommended", i, &sorted));
    GYR_TRY(check_distinct(relevant_of(lists, i), "relevant", i, &sorted));
  }
  return {};
}

// One list; `relevant` sorted and not empty. ideal[m] = DCG of m hits at the top.
RankingMetrics one_list(const int64_t* recommended, uint64_t count, uint64_t k, const std::vector<int64_t>& relevant,
                        const std::vector<double>& ideal) {
  RankingMetrics m;
  double hits = 0, dcg = 0, precisions = 0;
  for (uint64_t i = 0; i < count; i++) {
    if (!std::binary_search(relevant.begin(), relevant.end(), recommended[i])) continue;
    hits++;
    dcg += ideal[i + 1] - ideal[i];
    precisions += hits / double(i + 1);
    if (hits == 1) m.mrr = 1 / double(i + 1);
  }
  uint64_t capped = std::min<uint64_t>(relevant.size(), k);
  m.recall = hits / double(relevant.size());
  m.recall_capped = hits / double(capped);
  m.precision = hits / double(k);
  m.ndcg = dcg / ideal[capped];
  m.map = precisions / double(capped);
  m.hit_rate = hits > 0;
  return m;
}

Status check_binary(const float* scores, const uint8_t* labels, uint64_t n) {
  if (n == 0) return fail(GYR_E_INVALID_ARGUMENT, "metrics", "n is 0: there are no scores");
  for (uint64_t i = 0; i < n; i++) {
    if (labels[i] > 1)
      return fail(GYR_E_INVALID_ARGUMENT, "metrics", "labels[%llu]: expected 0 or 1, got %d", (unsigned long long)i,
                  labels[i]);
    if (!std::isfinite(scores[i]))
      return fail(GYR_E_INVALID_ARGUMENT, "metrics", "scores[%llu] is not finite", (unsigned long long)i);
  }
  return {};
}

// Linear interpolation between order statistics (Hyndman and Fan 1996, type 7).
double quantile(const std::vector<double>& sorted, double q) {
  double at = q * double(sorted.size() - 1);
  size_t i = std::min(size_t(at), sorted.size() - 1), next = std::min(i + 1, sorted.size() - 1);
  return sorted[i] + (at - double(i)) * (sorted[next] - sorted[i]);
}

}  // namespace

Status ranking_metrics(const RankingLists& lists, RankingMetrics* out, double* per_list_ndcg, double* per_list_recall) {
  GYR_TRY(check_lists(lists));
  std::vector<double> ideal(lists.k + 1);
  for (uint64_t i = 0; i < lists.k; i++) ideal[i + 1] = ideal[i] + 1 / std::log2(double(i + 2));
  RankingMetrics sum;
  std::vector<int64_t> relevant;
  for (uint64_t i = 0; i < lists.n; i++) {
    std::span<const int64_t> ids = relevant_of(lists, i);
    relevant.assign(ids.begin(), ids.end());
    std::sort(relevant.begin(), relevant.end());
    RankingMetrics m;
    if (!relevant.empty()) m = one_list(lists.recommended + i * lists.k, count_of(lists, i), lists.k, relevant, ideal);
    if (per_list_ndcg) per_list_ndcg[i] = m.ndcg;
    if (per_list_recall) per_list_recall[i] = m.recall;
    sum.recall += m.recall;
    sum.recall_capped += m.recall_capped;
    sum.precision += m.precision;
    sum.ndcg += m.ndcg;
    sum.mrr += m.mrr;
    sum.map += m.map;
    sum.hit_rate += m.hit_rate;
  }
  double n = double(lists.n);
  *out = {sum.recall / n, sum.recall_capped / n, sum.precision / n, sum.ndcg / n,
          sum.mrr / n,    sum.map / n,           sum.hit_rate / n};
  return {};
}

// Mann-Whitney U over the pairs of a positive and a negative, a tie counting half. Twice U is an integer.
Status area_under_curve(const float* scores, const uint8_t* labels, uint64_t n, double* out) {
  GYR_TRY(check_binary(scores, labels, n));
  std::vector<std::pair<float, uint8_t>> rows(n);
  for (uint64_t i = 0; i < n; i++) rows[i] = {scores[i], labels[i]};
  std::sort(rows.begin(), rows.end(), [](auto& a, auto& b) { return a.first < b.first; });
  unsigned __int128 twice = 0;
  uint64_t positives = 0, negatives = 0;
  for (uint64_t i = 0; i < n;) {
    uint64_t tied[2] = {0, 0};
    float score = rows[i].first;
    for (; i < n && rows[i].first == score; i++) tied[rows[i].second]++;
    twice += (unsigned __int128)tied[1] * (2 * negatives + tied[0]);
    positives += tied[1];
    negatives += tied[0];
  }
  *out = positives && negatives ? double(twice) / 2 / double(positives) / double(negatives)
                                : std::numeric_limits<double>::quiet_NaN();
  return {};
}

Status log_loss(const float* probabilities, const uint8_t* labels, uint64_t n, double* out) {
  GYR_TRY(check_binary(probabilities, labels, n));
  double sum = 0;
  for (uint64_t i = 0; i < n; i++) {
    if (probabilities[i] < 0 || probabilities[i] > 1)
      return fail(GYR_E_INVALID_ARGUMENT, "metrics",
                  "scores[%llu] = %s is not a probability; pass logloss = NULL for raw scores", (unsigned long long)i,
                  NumberText(double(probabilities[i])).c_str());
    double p = std::clamp(double(probabilities[i]), 1e-7, 1 - 1e-7);
    sum -= labels[i] ? std::log(p) : std::log1p(-p);
  }
  *out = sum / double(n);
  return {};
}

Status bootstrap_mean(const double* values, uint64_t n, uint32_t resamples, double confidence, uint64_t seed,
                      double* low, double* high) {
  if (n == 0) return fail(GYR_E_INVALID_ARGUMENT, "metrics", "n is 0: there are no values");
  if (resamples < 1 || resamples > kMaxResamples)
    return fail(GYR_E_INVALID_ARGUMENT, "metrics", "resamples: expected 1..%u, got %u", kMaxResamples, resamples);
  if (!(confidence > 0 && confidence < 1))
    return fail(GYR_E_INVALID_ARGUMENT, "metrics", "confidence: expected a number between 0 and 1, got %s",
                NumberText(confidence).c_str());
  for (uint64_t i = 0; i < n; i++)
    if (!std::isfinite(values[i]))
      return fail(GYR_E_INVALID_ARGUMENT, "metrics", "values[%llu] is not finite", (unsigned long long)i);
  std::vector<double> means(resamples);
  for (uint32_t r = 0; r < resamples; r++) {
    Random random(seed, r);
    double sum = 0;
    for (uint64_t i = 0; i < n; i++) sum += values[random.below(n)];
    means[r] = sum / double(n);
  }
  std::sort(means.begin(), means.end());
  *low = quantile(means, (1 - confidence) / 2);
  *high = quantile(means, (1 + confidence) / 2);
  return {};
}

}  // namespace gyr
