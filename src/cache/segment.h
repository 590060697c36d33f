// An immutable file of rows: pages of 4 KiB with a checksum each, rows that never straddle pages, and the keys at the
// end. Layout: docs/cache.md.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "io/file.h"

namespace gyr {

// How rows of a size lie in pages.
struct PageLayout {
  static constexpr uint32_t kUnit = 4096, kHead = 16;
  uint32_t row_bytes, page_bytes, rows_per_page;
  explicit PageLayout(uint32_t row)
      : row_bytes(row),
        page_bytes((row + kHead + kUnit - 1) / kUnit * kUnit),
        rows_per_page((page_bytes - kHead) / row) {}
  uint64_t pages(uint64_t rows) const { return (rows + rows_per_page - 1) / rows_per_page; }
  // Of page `number` in a file, whose first unit is its header.
  uint64_t offset(uint64_t number) const { return kUnit + number * page_bytes; }
  // Whether a page is what was written as this number.
  bool sound(const uint8_t* page, uint64_t number) const;
  // Makes page `number` of zeros: the nth of those that `rows` fill.
  void write(uint64_t number, std::span<const uint8_t> rows, uint64_t nth, uint8_t* page) const;
  const uint8_t* row(const uint8_t* page, uint64_t ordinal) const {
    return page + kHead + ordinal % rows_per_page * row_bytes;
  }
};

class Segment {
 public:
  // Puts the rows of keys [first, first + n), one after the other, at `rows`.
  using Fill = std::function<Status(uint64_t first, uint64_t n, uint8_t* rows)>;
  // Writes all of it, atomically.
  static Status write(const std::string& path, const PageLayout& layout, std::span<const int64_t> keys,
                      const Fill& fill, std::span<const int64_t> removed);
  // Reads header and keys, not the rows.
  static Result<Segment> open(const std::string& path, const PageLayout& layout, std::vector<int64_t>* keys,
                              std::vector<int64_t>* removed);
  const File& file() const { return direct_.fd() >= 0 ? direct_ : file_; }
  const std::string& path() const { return path_; }
  uint64_t rows() const { return rows_; }
  uint64_t removed() const { return removed_; }
  uint64_t hash() const { return hash_; }  // of the header, which has those of the keys

 private:
  std::string path_;
  File file_, direct_;  // direct_: past the page cache, where the file system can
  uint64_t rows_ = 0, removed_ = 0, hash_ = 0;
};

}  // namespace gyr
