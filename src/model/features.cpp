#include "model/features.h"

#include <algorithm>
#include <cinttypes>
#include <cmath>

namespace gyr {
namespace {

constexpr const char* kSideNames[] = {"user", "item", "context"};
constexpr const char* kKindNames[] = {"code", "codes", "dense"};

Status add_feature(const ColumnSchema& c, FeatureSide side, FeatureSet* out) {
  Feature f;
  f.name = c.name;
  f.side = side;
  if (c.dtype == GYR_DTYPE_STRING)
    return fail(GYR_E_INVALID_ARGUMENT, "model",
                "column \"%s\" holds strings; give the trainer a workflow's output (Categorify makes codes)",
                c.name.c_str());
  if (c.cardinality > 0) {
    if (c.cardinality > INT32_MAX)
      return fail(GYR_E_INVALID_ARGUMENT, "model", "column \"%s\": cardinality %" PRId64 " is above 2147483647",
                  c.name.c_str(), c.cardinality);
    f.kind = c.is_list ? FeatureKind::kCodes : FeatureKind::kCode;
    f.cardinality = c.cardinality;
    const std::string& domain = c.domain.empty() ? c.name : c.domain;
    size_t t = 0;
    while (t < out->tables.size() && out->tables[t].name != domain) t++;
    if (t == out->tables.size()) out->tables.push_back({domain, 0});
    out->tables[t].rows = std::max(out->tables[t].rows, c.cardinality);
    f.table = int32_t(t);
  } else if (c.is_list) {
    return fail(GYR_E_INVALID_ARGUMENT, "model",
                "column \"%s\" is a list without a cardinality; only lists of codes can be features", c.name.c_str());
  }
  out->features.push_back(std::move(f));
  return {};
}

}  // namespace

Status FeatureSet::read(SpecReader& spec, const Schema& schema, const std::vector<std::string>& skip, FeatureSet* out) {
  *out = {};
  constexpr const char* kKeys[] = {"user_features", "item_features", "context_features"};
  constexpr uint32_t kTags[] = {kTagUser, kTagItem, kTagContext};
  std::vector<std::string> lists[3];
  bool given[3];
  for (int s = 0; s < 3; s++) {
    given[s] = spec.has(kKeys[s]);
    GYR_TRY(spec.strings(kKeys[s], &lists[s]));
  }
  auto listed = [&](int s, const std::string& name) {
    return std::find(lists[s].begin(), lists[s].end(), name) != lists[s].end();
  };
  for (int s = 0; s < 3; s++)
    for (size_t i = 0; i < lists[s].size(); i++) {
      const std::string& name = lists[s][i];
      std::string key = std::string(kKeys[s]) + "[" + std::to_string(i) + "]";
      if (std::count(lists[s].begin(), lists[s].end(), name) > 1) return spec.error(key.c_str(), "is named twice");
      for (int o = 0; o < s; o++)
        if (listed(o, name)) return spec.error(key.c_str(), "is on two sides at once");
      // Context may come from outside the workflow (a retrieval score): such columns are plain numbers.
      if (s < 2 && !schema.find(name)) return spec.error(key.c_str(), "is no column of the schema");
    }
  for (const ColumnSchema& c : schema.columns) {
    int side = -1;
    for (int s = 0; s < 3; s++)
      if (listed(s, c.name)) side = s;
    bool skipped = std::find(skip.begin(), skip.end(), c.name) != skip.end();
    for (int s = 0; s < 3 && side < 0 && !skipped; s++) {
      if (given[s] || !(c.tags & kTags[s]) || (c.tags & kTagTarget)) continue;
      // A string or a raw list that carries a tag (an original id kept beside its code) is not meant for training.
      if (c.dtype == GYR_DTYPE_STRING || c.dtype == GYR_DTYPE_TIMESTAMP || (c.is_list && c.cardinality == 0)) continue;
      // Raw ids without a vocabulary are names, not quantities.
      if ((c.tags & kTagId) && c.cardinality == 0) continue;
      side = s;
    }
    if (side >= 0) GYR_TRY(add_feature(c, FeatureSide(side), out));
  }
  for (const std::string& name : lists[2])
    if (!schema.find(name)) {
      Feature f;
      f.name = name;
      f.side = FeatureSide::kContext;
      out->features.push_back(f);
    }
  return {};
}

void FeatureSet::write(Json* header) const {
  Json fs = Json::array(), ts = Json::array();
  for (const Feature& f : features) {
    Json j = {{"name", f.name}, {"side", kSideNames[int(f.side)]}, {"kind", kKindNames[int(f.kind)]}};
    if (f.table >= 0) j["table"] = f.table, j["cardinality"] = f.cardinality;
    fs.push_back(std::move(j));
  }
  for (const Table& t : tables) ts.push_back({{"name", t.name}, {"rows", t.rows}});
  (*header)["features"] = std::move(fs);
  (*header)["tables"] = std::move(ts);
}

Status FeatureSet::read_header(const Json& header, FeatureSet* out) {
  *out = {};
  auto list = [&](const char* key) {
    const Json* found = header.find(key);
    return found && found->is_array() ? found : nullptr;
  };
  const Json *fs = list("features"), *ts = list("tables");
  if (!fs || !ts) return fail(GYR_E_CORRUPT, "model", "model header: features or tables are missing");
  for (const Json& j : *ts) {
    SpecReader r(j, "tables", "model");
    Table t;
    GYR_TRY(as_corrupt(r.required_string("name", &t.name)));
    GYR_TRY(as_corrupt(r.required_integer("rows", 1, INT32_MAX, &t.rows)));
    out->tables.push_back(std::move(t));
  }
  for (const Json& j : *fs) {
    SpecReader r(j, "features", "model");
    Feature f;
    int side = 0, kind = 2;
    int64_t table = -1;
    GYR_TRY(as_corrupt(r.required_string("name", &f.name)));
    GYR_TRY(as_corrupt(r.choice("side", {"user", "item", "context"}, &side)));
    GYR_TRY(as_corrupt(r.choice("kind", {"code", "codes", "dense"}, &kind)));
    f.side = FeatureSide(side);
    f.kind = FeatureKind(kind);
    if (f.kind != FeatureKind::kDense) {
      GYR_TRY(as_corrupt(r.required_integer("table", 0, int64_t(out->tables.size()) - 1, &table)));
      GYR_TRY(as_corrupt(r.required_integer("cardinality", 1, out->tables[size_t(table)].rows, &f.cardinality)));
      f.table = int32_t(table);
    }
    out->features.push_back(std::move(f));
  }
  return {};
}

FeatureSet FeatureSet::only(std::initializer_list<FeatureSide> sides) const {
  FeatureSet out;
  out.tables = tables;
  for (const Feature& f : features)
    if (std::find(sides.begin(), sides.end(), f.side) != sides.end()) out.features.push_back(f);
  return out;
}

ModelInputs FeatureSet::inputs() const {
  ModelInputs out;
  for (const Feature& f : features) out.add(f.name, f.cardinality);
  return out;
}

uint32_t FeatureSet::count(FeatureKind kind) const {
  uint32_t n = 0;
  for (const Feature& f : features) n += f.kind == kind;
  return n;
}

RowStore::RowStore(const FeatureSet& set, std::pmr::memory_resource* memory) : set_(set) {
  for (const Feature& f : set_.features) {
    columns_.emplace_back(memory);
    if (f.kind == FeatureKind::kCodes) columns_.back().offsets.push_back(0);
  }
}

Status RowStore::append_codes(const Feature& f, const Column& c, FeatureRows* out) {
  int64_t rows = c.rows();
  for (int64_t r = 0; r < rows; r++) {
    bool list = f.kind == FeatureKind::kCodes;
    int64_t a = list ? c.list_offsets[size_t(r)] : r, b = list ? c.list_offsets[size_t(r) + 1] : r + 1;
    for (int64_t i = a; i < b; i++) {
      if (!c.leaf_is_valid(i)) return row_error(f.name, rows_ + r, "is null; Categorify gives nulls a code");
      GYR_TRY(check_code(f.name, rows_ + r, c.ints[size_t(i)], f.cardinality));
      out->codes.push_back(int32_t(c.ints[size_t(i)]));
    }
    if (list) out->offsets.push_back(out->codes.size());
  }
  return {};
}

Status RowStore::append_values(const Feature& f, const Column& c, FeatureRows* out) {
  for (int64_t r = 0; r < c.rows(); r++) {
    double v = c.physical() == Physical::kFloat ? c.floats[size_t(r)] : double(c.ints[size_t(r)]);
    if (!c.leaf_is_valid(r) || !std::isfinite(v))
      return row_error(f.name, rows_ + r, "is null or not finite; fill it (FillMissing) or drop the row");
    out->values.push_back(float(v));
  }
  return {};
}

Status RowStore::append(const Batch& batch) {
  Status status;
  for (size_t i = 0; i < set_.features.size() && status.ok(); i++) {
    const Feature& f = set_.features[i];
    const Column* c = nullptr;
    if (f.kind != FeatureKind::kDense) {
      status = code_column(batch, f.name, f.kind == FeatureKind::kCodes, &c);
      if (status.ok()) status = append_codes(f, *c, &columns_[i]);
      continue;
    }
    int at = batch.find(f.name);
    if (at < 0) {
      status = fail(GYR_E_INVALID_ARGUMENT, "model", "column \"%s\" is missing from the rows", f.name.c_str());
    } else if (c = &batch.columns[size_t(at)]; c->is_list || c->physical() == Physical::kString) {
      status = fail(GYR_E_INVALID_ARGUMENT, "model", "column \"%s\": expected numbers, got %s%s", f.name.c_str(),
                    c->is_list ? "lists of " : "", dtype_name(c->dtype));
    } else {
      status = append_values(f, *c, &columns_[i]);
    }
  }
  if (!status.ok()) {
    truncate(rows_);
    return status;
  }
  rows_ += batch.rows;
  return {};
}

Status number_column(const Batch& batch, const std::string& name, int64_t first_row, double max,
                     std::pmr::vector<float>* out) {
  int at = batch.find(name);
  if (at < 0) return fail(GYR_E_INVALID_ARGUMENT, "model", "column \"%s\" is missing from the rows", name.c_str());
  const Column& c = batch.columns[size_t(at)];
  if (c.is_list || c.physical() == Physical::kString)
    return fail(GYR_E_INVALID_ARGUMENT, "model", "column \"%s\": expected numbers, got %s%s", name.c_str(),
                c.is_list ? "lists of " : "", dtype_name(c.dtype));
  for (int64_t r = 0; r < batch.rows; r++) {
    double v = c.physical() == Physical::kFloat ? c.floats[size_t(r)] : double(c.ints[size_t(r)]);
    if (!c.leaf_is_valid(r) || !(v >= 0 && v <= max))
      return row_error(name, first_row + r, max == 1 ? "a label must be in 0..1" : "a weight must be finite and >= 0");
    out->push_back(float(v));
  }
  return {};
}

void RowStore::truncate(int64_t rows) {
  rows_ = rows;
  for (size_t i = 0; i < columns_.size(); i++) {
    FeatureRows& c = columns_[i];
    FeatureKind kind = set_.features[i].kind;
    if (kind == FeatureKind::kDense) {
      c.values.resize(size_t(rows));
    } else if (kind == FeatureKind::kCode) {
      c.codes.resize(size_t(rows));
    } else {
      c.offsets.resize(size_t(rows) + 1);
      c.codes.resize(c.offsets.back());
    }
  }
}

Status check_columns(const FeatureSet& set, const std::vector<const Column*>& columns, int64_t first, int64_t rows) {
  for (size_t i = 0; i < set.features.size(); i++) {
    const Feature& f = set.features[i];
    const Column& c = *columns[i];
    bool list = f.kind == FeatureKind::kCodes;
    bool type = f.kind == FeatureKind::kDense ? c.physical() != Physical::kString : c.physical() == Physical::kInt;
    if (!type || c.is_list != list)
      return fail(GYR_E_INVALID_ARGUMENT, "model", "column \"%s\": expected %s, got %s%s", f.name.c_str(),
                  list                           ? "lists of integer codes"
                  : f.kind == FeatureKind::kCode ? "integer codes"
                                                 : "numbers",
                  c.is_list ? "lists of " : "", dtype_name(c.dtype));
    if (f.kind == FeatureKind::kDense || rows == 0) continue;
    int64_t a = list ? c.list_offsets[size_t(first)] : first;
    int64_t b = list ? c.list_offsets[size_t(first + rows)] : first + rows;
    for (int64_t k = a; k < b; k++)
      if (uint64_t(c.ints[size_t(k)]) >= uint64_t(f.cardinality)) {
        int64_t row = first;
        while (list && c.list_offsets[size_t(row) + 1] <= k) row++;
        return check_code(f.name, list ? row : k, c.ints[size_t(k)], f.cardinality);
      }
  }
  return {};
}

}  // namespace gyr
