// Which candidates become a node's links: near ones that do not lie behind each other, seen from the node (Malkov and
// Yashunin 2018, algorithm 4; Subramanya et al. 2019 with some slack, which keeps longer links and makes walks
// shorter).
#pragma once

#include <gyr/index.h>

#include <span>

#include "index/codes.h"

namespace gyr::index {

struct Candidate {
  float score;
  uint32_t slot;
};

struct LinkScratch {
  explicit LinkScratch(std::pmr::memory_resource* m)
      : node(m),
        rival(m),
        candidates(Aligned<Candidate>(m)),
        ids(Aligned<uint32_t>(m)),
        scores(Aligned<float>(m)),
        dots(Aligned<int32_t>(m)) {}
  void reserve(uint32_t dim, size_t most) {
    node.reserve(dim);
    rival.reserve(dim);
    candidates.reserve(most);
    ids.reserve(most);
    scores.resize(std::max(scores.size(), most));
    dots.resize(std::max(dots.size(), most));
  }
  CodeQuery node, rival;
  Array<Candidate> candidates;
  Array<uint32_t> ids;
  Array<float> scores;
  Array<int32_t> dots;
};

// How much nearer to a link than to the node a candidate must be to lie behind the link: squared distances by this
// factor, products by this share of the node's own. Measured (docs/design/007-index.md): by distance alone, links that
// are inserted one by one must not fill up with near ones.
struct Slack {
  float distance, product;
};
constexpr Slack kInsertSlack{1.2f, 0}, kBuildSlack{1.3f, 0}, kProductSlack{1.5f, 0.3f},
    kHubSlack{1, 0};  // few near ones

// Adds to out[0, *n) of the candidates, which are best first, until there are `limit`. Slots already in `out` are kept
// but hide no others.
void choose_diverse(const Codes& codes, bool l2, Slack slack, std::span<const Candidate> candidates, uint32_t limit,
                    CodeQuery* rival, uint32_t* out, uint32_t* n);

// A node's links among scratch->ids: out [width], unused ones kNone at the end. By inner product for one half of them
// when that is the metric, and by distance.
void choose_links(const Codes& codes, gyr_metric metric, Slack slack, uint32_t node, uint32_t width,
                  LinkScratch* scratch, uint32_t* out);

}  // namespace gyr::index
