#include "base/utf8.h"

#include <cstdint>
#include <cstring>

namespace gyr {

size_t utf8_prefix(std::string_view text) {
  auto* begin = reinterpret_cast<const uint8_t*>(text.data());
  auto *p = begin, *end = p + text.size();
  auto continues = [](uint8_t c) { return (c & 0xC0) == 0x80; };
  while (p < end) {
    if (*p < 0x80) {
      uint64_t word;
      while (end - p >= 8 && (std::memcpy(&word, p, 8), (word & 0x8080808080808080ull) == 0)) p += 8;
      while (p < end && *p < 0x80) p++;
      continue;
    }
    uint8_t lead = *p;
    int size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || end - p < size) return size_t(p - begin);
    // The second byte's range rules out overlong forms, surrogates and what lies above U+10FFFF.
    uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (p[1] < low || p[1] > high) return size_t(p - begin);
    if (size > 2 && !continues(p[2])) return size_t(p - begin);
    if (size > 3 && !continues(p[3])) return size_t(p - begin);
    p += size;
  }
  return text.size();
}

}  // namespace gyr
