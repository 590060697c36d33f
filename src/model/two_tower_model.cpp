// two_tower at serving time: packed towers, blocks of rows.
#include <algorithm>
#include <cmath>

#include "base/knobs.h"
#include "kernels/kernels.h"
#include "model/two_tower.h"

namespace gyr {
namespace {

class TowerModel : public Model {
 public:
  TowerModel(RuntimePtr runtime, TowerShape shape, const Weights& weights)
      : runtime_(std::move(runtime)), shape_(std::move(shape)), weights_(runtime_->memory()) {
    auto* memory = runtime_->memory();
    weights_.shape(shape_.tables(), shape_.dense_size, memory);
    weights_.copy_from(weights);
    user_ = std::make_unique<PackedMlp>(shape_.user_mlp, weights_.dense.data(), memory);
    item_ = std::make_unique<PackedMlp>(shape_.item_mlp, weights_.dense.data(), memory);
    user_inputs_ = shape_.user.inputs();
    item_inputs_ = shape_.item.inputs();
    if (!shape_.item_bias) return;
    auto& names = item_inputs_.names;
    auto at = std::find(names.begin(), names.end(), shape_.item_name);
    bias_column_ = size_t(at - names.begin());
    if (at == names.end()) item_inputs_.add(shape_.item_name, shape_.items);
  }

  const char* kind() const override { return "two_tower"; }
  uint32_t dim() const override { return uint32_t(shape_.out_dim()); }
  const ModelInputs& encode_inputs(gyr_side side) const override {
    return side == GYR_SIDE_USER ? user_inputs_ : item_inputs_;
  }
  const ModelInputs& score_user_inputs() const override { return user_inputs_; }
  const ModelInputs& score_item_inputs() const override { return item_inputs_; }

  struct Buffers : Scratch {
    explicit Buffers(std::pmr::memory_resource* m) : x(m), work(m), user(m), items(m) {}
    Floats x, work, user, items;
  };
  std::unique_ptr<Scratch> make_scratch() const override { return std::make_unique<Buffers>(runtime_->memory()); }

  Status encode(gyr_side side, const std::vector<const Column*>& columns, int64_t rows, Scratch* scratch,
                float* out) const override {
    return encode_rows(side, columns, 0, rows, static_cast<Buffers*>(scratch), out);
  }

  Status score(const std::vector<const Column*>& user, int64_t user_row, const std::vector<const Column*>& items,
               int64_t first_item, int64_t candidates, Scratch* scratch, float* out) const override {
    Buffers* b = static_cast<Buffers*>(scratch);
    size_t d = shape_.out_dim();
    b->user.resize(d);
    b->items.resize(size_t(candidates) * d);
    GYR_TRY(encode_rows(GYR_SIDE_USER, user, user_row, 1, b, b->user.data()));
    GYR_TRY(encode_rows(GYR_SIDE_ITEM, items, first_item, candidates, b, b->items.data()));
    kernels::best().dot_rows(b->user.data(), b->items.data(), size_t(candidates), d, d, out);
    return {};
  }

  Status predict(const Batch& batch, Scratch* scratch, float* out) const override {
    std::vector<const Column*> user, item;
    GYR_TRY(bind(batch, user_inputs_, &user));
    GYR_TRY(bind(batch, item_inputs_, &item));
    Buffers* b = static_cast<Buffers*>(scratch);
    size_t d = shape_.out_dim();
    b->user.resize(kBlock * d);
    b->items.resize(kBlock * d);
    const int64_t block = int64_t(knobs::capacity(kBlock));
    for (int64_t at = 0; at < batch.rows; at += block) {
      int64_t m = std::min(block, batch.rows - at);
      GYR_TRY(encode_rows(GYR_SIDE_USER, user, at, m, b, b->user.data()));
      GYR_TRY(encode_rows(GYR_SIDE_ITEM, item, at, m, b, b->items.data()));
      for (size_t r = 0; r < size_t(m); r++)
        out[size_t(at) + r] = kernels::best().dot(b->user.data() + r * d, b->items.data() + r * d, d);
    }
    return {};
  }

  Status recommend(const int64_t*, const int64_t*, uint64_t, uint32_t, const int64_t*, const int64_t*, int64_t*,
                   float*) const override {
    return fail(GYR_E_UNSUPPORTED, "model",
                "two_tower models need features to recommend; encode both sides and search an index");
  }

  Json describe() const override {
    uint64_t parameters = weights_.dense.size();
    for (const Floats& t : weights_.tables) parameters += t.size();
    Json j = {{"kind", kind()},
              {"dim", dim()},
              {"user_inputs", user_inputs_.names},
              {"item_inputs", item_inputs_.names},
              {"parameters", parameters}};
    Json shape = Json::object();
    shape_.write(&shape);
    j["shape"] = std::move(shape);
    return j;
  }

  Status save(ContainerWriter* file, std::string_view name) const override {
    ModelWriter w;
    w.header["kind"] = kind();
    shape_.write(&w.header);
    weights_.save(&w);
    return w.add_to(file, name);
  }

 private:
  static constexpr int64_t kBlock = 64;  // rows whose activations stay in the first caches

  Status encode_rows(gyr_side side, const std::vector<const Column*>& columns, int64_t first, int64_t rows, Buffers* b,
                     float* out) const {
    bool of_user = side == GYR_SIDE_USER;
    const FeatureSet& set = of_user ? shape_.user : shape_.item;
    const PackedMlp& mlp = of_user ? *user_ : *item_;
    size_t d = shape_.dim, ld = shape_.out_dim(), in = mlp.in();
    GYR_TRY(check_columns(set, columns, first, rows));
    if (!of_user && shape_.item_bias) GYR_TRY(check_bias(*columns[bias_column_], first, rows));
    b->x.resize(kBlock * in);
    b->work.resize(2 * kBlock * mlp.widest());
    const int64_t block = int64_t(knobs::capacity(kBlock));
    for (int64_t at = 0; at < rows; at += block) {
      size_t m = size_t(std::min(block, rows - at));
      for (size_t r = 0; r < m; r++) read_row(set, columns, first + at + int64_t(r), b->x.data() + r * in);
      float* to = out + size_t(at) * ld;
      mlp.run(b->x.data(), in, m, to, ld, b->work.data());
      for (size_t r = 0; r < m; r++) {
        if (shape_.l2_normalize) normalise(to + r * ld, d);
        if (!shape_.item_bias) continue;
        // u' . v' = u . v + temperature * bias: the logit times the temperature, so the order is the logit's.
        const Column* codes = of_user ? nullptr : columns[bias_column_];
        int64_t row = first + at + int64_t(r);
        to[r * ld + d] = of_user                     ? float(shape_.temperature)
                         : codes->leaf_is_valid(row) ? weights_.tables.back()[size_t(codes->ints[size_t(row)])]
                                                     : 0.0f;
      }
    }
    return {};
  }

  void read_row(const FeatureSet& set, const std::vector<const Column*>& columns, int64_t row, float* to) const {
    size_t e = shape_.embedding_dim;
    std::span<const int64_t> codes;
    for (size_t f = 0; f < set.features.size(); f++) {
      const Feature& feature = set.features[f];
      if (feature.kind == FeatureKind::kDense) {
        *to++ = serving_value(*columns[f], row);
        continue;
      }
      if (serving_codes(feature.kind, *columns[f], row, &codes))
        embed(feature.kind, weights_.tables[size_t(feature.table)].data(), e, codes, to);
      else
        std::fill_n(to, e, 0.0f);
      to += e;
    }
  }

  Status check_bias(const Column& c, int64_t first, int64_t rows) const {
    if (c.physical() != Physical::kInt || c.is_list)
      return fail(GYR_E_INVALID_ARGUMENT, "model", "column \"%s\": expected integer codes", shape_.item_name.c_str());
    for (int64_t r = first; r < first + rows; r++)
      GYR_TRY(check_code(shape_.item_name, r, c.ints[size_t(r)], shape_.items));
    return {};
  }

  RuntimePtr runtime_;
  TowerShape shape_;
  Weights weights_;
  std::unique_ptr<PackedMlp> user_, item_;
  ModelInputs user_inputs_, item_inputs_;
  size_t bias_column_ = 0;
};

}  // namespace

size_t TowerShape::width(const FeatureSet& set) const {
  size_t dense = set.count(FeatureKind::kDense);
  return (set.features.size() - dense) * embedding_dim + dense;
}

Status TowerShape::derive() {
  for (const FeatureSet* side : {&user, &item})
    if (side->features.empty())
      return fail(GYR_E_INVALID_ARGUMENT, "model",
                  "the %s tower has no features: tag columns in the schema, or list user_features and item_features",
                  side == &user ? "user" : "item");
  dense_size = 0;
  auto make = [&](const FeatureSet& set, std::vector<int64_t> widths) {
    widths.push_back(int64_t(dim));
    return Mlp::make(uint32_t(width(set)), widths, &dense_size);
  };
  user_mlp = make(user, user_widths);
  item_mlp = make(item, item_widths);
  return {};
}

std::vector<TableShape> TowerShape::tables() const {
  std::vector<TableShape> out;
  for (const auto& t : user.tables) out.push_back({t.rows, embedding_dim});
  if (item_bias) out.push_back({items, 1});
  return out;
}

void TowerShape::write(Json* header) const {
  FeatureSet all = user;
  all.features.insert(all.features.end(), item.features.begin(), item.features.end());
  all.write(header);
  Json& h = *header;
  h["dim"] = dim;
  h["embedding_dim"] = embedding_dim;
  h["user_hidden"] = user_widths;
  h["item_hidden"] = item_widths;
  h["l2_normalize"] = l2_normalize;
  h["item_bias"] = item_bias;
  h["temperature"] = temperature;
  h["item"] = item_name;
  h["items"] = items;
}

Status TowerShape::read_header(const Json& header, TowerShape* out) {
  FeatureSet all;
  GYR_TRY(FeatureSet::read_header(header, &all));
  out->user = all.only({FeatureSide::kUser, FeatureSide::kContext});
  out->item = all.only({FeatureSide::kItem});
  SpecReader r(header, "", "model");
  int64_t dim = 0, embedding = 0;
  auto read = [&]() -> Status {
    GYR_TRY(r.required_integer("dim", 1, 4096, &dim));
    GYR_TRY(r.required_integer("embedding_dim", 1, 4096, &embedding));
    GYR_TRY(r.integers("user_hidden", 1, 65536, &out->user_widths));
    GYR_TRY(r.integers("item_hidden", 1, 65536, &out->item_widths));
    GYR_TRY(r.boolean("l2_normalize", &out->l2_normalize));
    GYR_TRY(r.boolean("item_bias", &out->item_bias));
    GYR_TRY(r.number("temperature", 1e-4, 1e4, &out->temperature));
    GYR_TRY(r.required_string("item", &out->item_name));
    return r.required_integer("items", 1, INT32_MAX, &out->items);
  };
  GYR_TRY(as_corrupt(read()));
  if (out->user_widths.size() > 64 || out->item_widths.size() > 64 || all.features.size() > 4096)
    return fail(GYR_E_CORRUPT, "model", "model header: more layers or features than any model has");
  out->dim = size_t(dim);
  out->embedding_dim = size_t(embedding);
  return as_corrupt(out->derive());
}

Result<std::shared_ptr<const Model>> TowerTrainer::export_model() const {
  if (!fitted_) return fail(GYR_E_INVALID_STATE, "model", "the trainer is not fitted yet");
  return std::shared_ptr<const Model>(std::make_shared<TowerModel>(runtime_, spec_.shape, weights_));
}

ModelResult load_two_tower(RuntimePtr runtime, ModelReader& file) {
  TowerShape shape;
  GYR_TRY(TowerShape::read_header(file.header(), &shape));
  Weights weights(runtime->memory());
  GYR_TRY(weights.load(file, shape.tables(), shape.dense_size));
  return std::shared_ptr<const Model>(std::make_shared<TowerModel>(std::move(runtime), std::move(shape), weights));
}

}  // namespace gyr
