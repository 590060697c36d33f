// One array of scalars (a column, or a list's elements): checked as a whole once, then copied in runs.
#pragma once

#include "data/arrow_type.h"
#include "data/column.h"

namespace gyr {

// More values than any memory holds; keeps every size computation below 2^63.
constexpr int64_t kMaxArrowLength = int64_t(1) << 46;

// Lengths, null count against the bitmap, buffer and child pointers of any array.
Status check_arrow_array(const ArrowArray* array, const char* column, int64_t n_buffers, int64_t n_children,
                         bool dictionary, bool has_validity);

inline bool arrow_bit(const void* bits, int64_t i) { return static_cast<const uint8_t*>(bits)[i >> 3] >> (i & 7) & 1; }

class ArrowLeaf {
 public:
  // `column` must outlive this object; it is for messages.
  Status open(const ArrowLeafType& type, const ArrowArray* array, const char* column);
  int64_t length() const { return array_->length; }
  // Appends values [begin, begin + count) of the array to out's leaves.
  Status append(int64_t begin, int64_t count, Column* out) const;

 private:
  template <class T>
  Status append_ints(int64_t begin, int64_t count, Column* out) const;
  template <class T>
  void append_floats(int64_t begin, int64_t count, Column* out) const;
  template <class Offset>
  Status append_strings(int64_t begin, int64_t count, Column* out) const;
  Status append_views(int64_t begin, int64_t count, Column* out) const;
  template <class Index>
  Status append_dictionary(int64_t begin, int64_t count, Column* out) const;
  Status append_indices(int64_t begin, int64_t count, Column* out) const;
  Status append_values(int64_t begin, int64_t count, Column* out) const;
  void mark_nulls(int64_t first, int64_t begin, int64_t count, Column* out) const;
  Status to_microseconds(int64_t first, Column* out) const;
  Status check_views() const;
  bool valid(int64_t i) const { return !validity_ || arrow_bit(validity_, array_->offset + i); }
  template <class T>
  T load(const void* buffer, int64_t i) const {
    T v;
    __builtin_memcpy(&v, static_cast<const char*>(buffer) + (array_->offset + i) * int64_t(sizeof(T)), sizeof(T));
    return v;
  }
  Status corrupt(const Column& out, int64_t leaf, const char* what) const;

  ArrowLeafType type_;
  const ArrowArray* array_ = nullptr;
  const void* validity_ = nullptr;
  const char* column_ = "";
  Column dictionary_;
};

}  // namespace gyr
