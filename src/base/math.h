// Checked arithmetic for sizes that come from outside.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gyr {

[[nodiscard]] inline bool checked_add(uint64_t a, uint64_t b, uint64_t* out) {
  return !__builtin_add_overflow(a, b, out);
}
// No address space is larger: a count or length beyond it is a mistake.
inline constexpr uint64_t kMostBytes = uint64_t(1) << 57;

[[nodiscard]] inline bool checked_mul(uint64_t a, uint64_t b, uint64_t* out) {
  return !__builtin_mul_overflow(a, b, out);
}
constexpr uint64_t align_up(uint64_t n, uint64_t align) { return (n + align - 1) / align * align; }
constexpr uint64_t div_up(uint64_t a, uint64_t b) { return (a + b - 1) / b; }

}  // namespace gyr
