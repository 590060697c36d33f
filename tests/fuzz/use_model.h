// Uses a model in all the ways of its kind, with codes inside and outside of what it was trained with.
#pragma once

#include <cmath>

#include "model/model.h"
#include "tests/fuzz/common.h"

namespace gyr::fuzz {

inline auto load_model(const Container& file) { return Model::load(runtime(), file, "x"); }

enum class Codes { kInside, kOutside };

// Columns for the inputs; which of the categorical ones are lists is nothing the interface tells.
inline void add_columns(const ModelInputs& inputs, Codes codes, uint64_t lists, Batch* out) {
  for (size_t i = 0; i < inputs.names.size(); i++) {
    if (out->find(inputs.names[i]) >= 0) continue;
    int64_t n = inputs.cardinalities[i];
    if (n == 0) {
      fill(&out->add(inputs.names[i], GYR_DTYPE_FLOAT32, false), int(i), codes == Codes::kOutside);
      continue;
    }
    bool list = lists >> (i % 64) & 1;
    Column& c = out->add(inputs.names[i], GYR_DTYPE_INT64, list);
    for (int64_t row = 0; row < kRows; row++) {
      for (int64_t k = 0; k < (list ? row : 1); k++)
        c.push_int(codes == Codes::kOutside && row == 2 ? n : (row + k) % n);
      if (list) c.end_list();
    }
  }
  out->rows = kRows;
}

inline void use_encode(const Model& m, gyr_side side, Codes codes, uint64_t lists) {
  const ModelInputs& inputs = m.encode_inputs(side);
  if (inputs.names.empty()) return;
  Batch b;
  add_columns(inputs, codes, lists, &b);
  std::vector<const Column*> columns;
  for (const std::string& name : inputs.names) columns.push_back(&b.columns[size_t(b.find(name))]);
  std::vector<float> out(size_t(kRows) * m.dim());
  auto scratch = m.make_scratch();
  Status s = m.encode(side, columns, kRows, scratch.get(), out.data());
  if (!s.ok()) return refused(s);
  must(codes == Codes::kInside, "codes outside of the cardinality are refused");
}

inline void use_predict(const Model& m, Codes codes, uint64_t lists) {
  Batch b;
  add_columns(m.score_user_inputs(), codes, lists, &b);
  add_columns(m.score_item_inputs(), codes, lists, &b);
  float out[kRows];
  auto scratch = m.make_scratch();
  check(m.predict(b, scratch.get(), out));
}

inline void use_recommend(const Model& m, int64_t code) {
  constexpr uint32_t k = 3;
  int64_t items[] = {code, 0, 3}, offsets[] = {0, 2, 3}, exclude[] = {code}, exclude_offsets[] = {0, 0, 1}, ids[2 * k];
  float scores[2 * k];
  check(m.recommend(items, offsets, 2, k, exclude, exclude_offsets, ids, scores));
}

inline void use_model(const Model& m) {
  must(!m.describe().dump().empty(), "a model describes itself");
  round_trip(m, "MDL1", load_model);
  // One list among the categorical inputs, wherever it is; or none, or all.
  for (uint64_t lists : {uint64_t(0), ~uint64_t(0), uint64_t(1), uint64_t(2), uint64_t(4)})
    for (Codes codes : {Codes::kInside, Codes::kOutside}) {
      for (gyr_side side : {GYR_SIDE_USER, GYR_SIDE_ITEM}) use_encode(m, side, codes, lists);
      use_predict(m, codes, lists);
    }
  for (int64_t code : {int64_t(3), int64_t(-1), INT64_MAX}) use_recommend(m, code);
}

}  // namespace gyr::fuzz
