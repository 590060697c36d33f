// The file of a tier's folder that names its segments, oldest first. A segment counts from when the list names it: one
// that no list names is what a crash left. Layout: docs/cache.md.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"

namespace gyr {

struct ListedSegment {
  uint32_t number;
  uint64_t hash;  // Segment::hash(): another file of the same name is noticed
};

std::string segment_list_path(const std::string& folder);
Status write_segment_list(const std::string& folder, std::span<const ListedSegment> segments);  // atomically
// Nothing when the folder has no list.
Result<std::optional<std::vector<ListedSegment>>> read_segment_list(const std::string& folder);

}  // namespace gyr
