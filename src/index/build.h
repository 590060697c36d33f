// All links of a graph at once: near neighbours from random partitions, a diverse choice of them, and links back. Each
// node costs a fraction of what finding its neighbours by a walk does, and what borders hide from one partition and
// not from the next leaves links of many lengths: walks are at least as good as on a graph of one insertion after the
// other (docs/design/007-index.md).
#pragma once

#include "base/hash.h"
#include "exec/task.h"
#include "index/partitions.h"

namespace gyr::index {

// Where walks enter: random slots, and under inner product mostly the longest vectors.
constexpr uint32_t kPivots = 64;  // at most
constexpr uint32_t pivots_of(gyr_metric metric) { return metric == GYR_METRIC_IP ? kPivots : kPivots / 2; }
constexpr uint32_t top_pivots_of(gyr_metric metric) { return metric == GYR_METRIC_IP ? kPivots * 3 / 4 : 0; }

// One node of 32 is a hub, one of 1,024 one of the second level; the greatest are the random pivots. A hub's first
// links lead to other hubs, of the second level before those of the first: so walks come from one group of vectors to
// another that lies far from it, where links to near neighbours lead nowhere. Layers (Malkov and Yashunin 2018) in one
// list.
constexpr uint32_t hub_levels(uint64_t slots) { return slots < 2000 ? 0 : slots < 65536 ? 1 : 2; }
inline uint64_t weight_of(uint32_t slot, uint64_t seed) { return mix64(seed + slot); }
// Whether it is one of this level or a higher one; of level 0 all are.
inline bool is_hub(uint32_t slot, uint32_t level, uint64_t seed) {
  return level == 0 || weight_of(slot, seed) >= ~(UINT64_MAX >> (5 * level));
}

// A hub's first links: a half of all to hubs at most, and then to lonely nodes, those that stand for groups without
// one.
constexpr uint32_t most_far(uint32_t width) { return width * 7 / 8; }

struct Links {
  explicit Links(std::pmr::memory_resource* m)
      : of(Aligned<uint32_t>(m)), top_pivots(Aligned<uint32_t>(m)), random_pivots(Aligned<uint32_t>(m)) {}
  Array<uint32_t> of;  // [slots, width], unused ones kNone at the end
  Array<uint32_t> top_pivots, random_pivots;
};

// As many as insertion may want later, when there is no way to say that memory is short.
inline void reserve_pivots(Links* links) {
  links->top_pivots.reserve(kPivots);
  links->random_pivots.reserve(kPivots);
}

constexpr Slack build_slack(gyr_metric metric) { return metric == GYR_METRIC_IP ? kProductSlack : kBuildSlack; }
void choose_pivots(const Codes& codes, std::span<const uint32_t> members, gyr_metric metric, uint64_t seed, Links* out);

// Links among the members; other slots have none. The same for any number of threads.
Status build_links(const Codes& codes, std::span<const uint32_t> members, gyr_metric metric, uint32_t width,
                   uint64_t seed, Runtime* runtime, gyr_task* task, Links* out);

// What that takes at most, with the links themselves.
uint64_t links_memory(uint64_t slots, uint32_t dim, gyr_metric metric, uint32_t width, uint32_t threads);

}  // namespace gyr::index
