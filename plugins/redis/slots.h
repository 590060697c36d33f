// Which slot of a Redis Cluster a key is in. Source:
// https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace gyr_redis {

constexpr uint32_t kSlots = 16384;

// CRC16, XMODEM: polynomial 0x1021, from 0, nothing reflected.
inline uint16_t crc16(std::string_view text) {
  static constexpr auto kTable = [] {
    std::array<uint16_t, 256> t{};
    for (uint32_t i = 0; i < 256; i++) {
      uint32_t c = i << 8;
      for (int bit = 0; bit < 8; bit++) c = c & 0x8000 ? c << 1 ^ 0x1021 : c << 1;
      t[i] = uint16_t(c);
    }
    return t;
  }();
  uint16_t crc = 0;
  for (char c : text) crc = uint16_t(crc << 8 ^ kTable[(crc >> 8 ^ uint8_t(c)) & 0xff]);
  return crc;
}

// Of what is between the first { and the next }, if that is anything; else of all.
inline uint32_t slot_of(std::string_view key) {
  size_t open = key.find('{');
  if (open != key.npos) {
    size_t close = key.find('}', open + 1);
    if (close != key.npos && close > open + 1) key = key.substr(open + 1, close - open - 1);
  }
  return crc16(key) % kSlots;
}

}  // namespace gyr_redis
