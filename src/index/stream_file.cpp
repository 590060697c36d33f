// Vectors from .npy, .fvecs and .bvecs files.
#include <charconv>
#include <cstring>

#include "base/math.h"
#include "index/array.h"
#include "index/stream.h"
#include "io/file.h"

namespace gyr::index {
namespace {

// Rows of a file: `skip` bytes before each, then dim elements.
struct Layout {
  Element element = Element::kFloat32;
  uint64_t begin = 0, skip = 0, rows = 0;
};

Status damaged(const File& f, const char* what) {
  return fail(GYR_E_CORRUPT, "index", "%s: %s", f.path().c_str(), what);
}
Status unsuitable(const File& f, const char* what) {
  return fail(GYR_E_INVALID_ARGUMENT, "index", "%s: %s", f.path().c_str(), what);
}

// What follows 'key': in the header's dictionary, null when it has none.
const char* value_of(const std::string& header, const char* key) {
  const size_t at = header.find(std::string("'") + key + "'");
  if (at == std::string::npos) return nullptr;
  const size_t colon = header.find_first_not_of(' ', at + std::strlen(key) + 2);
  if (colon == std::string::npos || header[colon] != ':') return nullptr;
  const size_t value = header.find_first_not_of(' ', colon + 1);
  return value == std::string::npos ? nullptr : header.c_str() + value;
}

Status read_npy(const File& f, uint64_t size, uint32_t dim, Layout* out) {
  uint8_t start[12] = {};
  if (size < 10) return damaged(f, "it ends within the header");
  GYR_TRY(f.read_at(0, {start, std::min<uint64_t>(size, sizeof start)}));
  uint64_t length = start[8] | start[9] << 8, begin = 10;
  if (start[6] != 1) {
    if (start[6] > 3 || size < 12) return damaged(f, "it is of an unknown version, or ends within the header");
    length |= uint64_t(start[10]) << 16 | uint64_t(start[11]) << 24;
    begin = 12;
  }
  if (length > 1 << 20 || begin + length > size) return damaged(f, "it ends within the header");
  std::string header(length, 0);
  GYR_TRY(f.read_at(begin, {reinterpret_cast<uint8_t*>(header.data()), length}));
  const char *descr = value_of(header, "descr"), *order = value_of(header, "fortran_order"),
             *shape = value_of(header, "shape");
  if (!descr || !order || !shape) return damaged(f, "its header has no descr, fortran_order or shape");
  struct {
    const char* text;
    Element element;
  } const known[] = {{"'<f4'", Element::kFloat32},
                     {"'<f2'", Element::kFloat16},
                     {"'|u1'", Element::kUint8},
                     {"'|i1'", Element::kInt8}};
  bool found = false;
  for (const auto& k : known)
    if (std::strncmp(descr, k.text, 5) == 0) out->element = k.element, found = true;
  if (!found) {
    const char* end = std::strpbrk(descr, ",}");
    return fail(GYR_E_INVALID_ARGUMENT, "index",
                "%s: its type is %.*s; expected little-endian float32, float16, uint8 or int8", f.path().c_str(),
                int(end ? std::min<ptrdiff_t>(end - descr, 40) : 40), descr);
  }
  if (std::strncmp(order, "False", 5) != 0)
    return unsuitable(f, "it is in Fortran order (column-major); save numpy.ascontiguousarray() of it");
  uint64_t columns = 0;
  const char *end = header.c_str() + header.size(), *at = shape;
  auto skip = [&](char c) {
    while (at != end && *at == ' ') at++;
    return at != end && *at == c && at++;
  };
  auto number = [&](uint64_t* out) {
    while (at != end && *at == ' ') at++;
    const auto [rest, error] = std::from_chars(at, end, *out);
    at = rest;
    return error == std::errc();
  };
  const bool matrix =
      skip('(') && number(&out->rows) && skip(',') && number(&columns) && (skip(')') || (skip(',') && skip(')')));
  if (!matrix) return unsuitable(f, "it is no matrix; expected the shape (rows, dim)");
  if (columns != dim)
    return fail(GYR_E_INVALID_ARGUMENT, "index", "%s: its rows have %llu values; expected %u", f.path().c_str(),
                (unsigned long long)columns, dim);
  out->begin = begin + length;
  uint64_t bytes = 0;
  if (!checked_mul(out->rows, dim * element_bytes(out->element), &bytes) || bytes != size - out->begin)
    return fail(GYR_E_CORRUPT, "index", "%s: its header promises %llu rows, but %llu bytes follow it", f.path().c_str(),
                (unsigned long long)out->rows, (unsigned long long)(size - out->begin));
  return {};
}

Status read_vecs(const File& f, uint64_t size, uint32_t dim, Element element, Layout* out) {
  *out = {element, 0, 4, 0};
  const uint64_t row = 4 + dim * element_bytes(element);
  if (size == 0) return fail(GYR_E_CORRUPT, "index", "%s: it is empty", f.path().c_str());
  uint32_t first = dim;
  if (size >= 4) GYR_TRY(f.read_at(0, {reinterpret_cast<uint8_t*>(&first), 4}));
  if (first != dim)
    return fail(GYR_E_INVALID_ARGUMENT, "index", "%s: its rows have %u values; expected %u", f.path().c_str(), first,
                dim);
  if (size % row)
    return fail(GYR_E_CORRUPT, "index", "%s: it ends %llu bytes into row %llu, at byte %llu", f.path().c_str(),
                (unsigned long long)(size % row), (unsigned long long)(size / row), (unsigned long long)size);
  out->rows = size / row;
  return {};
}

Status read_layout(const File& f, uint64_t size, uint32_t dim, Layout* out) {
  auto ends_with = [&](const char* s) { return f.path().ends_with(s); };
  if (ends_with(".fvecs")) return read_vecs(f, size, dim, Element::kFloat32, out);
  if (ends_with(".bvecs")) return read_vecs(f, size, dim, Element::kUint8, out);
  if (!ends_with(".npy")) return unsuitable(f, "its name ends in none of .npy, .fvecs and .bvecs");
  uint8_t magic[6] = {};
  if (size >= 6) GYR_TRY(f.read_at(0, magic));
  if (std::memcmp(magic, "\x93NUMPY", 6) != 0) return damaged(f, "it does not begin as a .npy file does");
  return read_npy(f, size, dim, out);
}

}  // namespace

Status upsert_file(Runtime* runtime, Index* index, const std::string& path, const Numbers& numbers, gyr_task* task) {
  gyr_index_info info{};
  index->fill_info(&info);
  GYR_ASSIGN(File file, File::open_read(path));
  GYR_ASSIGN(const uint64_t size, file.size());
  Layout l;
  GYR_TRY(read_layout(file, size, info.dim, &l));
  if (numbers.ids && numbers.n != l.rows)
    return fail(GYR_E_INVALID_ARGUMENT, "index", "%s: it has %llu rows, but there are %llu ids", path.c_str(),
                (unsigned long long)l.rows, (unsigned long long)numbers.n);
  if (!numbers.ids && l.rows > 0 && numbers.first > INT64_MAX - int64_t(std::min<uint64_t>(l.rows - 1, INT64_MAX)))
    return fail(GYR_E_OUT_OF_RANGE, "index", "first_id is %lld; %llu rows from there on exceed 2^63",
                (long long)numbers.first, (unsigned long long)l.rows);
  const uint64_t stride = l.skip + info.dim * element_bytes(l.element);
  Array<uint8_t> buffer(Aligned<uint8_t>{runtime->memory()});
  auto next = [&](const Chunk& c, uint64_t* rows) -> Status {
    *rows = std::min(c.most, l.rows - c.first);
    if (*rows == 0) return {};
    buffer.resize(*rows * stride);
    GYR_TRY(file.read_at(l.begin + c.first * stride, buffer));
    for (uint64_t i = 0; i < *rows; i++) {
      c.ids[i] = numbers.ids ? numbers.ids[c.first + i] : numbers.first + int64_t(c.first + i);
      uint32_t dim = info.dim;
      if (l.skip) std::memcpy(&dim, buffer.data() + i * stride, 4);
      if (dim != info.dim)
        return fail(GYR_E_CORRUPT, "index", "%s: row %llu, at byte %llu, has %u values; expected %u", path.c_str(),
                    (unsigned long long)(c.first + i), (unsigned long long)(l.begin + (c.first + i) * stride), dim,
                    info.dim);
    }
    widen(l.element, buffer.data() + l.skip, stride, *rows, info.dim, c.vectors);
    return {};
  };
  return upsert_chunks(runtime, index, path.c_str(), l.rows, next, task);
}

}  // namespace gyr::index
