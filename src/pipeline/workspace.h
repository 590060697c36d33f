// Memory of one call at a time. Everything keeps its capacity, so a warmed-up call allocates nothing.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "data/column.h"
#include "pipeline/components.h"

namespace gyr {

// A stage's own part of the workspace.
struct StageScratch {
  virtual ~StageScratch() = default;
};

// Slots that every pipeline has; stages add theirs behind.
enum : uint32_t { kSlotContext = 0, kSlotUserKey = 1, kSlotItemKey = 2, kSlotScores = 3, kFirstStageSlot = 4 };
enum : uint32_t { kRetrievalScore = 0, kScore = 1 };  // columns of kSlotScores

struct Workspace {
  uint64_t pipeline_id = 0;  // whose shape this has
  std::atomic<bool> busy{false};

  std::vector<Batch> slots;                            // user slots have a row per user, item slots a row per candidate
  std::vector<uint32_t> item_slots;                    // which slots shrink with the candidates
  std::vector<std::unique_ptr<StageScratch>> scratch;  // [stage]

  std::vector<uint8_t> user_status;  // [users]
  std::vector<float> queries;        // [users, dim]
  std::vector<int64_t> ids;          // candidates of all users, user by user
  std::vector<int64_t> begin;        // [users + 1] into ids
  std::vector<uint8_t> keep;         // [candidates], for compact()

  // Results, [users, k].
  std::vector<int64_t> out_ids;
  std::vector<float> out_scores, out_retrieval, out_ranking;
  std::vector<uint32_t> out_counts;
  std::shared_ptr<const IdList> string_ids;  // keeps the strings of the last answer alive
};

// Drops candidates with keep[i] = 0 from ids, begin and all filled item slots.
void compact(Workspace* workspace);
// In place, order kept.
void compact_column(Column* column, const std::vector<uint8_t>& keep);

}  // namespace gyr
