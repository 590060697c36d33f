#include "data/arrow_type.h"

#include <charconv>
#include <cstring>
#include <unordered_set>

#include "data/arrow.h"
#include "base/utf8.h"

namespace gyr {
namespace {

struct Format {
  const char* text;
  ArrowKind kind;
  gyr_dtype dtype;
};

constexpr Format kFormats[] = {
    {"n", ArrowKind::kNull, GYR_DTYPE_NONE},        {"b", ArrowKind::kBool, GYR_DTYPE_BOOL},
    {"c", ArrowKind::kInt8, GYR_DTYPE_INT8},        {"C", ArrowKind::kUint8, GYR_DTYPE_UINT8},
    {"s", ArrowKind::kInt16, GYR_DTYPE_INT16},      {"S", ArrowKind::kUint16, GYR_DTYPE_UINT16},
    {"i", ArrowKind::kInt32, GYR_DTYPE_INT32},      {"I", ArrowKind::kUint32, GYR_DTYPE_UINT32},
    {"l", ArrowKind::kInt64, GYR_DTYPE_INT64},      {"L", ArrowKind::kUint64, GYR_DTYPE_UINT64},
    {"f", ArrowKind::kFloat32, GYR_DTYPE_FLOAT32},  {"g", ArrowKind::kFloat64, GYR_DTYPE_FLOAT64},
    {"u", ArrowKind::kUtf8, GYR_DTYPE_STRING},      {"U", ArrowKind::kLargeUtf8, GYR_DTYPE_STRING},
    {"vu", ArrowKind::kUtf8View, GYR_DTYPE_STRING}, {"tdD", ArrowKind::kDate32, GYR_DTYPE_TIMESTAMP},
};

// "tsu:Europe/Berlin": the unit; the zone only says how to show it, the values are UTC.
bool parse_timestamp(const char* format, ArrowLeafType* out) {
  if (std::strncmp(format, "ts", 2) != 0 || !format[2] || format[3] != ':') return false;
  out->kind = ArrowKind::kTimestamp;
  out->dtype = GYR_DTYPE_TIMESTAMP;
  switch (format[2]) {
    case 's':
      out->multiply = 1000000;
      return true;
    case 'm':
      out->multiply = 1000;
      return true;
    case 'u':
      return true;
    case 'n':
      out->divide = 1000;
      return true;
    default:
      return false;
  }
}

Status check_schema(const ArrowSchema* schema, const char* what) {
  if (!schema || !schema->release) return fail(GYR_E_CORRUPT, "data", "%s: schema is NULL or released", what);
  if (!schema->format) return fail(GYR_E_CORRUPT, "data", "%s: schema has no format", what);
  if (schema->n_children < 0 || (schema->n_children > 0 && !schema->children))
    return fail(GYR_E_CORRUPT, "data", "%s: schema claims %lld children but has no array of them", what,
                (long long)schema->n_children);
  return {};
}

Status unsupported(const char* column, const char* format, const char* hint) {
  return fail(GYR_E_UNSUPPORTED, "data", "column \"%.80s\": Arrow type \"%.40s\" is not read%s", column, format, hint);
}

Status parse_plain(const ArrowSchema& schema, const char* column, ArrowLeafType* out) {
  if (schema.format[0] == '+') return unsupported(column, schema.format, "; lists of scalars are the only nesting");
  if (schema.n_children != 0)
    return fail(GYR_E_CORRUPT, "data", "column \"%.80s\": type \"%.40s\" has children", column, schema.format);
  for (const Format& f : kFormats) {
    if (std::strcmp(schema.format, f.text) != 0) continue;
    out->kind = f.kind;
    out->dtype = f.dtype;
    if (f.kind == ArrowKind::kDate32) out->multiply = 86400000000;
    return {};
  }
  if (parse_timestamp(schema.format, out)) return {};
  return unsupported(column, schema.format, "; cast it (e.g. decimals and halves to float, dates to date32)");
}

Status parse_leaf(const ArrowSchema* schema, const char* column, ArrowLeafType* out) {
  GYR_TRY(check_schema(schema, column));
  if (!schema->dictionary) return parse_plain(*schema, column, out);
  ArrowLeafType index;
  GYR_TRY(parse_plain(*schema, column, &index));
  if (index.kind < ArrowKind::kInt8 || index.kind > ArrowKind::kUint64)
    return fail(GYR_E_CORRUPT, "data", "column \"%.80s\": dictionary indices of type \"%.40s\"", column,
                schema->format);
  GYR_TRY(check_schema(schema->dictionary, column));
  if (schema->dictionary->dictionary) return unsupported(column, "dictionary of dictionary", "");
  GYR_TRY(parse_plain(*schema->dictionary, column, out));
  out->has_dictionary = true;
  out->index = index.kind;
  return {};
}

Status parse_column(const ArrowSchema* schema, ArrowType* out) {
  GYR_TRY(check_schema(schema, "a column"));
  out->name = schema->name ? schema->name : "";
  const char* column = out->name.c_str();
  if (!valid_utf8(out->name)) return fail(GYR_E_CORRUPT, "data", "a column's name is not UTF-8");
  const char* format = schema->format;
  if (std::strcmp(format, "+l") == 0)
    out->list = ArrowList::kOffsets32;
  else if (std::strcmp(format, "+L") == 0)
    out->list = ArrowList::kOffsets64;
  else if (std::strncmp(format, "+w:", 3) == 0)
    out->list = ArrowList::kFixed;
  else
    return parse_leaf(schema, column, &out->leaf);

  if (out->list == ArrowList::kFixed) {
    int32_t size = -1;
    const char* end = format + std::strlen(format);
    auto parsed = std::from_chars(format + 3, end, size);
    if (parsed.ec != std::errc() || parsed.ptr != end || size < 0)
      return fail(GYR_E_CORRUPT, "data", "column \"%.80s\": bad list size in \"%.40s\"", column, format);
    out->fixed_size = size;
  }
  if (schema->n_children != 1 || schema->dictionary)
    return fail(GYR_E_CORRUPT, "data", "column \"%.80s\": a list needs one child and no dictionary", column);
  return parse_leaf(schema->children[0], column, &out->leaf);
}

}  // namespace

Status parse_arrow_schema(const ArrowSchema& schema, std::vector<ArrowType>* out) {
  GYR_TRY(check_schema(&schema, "the stream"));
  if (std::strcmp(schema.format, "+s") != 0)
    return fail(GYR_E_UNSUPPORTED, "data", "expected record batches (Arrow type \"+s\"), got \"%.40s\"", schema.format);
  out->clear();
  std::unordered_set<std::string> names;
  for (int64_t i = 0; i < schema.n_children; i++) {
    ArrowType type;
    GYR_TRY(parse_column(schema.children[i], &type));
    if (!names.insert(type.name).second)
      return fail(GYR_E_INVALID_ARGUMENT, "data", "column \"%.80s\" appears twice; rename one", type.name.c_str());
    out->push_back(std::move(type));
  }
  return {};
}

Result<std::vector<Field>> import_fields(const ArrowSchema& schema) {
  std::vector<ArrowType> types;
  GYR_TRY(parse_arrow_schema(schema, &types));
  std::vector<Field> fields;
  for (ArrowType& t : types) fields.push_back({std::move(t.name), t.leaf.dtype, t.list != ArrowList::kNone});
  return fields;
}

}  // namespace gyr
