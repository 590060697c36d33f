// What the targets share: oracles, one runtime, sections as payloads, and rows made for any schema.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/column.h"
#include "data/schema.h"
#include "exec/runtime.h"
#include "io/container.h"

namespace gyr::fuzz {

// A broken promise: a crash for libFuzzer, a failed test in the replay.
inline void must(bool kept, const char* promise, const char* detail = "") {
  if (kept) return;
  std::fprintf(stderr, "\nbroken promise: %s %s\n", promise, detail);
  __builtin_trap();
}

// Every refusal has a message, and none of them is a defect of ours.
inline void refused(const Status& s) {
  must(*s.message() != 0, "a failure says why");
  must(s.code() != GYR_E_INTERNAL, "bad input is no internal error:", s.message());
}
// Stored bytes are never an argument of the caller's.
inline void refused_stored(const Status& s) {
  refused(s);
  must(s.code() == GYR_E_CORRUPT || s.code() == GYR_E_FORMAT_TOO_NEW || s.code() == GYR_E_FORMAT_TOO_OLD,
       "bad stored bytes are corrupt, too new or too old:", s.message());
}
inline void check(const Status& s) {
  if (!s.ok()) refused(s);
}
inline void expect_ok(const Status& s, const char* promise) { must(s.ok(), promise, s.message()); }

inline const std::shared_ptr<Runtime>& runtime() {
  static const std::shared_ptr<Runtime> instance = [] {
    gyr_runtime_options o{};
    o.struct_size = sizeof o;
    o.threads = 1;
    return std::move(*Runtime::create(o));
  }();
  return instance;
}

inline std::string_view text_of(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// A container whose only section, "x", has these bytes: what a reader sees when all checksums are right.
inline std::shared_ptr<const Container> section(std::vector<uint8_t> payload, const char* kind) {
  ContainerWriter writer;
  expect_ok(writer.add("x", kind, std::move(payload)), "a section can be added");
  auto bytes = writer.serialize();
  expect_ok(bytes.status(), "a container can be serialized");
  auto file = Container::parse(std::move(*bytes));
  expect_ok(file.status(), "a written container can be read");
  return *file;
}

template <class T>
std::vector<uint8_t> saved(const T& object, const char* kind) {
  ContainerWriter writer;
  expect_ok(object.save(&writer, "x"), "an opened object can be saved");
  auto bytes = writer.serialize();
  expect_ok(bytes.status(), "a container can be serialized");
  auto file = Container::parse(std::move(*bytes));
  expect_ok(file.status(), "a written container can be read");
  auto payload = (*file)->read("x", kind);
  expect_ok(payload.status(), "a saved section can be read");
  return std::move(*payload);
}

// Saves, reads that again, and saves once more: the same bytes, or something was not understood.
template <class T, class Load>
void round_trip(const T& object, const char* kind, const Load& load) {
  std::vector<uint8_t> first = saved(object, kind);
  auto again = load(*section(first, kind));
  expect_ok(again.status(), "what was saved can be read");
  must(saved(**again, kind) == first, "saving what was saved gives the same bytes");
}

// Text and values that are not special (variant 0), or the ends of every range, nulls included (variant 1).
inline void push_value(Column* c, int seed, bool wild) {
  static constexpr int64_t kInts[] = {0, -1, INT64_MAX, INT64_MIN, 127, 256};
  static constexpr double kFloats[] = {0, -0.0, 1e308, -1, 0.1, -1e-320};
  static constexpr std::string_view kTexts[] = {"",  "a", "b\xc3\xa9", "long enough for the heap to be needed",
                                                "0", "g1"};
  size_t pick = size_t(seed) % 6;
  switch (c->physical()) {
    case Physical::kInt:
      return c->push_int(wild && c->dtype != GYR_DTYPE_BOOL ? kInts[pick] : seed % 2);
    case Physical::kFloat:
      return c->push_float(wild ? kFloats[pick] : 0.5 * seed);
    case Physical::kString:
      return c->push_string(kTexts[pick]);
  }
}

inline constexpr int64_t kRows = 4;
// A column of kRows rows.
inline void fill(Column* c, int seed, bool wild) {
  for (int row = 0; row < kRows; row++) {
    if (wild && (row + seed) % 4 == 3) {
      c->push_null_row();
      continue;
    }
    if (!c->is_list) {
      push_value(c, seed + row, wild);
      continue;
    }
    for (int i = 0; i < (row + seed) % 4; i++) {
      if (wild && i == 2)
        c->push_null_leaf();
      else
        push_value(c, seed + row + i, wild);
    }
    c->end_list();
  }
}
template <class Columns>
Batch rows_for(const Columns& schema, bool wild) {
  Batch b;
  int seed = 0;
  for (const auto& s : schema) fill(&b.add(s.name, s.dtype, s.is_list), seed++, wild);
  b.rows = kRows;
  return b;
}

// Offsets rise, sizes fit each other, nulls have placeholders.
inline void check_column(const Column& c) {
  size_t leaves = size_t(c.leaves());
  auto rising = [](const std::vector<int64_t>& o, size_t n, size_t end) {
    bool good = o.size() == n + 1 && o[0] == 0 && size_t(o[n]) == end;
    for (size_t i = 0; good && i < n; i++) good = o[i] <= o[i + 1];
    return good;
  };
  if (c.physical() == Physical::kString) must(rising(c.char_offsets, leaves, c.chars.size()), "string offsets rise");
  must(c.leaf_valid.empty() || c.leaf_valid.size() == leaves, "a flag per value");
  if (!c.is_list) return;
  must(rising(c.list_offsets, size_t(c.rows()), leaves), "list offsets rise");
  must(c.list_valid.empty() || c.list_valid.size() == size_t(c.rows()), "a flag per list");
}

inline bool same_leaf(const Column& a, int64_t i, const Column& b, int64_t j) {
  if (a.leaf_is_valid(i) != b.leaf_is_valid(j)) return false;
  if (!a.leaf_is_valid(i)) return true;
  if (a.physical() == Physical::kString) return a.string(i) == b.string(j);
  if (a.physical() == Physical::kInt) return a.ints[size_t(i)] == b.ints[size_t(j)];
  double x = a.floats[size_t(i)], y = b.floats[size_t(j)];
  return x == y || (x != x && y != y);
}
// Row i of a against row j of b, of one type.
inline bool same_row(const Column& a, int64_t i, const Column& b, int64_t j) {
  if (a.row_is_null(i) != b.row_is_null(j)) return false;
  if (!a.is_list) return same_leaf(a, i, b, j);
  int64_t at = a.list_offsets[size_t(i)], to = b.list_offsets[size_t(j)];
  int64_t n = a.list_offsets[size_t(i) + 1] - at;
  if (b.list_offsets[size_t(j) + 1] - to != n) return false;
  for (int64_t k = 0; k < n; k++)
    if (!same_leaf(a, at + k, b, to + k)) return false;
  return true;
}

}  // namespace gyr::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
