// Point-in-time joins of labels with a table's history.
#include <set>

#include "table/table.h"

namespace gyr {
namespace {

Result<size_t> find_label(const std::vector<Field>& labels, const std::string& name, const char* what) {
  for (size_t i = 0; i < labels.size(); i++)
    if (labels[i].name == name) return i;
  return fail(GYR_E_NOT_FOUND, "table", "the labels have no column \"%.100s\"; options.%s says which one it is",
              name.c_str(), what);
}

Status refuse_nulls(const Column& column, const Field& field) {
  if (column.leaf_valid.empty()) return {};
  for (int64_t i = 0; i < column.rows(); i++)
    if (column.row_is_null(i))
      return fail(GYR_E_INVALID_ARGUMENT, "table", "labels: \"%.100s\" is null in row %lld; drop or fill such rows",
                  field.name.c_str(), (long long)i);
  return {};
}

}  // namespace

Result<AsOfJoin> AsOfJoin::make(std::shared_ptr<const Table> table, const std::vector<Field>& labels,
                                const Options& options) {
  const TableSchema& schema = table->schema();
  if (!schema.versions)
    return fail(GYR_E_INVALID_STATE, "table", "the table \"%.100s\" keeps no history; add \"history\" to its schema",
                schema.name.c_str());
  AsOfJoin join;
  join.known_ = options.known;
  join.fields_ = labels;
  GYR_ASSIGN(join.key_, find_label(labels, options.key.empty() ? schema.key.name : options.key, "key"));
  GYR_ASSIGN(join.time_, find_label(labels, options.time.empty() ? schema.event_time() : options.time, "time"));
  const Field &key = labels[join.key_], &time = labels[join.time_];
  if (key.is_list || key.dtype == GYR_DTYPE_NONE || physical_of(key.dtype) != physical_of(schema.key.dtype))
    return fail(GYR_E_INVALID_ARGUMENT, "table", "the labels' key \"%.100s\" is %s%s, the table's %s", key.name.c_str(),
                key.is_list ? "list of " : "", dtype_name(key.dtype), dtype_name(schema.key.dtype));
  if (time.is_list || time.dtype == GYR_DTYPE_NONE || physical_of(time.dtype) != Physical::kInt)
    return fail(GYR_E_INVALID_ARGUMENT, "table", "the labels' time \"%.100s\" is %s%s; expected timestamp",
                time.name.c_str(), time.is_list ? "list of " : "", dtype_name(time.dtype));
  std::set<std::string> names;
  for (auto& f : labels) names.insert(f.name);
  for (auto& name : options.columns) {
    int at = table->find_column(name);
    if (at < 0)
      return fail(GYR_E_NOT_FOUND, "table", "the table \"%.100s\" has no column \"%.100s\"", schema.name.c_str(),
                  name.c_str());
    Field field = schema.columns[size_t(at)];
    field.name = options.prefix + field.name;
    if (!names.insert(field.name).second)
      return fail(GYR_E_INVALID_ARGUMENT, "table",
                  "there would be two columns \"%.100s\"; choose columns, or give a prefix", field.name.c_str());
    join.fields_.push_back(std::move(field));
    join.columns_.push_back(at);
  }
  join.table_ = std::move(table);
  return join;
}

Status AsOfJoin::run(Batch* labels, Batch* out) {
  const size_t n_labels = labels->columns.size(), n = size_t(labels->rows);
  GYR_TRY(refuse_nulls(labels->columns[key_], fields_[key_]));
  GYR_TRY(refuse_nulls(labels->columns[time_], fields_[time_]));
  out->rows = labels->rows;
  out->names.resize(fields_.size());
  out->columns.resize(fields_.size());
  for (size_t c = 0; c < fields_.size(); c++) {
    out->names[c] = fields_[c].name;
    if (c < n_labels)
      std::swap(out->columns[c], labels->columns[c]);
    else
      out->columns[c].reset(fields_[c].dtype, fields_[c].is_list);
  }
  const Column &key = out->columns[key_], &time = out->columns[time_];
  Keys keys{table_->key_dtype(), key.ints.data(), nullptr, n};
  if (keys.dtype == GYR_DTYPE_STRING) {
    strings_.resize(n);
    for (size_t i = 0; i < n; i++) {
      std::string_view s = key.string(int64_t(i));
      strings_[i] = {s.data(), s.size()};
    }
    keys.ints = nullptr;
    keys.strings = strings_.data();
  }
  return table_->append_as_of(keys, time.ints.data(), known_, columns_, out->columns.data() + n_labels);
}

}  // namespace gyr
