#include <set>

#include "base/spec.h"
#include "table/table_impl.h"

namespace gyr {
namespace {

constexpr size_t kMaxColumns = 4096, kMaxName = 1024;

Status check_name(const std::string& name, const std::string& path, std::set<std::string>* seen) {
  if (name.empty() || name.size() > kMaxName)
    return fail(GYR_E_INVALID_ARGUMENT, "table", "%s: expected a name of 1..%zu bytes, got %zu", path.c_str(), kMaxName,
                name.size());
  if (!seen->insert(name).second)
    return fail(GYR_E_INVALID_ARGUMENT, "table",
                "%s: \"%.200s\" names the key, the event time or another column already", path.c_str(), name.c_str());
  return {};
}

Status read_column(const Json& json, size_t i, std::set<std::string>* seen, Field* out) {
  std::string path = "columns[" + std::to_string(i) + "]";
  if (!json.is_object()) return fail(GYR_E_INVALID_ARGUMENT, "table", "%s: expected an object", path.c_str());
  SpecReader reader(json, path, "table");
  GYR_TRY(reader.required_string("name", &out->name));
  GYR_TRY(check_name(out->name, reader.path("name"), seen));
  std::string dtype;
  GYR_TRY(reader.required_string("dtype", &dtype));
  if (!dtype_from_name(dtype, &out->dtype))
    return reader.error("dtype", "bool, int8..int64, uint8..uint64, float32, float64, string or timestamp");
  GYR_TRY(reader.boolean("list", &out->is_list));
  return reader.finish();
}

}  // namespace

Result<TableSchema> TableSchema::parse(std::string_view text) {
  GYR_ASSIGN(Json json, parse_json(text, "table"));
  if (!json.is_object()) return fail(GYR_E_INVALID_ARGUMENT, "table", "schema: expected an object");
  TableSchema s;
  SpecReader reader(json, "", "table");
  std::set<std::string> seen;
  GYR_TRY(reader.required_string("name", &s.name));
  GYR_TRY(reader.required_string("key", &s.key.name));
  GYR_TRY(check_name(s.key.name, "key", &seen));
  int key_dtype = 0;
  GYR_TRY(reader.choice("key_dtype", {"int64", "string"}, &key_dtype));
  s.key.dtype = key_dtype == 0 ? GYR_DTYPE_INT64 : GYR_DTYPE_STRING;
  if (reader.has("event_time")) {
    GYR_TRY(reader.required_string("event_time", &s.event_time));
    GYR_TRY(check_name(s.event_time, "event_time", &seen));
  }
  int64_t ttl_seconds = 0;
  GYR_TRY(reader.integer("ttl_seconds", 0, int64_t(1) << 42, &ttl_seconds));
  s.ttl_us = ttl_seconds * 1'000'000;
  if (s.ttl_us && s.event_time.empty())
    return fail(GYR_E_INVALID_ARGUMENT, "table",
                "ttl_seconds: rows without an event time cannot expire; name event_time");
  const Json* columns = reader.value("columns");
  if (!columns || !columns->is_array() || columns->size() > kMaxColumns)
    return fail(GYR_E_INVALID_ARGUMENT, "table", "columns: expected an array of at most %zu columns", kMaxColumns);
  for (size_t i = 0; i < columns->size(); i++) GYR_TRY(read_column((*columns)[i], i, &seen, &s.columns.emplace_back()));
  GYR_TRY(reader.finish());
  return s;
}

Json TableSchema::to_json() const {
  Json j = {{"name", name}, {"key", key.name}, {"key_dtype", dtype_name(key.dtype)}};
  if (!event_time.empty()) j["event_time"] = event_time;
  j["ttl_seconds"] = ttl_us / 1'000'000;
  j["columns"] = Json::array();
  for (auto& c : columns) {
    Json column = {{"name", c.name}, {"dtype", dtype_name(c.dtype)}};
    if (c.is_list) column["list"] = true;
    j["columns"].push_back(column);
  }
  return j;
}

}  // namespace gyr
