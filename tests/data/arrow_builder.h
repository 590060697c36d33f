// Arrow arrays and streams built by hand, with every buffer in its own exact-size heap block (so that a sanitizer sees
// one byte too many) and a count of what was not released.
#pragma once

#include <gyr/data.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace gyr::testing {

inline std::atomic<int> live = 0;  // schemas, arrays and streams not released yet

struct SchemaBox {
  std::string format, name;
  std::vector<ArrowSchema*> children;
  ArrowSchema* dictionary = nullptr;
};

inline void release_box(ArrowSchema* s) {
  auto* box = static_cast<SchemaBox*>(s->private_data);
  for (ArrowSchema* c : box->children) {
    if (c->release) c->release(c);
    delete c;
  }
  if (box->dictionary) {
    if (box->dictionary->release) box->dictionary->release(box->dictionary);
    delete box->dictionary;
  }
  delete box;
  s->release = nullptr;
  live--;
}

inline ArrowSchema schema(std::string format, std::string name, std::vector<ArrowSchema> children = {},
                          std::vector<ArrowSchema> dictionary = {}) {
  auto* box = new SchemaBox{std::move(format), std::move(name), {}, nullptr};
  for (ArrowSchema& c : children) box->children.push_back(new ArrowSchema(c));
  if (!dictionary.empty()) box->dictionary = new ArrowSchema(dictionary[0]);
  live++;
  ArrowSchema s{};
  s.format = box->format.c_str();
  s.name = box->name.c_str();
  s.flags = ARROW_FLAG_NULLABLE;
  s.n_children = int64_t(box->children.size());
  s.children = box->children.data();
  s.dictionary = box->dictionary;
  s.release = release_box;
  s.private_data = box;
  return s;
}

using Bytes = std::vector<char>;

template <class T>
Bytes bytes(const std::vector<T>& v) {
  Bytes b(v.size() * sizeof(T));
  if (!v.empty()) std::memcpy(b.data(), v.data(), b.size());
  return b;
}
inline Bytes bits(const std::vector<int>& v) {
  Bytes b((v.size() + 7) / 8);
  for (size_t i = 0; i < v.size(); i++) b[i / 8] = char(b[i / 8] | (v[i] << (i % 8)));
  return b;
}
inline Bytes text(const std::string& s) { return {s.begin(), s.end()}; }

struct ArrayBox {
  std::vector<std::unique_ptr<char[]>> blocks;
  std::vector<const void*> buffers;
  std::vector<ArrowArray*> children;
  ArrowArray* dictionary = nullptr;
};

inline void release_array_box(ArrowArray* a) {
  auto* box = static_cast<ArrayBox*>(a->private_data);
  for (ArrowArray* c : box->children) {
    if (c->release) c->release(c);
    delete c;
  }
  if (box->dictionary) {
    if (box->dictionary->release) box->dictionary->release(box->dictionary);
    delete box->dictionary;
  }
  delete box;
  a->release = nullptr;
  live--;
}

// An empty Bytes becomes a NULL buffer.
inline ArrowArray array(int64_t length, std::vector<Bytes> buffers, std::vector<ArrowArray> children = {},
                        std::vector<ArrowArray> dictionary = {}, int64_t offset = 0, int64_t nulls = -1) {
  auto* box = new ArrayBox;
  for (Bytes& b : buffers) {
    box->blocks.emplace_back(b.empty() ? nullptr : new char[b.size()]);
    if (!b.empty()) std::memcpy(box->blocks.back().get(), b.data(), b.size());
    box->buffers.push_back(box->blocks.back().get());
  }
  for (ArrowArray& c : children) box->children.push_back(new ArrowArray(c));
  if (!dictionary.empty()) box->dictionary = new ArrowArray(dictionary[0]);
  live++;
  ArrowArray a{};
  a.length = length;
  a.null_count = nulls;
  a.offset = offset;
  a.n_buffers = int64_t(box->buffers.size());
  a.buffers = box->buffers.data();
  a.n_children = int64_t(box->children.size());
  a.children = box->children.data();
  a.dictionary = box->dictionary;
  a.release = release_array_box;
  a.private_data = box;
  return a;
}

struct StreamBox {
  ArrowSchema schema;
  std::vector<ArrowArray> arrays;
  size_t at = 0;
  int schema_rc = 0, fail_at = -1;
};

inline ArrowArrayStream stream(ArrowSchema schema, std::vector<ArrowArray> arrays, int schema_rc = 0,
                               int fail_at = -1) {
  live++;
  ArrowArrayStream s{};
  s.private_data = new StreamBox{schema, std::move(arrays), 0, schema_rc, fail_at};
  s.get_schema = [](ArrowArrayStream* s, ArrowSchema* out) {
    auto* box = static_cast<StreamBox*>(s->private_data);
    if (box->schema_rc) return box->schema_rc;
    *out = box->schema;
    box->schema.release = nullptr;
    return 0;
  };
  s.get_next = [](ArrowArrayStream* s, ArrowArray* out) {
    auto* box = static_cast<StreamBox*>(s->private_data);
    if (int(box->at) == box->fail_at) return 5;
    if (box->at == box->arrays.size()) return out->release = nullptr, 0;
    *out = box->arrays[box->at];
    box->arrays[box->at++].release = nullptr;
    return 0;
  };
  s.get_last_error = [](ArrowArrayStream*) { return "disk on fire"; };
  s.release = [](ArrowArrayStream* s) {
    auto* box = static_cast<StreamBox*>(s->private_data);
    if (box->schema.release) box->schema.release(&box->schema);
    for (ArrowArray& a : box->arrays)
      if (a.release) a.release(&a);
    delete box;
    s->release = nullptr;
    live--;
  };
  return s;
}

}  // namespace gyr::testing
