// Reads as of times: where each key's version is, and what it held.
#include "base/knobs.h"
#include "table/table_impl.h"

namespace gyr {
namespace {

constexpr uint32_t kRankBits = 12;
constexpr size_t kWave = 32;           // labels that are asked for before the first is looked at
constexpr size_t kSortFrom = 1024;     // fewer labels than this are far apart in any order
constexpr uint64_t kMostCopied = 256;  // bytes of a row
constexpr uint64_t kWindow = 65536;    // labels whose rows are copied before the columns are made of them
constexpr uint64_t kChunk = 256;       // labels whose rows are read in place

// 0..ranks in the ranks' order. Ranks are coarse: neighbours need no order among themselves to share a page.
void order_by(const std::vector<uint16_t>& ranks, std::vector<uint32_t>* order) {
  uint32_t places[1u << kRankBits] = {};
  for (uint16_t r : ranks) places[r]++;
  uint32_t at = 0;
  for (uint32_t& p : places) at += std::exchange(p, at);
  order->resize(ranks.size());
  for (uint32_t i = 0; i < ranks.size(); i++) (*order)[places[ranks[i]]++] = i;
}

void rank_addresses(const std::vector<const uint8_t*>& blocks, std::vector<uint16_t>* ranks) {
  uintptr_t first = UINTPTR_MAX, last = 0;
  for (auto* b : blocks) {
    auto at = reinterpret_cast<uintptr_t>(b);
    first = std::min(first, b ? at : first);
    last = std::max(last, at);
  }
  uint32_t shift = 0;
  while (last > first && (last - first) >> shift >> kRankBits) shift++;
  ranks->resize(blocks.size());
  for (size_t i = 0; i < blocks.size(); i++)
    (*ranks)[i] = blocks[i] ? uint16_t((reinterpret_cast<uintptr_t>(blocks[i]) - first) >> shift) : 0;
}

void prefetch(const uint8_t* from, uint32_t bytes) {
  for (uint32_t b = 0; b < bytes; b += 64) __builtin_prefetch(from + b);
  __builtin_prefetch(from + bytes - 1);
}

}  // namespace

// In four waves over groups of labels: ask for the block, search it and ask for the version in force, ask for the one
// before it where that is not known yet or too new after all, look at it.
void TableImpl::find_versions(uint32_t group, const int64_t* times_us, bool known, size_t keys, uint8_t* copies,
                              Scratch* scratch) const {
  struct Look {
    const uint8_t *block, *version;
    int64_t time, at;
    size_t label;
  };
  constexpr size_t kWaves = 4;
  Look looks[kWaves][kWave];
  const RowFormat& format = history_->format(group);
  const uint32_t bytes = uint32_t(std::min<uint64_t>(format.fixed_size + 8, kMostCopied));
  const size_t row_bytes = format.fixed_size;
  const int64_t ttl_us = schema_.groups[group].ttl_us;
  const uint8_t** rows = scratch->rows.data() + group * keys;
  uint8_t* states = scratch->state.data() + group * keys;
  const uint32_t* order = copies ? scratch->order.data() : nullptr;
  const size_t waves = (keys + kWave - 1) / kWave;
  auto each = [&](size_t wave, auto&& look) {
    if (wave >= waves) return;  // before the first, too
    Look* l = looks[wave % kWaves];
    for (size_t i = wave * kWave, end = std::min(keys, i + kWave); i < end; i++, l++) look(i, *l);
  };
  auto right = [&](const Look& l) {
    return (History::event(l.version) <= l.time) & (!known | (History::created(l.version) <= l.time));
  };
  for (size_t step = 0; step < waves + kWaves - 1; step++) {
    each(step, [&](size_t i, Look& l) {
      l.label = order ? order[i] : i;
      l.block = scratch->blocks[l.label];
      l.time = times_us[l.label];
      if (l.block) history_->prefetch(l.block);
    });
    each(step - 1, [&](size_t, Look& l) {
      l.version = nullptr;
      if (!l.block) return;
      const History::Versions versions = history_->open(l.block);
      l.at = versions.near(group, l.time);
      if (l.at < 0) return;
      l.version = versions.at(group, uint32_t(l.at));
      prefetch(l.version, bytes);
    });
    each(step - 2, [&](size_t, Look& l) {
      if (!l.version || right(l)) return;
      const History::Versions versions = history_->open(l.block);
      l.version = l.at-- > versions.begin(group) ? versions.at(group, uint32_t(l.at)) : nullptr;
      if (l.version) prefetch(l.version, bytes);
    });
    each(step - 3, [&](size_t, Look& l) {
      const uint8_t* version = l.version;
      if (version && !right(l)) version = history_->open(l.block).in_force(group, l.at, l.time, known);
      uint8_t state = GYR_VALUE_MISSING;
      const uint8_t* row = version ? History::row(version) : nullptr;
      if (row) state = state_of(RowFormat::event_time(row), l.time, ttl_us);
      if (state != GYR_VALUE_PRESENT) row = nullptr;
      if (row && copies) {
        uint8_t* copy = copies + l.label * row_bytes;
        for (size_t b = 0; b < row_bytes; b += 8) std::memcpy(copy + b, row + b, 8);  // a call costs more
        row = copy;
      }
      states[l.label] = state;
      rows[l.label] = row;
    });
  }
}

// The caller holds a guard of the history.
void TableImpl::locate_as_of(const Keys& keys, const int64_t* times_us, bool known, uint32_t groups, Rows rows,
                             Scratch* scratch) const {
  const size_t n = keys.count, n_groups = schema_.groups.size();
  scratch->rows.resize(n * n_groups);
  scratch->state.resize(n * n_groups);
  scratch->blocks.resize(n);
  find(history_->store(), keys, [&](size_t first, size_t m, const uint8_t* const* found) {
    std::copy(found, found + m, scratch->blocks.begin() + ptrdiff_t(first));
  });
  const bool sorted = rows == Rows::kCopied && n >= knobs::capacity(kSortFrom);
  scratch->order.clear();
  uint64_t copied = 0;
  if (sorted) {
    rank_addresses(scratch->blocks, &scratch->ranks);
    order_by(scratch->ranks, &scratch->order);
    for (uint32_t g = 0; g < n_groups; g++) copied += groups >> g & 1 ? n * history_->format(g).fixed_size : 0;
    scratch->copies.resize(copied);
  }
  uint8_t* copies = scratch->copies.data();
  for (uint32_t g = 0; g < n_groups; g++) {
    if (!(groups >> g & 1)) continue;
    find_versions(g, times_us, known, n, sorted ? copies : nullptr, scratch);
    if (sorted) copies += n * history_->format(g).fixed_size;
  }
}

Status TableImpl::require_history() const {
  if (history_) return {};
  return fail(GYR_E_INVALID_STATE, "table", "the table \"%.100s\" keeps no history; add \"history\" to its schema",
              schema_.name.c_str());
}

Status TableImpl::read_as_of(const Keys& keys, const int64_t* times_us, bool known, const gyr_table_column* columns,
                             uint64_t n) const {
  GYR_TRY(require_history());
  GYR_TRY(check_keys(keys));
  auto scratch = scratch_.lend();
  GYR_TRY(resolve(columns, n, keys.count, &*scratch));
  auto guard = history_->store().read();
  locate_as_of(keys, times_us, known, groups_of(scratch->columns), Rows::kInPlace, &*scratch);
  return copy(*scratch, columns, n, keys.count, true);
}

// Small rows are read in the order of their addresses and copied to where their labels are: then neighbours share
// pages, and the columns are made of memory in a row. Other rows are read where they are, few enough to stay in cache.
Status TableImpl::append_as_of(const Keys& keys, const int64_t* times_us, bool known, const std::vector<int>& columns,
                               Column* out) const {
  GYR_TRY(require_history());
  GYR_TRY(check_keys(keys));
  const uint32_t groups = groups_of(columns);
  bool small = true;
  for (uint32_t g = 0; g < schema_.groups.size(); g++) {
    const RowFormat& format = history_->format(g);
    small &= !(groups >> g & 1) || (!format.has_ranges && format.fixed_size <= kMostCopied);
  }
  const uint64_t window = knobs::capacity(small ? kWindow : kChunk);
  auto scratch = scratch_.lend();
  for (uint64_t begin = 0; begin < keys.count; begin += window) {
    Keys some{keys.dtype, keys.ints ? keys.ints + begin : nullptr, keys.strings ? keys.strings + begin : nullptr,
              std::min(window, keys.count - begin)};
    auto guard = history_->store().read();
    locate_as_of(some, times_us + begin, known, groups, small ? Rows::kCopied : Rows::kInPlace, &*scratch);
    // All columns of a few rows, while these are in the nearest cache.
    for (uint64_t at = 0; at < some.count; at += kChunk) {
      for (size_t c = 0; c < columns.size(); c++) {
        Source from = source(*scratch, columns[c], some.count, true);
        from.format->read(from.rows + at, std::min(kChunk, some.count - at), from.column, &out[c]);
      }
    }
  }
  return {};
}

}  // namespace gyr
