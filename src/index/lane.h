// One query under way, and what it may return.
#pragma once

#include "exec/runtime.h"
#include "index/diverse.h"
#include "index/index.h"
#include "index/lists.h"
#include "index/walk.h"

namespace gyr::index {

// What one query may return, or all of a batch.
struct Choice {
  explicit Choice(std::pmr::memory_resource* m) : bits(Aligned<uint64_t>(m)), slots(Aligned<uint32_t>(m)) {}
  Allowed allowed{};
  uint64_t eligible = 0;          // without what a query excludes
  std::span<const uint32_t> few;  // a list that holds all of them; empty = there is none
  // Of ids that came with the search.
  Array<uint64_t> bits;
  Array<uint32_t> slots;
};

// How a query gets its answer.
enum class Plan : uint8_t { kAnswered, kReadLists, kScanCodes, kWalk };

struct Lane {
  explicit Lane(std::pmr::memory_resource* m)
      : query(Aligned<float>(m)),
        kept_query(m),
        whole(m),
        excluded(m),
        own(m),
        walk(m),
        probe(m),
        best(m),
        found(m),
        top(m),
        reranked(Aligned<uint32_t>(m)),
        sieved(Aligned<Candidate>(m)),
        scores(Aligned<float>(m)),
        dots(Aligned<int32_t>(m)) {}
  Array<float> query;
  VectorQuery kept_query;
  CodeQuery whole;  // for codes of whole vectors, where walks look at others
  Marks excluded;
  Choice own;
  const Choice* choice = nullptr;  // its own or the batch's
  Allowed allowed{};               // the choice's, without what is excluded
  Plan plan = Plan::kAnswered;
  Walk walk;
  Probe probe;
  bool restricted = false;  // some slots that are alive may not be returned
  uint64_t most = 0;        // walks: how many of the best are scored by their vectors
  uint32_t kept = 0;        // scans of codes, and lists: the same
  uint64_t budget = 0;      // restricted: codes scored until a scan is the better way
  Best best;                // restricted walks: the best by codes that may be returned
  TopK found;               // scans of codes, and lists: the same; ids are slots
  TopK top;
  Array<uint32_t> reranked;
  Array<Candidate> sieved;  // scratch
  Array<float> scores;
  Array<int32_t> dots;
  uint64_t number = 0, wanted = 0;
  uint64_t hidden = 0;  // what it excludes of its choice
};

struct SearchScratch final : Index::Scratch {
  // Walks that fill each other's waiting for memory; one alone when there is one query.
  static constexpr uint32_t kLanes = 4;
  explicit SearchScratch(std::shared_ptr<Runtime> r) : runtime(std::move(r)), choice(runtime->memory()) {
    for (auto& lane : lanes) lane.emplace(runtime->memory());
  }
  std::shared_ptr<Runtime> runtime;
  std::optional<Lane> lanes[kLanes];
  Choice choice;
  uint64_t codes = 0, rows = 0;  // scored since they were last told
};

}  // namespace gyr::index
