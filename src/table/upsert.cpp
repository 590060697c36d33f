// Validation of a batch and its merging into the stored rows.
#include <cmath>
#include <limits>

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
    const Column** into = name == schema_.key.name                                    ? &out->key
                          : !schema_.event_time.empty() && name == schema_.event_time ? &out->event_time
                          : at >= 0                                                   ? &out->from[size_t(at)]
                                                                                      : nullptr;
    if (!into)
      return fail(GYR_E_INVALID_ARGUMENT, "table", "the table \"%.100s\" has no column \"%.100s\"; drop or rename it",
                  schema_.name.c_str(), name.c_str());
    if (*into) return fail(GYR_E_INVALID_ARGUMENT, "table", "column \"%.100s\" is there twice", name.c_str());
    *into = column;
    if (at >= 0 && into == &out->from[size_t(at)])
      GYR_TRY(check_column(*column, schema_.columns[size_t(at)], batch.rows));
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
  if (!schema_.event_time.empty()) {
    if (!out->event_time)
      return fail(GYR_E_INVALID_ARGUMENT, "table", "the event time \"%.100s\" is not in the batch",
                  schema_.event_time.c_str());
    GYR_TRY(check_column(*out->event_time, {schema_.event_time, GYR_DTYPE_TIMESTAMP, false}, batch.rows));
    GYR_TRY(refuse_nulls(*out->event_time, schema_.event_time, "event time"));
  }
  for (int64_t i = 0; format_.has_ranges && i < batch.rows; i++)
    if (format_.size(nullptr, out->from, i) > RowFormat::kMaxRow / 2)
      return fail(GYR_E_INVALID_ARGUMENT, "table", "row %lld needs more than %llu bytes", (long long)i,
                  (unsigned long long)RowFormat::kMaxRow / 2);
  return {};
}

Status TableImpl::upsert(const Batch& batch, UpsertStats* stats) {
  Input in;
  GYR_TRY(check_batch(batch, &in));
  constexpr int64_t kGroup = int64_t(KeyedRows::kGroup);
  KeyRef keys[kGroup];
  const int64_t group = int64_t(knobs::capacity(kGroup));
  for (int64_t base = 0; base < batch.rows; base += group) {  // misses of a group overlap
    int64_t n = std::min(group, batch.rows - base);
    for (int64_t i = 0; i < n; i++) keys[i] = key_of(*in.key, base + i);
    store_.prefetch(keys, size_t(n), true);
    for (int64_t i = 0; i < n; i++) GYR_TRY(upsert_row(in, base + i, keys[i], stats));
  }
  return {};
}

Status TableImpl::upsert_row(const Input& in, int64_t i, const KeyRef& key, UpsertStats* stats) {
  int64_t t = in.event_time ? in.event_time->ints[size_t(i)] : 0;
  bool too_large = false;
  bool written = store_.upsert(key, [&](const uint8_t* old) -> KeyedRows::NewRow {
    if (old && RowFormat::event_time(old) > t) return {};
    // What had expired by then is gone: a partial upsert must not bring it back with its own event time.
    int64_t expires;
    if (old && schema_.ttl_us && !__builtin_add_overflow(RowFormat::event_time(old), schema_.ttl_us, &expires) &&
        expires < t)
      old = nullptr;
    uint64_t size = format_.size(old, in.from, i);
    // Partial upserts may pile up large columns that came in different batches.
    too_large = size > RowFormat::kMaxRow;
    if (too_large) return {};
    auto row = store_.make_row(key, size);
    format_.write(old, in.from, i, t, row.payload, size);
    return row;
  });
  if (too_large)
    return fail(GYR_E_INVALID_ARGUMENT, "table", "row %lld together with its stored columns needs more than %llu bytes",
                (long long)i, (unsigned long long)RowFormat::kMaxRow);
  if (!stats) return {};
  stats->rows++;
  (written ? stats->applied : stats->stale)++;
  return {};
}

}  // namespace gyr
