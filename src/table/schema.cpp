#include <algorithm>
#include <set>

#include "base/spec.h"
#include "table/schema.h"

namespace gyr {
namespace {

constexpr size_t kMaxColumns = 4096, kMaxName = 1024;
constexpr int64_t kMostSeconds = int64_t(1) << 42;

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
    return reader.unexpected("dtype", "bool, int8..int64, uint8..uint64, float32, float64, string or timestamp");
  GYR_TRY(reader.boolean("list", &out->is_list));
  return reader.finish();
}

Status read_ttl(SpecReader* reader, TableSchema::Group* group) {
  int64_t seconds = 0;
  GYR_TRY(reader->integer("ttl_seconds", 0, kMostSeconds, &seconds));
  group->ttl_us = seconds * 1'000'000;
  return {};
}

Status read_view(const Json& json, size_t i, std::set<std::string>* seen, TableSchema* out) {
  std::string path = "views[" + std::to_string(i) + "]";
  if (!json.is_object()) return fail(GYR_E_INVALID_ARGUMENT, "table", "%s: expected an object", path.c_str());
  SpecReader reader(json, path, "table");
  TableSchema::Group view;
  GYR_TRY(reader.required_string("name", &view.name));
  std::set<std::string> names;
  for (auto& g : out->groups) names.insert(g.name);
  GYR_TRY(check_name(view.name, reader.path("name"), &names));
  GYR_TRY(reader.required_string("event_time", &view.event_time));
  GYR_TRY(check_name(view.event_time, reader.path("event_time"), seen));
  GYR_TRY(read_ttl(&reader, &view));
  std::vector<std::string> columns;
  GYR_TRY(reader.required_strings("columns", &columns));
  if (columns.empty()) return reader.unexpected("columns", "the names of one column at least");
  out->groups.push_back(std::move(view));
  for (auto& name : columns) {
    auto same = [&](const Field& f) { return f.name == name; };
    auto at = size_t(std::find_if(out->columns.begin(), out->columns.end(), same) - out->columns.begin());
    if (at == out->columns.size())
      return fail(GYR_E_INVALID_ARGUMENT, "table", "%s: \"%.200s\" is no column of the table",
                  reader.path("columns").c_str(), name.c_str());
    if (out->group_of[at])
      return fail(GYR_E_INVALID_ARGUMENT, "table", "%s: \"%.200s\" belongs to the view \"%.200s\" already",
                  reader.path("columns").c_str(), name.c_str(), out->groups[out->group_of[at]].name.c_str());
    out->group_of[at] = uint32_t(out->groups.size() - 1);
  }
  return reader.finish();
}

Status read_views(const Json* views, std::set<std::string>* seen, TableSchema* out) {
  if (!views) return {};
  if (!views->is_array() || views->size() > TableSchema::kMostViews)
    return fail(GYR_E_INVALID_ARGUMENT, "table", "views: expected an array of at most %zu views",
                TableSchema::kMostViews);
  for (size_t i = 0; i < views->size(); i++) GYR_TRY(read_view((*views)[i], i, seen, out));
  return {};
}

Status read_history(SpecReader* reader, std::set<std::string>* seen, TableSchema* out) {
  if (reader->has("created_time")) {
    GYR_TRY(reader->required_string("created_time", &out->created_time));
    GYR_TRY(check_name(out->created_time, "created_time", seen));
  }
  const Json* json = reader->value("history");
  if (!json && !out->created_time.empty())
    return fail(GYR_E_INVALID_ARGUMENT, "table", "created_time: only a history keeps it; add \"history\"");
  if (!json) return {};
  if (!json->is_object()) return fail(GYR_E_INVALID_ARGUMENT, "table", "history: expected an object");
  SpecReader history(*json, "history", "table");
  int64_t versions = TableSchema::kVersions, seconds = 0;
  GYR_TRY(history.integer("versions", 1, TableSchema::kMostVersions, &versions));
  GYR_TRY(history.integer("seconds", 1, kMostSeconds, &seconds));
  if (!history.has("versions") && !history.has("seconds"))
    return fail(GYR_E_INVALID_ARGUMENT, "table",
                "history: say how many versions, or how many seconds of them, to keep");
  for (auto& group : out->groups)
    if (group.event_time.empty() && !out->has_views())
      return fail(GYR_E_INVALID_ARGUMENT, "table", "history: rows without an event time have none; name event_time");
  out->versions = uint32_t(versions);
  out->history_us = seconds * 1'000'000;
  return history.finish();
}

}  // namespace

std::vector<Field> TableSchema::time_fields() const {
  std::vector<Field> fields;
  for (auto& g : groups)
    if (!g.event_time.empty()) fields.push_back({g.event_time, GYR_DTYPE_TIMESTAMP, false});
  return fields;
}

std::vector<Field> TableSchema::scan_fields() const {
  std::vector<Field> fields{key};
  for (auto& f : time_fields()) fields.push_back(f);
  fields.insert(fields.end(), columns.begin(), columns.end());
  return fields;
}

Result<TableSchema> TableSchema::parse(std::string_view text) {
  GYR_ASSIGN(Json json, parse_json(text, "table"));
  if (!json.is_object()) return fail(GYR_E_INVALID_ARGUMENT, "table", "schema: expected an object");
  TableSchema s;
  Group& row = s.groups.emplace_back();
  SpecReader reader(json, "", "table");
  std::set<std::string> seen;
  GYR_TRY(reader.required_string("name", &s.name));
  GYR_TRY(reader.required_string("key", &s.key.name));
  GYR_TRY(check_name(s.key.name, "key", &seen));
  int key_dtype = 0;
  GYR_TRY(reader.choice("key_dtype", {"int64", "string"}, &key_dtype));
  s.key.dtype = key_dtype == 0 ? GYR_DTYPE_INT64 : GYR_DTYPE_STRING;
  if (reader.has("event_time")) {
    GYR_TRY(reader.required_string("event_time", &row.event_time));
    GYR_TRY(check_name(row.event_time, "event_time", &seen));
  }
  GYR_TRY(read_ttl(&reader, &row));
  if (row.ttl_us && row.event_time.empty())
    return fail(GYR_E_INVALID_ARGUMENT, "table",
                "ttl_seconds: rows without an event time cannot expire; name event_time");
  const Json* columns = reader.value("columns");
  if (!columns) return reader.error("columns", "is required (an array of columns, may be empty)");
  if (!columns->is_array()) return reader.unexpected("columns", "an array of columns");
  if (columns->size() > kMaxColumns)
    return fail(GYR_E_INVALID_ARGUMENT, "table", "columns: expected at most %zu, got %zu", kMaxColumns,
                columns->size());
  for (size_t i = 0; i < columns->size(); i++) GYR_TRY(read_column((*columns)[i], i, &seen, &s.columns.emplace_back()));
  s.group_of.assign(s.columns.size(), 0);
  GYR_TRY(read_views(reader.value("views"), &seen, &s));
  GYR_TRY(read_history(&reader, &seen, &s));
  int64_t budget = 0;
  GYR_TRY(reader.integer("memory_budget", 0, INT64_MAX, &budget));
  s.memory_budget = uint64_t(budget);
  GYR_TRY(reader.finish());
  return s;
}

Json TableSchema::to_json() const {
  Json j = {{"name", name}, {"key", key.name}, {"key_dtype", dtype_name(key.dtype)}};
  if (!event_time().empty()) j["event_time"] = event_time();
  j["ttl_seconds"] = groups[0].ttl_us / 1'000'000;
  j["columns"] = Json::array();
  for (auto& c : columns) {
    Json column = {{"name", c.name}, {"dtype", dtype_name(c.dtype)}};
    if (c.is_list) column["list"] = true;
    j["columns"].push_back(column);
  }
  if (has_views()) j["views"] = Json::array();
  for (size_t g = 1; g < groups.size(); g++) {
    Json view = {{"name", groups[g].name},
                 {"event_time", groups[g].event_time},
                 {"ttl_seconds", groups[g].ttl_us / 1'000'000},
                 {"columns", Json::array()}};
    for (size_t c = 0; c < columns.size(); c++)
      if (group_of[c] == g) view["columns"].push_back(columns[c].name);
    j["views"].push_back(view);
  }
  if (versions) j["history"]["versions"] = versions;
  if (history_us) j["history"]["seconds"] = history_us / 1'000'000;
  if (!created_time.empty()) j["created_time"] = created_time;
  if (memory_budget) j["memory_budget"] = memory_budget;
  return j;
}

}  // namespace gyr
