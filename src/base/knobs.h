// Knobs that push the tests onto rarely taken paths: environment variables, read once, compiled in with GYR_FAULTS
// (dev, sanitizer and fuzz presets). Release builds have none of them. tools/matrix.sh runs the suite under each.
//
//   GYR_TEST_SIMD=ref|AVX2|...  kernels of this level, as gyr_build_info lists them
//   GYR_TEST_THREADS=n             size of every runtime's pool, whatever its options say
//   GYR_TEST_HASH=constant         one value for every key of every hash table of ours; gyr_hash64 and what is made of
//                                  it (HashBucket, OOV buckets, checksums, sampling noise) keep theirs
//   GYR_TEST_MMAP=off              containers are read into memory instead of mapped
//   GYR_TEST_CAPACITY=1            batches, chunks, blocks and pools of one; hash tables begin small
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace gyr::knobs {

#ifdef GYR_FAULTS
inline const char* setting(const char* name) {
  const char* text = std::getenv(name);
  return text && *text ? text : nullptr;
}
inline bool is(const char* name, const char* value) {
  const char* text = setting(name);
  return text && std::strcmp(text, value) == 0;
}
// Null = the best.
inline const char* simd() {
  static const char* const level = setting("GYR_TEST_SIMD");
  return level;
}
inline uint32_t threads(uint32_t asked) {
  static const char* const text = setting("GYR_TEST_THREADS");
  return text ? uint32_t(std::strtoul(text, nullptr, 10)) : asked;
}
// All keys meet in the last place of every table, so that probing wraps around, too.
inline uint64_t table_hash(uint64_t hash) {
  static const bool constant = is("GYR_TEST_HASH", "constant");
  return constant ? UINT64_MAX : hash;
}
inline bool mapping() {
  static const bool off = is("GYR_TEST_MMAP", "off");
  return !off;
}
inline uint64_t capacity(uint64_t usual, uint64_t smallest = 1) {
  static const bool one = is("GYR_TEST_CAPACITY", "1");
  return one ? smallest : usual;
}
#else
inline constexpr const char* simd() { return nullptr; }
inline constexpr uint32_t threads(uint32_t asked) { return asked; }
inline constexpr uint64_t table_hash(uint64_t hash) { return hash; }
inline constexpr bool mapping() { return true; }
inline constexpr uint64_t capacity(uint64_t usual, uint64_t = 1) { return usual; }
#endif

}  // namespace gyr::knobs
