// A cache as it lies in a file: docs/cache.md.
#pragma once

#include <gyr/cache.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "io/container.h"

namespace gyr {

struct SavedCache {
  gyr_cache_options options{};                           // dim, keys, miss, capacity, rows
  std::vector<float> default_row;                        // [dim]
  std::vector<int64_t> keys;                             // those read most first
  std::vector<uint8_t> rows;                             // as stored
  std::vector<uint8_t> held;                             // per row: 1 = the tier holds it; empty = it holds none
  std::map<std::string, uint64_t, std::less<>> offsets;  // last applied, by source
};

Status write_cache(const SavedCache& cache, ContainerWriter* file, std::string_view name);
// What sizes and numbers say is checked, what rows say is not.
Result<SavedCache> read_cache(const Container& file, std::string_view name);

// A dense cache in a file may be this sparse: a few bytes must not claim gigabytes when they are loaded.
bool too_sparse_for_a_file(uint64_t capacity, uint64_t rows);

constexpr size_t kMostSources = 65536, kLongestSource = 255;

}  // namespace gyr
