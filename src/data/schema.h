// Column schema with Merlin's tags: what a workflow says about its outputs and a trainer about its inputs.
#pragma once

#include <gyr/data.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json.h"

namespace gyr {

enum Tag : uint32_t {
  kTagCategorical = 1u << 0,
  kTagContinuous = 1u << 1,
  kTagList = 1u << 2,
  kTagSequence = 1u << 3,
  kTagText = 1u << 4,
  kTagTokenized = 1u << 5,
  kTagTime = 1u << 6,
  kTagEmbedding = 1u << 7,
  kTagId = 1u << 8,
  kTagUser = 1u << 9,
  kTagItem = 1u << 10,
  kTagSession = 1u << 11,
  kTagContext = 1u << 12,
  kTagTarget = 1u << 13,
  kTagRegression = 1u << 14,
  kTagClassification = 1u << 15,
  kTagBinary = 1u << 16,
  kTagMultiClass = 1u << 17,
};
// Deprecated compounds split as Merlin does: "user_id" = user + id. Unknown words fail.
Status parse_tags(const std::vector<std::string>& words, uint32_t* out);
std::vector<std::string> tag_names(uint32_t tags);
// Merlin's collisions (categorical x continuous, ...): adding `tag` drops the ones it cannot live with.
uint32_t add_tags(uint32_t have, uint32_t add);

struct ColumnSchema {
  std::string name;
  gyr_dtype dtype = GYR_DTYPE_NONE;
  bool is_list = false;
  uint32_t tags = 0;
  int64_t cardinality = 0;           // categorical: codes 0..cardinality-1; 0 = not categorical
  std::string domain;                // columns of one domain share one embedding table; empty = own
  std::vector<std::string> sources;  // graph inputs it depends on
};

struct Schema {
  std::vector<ColumnSchema> columns;
  const ColumnSchema* find(std::string_view name) const;
};

Json to_json(const Schema& schema);
Result<Schema> schema_from_json(std::string_view text);
// NVTabular's rule: min(max(16, round(1.6 n^0.56)), 512).
int64_t embedding_size(int64_t cardinality);

}  // namespace gyr
