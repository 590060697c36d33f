// Features: what the columns of a schema mean to a network, the rows it trains on, and reading them while serving.
#pragma once

#include <memory_resource>
#include <span>
#include <string>
#include <vector>

#include "model/kinds.h"

namespace gyr {

enum class FeatureKind : uint8_t { kCode, kCodes, kDense };  // one code, a list of codes (mean pooled), a number
enum class FeatureSide : uint8_t { kUser, kItem, kContext };

struct Feature {
  std::string name;
  FeatureSide side = FeatureSide::kUser;
  FeatureKind kind = FeatureKind::kDense;
  int32_t table = -1;  // embedding table, -1 for numbers
  int64_t cardinality = 0;
};

struct FeatureSet {
  struct Table {
    std::string name;
    int64_t rows = 0;
  };
  std::vector<Feature> features;  // in schema order; context columns the schema does not know come last
  std::vector<Table> tables;      // one per domain

  // By the schema's tags, or by the lists "user_features", "item_features", "context_features" of the spec. Columns
  // named in `skip` (labels, weights) are no features unless a list names them.
  static Status read(SpecReader& spec, const Schema& schema, const std::vector<std::string>& skip, FeatureSet* out);
  static Status read_header(const Json& header, FeatureSet* out);
  void write(Json* header) const;
  FeatureSet only(std::initializer_list<FeatureSide> sides) const;  // keeps all tables
  ModelInputs inputs() const;
  uint32_t count(FeatureKind kind) const;
};

// Values of one feature for all training rows, compact.
struct FeatureRows {
  std::pmr::vector<int32_t> codes;
  std::pmr::vector<uint64_t> offsets;  // lists only
  std::pmr::vector<float> values;
  explicit FeatureRows(std::pmr::memory_resource* m) : codes(m), offsets(m), values(m) {}
  std::span<const int32_t> codes_of(const Feature& f, size_t row) const {
    if (f.kind == FeatureKind::kCode) return {codes.data() + row, 1};
    return {codes.data() + offsets[row], size_t(offsets[row + 1] - offsets[row])};
  }
};

class RowStore {
 public:
  RowStore(const FeatureSet& set, std::pmr::memory_resource* memory);
  // Refuses missing columns, codes out of range, nulls and NaN, naming column and row. Null lists are empty lists.
  Status append(const Batch& batch);
  void truncate(int64_t rows);
  int64_t rows() const { return rows_; }
  const FeatureRows& column(size_t feature) const { return columns_[feature]; }
  const FeatureSet& set() const { return set_; }

 private:
  Status append_codes(const Feature& f, const Column& c, FeatureRows* out);
  Status append_values(const Feature& f, const Column& c, FeatureRows* out);
  FeatureSet set_;
  std::vector<FeatureRows> columns_;
  int64_t rows_ = 0;
};

// Appends a column of plain numbers (labels, weights), each in [0, max].
Status number_column(const Batch& batch, const std::string& name, int64_t first_row, double max,
                     std::pmr::vector<float>* out);

// Mean of the table rows of the codes, pad code 0 skipped; zero when nothing is left. A single code is not pooled:
// every code of it, 0 too, has its own row.
template <class Int>
void embed(FeatureKind kind, const float* table, size_t dim, std::span<const Int> codes, float* out) {
  if (kind == FeatureKind::kCode) {
    const float* row = table + size_t(codes[0]) * dim;
    for (size_t c = 0; c < dim; c++) out[c] = row[c];
    return;
  }
  for (size_t c = 0; c < dim; c++) out[c] = 0;
  size_t n = 0;
  for (Int code : codes) {
    if (code == 0) continue;
    const float* row = table + size_t(code) * dim;
    for (size_t c = 0; c < dim; c++) out[c] += row[c];
    n++;
  }
  if (n < 2) return;
  float scale = 1.0f / float(n);
  for (size_t c = 0; c < dim; c++) out[c] *= scale;
}

// Serving: types and codes of the rows [first, first + rows), once per batch.
Status check_columns(const FeatureSet& set, const std::vector<const Column*>& columns, int64_t first, int64_t rows);
// Checked codes of a row; false for a null, which embeds as zeros.
inline bool serving_codes(FeatureKind kind, const Column& c, int64_t row, std::span<const int64_t>* out) {
  if (kind == FeatureKind::kCode) {
    *out = {c.ints.data() + row, 1};
    return c.leaf_is_valid(row);
  }
  size_t a = size_t(c.list_offsets[size_t(row)]), b = size_t(c.list_offsets[size_t(row) + 1]);
  *out = {c.ints.data() + a, b - a};
  return true;
}
// Null and NaN read as 0: at serving a missing number is the rule, not a mistake.
inline float serving_value(const Column& c, int64_t row) {
  if (!c.leaf_is_valid(row)) return 0;
  double v = c.physical() == Physical::kFloat ? c.floats[size_t(row)] : double(c.ints[size_t(row)]);
  return v == v ? float(v) : 0.0f;
}

}  // namespace gyr
