// A navigable graph over the slots: one layer, a fixed number of links per node, entered through pivots. Nodes are
// inserted by searching for their neighbours and keeping a diverse choice of them; many at once by build.h.
//
// Inner product: a graph built by inner product alone starves, because a few long vectors hide all others (Morozov &
// Babenko 2018; Liu et al. 2019, ip-NSW+). Half of the links are therefore chosen by inner product and the rest by
// Euclidean distance, and the pivots are the longest vectors plus random ones.
//
// No locks: the writer computes edits while only readers run, then applies them while none does.
#pragma once

#include <span>

#include "exec/runtime.h"
#include "index/build.h"
#include "index/walk.h"

namespace gyr::index {

class Graph {
 public:
  static constexpr uint32_t kMostPivots = 256;  // of each kind
  Graph(std::pmr::memory_resource* memory, const Store& store, uint32_t width, uint32_t effort, uint64_t seed);

  void reserve(uint64_t slots) { links.reserve(slots * width); }

  // A walk that expands the `effort` best candidates and keeps `kept`, or as many, by the scores of codes; the walk's
  // query is set. start() enters through the
  // pivots; then settle() and expand() take turns until expand() finds nothing more. Each asks for the memory that the
  // next one needs, so that several walks may fill each other's waiting.
  void start(bool l2, uint32_t effort, uint32_t kept, Walk* walk) const;
  // Offers every allowed slot that was reached to `best`, and ends the walk when that says so. Null: the caller takes
  // the pool.
  void settle(const Allowed* allowed, Best* best, Walk* walk) const;
  bool expand(Walk* walk) const;
  void run(bool l2, uint32_t effort, Walk* walk) const;

  // Inserts a group of slots: prepare() makes all memory ready for its size, detach() forgets its old links once its
  // rows are in the store, compute() finds the new ones (parallel, beside readers), apply() writes them.
  uint32_t group_limit() const;
  static uint32_t largest_group(uint32_t width);
  void prepare(size_t group, uint32_t workers);
  void detach(std::span<const uint32_t> group);
  void compute(Runtime* runtime);
  void apply();
  // Takes other links for all slots. Allocates nothing.
  void adopt(Links* links);

  static uint64_t bytes_of(uint64_t slots, uint64_t width) { return (slots * width + 2 * kPivots) * 4; }
  // What prepare() takes at most.
  static uint64_t working_memory(uint64_t slots, uint32_t dim, uint32_t width, uint32_t effort, uint64_t group,
                                 uint32_t workers);
  uint64_t bytes() const { return links.capacity() * 4 + (top_pivots.capacity() + random_pivots.capacity()) * 4; }
  std::span<const uint32_t> links_of(uint32_t slot) const;
  // Of links that came from a file.
  bool plausible_links(uint32_t slot) const;
  bool has_dead_links() const;

  const uint32_t width;   // links per node
  const uint32_t effort;  // candidates while inserting
  const uint64_t seed;
  Array<uint32_t> links;  // [slots, width], unused ones kNone at the end
  Array<uint32_t> top_pivots, random_pivots;

 private:
  struct Edit {
    uint32_t target, add;
    bool operator==(const Edit&) const = default;
    auto operator<=>(const Edit&) const = default;
  };
  struct Worker {
    explicit Worker(std::pmr::memory_resource* m) : walk(m), links(m) {}
    Walk walk;
    LinkScratch links;
  };
  [[gnu::always_inline]] void prefetch_links(uint32_t slot) const {
    const char* l = reinterpret_cast<const char*>(links.data() + uint64_t(slot) * width);
    for (uint32_t b = 0; b < width * 4; b += 64) __builtin_prefetch(l + b);
  }
  Slack slack() const { return store_.metric == GYR_METRIC_IP ? kProductSlack : kInsertSlack; }
  uint32_t at_once() const { return std::max(width, kMostPivots * 2); }
  bool is_astray(Walk* walk) const;
  void find_neighbours(uint32_t node, Worker* w, uint32_t* out) const;
  void edit_target(size_t first, size_t last, Worker* w, uint32_t* out) const;
  void add_pivot(uint32_t slot);
  template <class Body>
  void spread(Runtime* runtime, size_t n, const Body& body);

  std::pmr::memory_resource* memory_;
  const Store& store_;
  // The group under insertion.
  Array<uint32_t> group_, old_links_, new_links_, target_links_;
  Array<Edit> edits_;
  Array<uint32_t> starts_;
  std::vector<Worker> workers_;
};

}  // namespace gyr::index
