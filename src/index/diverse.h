// Which candidates become a node's links: near ones that do not lie behind each other, seen from the node (Malkov and
// Yashunin 2018, algorithm 4; Subramanya et al. 2019 with some slack, which keeps longer links and makes walks
// shorter).
#pragma once

#include <gyr/index.h>

#include <span>

#include "index/codes.h"

namespace gyr::index {

struct Candidate {
  static constexpr uint32_t kExpanded = 1u << 31;
  float score;
  uint32_t slot;  // in a walk with kExpanded once its links have been followed
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

// Adds to out[0, *n) of the candidates, which are best first, until there are `limit`. Slots already in `out` are kept
// but hide no others.
void choose_diverse(const Codes& codes, bool l2, std::span<const Candidate> candidates, uint32_t limit,
                    CodeQuery* rival, uint32_t* out, uint32_t* n);

// A node's links among scratch->ids: out [width], unused ones kNone at the end. By inner product for one half of them
// when that is the metric, and by distance.
void choose_links(const Codes& codes, gyr_metric metric, uint32_t node, uint32_t width, LinkScratch* scratch,
                  uint32_t* out);

}  // namespace gyr::index
