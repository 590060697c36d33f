// Reads as of times: where each key's version is, and what it held.
#include "base/knobs.h"
#include "table/table_impl.h"

namespace gyr {
namespace {

constexpr size_t kWave = 32;      // labels that are asked for before the first is looked at
constexpr uint32_t kAhead = 256;  // bytes of a row that are asked for
constexpr uint64_t kChunk = 256;  // labels whose rows are found before the first is copied: they stay in cache

void prefetch(const uint8_t* from, uint32_t bytes) {
  for (uint32_t b = 0; b < bytes; b += 64) __builtin_prefetch(from + b);
  __builtin_prefetch(from + bytes - 1);
}

}  // namespace

// In four waves over groups of labels: ask for the block, search it and ask for the version in force, ask for the one
// before it where that is not known yet or too new after all, look at it.
void TableImpl::find_versions(uint32_t group, const int64_t* times_us, bool known, size_t keys,
                              Scratch* scratch) const {
  struct Look {
    const uint8_t *block, *version;
    int64_t time, at;
  };
  constexpr size_t kWaves = 4;
  Look looks[kWaves][kWave];
  const RowFormat& format = history_->format(group);
  const uint32_t bytes = std::min(format.fixed_size + 8, kAhead);
  const int64_t ttl_us = schema_.groups[group].ttl_us;
  const uint8_t** rows = scratch->rows.data() + group * keys;
  uint8_t* states = scratch->state.data() + group * keys;
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
      l.block = scratch->blocks[i];
      l.time = times_us[i];
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
    each(step - 3, [&](size_t i, Look& l) {
      const uint8_t* version = l.version;
      if (version && !right(l)) version = history_->open(l.block).in_force(group, l.at, l.time, known);
      uint8_t state = GYR_VALUE_MISSING;
      const uint8_t* row = version ? History::row(version) : nullptr;
      if (row) state = state_of(RowFormat::event_time(row), l.time, ttl_us);
      if (state != GYR_VALUE_PRESENT) row = nullptr;
      states[i] = state;
      rows[i] = row;
    });
  }
}

// The caller holds a guard of the history.
void TableImpl::locate_as_of(const Keys& keys, const int64_t* times_us, bool known, uint32_t groups,
                             Scratch* scratch) const {
  const size_t n = keys.count, n_groups = schema_.groups.size();
  scratch->rows.resize(n * n_groups);
  scratch->state.resize(n * n_groups);
  scratch->blocks.resize(n);
  find(history_->store(), keys, [&](size_t first, size_t m, const uint8_t* const* found) {
    std::copy(found, found + m, scratch->blocks.begin() + ptrdiff_t(first));
  });
  for (uint32_t g = 0; g < n_groups; g++)
    if (groups >> g & 1) find_versions(g, times_us, known, n, scratch);
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
  locate_as_of(keys, times_us, known, groups_of(scratch->columns), &*scratch);
  return copy(*scratch, columns, n, keys.count, true);
}

Status TableImpl::append_as_of(const Keys& keys, const int64_t* times_us, bool known, const std::vector<int>& columns,
                               Column* out) const {
  GYR_TRY(require_history());
  GYR_TRY(check_keys(keys));
  const uint32_t groups = groups_of(columns);
  const uint64_t chunk = knobs::capacity(kChunk);
  auto scratch = scratch_.lend();
  for (uint64_t begin = 0; begin < keys.count; begin += chunk) {
    Keys some{keys.dtype, keys.ints ? keys.ints + begin : nullptr, keys.strings ? keys.strings + begin : nullptr,
              std::min(chunk, keys.count - begin)};
    auto guard = history_->store().read();
    locate_as_of(some, times_us + begin, known, groups, &*scratch);
    for (size_t c = 0; c < columns.size(); c++) {
      Source from = source(*scratch, columns[c], some.count, true);
      from.format->read(from.rows, from.n, from.column, &out[c]);
    }
  }
  return {};
}

}  // namespace gyr
