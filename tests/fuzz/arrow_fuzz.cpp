// Arrow data as a producer may hand it over: any schema, lengths, offsets, null counts, dictionaries and buffer
// contents; buffers have the sizes that the schema and the declared lengths ask for, which a consumer has to trust, and
// string bytes reach as far as the offsets do. Refused, or imported, exported and imported again without a difference.
#include <algorithm>
#include <cstring>

#include "base/utf8.h"
#include "data/arrow.h"
#include "tests/data/arrow_builder.h"
#include "tests/fuzz/common.h"

using namespace gyr;
using namespace gyr::fuzz;
namespace build = gyr::testing;

namespace {

constexpr int64_t kBytes = 200;  // of string data

class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  uint8_t byte() { return size_ ? (size_--, *data_++) : 0; }
  uint32_t below(uint32_t n) { return byte() % n; }
  bool rarely() { return byte() % 16 == 15; }
  build::Bytes bytes(size_t n) {
    build::Bytes b(n);
    size_t take = std::min(n, size_);
    if (take) std::memcpy(b.data(), data_, take);
    data_ += take, size_ -= take;
    return b;
  }
  std::string text(size_t n) {
    build::Bytes b = bytes(n);
    return {b.begin(), b.end()};
  }

 private:
  const uint8_t* data_;
  size_t size_;
};

constexpr const char* kFormats[] = {"n", "b", "c", "C", "s",  "S",   "i",    "I",       "l",    "L",
                                    "f", "g", "u", "U", "vu", "tdD", "tss:", "tsm:UTC", "tsu:", "tsn:Europe/Berlin"};

int64_t width_of(const std::string& f) {
  if (f == "c" || f == "C") return 1;
  if (f == "s" || f == "S") return 2;
  if (f == "i" || f == "I" || f == "f" || f == "tdD") return 4;
  return 8;
}

// What buffers of an array have to have in common.
struct Shape {
  int64_t length, offset, slots;
};

Shape shape(Input* in) {
  Shape s{in->below(12), in->rarely() ? in->below(9) : 0, 0};
  s.slots = s.length + s.offset;
  return s;
}

build::Bytes validity(Input* in, const Shape& s) {
  if (in->below(2)) return {};
  return in->bytes(size_t(s.slots + 7) / 8);
}

int64_t nulls(Input* in, const Shape& s, const build::Bytes& bits) {
  if (in->below(2)) return -1;
  if (in->rarely()) return int8_t(in->byte());
  int64_t n = 0;
  for (int64_t i = s.offset; !bits.empty() && i < s.slots; i++) n += !(bits[size_t(i / 8)] >> (i % 8) & 1);
  return n;
}

// Offsets within the string bytes, or negative, mostly rising.
template <class T>
build::Bytes offsets(Input* in, int64_t count, int64_t end) {
  std::vector<T> v;
  T at = 0;
  for (int64_t i = 0; i < count; i++) {
    if (in->rarely())
      at = T(int8_t(in->byte()));
    else
      at = T(at + T(in->below(9)));
    at = std::min<T>(at, T(end));
    v.push_back(at);
  }
  return build::bytes(v);
}

build::Bytes string_bytes(Input* in) {
  build::Bytes b = in->bytes(16 + in->below(16));
  b.resize(kBytes, 'x');
  if (in->below(2))
    for (char& c : b) c = char(c & 0x7f);  // text that is valid wherever it is cut
  return b;
}

build::Bytes views(Input* in, int64_t slots) {
  build::Bytes b = in->bytes(size_t(slots) * 16);
  for (int64_t i = 0; i < slots; i++) {
    if (in->rarely()) continue;
    int32_t size = b[size_t(i) * 16] & 31;
    std::memcpy(b.data() + i * 16, &size, 4);
    for (int k = 4; k < 16; k++) b[size_t(i * 16 + k)] = char(b[size_t(i * 16 + k)] & (size > 12 && k >= 8 ? 1 : 0x7f));
    if (size > 12) std::memset(b.data() + i * 16 + 4, 'x', 4);
  }
  return b;
}

ArrowArray leaf_array(Input* in, const std::string& f, std::vector<ArrowArray> dictionary) {
  Shape s = shape(in);
  if (f == "n") return build::array(s.length, {}, {}, {}, s.offset, in->below(2) ? -1 : s.length);
  std::vector<build::Bytes> buffers{validity(in, s)};
  int64_t null_count = nulls(in, s, buffers[0]);
  if (f == "b") {
    buffers.push_back(in->bytes(size_t(s.slots + 7) / 8));
  } else if (f == "u") {
    buffers.push_back(offsets<int32_t>(in, s.slots + 1, kBytes));
    buffers.push_back(string_bytes(in));
  } else if (f == "U") {
    buffers.push_back(offsets<int64_t>(in, s.slots + 1, kBytes));
    buffers.push_back(string_bytes(in));
  } else if (f == "vu") {
    buffers.push_back(views(in, s.slots));
    std::vector<int64_t> sizes;
    for (uint32_t i = in->below(3); i > 0; i--) {
      build::Bytes data(size_t(in->below(64)) + 1, 'x');
      sizes.push_back(in->rarely() ? -1 : int64_t(data.size()));
      buffers.push_back(std::move(data));
    }
    buffers.push_back(build::bytes(sizes));
  } else {
    buffers.push_back(in->bytes(size_t(s.slots * width_of(f))));
    if (!dictionary.empty() && !in->rarely())  // mostly indices that are in range
      for (size_t i = 0; i < buffers[1].size(); i++)
        buffers[1][i] = i % size_t(width_of(f)) ? 0 : char(buffers[1][i] & 3);
  }
  if (in->rarely()) buffers.back().clear();        // NULL where there may be nothing to point to
  if (in->rarely()) buffers.resize(in->below(4));  // not the number that the type has
  return build::array(s.length, buffers, {}, std::move(dictionary), s.offset, null_count);
}

struct Made {
  ArrowSchema schema;
  ArrowArray array;
};

Made leaf(Input* in, const std::string& name) {
  std::string f = in->rarely() ? in->text(in->below(8)) : kFormats[in->below(std::size(kFormats))];
  if (in->below(8) == 0) {
    const char* index = kFormats[2 + in->below(8)];
    ArrowArray values = leaf_array(in, f, {});
    ArrowSchema s = build::schema(index, name, {}, {build::schema(f, "values")});
    return {s, leaf_array(in, index, {values})};
  }
  return {build::schema(f, name), leaf_array(in, f, {})};
}

Made column(Input* in, int number) {
  std::string name = in->rarely() ? in->text(in->below(6)) : "c" + std::to_string(number);
  uint32_t nesting = in->below(8);
  if (nesting > 2) return leaf(in, name);
  Made child = in->rarely() ? column(in, number) : leaf(in, "item");
  Shape s = shape(in);
  std::vector<build::Bytes> buffers{validity(in, s)};
  int64_t null_count = nulls(in, s, buffers[0]);
  std::string f = nesting == 0 ? "+l" : nesting == 1 ? "+L" : "+w:" + std::to_string(in->below(4));
  if (nesting == 2 && in->rarely()) f = "+w:" + in->text(in->below(12));
  if (nesting == 0) buffers.push_back(offsets<int32_t>(in, s.slots + 1, in->rarely() ? 127 : child.array.length));
  if (nesting == 1) buffers.push_back(offsets<int64_t>(in, s.slots + 1, in->rarely() ? 127 : child.array.length));
  return {build::schema(f, name, {child.schema}),
          build::array(s.length, buffers, {child.array}, {}, s.offset, null_count)};
}

void release(Made* m) {
  if (m->schema.release) m->schema.release(&m->schema);
  if (m->array.release) m->array.release(&m->array);
}

void check_batch(const Batch& b) {
  for (const Column& c : b.columns) {
    check_column(c);
    must(c.rows() == b.rows, "all columns have as many rows");
    for (int64_t i = 0; c.physical() == Physical::kString && i < c.leaves(); i++)
      must(valid_utf8(c.string(i)), "imported text is UTF-8");
  }
}

void round_trip(const Batch& b) {
  Made out{};
  expect_ok(export_schema(fields_of(b), &out.schema), "a batch's schema can be exported");
  expect_ok(export_batch(b, &out.array), "a batch can be exported");
  Batch again;
  expect_ok(import_batch(out.schema, out.array, &again), "what was exported can be imported");
  must(again.rows == b.rows && again.names == b.names, "the same rows and names come back");
  for (size_t c = 0; c < b.columns.size(); c++) {
    must(again.columns[c].dtype == b.columns[c].dtype && again.columns[c].is_list == b.columns[c].is_list,
         "the same types come back");
    for (int64_t i = 0; i < b.rows; i++)
      must(same_row(b.columns[c], i, again.columns[c], i), "the same values come back");
  }
  release(&out);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input in(data, size);
  Shape s = shape(&in);
  std::vector<ArrowSchema> schemas;
  std::vector<ArrowArray> arrays;
  for (uint32_t i = 0, n = in.below(4); i < n; i++) {
    Made m = column(&in, int(i));
    // Wrong in ways that a consumer can see; one more row than the buffers hold is not among them.
    if (in.rarely()) m.array.length = in.below(2) ? -1 - int64_t(in.byte()) : INT64_MAX - in.byte();
    if (in.rarely()) m.array.offset = in.below(2) ? -1 - int64_t(in.byte()) : INT64_MAX - in.byte();
    schemas.push_back(m.schema);
    arrays.push_back(m.array);
  }
  std::vector<build::Bytes> buffers{in.rarely() ? validity(&in, s) : build::Bytes{}};
  Made batch{build::schema(in.rarely() ? "+l" : "+s", "", schemas),
             build::array(s.length, buffers, arrays, {}, s.offset, in.rarely() ? int64_t(in.byte()) : -1)};
  Batch out;
  Status imported = import_batch(batch.schema, batch.array, &out);
  if (imported.ok()) {
    must(import_fields(batch.schema).ok(), "the fields of an imported batch can be read");
    check_batch(out);
  } else {
    refused(imported);
  }
  release(&batch);
  if (imported.ok()) round_trip(out);
  must(build::live == 0, "everything is released");
  return 0;
}
