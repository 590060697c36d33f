// What an index takes, before there is one.
#pragma once

#include "index/index.h"

namespace gyr::index {

// Of so many slots, exactly reserved; options are complete.
struct IndexMemory {
  uint64_t vectors, codes, links, ids;
  uint64_t all() const { return vectors + codes + links + ids; }
};
IndexMemory memory_of(const gyr_index_options& options, uint64_t slots);
// Besides, while so many are inserted by so many threads.
uint64_t working_memory(const gyr_index_options& options, uint64_t slots, uint32_t threads);
// Refuses what the runtime's budget has no room for: `slots` in all, of which `fresh` are new.
Status no_room(const Runtime& runtime, const gyr_index_options& options, uint64_t slots, uint64_t fresh);

}  // namespace gyr::index
