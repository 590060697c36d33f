#include "data/arrow_leaf.h"

#include <algorithm>
#include <cstring>

#include "base/utf8.h"

namespace gyr {
namespace {

int64_t count_nulls(const void* bits, int64_t offset, int64_t length) {
  auto* bytes = static_cast<const uint8_t*>(bits);
  int64_t set = 0, i = offset, end = offset + length;
  for (; i < end && (i & 7); i++) set += arrow_bit(bits, i);
  for (uint64_t word; end - i >= 64; i += 64) {
    std::memcpy(&word, bytes + i / 8, 8);
    set += __builtin_popcountll(word);
  }
  for (; i < end; i++) set += arrow_bit(bits, i);
  return length - set;
}

// The row that a leaf of `out` belongs to; the rows were opened before their leaves were copied.
int64_t row_of(const Column& out, int64_t leaf) {
  if (!out.is_list) return leaf;
  auto& offsets = out.list_offsets;
  return std::upper_bound(offsets.begin(), offsets.end(), leaf) - offsets.begin() - 1;
}

int64_t buffers_of(ArrowKind kind) {
  switch (kind) {
    case ArrowKind::kNull:
      return 0;
    case ArrowKind::kUtf8:
    case ArrowKind::kLargeUtf8:
      return 3;
    default:
      return 2;
  }
}

}  // namespace

Status check_arrow_array(const ArrowArray* array, const char* column, int64_t n_buffers, int64_t n_children,
                         bool dictionary, bool has_validity) {
  auto bad = [&](const char* what, int64_t value) {
    return fail(GYR_E_CORRUPT, "data", "column \"%.80s\": %s (%lld)", column, what, (long long)value);
  };
  if (!array || !array->release) return bad("array is NULL or released", 0);
  if (array->length < 0 || array->length > kMaxArrowLength) return bad("impossible length", array->length);
  if (array->offset < 0 || array->offset > kMaxArrowLength) return bad("impossible offset", array->offset);
  if (array->null_count < -1 || array->null_count > array->length) return bad("wrong null_count", array->null_count);
  if (array->n_buffers != n_buffers) return bad("wrong number of buffers", array->n_buffers);
  if (n_buffers > 0 && !array->buffers) return bad("buffers is NULL", 0);
  if (array->n_children != n_children) return bad("wrong number of children", array->n_children);
  if (n_children > 0 && !array->children) return bad("children is NULL", 0);
  if ((array->dictionary != nullptr) != dictionary)
    return bad(dictionary ? "dictionary is missing" : "array has a dictionary, its schema has none", 0);
  if (!has_validity) return {};
  const void* bits = array->buffers[0];
  if (!bits) return array->null_count > 0 ? bad("nulls without a validity bitmap", array->null_count) : Status();
  if (array->null_count >= 0 && count_nulls(bits, array->offset, array->length) != array->null_count)
    return bad("null_count contradicts the validity bitmap", array->null_count);
  return {};
}

Status ArrowLeaf::corrupt(const Column& out, int64_t leaf, const char* what) const {
  return fail(GYR_E_CORRUPT, "data", "column \"%.80s\", row %lld: %s", column_, (long long)row_of(out, leaf), what);
}

Status ArrowLeaf::open(const ArrowLeafType& type, const ArrowArray* array, const char* column) {
  type_ = type;
  column_ = column;
  array_ = array;
  ArrowKind kind = type.has_dictionary ? type.index : type.kind;
  int64_t n_buffers = buffers_of(kind);
  if (kind == ArrowKind::kUtf8View && array) n_buffers = std::max<int64_t>(array->n_buffers, 3);
  GYR_TRY(check_arrow_array(array, column, n_buffers, 0, type.has_dictionary, kind != ArrowKind::kNull));
  validity_ = kind == ArrowKind::kNull ? nullptr : array->buffers[0];
  if (kind == ArrowKind::kUtf8View) GYR_TRY(check_views());
  if (!type.has_dictionary) return {};
  ArrowLeafType plain = type;
  plain.has_dictionary = false;
  ArrowLeaf values;
  dictionary_.reset(type.dtype, false);
  Status s = values.open(plain, array->dictionary, column);
  if (s.ok()) s = values.append(0, array->dictionary->length, &dictionary_);
  return s.ok() ? Status() : std::move(s).at("dictionary");
}

Status ArrowLeaf::append(int64_t begin, int64_t count, Column* out) const {
  if (count == 0) return {};
  ArrowKind kind = type_.has_dictionary ? type_.index : type_.kind;
  // Only a string array whose values are all empty may do without its last buffer.
  if (kind != ArrowKind::kNull && !array_->buffers[1])
    return fail(GYR_E_CORRUPT, "data", "column \"%.80s\": data buffer is NULL for %lld rows", column_,
                (long long)array_->length);
  return type_.has_dictionary ? append_indices(begin, count, out) : append_values(begin, count, out);
}

Status ArrowLeaf::append_values(int64_t begin, int64_t count, Column* out) const {
  switch (type_.kind) {
    case ArrowKind::kNull:
      for (int64_t i = 0; i < count; i++) out->push_null_leaf();
      return {};
    case ArrowKind::kBool: {
      int64_t first = out->leaves();
      for (int64_t i = begin; i < begin + count; i++)
        out->ints.push_back(arrow_bit(array_->buffers[1], array_->offset + i));
      mark_nulls(first, begin, count, out);
      return {};
    }
    case ArrowKind::kInt8:
      return append_ints<int8_t>(begin, count, out);
    case ArrowKind::kInt16:
      return append_ints<int16_t>(begin, count, out);
    case ArrowKind::kDate32:
    case ArrowKind::kInt32:
      return append_ints<int32_t>(begin, count, out);
    case ArrowKind::kTimestamp:
    case ArrowKind::kInt64:
      return append_ints<int64_t>(begin, count, out);
    case ArrowKind::kUint8:
      return append_ints<uint8_t>(begin, count, out);
    case ArrowKind::kUint16:
      return append_ints<uint16_t>(begin, count, out);
    case ArrowKind::kUint32:
      return append_ints<uint32_t>(begin, count, out);
    case ArrowKind::kUint64:
      return append_ints<uint64_t>(begin, count, out);
    case ArrowKind::kFloat32:
      append_floats<float>(begin, count, out);
      return {};
    case ArrowKind::kFloat64:
      append_floats<double>(begin, count, out);
      return {};
    case ArrowKind::kUtf8:
      return append_strings<int32_t>(begin, count, out);
    case ArrowKind::kLargeUtf8:
      return append_strings<int64_t>(begin, count, out);
    case ArrowKind::kUtf8View:
      return append_views(begin, count, out);
  }
  return fail(GYR_E_INTERNAL, "data", "unknown Arrow kind %d", int(type_.kind));
}

// Null slots hold anything in Arrow; here they hold zero.
void ArrowLeaf::mark_nulls(int64_t first, int64_t begin, int64_t count, Column* out) const {
  bool nulls = validity_ && count_nulls(validity_, array_->offset + begin, count) > 0;
  if (!nulls && out->leaf_valid.empty()) return;
  out->leaf_valid.resize(size_t(first), 1);
  for (int64_t i = 0; i < count; i++) {
    bool ok = valid(begin + i);
    out->leaf_valid.push_back(ok);
    if (ok) continue;
    if (out->physical() == Physical::kInt) out->ints[size_t(first + i)] = 0;
    if (out->physical() == Physical::kFloat) out->floats[size_t(first + i)] = 0;
  }
}

template <class T>
Status ArrowLeaf::append_ints(int64_t begin, int64_t count, Column* out) const {
  int64_t first = out->leaves();
  out->ints.resize(size_t(first + count));
  for (int64_t i = 0; i < count; i++) out->ints[size_t(first + i)] = int64_t(load<T>(array_->buffers[1], begin + i));
  mark_nulls(first, begin, count, out);
  if constexpr (std::is_same_v<T, uint64_t>) {
    for (int64_t i = first; i < first + count; i++)
      if (out->ints[size_t(i)] < 0)
        return fail(GYR_E_OUT_OF_RANGE, "data",
                    "column \"%.80s\", row %lld: %llu is above 2^63-1; store such ids as int64 or strings", column_,
                    (long long)row_of(*out, i), (unsigned long long)out->ints[size_t(i)]);
  }
  return to_microseconds(first, out);
}

Status ArrowLeaf::to_microseconds(int64_t first, Column* out) const {
  if (type_.multiply == 1 && type_.divide == 1) return {};
  for (int64_t i = first; i < out->leaves(); i++) {
    int64_t& v = out->ints[size_t(i)];
    int64_t floor = v / type_.divide - (v % type_.divide < 0);
    if (__builtin_mul_overflow(floor, type_.multiply, &v))
      return fail(GYR_E_OUT_OF_RANGE, "data", "column \"%.80s\", row %lld: the time does not fit in microseconds",
                  column_, (long long)row_of(*out, i));
  }
  return {};
}

template <class T>
void ArrowLeaf::append_floats(int64_t begin, int64_t count, Column* out) const {
  int64_t first = out->leaves();
  out->floats.resize(size_t(first + count));
  for (int64_t i = 0; i < count; i++) out->floats[size_t(first + i)] = double(load<T>(array_->buffers[1], begin + i));
  mark_nulls(first, begin, count, out);
}

template <class Offset>
Status ArrowLeaf::append_strings(int64_t begin, int64_t count, Column* out) const {
  int64_t first = out->leaves();
  auto* bytes = static_cast<const char*>(array_->buffers[2]);
  int64_t at = load<Offset>(array_->buffers[1], begin);
  if (at < 0) return corrupt(*out, first, "negative string offset");
  for (int64_t i = 0; i < count; i++) {
    int64_t end = load<Offset>(array_->buffers[1], begin + i + 1);
    if (end < at || end > kMaxArrowLength) return corrupt(*out, first + i, "string offsets do not rise");
    if (end > at && !bytes) return corrupt(*out, first + i, "string bytes are NULL");
    if (end > at && valid(begin + i)) {
      std::string_view text(bytes + at, size_t(end - at));
      if (!valid_utf8(text)) return corrupt(*out, first + i, "not UTF-8");
      out->chars.insert(out->chars.end(), text.begin(), text.end());
    }
    out->char_offsets.push_back(int64_t(out->chars.size()));
    at = end;
  }
  mark_nulls(first, begin, count, out);
  return {};
}

// validity, views, data buffers..., and the data buffers' sizes last.
Status ArrowLeaf::check_views() const {
  int64_t n_data = array_->n_buffers - 3;
  auto* sizes = static_cast<const char*>(array_->buffers[array_->n_buffers - 1]);
  if (n_data > 0 && !sizes)
    return fail(GYR_E_CORRUPT, "data", "column \"%.80s\": sizes of the view buffers are missing", column_);
  for (int64_t i = 0; i < n_data; i++) {
    int64_t size;
    std::memcpy(&size, sizes + i * 8, 8);
    if (size < 0 || (size > 0 && !array_->buffers[2 + i]))
      return fail(GYR_E_CORRUPT, "data", "column \"%.80s\": view buffer %lld is NULL or has a negative size", column_,
                  (long long)i);
  }
  return {};
}

Status ArrowLeaf::append_views(int64_t begin, int64_t count, Column* out) const {
  struct View {
    int32_t size;
    char prefix[4];  // sizes up to 12 continue here through `buffer` and `offset`
    int32_t buffer, offset;
  };
  int64_t first = out->leaves(), n_data = array_->n_buffers - 3;
  for (int64_t i = 0; i < count; i++) {
    View view{};
    if (valid(begin + i)) view = load<View>(array_->buffers[1], begin + i);
    if (view.size < 0) return corrupt(*out, first + i, "negative string view size");
    const char* text = reinterpret_cast<const char*>(&view) + 4;
    if (view.size > 12) {
      if (view.buffer < 0 || view.buffer >= n_data || view.offset < 0)
        return corrupt(*out, first + i, "string view points to no buffer");
      int64_t size;
      std::memcpy(&size, static_cast<const char*>(array_->buffers[array_->n_buffers - 1]) + int64_t(view.buffer) * 8,
                  8);
      if (int64_t(view.offset) + view.size > size) return corrupt(*out, first + i, "string view leaves its buffer");
      text = static_cast<const char*>(array_->buffers[2 + view.buffer]) + view.offset;
      if (std::memcmp(text, view.prefix, 4) != 0)
        return corrupt(*out, first + i, "string view's prefix differs from its text");
    }
    if (!valid_utf8({text, size_t(view.size)})) return corrupt(*out, first + i, "not UTF-8");
    out->chars.insert(out->chars.end(), text, text + view.size);
    out->char_offsets.push_back(int64_t(out->chars.size()));
  }
  mark_nulls(first, begin, count, out);
  return {};
}

Status ArrowLeaf::append_indices(int64_t begin, int64_t count, Column* out) const {
  switch (type_.index) {
    case ArrowKind::kInt8:
      return append_dictionary<int8_t>(begin, count, out);
    case ArrowKind::kInt16:
      return append_dictionary<int16_t>(begin, count, out);
    case ArrowKind::kInt32:
      return append_dictionary<int32_t>(begin, count, out);
    case ArrowKind::kInt64:
      return append_dictionary<int64_t>(begin, count, out);
    case ArrowKind::kUint8:
      return append_dictionary<uint8_t>(begin, count, out);
    case ArrowKind::kUint16:
      return append_dictionary<uint16_t>(begin, count, out);
    case ArrowKind::kUint32:
      return append_dictionary<uint32_t>(begin, count, out);
    case ArrowKind::kUint64:
      return append_dictionary<uint64_t>(begin, count, out);
    default:
      return fail(GYR_E_INTERNAL, "data", "unknown index kind %d", int(type_.index));
  }
}

template <class Index>
Status ArrowLeaf::append_dictionary(int64_t begin, int64_t count, Column* out) const {
  int64_t size = dictionary_.leaves();
  for (int64_t i = 0; i < count; i++) {
    if (!valid(begin + i)) {
      out->push_null_leaf();
      continue;
    }
    // A uint64 index above 2^63-1 turns negative here and is refused too.
    int64_t at = int64_t(load<Index>(array_->buffers[1], begin + i));
    if (at < 0 || at >= size) return corrupt(*out, out->leaves(), "dictionary index is out of range");
    if (!dictionary_.leaf_is_valid(at))
      out->push_null_leaf();
    else if (out->physical() == Physical::kInt)
      out->push_int(dictionary_.ints[size_t(at)]);
    else if (out->physical() == Physical::kFloat)
      out->push_float(dictionary_.floats[size_t(at)]);
    else
      out->push_string(dictionary_.string(at));
  }
  return {};
}

}  // namespace gyr
