#include "table/row_format.h"

#include <algorithm>

#include "base/math.h"

namespace gyr {
namespace {

bool has_range(const RowFormat::Cell& c) { return c.is_list || c.dtype == GYR_DTYPE_STRING; }
uint32_t cell_width(const RowFormat::Cell& c) { return has_range(c) ? 8 : stored_width(c.dtype); }
uint64_t element_align(const RowFormat::Cell& c) { return c.dtype == GYR_DTYPE_STRING ? 4 : stored_width(c.dtype); }

template <class T>
void put(uint8_t* at, T v) {
  std::memcpy(at, &v, sizeof v);
}
template <class T>
T leaf_as(const Column& from, int64_t leaf) {
  if (from.physical() == Physical::kFloat) return T(from.floats[size_t(leaf)]);
  return T(from.ints[size_t(leaf)]);
}

struct Leaves {
  int64_t begin, end;
  bool nulls;
};
Leaves leaves_of(const Column& from, int64_t i) {
  Leaves l{from.list_offsets[size_t(i)], from.list_offsets[size_t(i) + 1], false};
  for (int64_t k = l.begin; k < l.end; k++) l.nulls |= !from.leaf_is_valid(k);
  return l;
}

// End of the value's variable part when it starts at or after `at`; nothing is written when block is null.
uint64_t put_range(const RowFormat::Cell& c, const Column& from, int64_t i, uint64_t at, uint8_t* block) {
  uint32_t count;
  uint64_t start = at;
  if (!c.is_list) {
    std::string_view s = from.string(i);
    count = uint32_t(s.size());
    if (block && count) std::memcpy(block + at, s.data(), count);
    at += s.size();
  } else {
    Leaves l = leaves_of(from, i);
    count = uint32_t(l.end - l.begin);
    if (l.nulls) {
      for (uint32_t k = 0; block && k < count; k++) block[at + k] = from.leaf_is_valid(l.begin + k);
      at += count;
    }
    at = align_up(at, element_align(c));
    if (c.dtype == GYR_DTYPE_STRING) {
      uint64_t bytes = uint64_t(from.char_offsets[size_t(l.end)] - from.char_offsets[size_t(l.begin)]);
      for (uint32_t k = 0; block && k <= count; k++)
        put(block + at + size_t(k) * 4,
            uint32_t(from.char_offsets[size_t(l.begin) + k] - from.char_offsets[size_t(l.begin)]));
      at += (uint64_t(count) + 1) * 4;
      if (block && bytes) std::memcpy(block + at, from.chars.data() + from.char_offsets[size_t(l.begin)], bytes);
      at += bytes;
    } else {
      with_stored_type(c.dtype, [&]<class T>() {
        for (uint32_t k = 0; block && k < count; k++) put(block + at + k * sizeof(T), leaf_as<T>(from, l.begin + k));
        at += uint64_t(count) * sizeof(T);
      });
    }
    if (l.nulls) count |= RowFormat::kHasNulls;
  }
  if (block) put(block + c.offset, uint32_t(start)), put(block + c.offset + 4, count);
  return at;
}

// Start and end of an old row's variable part, validity included.
uint64_t copy_range(const RowFormat& format, const uint8_t* old, size_t column, uint64_t at, uint8_t* block) {
  const auto& c = format.cells[column];
  const uint8_t* from = old;
  uint32_t start = load<uint32_t>(from + c.offset), count = load<uint32_t>(from + c.offset + 4);
  auto r = format.range(old, column);
  uint64_t end = uint64_t(r.data - from);
  if (!c.is_list)
    end += r.count;
  else if (c.dtype == GYR_DTYPE_STRING)
    end += (uint64_t(r.count) + 1) * 4 + load<uint32_t>(r.data + size_t(r.count) * 4);
  else
    end += uint64_t(r.count) * stored_width(c.dtype);
  at = align_up(at, 8) + start % 8;  // keeps the alignment of what is inside
  if (block) {
    if (end > start) std::memcpy(block + at, from + start, end - start);
    put(block + c.offset, uint32_t(at)), put(block + c.offset + 4, count);
  }
  return at + (end - start);
}

uint64_t put_all(const RowFormat& format, const RowFormat::Merge& m, uint8_t* block) {
  uint64_t at = format.fixed_size;
  const bool views = format.groups > 1 || !(m.take & 1);
  const uint8_t* kept = m.keep & 1 ? m.old : nullptr;
  for (size_t c = 0; c < format.cells.size(); c++) {
    const auto& cell = format.cells[c];
    const Column* from = m.from[c];
    const uint8_t* old = kept;
    if (views) {
      from = m.take >> cell.group & 1 ? from : nullptr;
      old = m.keep >> cell.group & 1 ? m.old : nullptr;
    }
    if (from ? from->row_is_null(m.i) : !old || RowFormat::is_null(old, c)) continue;
    if (block) block[8 + c / 8] |= uint8_t(1u << c % 8);
    if (has_range(cell)) {
      at = from ? put_range(cell, *from, m.i, at, block) : copy_range(format, old, c, at, block);
    } else if (block && !from) {
      std::memcpy(block + cell.offset, old + cell.offset, cell_width(cell));
    } else if (block) {
      with_stored_type(cell.dtype, [&]<class T>() { put(block + cell.offset, leaf_as<T>(*from, m.i)); });
    }
  }
  return align_up(at, 8);
}

}  // namespace

RowFormat::RowFormat(const std::vector<Field>& columns, const std::vector<uint32_t>& group_of) {
  for (size_t c = 0; c < columns.size(); c++) {
    cells.push_back({columns[c].dtype, columns[c].is_list, 0, group_of.empty() ? 0 : group_of[c]});
    has_ranges |= has_range(cells.back());
    groups = std::max(groups, cells.back().group + 1);
  }
  view_times = uint32_t(align_up(8 + div_up(columns.size(), 8), 8));
  // Wide cells first after one padding, so that no other is needed.
  uint32_t at = view_times + (groups - 1) * 8;
  for (uint32_t width : {8u, 4u, 2u, 1u})
    for (auto& c : cells)
      if (cell_width(c) == width) c.offset = at, at += width;
  fixed_size = uint32_t(align_up(at, 8));
}

uint64_t RowFormat::size(const Merge& merge) const { return has_ranges ? put_all(*this, merge, nullptr) : fixed_size; }

void RowFormat::write(const Merge& merge, const int64_t* times, uint8_t* row, uint64_t row_size) const {
  std::memset(row, 0, row_size);
  put(row, times[0]);
  for (uint32_t g = 1; g < groups; g++) put(row + view_times + size_t(g - 1) * 8, times[g]);
  put_all(*this, merge, row);
}

RowFormat::Range RowFormat::range(const uint8_t* row, size_t column) const {
  const Cell& c = cells[column];
  const uint8_t* block = row;
  uint32_t start = load<uint32_t>(block + c.offset), count = load<uint32_t>(block + c.offset + 4);
  if (!c.is_list) return {block + start, nullptr, count};
  bool nulls = count & kHasNulls;
  count &= ~kHasNulls;
  uint64_t at = align_up(start + (nulls ? count : 0), element_align(c));
  return {block + at, nulls ? block + start : nullptr, count};
}

template <class T, class V>
void RowFormat::read_numbers(const uint8_t* const* rows, size_t n, size_t column, std::vector<V>* values,
                             std::vector<uint8_t>* valid) const {
  const size_t before = values->size();
  values->resize(before + n);
  V* to = values->data() + before;
  const uint32_t offset = cells[column].offset;
  bool nulls = false;
  for (size_t i = 0; i < n; i++) {
    const bool there = rows[i] && !is_null(rows[i], column);
    nulls |= !there;
    if (there) to[i] = V(load<T>(rows[i] + offset));
  }
  if (!nulls && valid->empty()) return;
  valid->resize(before, 1);
  for (size_t i = 0; i < n; i++) valid->push_back(rows[i] && !is_null(rows[i], column));
}

void RowFormat::read(const uint8_t* const* rows, size_t n, size_t column, Column* out) const {
  const Cell& c = cells[column];
  if (!c.is_list && c.dtype != GYR_DTYPE_STRING) {
    with_stored_type(c.dtype, [&]<class T>() {
      if constexpr (std::is_floating_point_v<T>)
        read_numbers<T>(rows, n, column, &out->floats, &out->leaf_valid);
      else
        read_numbers<T>(rows, n, column, &out->ints, &out->leaf_valid);
    });
    return;
  }
  for (size_t i = 0; i < n; i++) {
    if (!rows[i] || is_null(rows[i], column)) {
      out->push_null_row();
      continue;
    }
    Range r = range(rows[i], column);
    if (!c.is_list) {
      out->push_string({reinterpret_cast<const char*>(r.data), r.count});
      continue;
    }
    for (uint32_t k = 0; k < r.count; k++) {
      if (r.valid && !r.valid[k]) {
        out->push_null_leaf();
      } else if (c.dtype == GYR_DTYPE_STRING) {
        out->push_string(list_string(r, k));
      } else {
        with_stored_type(c.dtype, [&]<class T>() {
          if constexpr (std::is_floating_point_v<T>)
            out->push_float(double(load<T>(r.data + k * sizeof(T))));
          else
            out->push_int(int64_t(load<T>(r.data + k * sizeof(T))));
        });
      }
    }
    out->end_list();
  }
}

}  // namespace gyr
