#include <algorithm>

#include "data/arrow.h"
#include "data/arrow_leaf.h"

namespace gyr {
namespace {

// Where list row i's elements are in the child.
struct ListExtents {
  ArrowList kind;
  int64_t fixed_size;
  const ArrowArray* array;
  const char* column;

  int64_t offset_at(int64_t i) const {
    i += array->offset;
    if (kind == ArrowList::kFixed) return i * fixed_size;
    auto* p = static_cast<const char*>(array->buffers[1]);
    int64_t wide;
    int32_t narrow;
    if (kind == ArrowList::kOffsets64) return __builtin_memcpy(&wide, p + i * 8, 8), wide;
    return __builtin_memcpy(&narrow, p + i * 4, 4), narrow;
  }
};

// Rows are opened one by one; elements are copied in the longest runs that nulls leave.
Status append_lists(const ListExtents& lists, const ArrowLeaf& leaf, int64_t begin, int64_t count, Column* out) {
  auto bad = [&](int64_t i, const char* what) {
    return fail(GYR_E_CORRUPT, "data", "column \"%.80s\", row %lld: %s", lists.column, (long long)(i - begin), what);
  };
  const void* validity = lists.array->buffers[0];
  int64_t at = lists.offset_at(begin), run = at, total = out->leaves();
  if (at < 0) return bad(begin, "negative list offset");
  for (int64_t i = begin; i < begin + count; i++) {
    int64_t end = lists.offset_at(i + 1);
    if (end < at) return bad(i, "list offsets do not rise");
    if (end > leaf.length()) return bad(i, "list leaves its child array");
    bool valid = !validity || arrow_bit(validity, lists.array->offset + i);
    if (!valid) {
      GYR_TRY(leaf.append(run, at - run, out));
      run = end;
      out->push_null_row();
    } else {
      total += end - at;
      out->list_offsets.push_back(total);
      if (!out->list_valid.empty()) out->list_valid.push_back(1);
    }
    at = end;
  }
  return leaf.append(run, at - run, out);
}

Status import_column(const ArrowType& type, const ArrowArray* array, int64_t begin, int64_t count, Column* out) {
  const char* column = type.name.c_str();
  bool list = type.list != ArrowList::kNone;
  out->reset(type.leaf.dtype, list);
  ArrowLeaf leaf;
  if (list)
    GYR_TRY(check_arrow_array(array, column, type.list == ArrowList::kFixed ? 1 : 2, 1, false, true));
  else
    GYR_TRY(leaf.open(type.leaf, array, column));
  if (begin > array->length || count > array->length - begin)
    return fail(GYR_E_CORRUPT, "data", "column \"%.80s\": has %lld rows, its batch needs %lld", column,
                (long long)array->length, (long long)(begin + count));
  if (!list) return leaf.append(begin, count, out);

  GYR_TRY(leaf.open(type.leaf, array->children[0], column));
  if (count == 0) return {};
  if (type.list != ArrowList::kFixed && !array->buffers[1])
    return fail(GYR_E_CORRUPT, "data", "column \"%.80s\": list offsets are NULL", column);
  if (type.fixed_size > 0 && array->offset + array->length > leaf.length() / type.fixed_size)
    return fail(GYR_E_CORRUPT, "data", "column \"%.80s\": child has %lld values, lists of %lld need more", column,
                (long long)leaf.length(), (long long)type.fixed_size);
  return append_lists({type.list, type.fixed_size, array, column}, leaf, begin, count, out);
}

}  // namespace

Status import_batch(const ArrowSchema& schema, const ArrowArray& array, Batch* out) {
  std::vector<ArrowType> types;
  GYR_TRY(parse_arrow_schema(schema, &types));
  GYR_TRY(check_arrow_array(&array, "(the batch)", 1, int64_t(types.size()), false, true));
  const void* validity = array.buffers[0];
  for (int64_t i = 0; validity && i < array.length; i++)
    if (!arrow_bit(validity, array.offset + i))
      return fail(GYR_E_UNSUPPORTED, "data", "row %lld: the whole row is null; drop such rows", (long long)i);
  out->names.resize(types.size());
  out->columns.resize(types.size());
  out->rows = array.length;
  for (size_t c = 0; c < types.size(); c++) {
    out->names[c] = types[c].name;
    GYR_TRY(import_column(types[c], array.children[c], array.offset, array.length, &out->columns[c]));
  }
  return {};
}

}  // namespace gyr
