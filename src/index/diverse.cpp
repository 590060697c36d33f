#include "index/diverse.h"

#include <algorithm>
#include <cmath>

namespace gyr::index {
namespace {

constexpr uint32_t kMostRivals = 256;

}  // namespace

void choose_diverse(const Codes& codes, bool l2, Slack slack, std::span<const Candidate> candidates, uint32_t limit,
                    CodeQuery* rival, uint32_t* out, uint32_t* n) {
  const uint32_t first = *n;
  float scores[8];
  int32_t dots[8];
  uint32_t kept[kMostRivals];  // chosen now, and members of `out` that were met again
  uint32_t k = 0;
  for (const Candidate& c : candidates) {
    if (*n == limit || k == kMostRivals) return;
    const float bar = l2 ? c.score / slack.distance : c.score + std::abs(c.score) * slack.product;
    bool hidden = false;
    codes.prepare(c.slot, rival);
    for (uint32_t i = 0; i < k && !hidden; i += 8) {
      const uint32_t m = std::min(8u, k - i);
      codes.score(*rival, l2, kept + i, m, dots, scores);
      for (uint32_t j = 0; j < m; j++) hidden |= scores[j] >= bar;
    }
    if (hidden) continue;
    kept[k++] = c.slot;
    if (std::find(out, out + first, c.slot) == out + first) out[(*n)++] = c.slot;
  }
}

void choose_links(const Codes& codes, gyr_metric metric, Slack slack, uint32_t node, uint32_t width, LinkScratch* s,
                  uint32_t* out) {
  uint32_t n = 0;
  s->scores.resize(std::max(s->scores.size(), s->ids.size()));
  s->dots.resize(std::max(s->dots.size(), s->ids.size()));
  codes.prepare(node, &s->node);
  for (bool l2 : {false, true}) {
    if (!l2 && metric != GYR_METRIC_IP) continue;
    codes.score(s->node, l2, s->ids.data(), s->ids.size(), s->dots.data(), s->scores.data());
    s->candidates.clear();
    for (size_t i = 0; i < s->ids.size(); i++) s->candidates.push_back({s->scores[i], s->ids[i]});
    std::sort(s->candidates.begin(), s->candidates.end(), [](const Candidate& a, const Candidate& b) {
      return a.score > b.score || (a.score == b.score && a.slot < b.slot);
    });
    choose_diverse(codes, l2, slack, s->candidates, l2 ? width : width / 2, &s->rival, out, &n);
  }
  std::fill(out + n, out + width, kNone);
}

}  // namespace gyr::index
