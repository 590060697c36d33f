// Validation of a batch and its merging into the stored rows.
#include <cmath>
#include <limits>

#include "base/clock.h"
#include "base/utf8.h"
#include "table/table_impl.h"

namespace gyr {
namespace {

Status bad_value(const Field& field, int64_t leaf, const char* why) {
  return fail(GYR_E_INVALID_ARGUMENT, "table", "column \"%.100s\": value %lld %s %s", field.name.c_str(),
              (long long)leaf, why, dtype_name(field.dtype));
}

// Integers go where they fit, and into floats that hold them exactly; float64 rounds to float32 but may not overflow.
Status check_values(const Column& column, const Field& field) {
  int64_t n = column.leaves();
  return with_stored_type(field.dtype, [&]<class T>() -> Status {
    for (int64_t i = 0; i < n; i++) {
      if (!column.leaf_is_valid(i)) continue;
      if (column.physical() == Physical::kFloat) {
        double v = column.floats[size_t(i)];
        if (std::isfinite(v) && std::is_same_v<T, float> && !std::isfinite(float(v)))
          return bad_value(field, i, "overflows");
        continue;
      }
      int64_t v = column.ints[size_t(i)];
      bool fits;
      if constexpr (std::is_floating_point_v<T>) {
        constexpr int64_t kExact = int64_t(1) << std::numeric_limits<T>::digits;
        fits = v >= -kExact && v <= kExact;
      } else {
        fits = std::in_range<T>(v) && (field.dtype != GYR_DTYPE_BOOL || v <= 1);
      }
      if (!fits) return bad_value(field, i, "does not fit");
    }
    return {};
  });
}

Status check_column(const Column& column, const Field& field, int64_t rows) {
  Physical want = physical_of(field.dtype), got = column.physical();
  if (column.is_list != field.is_list || (want != got && !(want == Physical::kFloat && got == Physical::kInt)))
    return fail(GYR_E_INVALID_ARGUMENT, "table", "column \"%.100s\" is %s%s in the table, %s%s in the batch",
                field.name.c_str(), field.is_list ? "list of " : "", dtype_name(field.dtype),
                column.is_list ? "list of " : "", dtype_name(column.dtype));
  if (column.rows() != rows)
    return fail(GYR_E_INVALID_ARGUMENT, "table", "column \"%.100s\" has %lld rows, the batch %lld", field.name.c_str(),
                (long long)column.rows(), (long long)rows);
  if (want != Physical::kString) return check_values(column, field);
  for (int64_t i = 0; i < column.leaves(); i++)
    if (!valid_utf8(column.string(i))) return bad_value(field, i, "is not UTF-8; expected");
  return {};
}

Status refuse_nulls(const Column& column, const std::string& name, const char* what) {
  for (int64_t i = 0; i < column.rows(); i++)
    if (column.row_is_null(i))
      return fail(GYR_E_INVALID_ARGUMENT, "table", "%s \"%.100s\": row %lld is null; drop or fill such rows", what,
                  name.c_str(), (long long)i);
  return {};
}

}  // namespace

Status TableImpl::check_batch(const Batch& batch, Input* out) const {
  out->from.assign(schema_.columns.size(), nullptr);
  out->times.assign(schema_.groups.size(), nullptr);
  auto place_of = [&](const std::string& name, int at) -> const Column** {
    if (name == schema_.key.name) return &out->key;
    if (at >= 0) return &out->from[size_t(at)];
    if (!schema_.created_time.empty() && name == schema_.created_time) return &out->created;
    for (size_t g = 0; g < schema_.groups.size(); g++)
      if (!schema_.groups[g].event_time.empty() && name == schema_.groups[g].event_time) return &out->times[g];
    return nullptr;
  };
  for (size_t c = 0; c < batch.columns.size(); c++) {
    const std::string& name = batch.names[c];
    const Column* column = &batch.columns[c];
    int at = find_column(name);
    bool nulls = column->dtype == GYR_DTYPE_NONE && at >= 0 && column->is_list <= schema_.columns[size_t(at)].is_list;
    if (nulls) {
      const Field& field = schema_.columns[size_t(at)];
      typed_nulls(*column, field.dtype, field.is_list, &out->nulls.emplace_back());
      column = &out->nulls.back();
    }
    const Column** into = place_of(name, at);
    if (!into)
      return fail(GYR_E_INVALID_ARGUMENT, "table", "the table \"%.100s\" has no column \"%.100s\"; drop or rename it",
                  schema_.name.c_str(), name.c_str());
    if (*into) return fail(GYR_E_INVALID_ARGUMENT, "table", "column \"%.100s\" is there twice", name.c_str());
    *into = column;
    if (at >= 0 && into != &out->key) GYR_TRY(check_column(*column, schema_.columns[size_t(at)], batch.rows));
  }
  if (!out->key)
    return fail(GYR_E_INVALID_ARGUMENT, "table", "the key column \"%.100s\" is not in the batch",
                schema_.key.name.c_str());
  GYR_TRY(check_column(*out->key, schema_.key, batch.rows));
  GYR_TRY(refuse_nulls(*out->key, schema_.key.name, "key"));
  for (int64_t i = 0; schema_.key.dtype == GYR_DTYPE_STRING && i < batch.rows; i++)
    if (out->key->string(i).size() > kMaxKeyBytes)
      return fail(GYR_E_INVALID_ARGUMENT, "table", "key of row %lld is longer than %llu bytes", (long long)i,
                  (unsigned long long)kMaxKeyBytes);
  GYR_TRY(check_times(batch, out));
  for (int64_t i = 0; format_.has_ranges && i < batch.rows; i++)
    if (format_.size({nullptr, out->from, i, UINT32_MAX, 0}) > RowFormat::kMaxRow / 2)
      return fail(GYR_E_INVALID_ARGUMENT, "table", "row %lld needs more than %llu bytes", (long long)i,
                  (unsigned long long)RowFormat::kMaxRow / 2);
  out->by_group.assign(history_ ? schema_.groups.size() : 0, {});
  for (size_t c = 0; history_ && c < schema_.columns.size(); c++)
    out->by_group[schema_.group_of[c]].push_back(out->from[c]);
  return {};
}

// Which groups the batch brings. Rows of tables with views may leave groups out by a null event time.
Status TableImpl::check_times(const Batch& batch, Input* out) const {
  uint32_t with_columns = 0;
  for (size_t c = 0; c < out->from.size(); c++)
    if (out->from[c]) with_columns |= 1u << schema_.group_of[c];
  for (uint32_t g = 0; g < schema_.groups.size(); g++) {
    const std::string& name = schema_.groups[g].event_time;
    if (name.empty()) continue;
    const Column* times = out->times[g];
    if (!times && (!schema_.has_views() || with_columns >> g & 1))
      return fail(GYR_E_INVALID_ARGUMENT, "table", "the event time \"%.100s\"%s%.100s%s is not in the batch",
                  name.c_str(), g ? " of the view \"" : "", schema_.groups[g].name.c_str(), g ? "\"" : "");
    if (!times) continue;
    GYR_TRY(check_column(*times, {name, GYR_DTYPE_TIMESTAMP, false}, batch.rows));
    if (!schema_.has_views())
      GYR_TRY(refuse_nulls(*times, name, "event time"));
    else
      GYR_TRY(check_group(*out, g, batch.rows));
    out->groups |= 1u << g;
  }
  if (schema_.event_time().empty() && (with_columns & 1 || out->groups == 0)) out->groups |= 1;
  if (!out->groups)
    return fail(GYR_E_INVALID_ARGUMENT, "table", "the batch has no event time, neither the row's nor a view's");
  if (!out->created) return {};
  GYR_TRY(check_column(*out->created, {schema_.created_time, GYR_DTYPE_TIMESTAMP, false}, batch.rows));
  return refuse_nulls(*out->created, schema_.created_time, "created time");
}

// A row without an event time brings no values either.
Status TableImpl::check_group(const Input& in, uint32_t group, int64_t rows) const {
  const Column& times = *in.times[group];
  for (int64_t i = 0; i < rows; i++) {
    if (!times.row_is_null(i)) {
      if (times.ints[size_t(i)] != RowFormat::kNever) continue;
      return fail(GYR_E_INVALID_ARGUMENT, "table", "event time \"%.100s\": row %lld is out of range",
                  schema_.groups[group].event_time.c_str(), (long long)i);
    }
    for (size_t c = 0; c < in.from.size(); c++)
      if (schema_.group_of[c] == group && in.from[c] && !in.from[c]->row_is_null(i))
        return fail(GYR_E_INVALID_ARGUMENT, "table",
                    "row %lld has a value in \"%.100s\", but no event time \"%.100s\"; fill it or drop the value",
                    (long long)i, schema_.columns[c].name.c_str(), schema_.groups[group].event_time.c_str());
  }
  return {};
}

Status TableImpl::upsert_rows(const Batch& batch, Into into, int64_t clock_us, UpsertStats* stats) {
  Input in;
  in.into = into;
  GYR_TRY(check_batch(batch, &in));
  in.clock_us = clock_us || !history_ ? clock_us : realtime_us();
  constexpr int64_t kGroup = int64_t(KeyedRows::kGroup);
  KeyRef keys[kGroup];
  const int64_t group = int64_t(knobs::capacity(kGroup));
  int64_t row = 0;
  try {
    while (row < batch.rows) {  // misses of a group overlap
      const int64_t base = row, n = std::min(group, batch.rows - base);
      for (int64_t i = 0; i < n; i++) keys[i] = key_of(*in.key, base + i);
      store_.prefetch(keys, size_t(n), true);
      if (history_) history_->prefetch(keys, size_t(n));
      for (; row < base + n; row++) GYR_TRY(written([&] { return upsert_row(&in, row, keys[row - base], stats); }));
    }
  } catch (const Allowance::Exceeded&) {
    return fail(GYR_E_RESOURCE_EXHAUSTED, "table",
                "row %lld: the table \"%.100s\" would exceed its memory_budget of %llu bytes; the rows before are in",
                (long long)row, schema_.name.c_str(), (unsigned long long)schema_.memory_budget);
  }
  return {};
}

// Event times of the groups that row i brings, as bits.
uint32_t TableImpl::times_of(const Input& in, int64_t i, int64_t* times) const {
  uint32_t brings = 0;
  for (uint32_t g = 0; g < schema_.groups.size(); g++) {
    times[g] = 0;
    if (!(in.groups >> g & 1)) continue;
    const Column* column = in.times[g];
    if (column && column->row_is_null(i)) continue;
    if (column) times[g] = column->ints[size_t(i)];
    brings |= 1u << g;
  }
  return brings;
}

// The row that is stored next: what the groups in `take` bring, and of the others what `old` has.
KeyedRows::NewRow TableImpl::merge_row(const Input& in, int64_t i, const KeyRef& key, const uint8_t* old, uint32_t take,
                                       const int64_t* times, bool* too_large) {
  int64_t next[TableSchema::kMostViews + 1];
  uint32_t keep = 0;
  for (uint32_t g = 0; g < schema_.groups.size(); g++) {
    bool taken = take >> g & 1;
    int64_t stored = old ? format_.event_time(old, g) : RowFormat::kNever;
    next[g] = taken ? times[g] : stored;
    // What had expired by then is gone: a partial upsert must not bring it back with its own event time.
    if (!taken || !expired_by(stored, schema_.groups[g].ttl_us, times[g])) keep |= 1u << g;
  }
  RowFormat::Merge merge{old, in.from, i, take, keep};
  uint64_t size = format_.size(merge);
  // Partial upserts may pile up large columns that came in different batches.
  *too_large = size > RowFormat::kMaxRow;
  if (*too_large) return {};
  auto row = store_.make_row(key, size);
  format_.write(merge, next, row.payload, size);
  return row;
}

Status TableImpl::upsert_row(Input* in, int64_t i, const KeyRef& key, UpsertStats* stats) {
  int64_t times[TableSchema::kMostViews + 1];
  const uint32_t brings = times_of(*in, i, times);
  bool too_large = false, late = false;
  bool written = store_.upsert(key, [&](const uint8_t* old) -> KeyedRows::NewRow {
    uint32_t take = brings;
    for (uint32_t g = 0; old && g < schema_.groups.size(); g++)
      if (format_.event_time(old, g) > times[g]) take &= ~(1u << g);
    KeyedRows::NewRow row;
    auto merge = [&](uint32_t groups) {
      if (groups) row = merge_row(*in, i, key, old, groups, times, &too_large);
      return !too_large;
    };
    if (!history_ || in->into == Into::kRows) {
      merge(take);
      return row;
    }
    const History::News news{brings, times, in->created ? in->created->ints[size_t(i)] : in->clock_us, in->by_group, i};
    try {
      auto outcome = history_->insert(
          key, news, &in->draft, [&](const History::Outcome& o) { return !o.too_large && merge(take & o.newest); });
      late = outcome.kept != 0;
      too_large |= outcome.too_large;
    } catch (...) {
      if (row.ref) store_.drop_row(key, row);
      throw;
    }
    return row;
  });
  if (too_large)
    return fail(GYR_E_INVALID_ARGUMENT, "table", "row %lld together with its stored columns needs more than %llu bytes",
                (long long)i, (unsigned long long)RowFormat::kMaxRow);
  if (!stats) return {};
  stats->rows++;
  (written ? stats->applied : late ? stats->late : stats->stale)++;
  return {};
}

}  // namespace gyr
