// The one published hash (docs/hash.md): XXH3-64, seed 0.
#pragma once

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstdint>
#include <string_view>

namespace gyr {

inline uint64_t hash64(const void* data, size_t size) { return XXH3_64bits(data, size); }
inline uint64_t hash64(std::string_view s) { return XXH3_64bits(s.data(), s.size()); }
inline uint64_t hash64(int64_t v) { return XXH3_64bits(&v, sizeof v); }
inline uint64_t hash64(uint64_t v) = delete;  // cast to int64_t: ids are signed

// Cheap mixer for seeds and counters (splitmix64, Steele et al. 2014); not part of any file format.
inline uint64_t mix64(uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

}  // namespace gyr
