#include "table/get_plan.h"

#include <cmath>

#include "base/clock.h"

namespace gyr {

Result<std::shared_ptr<GetPlan>> GetPlan::make(std::vector<std::shared_ptr<Table>> tables, const Wanted* wanted,
                                               uint64_t n) {
  auto plan = std::make_shared<GetPlan>();
  for (auto& t : tables) plan->tables_.push_back(std::static_pointer_cast<const TableImpl>(std::move(t)));
  plan->groups_.assign(plan->tables_.size(), 0);
  for (uint64_t c = 0; c < n; c++) {
    const Wanted& w = wanted[c];
    if (w.table >= plan->tables_.size())
      return fail(GYR_E_INVALID_ARGUMENT, "table", "columns[%llu].table is %u of %zu", (unsigned long long)c, w.table,
                  plan->tables_.size());
    const TableImpl& table = *plan->tables_[w.table];
    int at = table.find_column(w.name);
    if (at < 0)
      return fail(GYR_E_NOT_FOUND, "table", "the table \"%.100s\" has no column \"%.100s\"",
                  table.schema().name.c_str(), w.name);
    const Field& field = table.columns()[size_t(at)];
    gyr_dtype dtype = w.dtype == GYR_DTYPE_NONE ? field.dtype : w.dtype;
    if (!lossless(field.dtype, dtype))
      return fail(GYR_E_INVALID_ARGUMENT, "table", "column \"%.100s\" is %s, which %s cannot hold without loss", w.name,
                  dtype_name(field.dtype), dtype_name(dtype));
    Planned planned{w.table, at, field, dtype, copy_of(field, dtype)};
    if (w.otherwise) GYR_TRY(read_default(*w.otherwise, &planned));
    plan->groups_[w.table] |= 1u << table.schema().group_of[size_t(at)];
    plan->columns_.push_back(std::move(planned));
  }
  return plan;
}

// A number that the wanted type holds.
Status GetPlan::read_default(const gyr_value& value, Planned* column) {
  auto refuse = [&](const char* why) {
    return fail(GYR_E_INVALID_ARGUMENT, "table", "default of \"%.100s\": %s %s", column->field.name.c_str(), why,
                dtype_name(column->dtype));
  };
  if (column->field.is_list || column->dtype == GYR_DTYPE_STRING)
    return fail(GYR_E_INVALID_ARGUMENT, "table", "default of \"%.100s\": only single numbers have one; leave it NULL",
                column->field.name.c_str());
  const bool real = value.dtype == GYR_DTYPE_FLOAT32 || value.dtype == GYR_DTYPE_FLOAT64;
  if (value.is_list || value.dtype <= GYR_DTYPE_NONE || value.dtype == GYR_DTYPE_STRING ||
      value.dtype > GYR_DTYPE_TIMESTAMP)
    return refuse("expected a number of type");
  bool fits = with_stored_type(column->dtype, [&]<class T>() {
    if constexpr (std::is_floating_point_v<T>) {
      column->default_float = real ? value.f : double(value.i);
      double kept = T(column->default_float);
      return !real || !std::isfinite(value.f) || std::isfinite(kept);
    } else {
      column->default_int = value.i;
      return !real && std::in_range<T>(value.i) && (column->dtype != GYR_DTYPE_BOOL || value.i <= 1);
    }
  });
  if (!fits) return refuse("the value does not fit");
  column->has_default = true;
  return {};
}

void GetPlan::fill_defaults(const Planned& column, const gyr_table_column& to, uint64_t n) {
  with_stored_type(column.dtype, [&]<class T>() {
    T value;
    if constexpr (std::is_floating_point_v<T>)
      value = T(column.default_float);
    else
      value = T(column.default_int);
    for (uint64_t i = 0; i < n; i++)
      if (to.status[i] != GYR_VALUE_PRESENT) static_cast<T*>(to.values)[i] = value, to.status[i] = GYR_VALUE_DEFAULT;
  });
}

LeasePool<GetPlan::Scratch>::Lease GetPlan::lend() const {
  LeasePool<Scratch>::Lease lease(scratch_);
  lease->keys.resize(tables_.size());
  lease->to.resize(columns_.size());
  lease->rows.resize(tables_.size());
  return lease;
}

Status GetPlan::run(int64_t now_us, Scratch* scratch) const {
  const uint64_t n = scratch->keys[0].count;
  for (size_t t = 0; t < tables_.size(); t++) {
    GYR_TRY(tables_[t]->check_keys(scratch->keys[t]));
    if (scratch->keys[t].count != n)
      return fail(GYR_E_INVALID_ARGUMENT, "table", "keys[%zu].count is %llu, the first one's %llu", t,
                  (unsigned long long)scratch->keys[t].count, (unsigned long long)n);
  }
  for (size_t c = 0; c < columns_.size(); c++) {
    gyr_table_column& column = scratch->to[c];
    column.name = columns_[c].field.name.c_str();
    column.dtype = columns_[c].dtype;
    GYR_TRY(check_destination(columns_[c].field, column, n));
    if (!columns_[c].has_default || column.status) continue;
    scratch->status.resize(n);
    column.status = scratch->status.data();
  }
  struct Leave {  // readers leave before the scratch goes back
    std::vector<EpochDomain::ReadGuard>* guards;
    ~Leave() { guards->clear(); }
  } leave{&scratch->guards};
  const int64_t now = now_us == 0 ? realtime_us() : now_us;
  for (size_t t = 0; t < tables_.size(); t++) {
    scratch->guards.push_back(tables_[t]->store_.read());
    tables_[t]->locate(scratch->keys[t], now, groups_[t], &scratch->rows[t]);
  }
  auto source = [&](const Planned& c) { return tables_[c.table]->source(scratch->rows[c.table], c.column, n, false); };
  for (size_t c = 0; c < columns_.size(); c++) GYR_TRY(check_capacity(source(columns_[c]), scratch->to[c]));
  for (size_t c = 0; c < columns_.size(); c++) {
    columns_[c].copy(source(columns_[c]), scratch->to[c]);
    if (columns_[c].has_default) fill_defaults(columns_[c], scratch->to[c], n);
  }
  return {};
}

}  // namespace gyr
