#include "data/schema.h"

#include <algorithm>
#include <cmath>

#include "base/spec.h"
#include "data/column.h"

namespace gyr {
namespace {

struct TagWord {
  const char* word;
  uint32_t tags;
};

// Merlin's words; the first 18 in bit order are the atomic ones, the rest its deprecated compounds.
constexpr int kAtomic = 18;
constexpr TagWord kTagWords[] = {
    {"categorical", kTagCategorical},
    {"continuous", kTagContinuous},
    {"list", kTagList},
    {"sequence", kTagSequence},
    {"text", kTagText},
    {"tokenized", kTagTokenized},
    {"time", kTagTime},
    {"embedding", kTagEmbedding},
    {"id", kTagId},
    {"user", kTagUser},
    {"item", kTagItem},
    {"session", kTagSession},
    {"context", kTagContext},
    {"target", kTagTarget},
    {"regression", kTagRegression},
    {"classification", kTagClassification},
    {"binary", kTagBinary},
    {"multi_class", kTagMultiClass},
    {"user_id", kTagUser | kTagId},
    {"item_id", kTagItem | kTagId},
    {"session_id", kTagSession | kTagId},
    {"text_tokenized", kTagText | kTagTokenized},
    {"binary_classification", kTagBinary | kTagClassification},
    {"multi_class_classification", kTagMultiClass | kTagClassification},
};

// What cannot live with one tag.
constexpr uint32_t collisions(uint32_t tag) {
  switch (tag) {
    case kTagCategorical:
      return kTagContinuous | kTagEmbedding;
    case kTagContinuous:
      return kTagCategorical | kTagEmbedding | kTagId;
    case kTagEmbedding:
      return kTagContinuous | kTagCategorical | kTagId;
    case kTagId:
      return kTagContinuous | kTagEmbedding;
    default:
      return 0;
  }
}

Status check_collisions(uint32_t tags) {
  for (int i = 0; i < kAtomic; i++) {
    uint32_t tag = 1u << i, bad = tags & tag ? tags & collisions(tag) : 0;
    if (!bad) continue;
    return fail(GYR_E_INVALID_ARGUMENT, "data", "tags \"%s\" and \"%s\" contradict each other; keep one",
                kTagWords[i].word, kTagWords[__builtin_ctz(bad)].word);
  }
  return {};
}

Status read_column(const Json& json, const std::string& path, ColumnSchema* out) {
  SpecReader r(json, path, "data");
  std::string dtype;
  std::vector<std::string> tags;
  GYR_TRY(r.required_string("name", &out->name));
  if (out->name.empty()) return r.error("name", "must not be empty");
  GYR_TRY(r.required_string("dtype", &dtype));
  if (!dtype_from_name(dtype, &out->dtype))
    return r.error("dtype", ("unknown type \"" + dtype.substr(0, 40) + "\"; use int64, float32, string, ...").c_str());
  GYR_TRY(r.boolean("list", &out->is_list));
  GYR_TRY(r.strings("tags", &tags));
  if (Status s = parse_tags(tags, &out->tags); !s.ok()) return std::move(s).at(r.path("tags").c_str());
  GYR_TRY(r.integer("cardinality", 0, INT64_MAX, &out->cardinality));
  int64_t given = -1;
  GYR_TRY(r.integer("embedding_size", 0, INT64_MAX, &given));
  if (given >= 0 && given != (out->cardinality ? embedding_size(out->cardinality) : 0))
    return r.error("embedding_size", "does not follow from the cardinality; leave it out");
  GYR_TRY(r.string("domain", &out->domain));
  GYR_TRY(r.strings("sources", &out->sources));
  r.value("statistics");  // what the op that made the column learned: for readers of the schema
  return r.finish();
}

}  // namespace

Status parse_tags(const std::vector<std::string>& words, uint32_t* out) {
  uint32_t tags = 0;
  for (const std::string& word : words) {
    auto known = std::find_if(std::begin(kTagWords), std::end(kTagWords), [&](auto& t) { return word == t.word; });
    if (known == std::end(kTagWords))
      return fail(GYR_E_INVALID_ARGUMENT, "data", "unknown tag \"%.40s\"; use categorical, continuous, user, id, ...",
                  word.c_str());
    tags |= known->tags;
  }
  GYR_TRY(check_collisions(tags));
  *out = tags;
  return {};
}

std::vector<std::string> tag_names(uint32_t tags) {
  std::vector<std::string> names;
  for (int i = 0; i < kAtomic; i++)
    if (tags & (1u << i)) names.emplace_back(kTagWords[i].word);
  return names;
}

uint32_t add_tags(uint32_t have, uint32_t add) {
  for (int i = 0; i < kAtomic; i++)
    if (add & (1u << i)) have = (have & ~collisions(1u << i)) | (1u << i);
  return have;
}

const ColumnSchema* Schema::find(std::string_view name) const {
  for (const ColumnSchema& c : columns)
    if (c.name == name) return &c;
  return nullptr;
}

Json to_json(const Schema& schema) {
  Json list = Json::array();
  for (const ColumnSchema& c : schema.columns) {
    Json j;
    j["name"] = c.name;
    j["dtype"] = dtype_name(c.dtype);
    j["list"] = c.is_list;
    j["tags"] = tag_names(c.tags);
    if (c.cardinality > 0) {
      j["cardinality"] = c.cardinality;
      j["embedding_size"] = embedding_size(c.cardinality);
    }
    if (!c.domain.empty()) j["domain"] = c.domain;
    if (!c.sources.empty()) j["sources"] = c.sources;
    list.push_back(std::move(j));
  }
  return Json{{"columns", std::move(list)}};
}

Result<Schema> schema_from_json(std::string_view text) {
  GYR_ASSIGN(Json json, parse_json(text, "data"));
  SpecReader r(json, "", "data");
  const Json* list = r.value("columns");
  r.value("inputs");  // what a workflow reads: for bindings, not part of what it gives
  GYR_TRY(r.finish());
  if (!list || !list->is_array()) return r.error("columns", "is required (a list of column objects)");
  Schema schema;
  for (size_t i = 0; i < list->size(); i++) {
    std::string path = "columns[" + std::to_string(i) + "]";
    ColumnSchema column;
    GYR_TRY(read_column((*list)[i], path, &column));
    if (schema.find(column.name))
      return fail(GYR_E_INVALID_ARGUMENT, "data", "%s.name: column \"%.80s\" appears twice", path.c_str(),
                  column.name.c_str());
    schema.columns.push_back(std::move(column));
  }
  return schema;
}

int64_t embedding_size(int64_t cardinality) {
  double size = std::round(1.6 * std::pow(double(std::max<int64_t>(cardinality, 0)), 0.56));
  return int64_t(std::clamp(size, 16.0, 512.0));
}

}  // namespace gyr
