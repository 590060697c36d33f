// Little-endian writing and bounds-checked reading of section payloads.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/error.h"
#include "base/math.h"

namespace gyr {

static_assert(std::endian::native == std::endian::little, "file formats are little-endian and read in place");

class ByteWriter {
 public:
  template <class T>
  requires std::is_arithmetic_v<T>
  void put(T v) { append(&v, sizeof v); }
  void put_string(std::string_view s) {
    put<uint64_t>(s.size());
    append(s.data(), s.size());
  }
  // Count, padding to a multiple of `align`, elements.
  template <class T>
  void put_array(const T* data, size_t n, size_t align = 8) {
    static_assert(std::is_trivially_copyable_v<T>);
    put<uint64_t>(n);
    bytes_.resize(align_up(bytes_.size(), align));
    append(data, n * sizeof(T));
  }
  template <class V>
  void put_array(const V& v, size_t align = 8) {
    put_array(v.data(), v.size(), align);
  }
  void append(const void* p, size_t n) {
    if (n == 0) return;
    size_t at = bytes_.size();
    bytes_.resize(at + n);
    std::memcpy(bytes_.data() + at, p, n);
  }
  std::vector<uint8_t>& bytes() { return bytes_; }

 private:
  std::vector<uint8_t> bytes_;
};

class ByteReader {
 public:
  ByteReader(std::span<const uint8_t> bytes, const char* what) : bytes_(bytes), what_(what) {}

  template <class T>
  requires std::is_arithmetic_v<T> Status get(T* out) {
    if (left() < sizeof(T)) return truncated();
    std::memcpy(out, bytes_.data() + at_, sizeof(T));
    at_ += sizeof(T);
    return {};
  }
  Status get_string(std::string* out) {
    uint64_t n = 0;
    GYR_TRY(get(&n));
    if (n > left()) return truncated();
    out->assign(reinterpret_cast<const char*>(bytes_.data() + at_), n);
    at_ += n;
    return {};
  }
  // Borrowed view; aligned when the payload itself is.
  template <class T>
  Status get_array(std::span<const T>* out, size_t align = 8) {
    uint64_t n = 0, size = 0;
    GYR_TRY(get(&n));
    at_ = align_up(at_, align);
    if (at_ > bytes_.size() || !checked_mul(n, sizeof(T), &size) || size > left()) return truncated();
    *out = {reinterpret_cast<const T*>(bytes_.data() + at_), n};
    at_ += size;
    return {};
  }
  template <class V>
  Status get_vector(V* out) {
    std::span<const typename V::value_type> view;
    GYR_TRY(get_array(&view));
    out->assign(view.begin(), view.end());
    return {};
  }
  uint64_t left() const { return bytes_.size() - at_; }
  Status finish() const {
    if (left() == 0) return {};
    return fail(GYR_E_CORRUPT, "io", "%s: %llu unexpected bytes at the end", what_, (unsigned long long)left());
  }

 private:
  Status truncated() const {
    return fail(GYR_E_CORRUPT, "io", "%s: truncated at byte %llu of %llu", what_, (unsigned long long)at_,
                (unsigned long long)bytes_.size());
  }
  std::span<const uint8_t> bytes_;
  uint64_t at_ = 0;
  const char* what_;
};

}  // namespace gyr
