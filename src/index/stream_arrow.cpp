// Vectors from a stream of Arrow record batches: an int64 column and one of fixed-size lists.
#include <cstring>

#include "base/math.h"
#include "index/stream.h"

namespace gyr::index {
namespace {

struct Columns {
  int64_t id, vector;
  Element element;
};

Status refuse(const char* column, const char* what) {
  return fail(GYR_E_INVALID_ARGUMENT, "index", "column \"%s\": %s", column, what);
}

Result<int64_t> find_column(const ArrowSchema& schema, const char* name) {
  for (int64_t i = 0; i < schema.n_children; i++)
    if (schema.children[i]->name && std::strcmp(schema.children[i]->name, name) == 0) return i;
  return fail(GYR_E_INVALID_ARGUMENT, "index", "the stream has no column \"%s\"", name);
}

Result<Columns> find_columns(const ArrowSchema& schema, const char* id, const char* vector, uint32_t dim) {
  if (!schema.format || std::strcmp(schema.format, "+s") != 0)
    return fail(GYR_E_INVALID_ARGUMENT, "index", "the stream's batches are no structs of columns");
  Columns c{};
  GYR_ASSIGN(c.id, find_column(schema, id));
  GYR_ASSIGN(c.vector, find_column(schema, vector));
  const ArrowSchema &ids = *schema.children[c.id], &lists = *schema.children[c.vector];
  if (std::strcmp(ids.format, "l") != 0 || ids.dictionary) return refuse(id, "it is not of type int64");
  const std::string expected = "+w:" + std::to_string(dim);
  if (std::strncmp(lists.format, "+w:", 3) != 0 || lists.n_children != 1)
    return refuse(vector, "it is not of type fixed-size list of float32 or float16");
  if (lists.format != expected)
    return fail(GYR_E_INVALID_ARGUMENT, "index", "column \"%s\": its lists have %.12s values; expected %u", vector,
                lists.format + 3, dim);
  const char* values = lists.children[0]->format;
  if (std::strcmp(values, "f") != 0 && std::strcmp(values, "e") != 0)
    return refuse(vector, "its lists are neither of float32 nor of float16");
  c.element = *values == 'f' ? Element::kFloat32 : Element::kFloat16;
  return c;
}

Status invalid(const char* column, const char* what) {
  return fail(GYR_E_CORRUPT, "index", "column \"%s\": %s", column, what);
}

// Lengths, offsets and buffers of an array of at least `length` elements.
Status check_array(const ArrowArray* a, uint64_t length, int64_t buffers, const char* column) {
  if (!a || a->length < 0 || a->offset < 0 || a->length > INT64_MAX / 2 || a->offset > INT64_MAX / 2 ||
      uint64_t(a->length) < length)
    return invalid(column, "its array is shorter than the batch, or its length or offset is negative");
  if (a->n_buffers != buffers || !a->buffers) return invalid(column, "its array has a wrong number of buffers");
  if (a->null_count > 0 && !a->buffers[0]) return invalid(column, "it counts nulls but has no bitmap of them");
  if (buffers == 2 && length > 0 && !a->buffers[1]) return invalid(column, "its array has no values");
  return {};
}

bool is_null(const ArrowArray& a, uint64_t at) {
  const auto* bits = static_cast<const uint8_t*>(a.buffers[0]);
  return bits && a.null_count != 0 && !(bits[at >> 3] >> (at & 7) & 1);
}

// One batch at a time, read from where the last chunk ended.
struct Reader {
  RawArrowStream* stream;
  Columns columns;
  const char *id, *vector;
  uint32_t dim;
  RawArrowStream::Array batch{};
  uint64_t at = 0;  // rows of the batch that are used up

  Status check_batch() const {
    if (batch.length < 0 || batch.offset < 0 || batch.n_children <= std::max(columns.id, columns.vector) ||
        !batch.children)
      return fail(GYR_E_CORRUPT, "index", "a batch of the stream lacks columns or has a negative length");
    const uint64_t rows = uint64_t(batch.offset) + uint64_t(batch.length);
    GYR_TRY(check_array(batch.children[columns.id], rows, 2, id));
    const ArrowArray* lists = batch.children[columns.vector];
    GYR_TRY(check_array(lists, rows, 1, vector));
    uint64_t values = 0;
    if (!checked_mul(uint64_t(lists->offset) + rows, dim, &values) || lists->n_children != 1 || !lists->children)
      return invalid(vector, "its array has no values or too many");
    return check_array(lists->children[0], values, 2, vector);
  }
  Status null_row(const char* column, uint64_t row) const {
    return fail(GYR_E_INVALID_ARGUMENT, "index", "column \"%s\": row %llu is null, or holds a null; leave it out",
                column, (unsigned long long)row);
  }
  Status take(const Chunk& c, uint64_t done, uint64_t n) {
    const ArrowArray &ids = *batch.children[columns.id], &lists = *batch.children[columns.vector],
                     &values = *lists.children[0];
    const uint64_t size = element_bytes(columns.element);
    for (uint64_t i = 0; i < n; i++) {
      const uint64_t row = uint64_t(batch.offset) + at + i, from = uint64_t(ids.offset) + row;
      const uint64_t list = uint64_t(lists.offset) + row, value = uint64_t(values.offset) + list * dim;
      if (is_null(batch, row)) return null_row("(row)", c.first + done + i);
      if (is_null(ids, from)) return null_row(id, c.first + done + i);
      bool missing = is_null(lists, list);
      for (uint32_t d = 0; d < dim && values.null_count != 0; d++) missing |= is_null(values, value + d);
      if (missing) return null_row(vector, c.first + done + i);
      std::memcpy(&c.ids[done + i], static_cast<const uint8_t*>(ids.buffers[1]) + from * 8, 8);
    }
    const uint64_t first = uint64_t(values.offset) + (uint64_t(lists.offset) + uint64_t(batch.offset) + at) * dim;
    widen(columns.element, static_cast<const uint8_t*>(values.buffers[1]) + first * size, dim * size, n, dim,
          c.vectors + done * dim);
    at += n;
    return {};
  }
  Status next(const Chunk& c, uint64_t* n) {
    while (*n < c.most) {
      const uint64_t left = batch.release ? uint64_t(batch.length) - at : 0;
      if (left > 0) {
        const uint64_t rows = std::min(left, c.most - *n);
        GYR_TRY(take(c, *n, rows));
        *n += rows;
        continue;
      }
      bool end = false;
      GYR_TRY(stream->next(&batch, &end));
      if (end) return {};
      at = 0;
      GYR_TRY(check_batch());
    }
    return {};
  }
};

}  // namespace

Status upsert_arrow(Runtime* runtime, Index* index, ArrowArrayStream* stream, const char* id_column,
                    const char* vector_column, gyr_task* task) {
  gyr_index_info info{};
  index->fill_info(&info);
  RawArrowStream raw;
  GYR_TRY(raw.open(stream));
  Reader reader{&raw, {}, id_column, vector_column, info.dim};
  GYR_ASSIGN(reader.columns, find_columns(raw.schema(), id_column, vector_column, info.dim));
  auto next = [&](const Chunk& c, uint64_t* n) { return reader.next(c, n); };
  GYR_TRY(upsert_chunks(runtime, index, vector_column, 0, next, task));
  raw.accept();
  return {};
}

}  // namespace gyr::index
