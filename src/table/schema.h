// What a table's JSON schema says (docs/table.md).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "data/arrow.h"

namespace gyr {

// Columns come in groups, each with an event time and a TTL of its own: group 0 is the row itself, group 1 + v is view
// v.
struct TableSchema {
  static constexpr size_t kMostViews = 31;
  static constexpr uint32_t kMostVersions = 65536, kVersions = 4096;  // kVersions: when only seconds are given

  struct Group {
    std::string name, event_time;  // no event time: always 0
    int64_t ttl_us = 0;            // 0 = does not expire
  };
  std::string name;
  Field key;
  std::vector<Field> columns;
  std::vector<Group> groups;       // at least one
  std::vector<uint32_t> group_of;  // per column
  std::string created_time;        // empty = the clock
  uint32_t versions = 0;           // of the history, 0 = there is none
  int64_t history_us = 0;          // 0 = as long as there are not too many
  uint64_t memory_budget = 0;      // bytes, 0 = the runtime's is the only one

  bool has_views() const { return groups.size() > 1; }
  const std::string& event_time() const { return groups[0].event_time; }
  // Columns that hold event times, in the order of their groups.
  std::vector<Field> time_fields() const;
  std::vector<Field> scan_fields() const;  // key, event times, columns

  static Result<TableSchema> parse(std::string_view text);
  Json to_json() const;
};

}  // namespace gyr
