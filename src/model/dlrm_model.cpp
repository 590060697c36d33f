// dlrm at serving time: the user's vectors are embedded once per call, the candidates go through packed layers.
#include <algorithm>
#include <cmath>

#include "base/knobs.h"
#include "kernels/kernels.h"
#include "model/dlrm.h"

namespace gyr {
namespace {

using kernels::Activation;

class DlrmModel : public Model {
 public:
  DlrmModel(RuntimePtr runtime, DlrmShape shape, const Weights& weights)
      : runtime_(std::move(runtime)),
        shape_(std::move(shape)),
        user_set_(shape_.set.only({FeatureSide::kUser})),
        item_set_(shape_.set.only({FeatureSide::kItem, FeatureSide::kContext})),
        weights_(runtime_->memory()) {
    auto* memory = runtime_->memory();
    weights_.shape(shape_.tables(), shape_.dense_size, memory);
    weights_.copy_from(weights);
    if (shape_.dense) bottom_ = std::make_unique<PackedMlp>(shape_.bottom, weights_.dense.data(), memory);
    top_ = std::make_unique<PackedMlp>(shape_.top, weights_.dense.data(), memory);
    user_inputs_ = user_set_.inputs();
    item_inputs_ = item_set_.inputs();
    uint32_t number = 0, slot = uint32_t(shape_.first_coded()), user = 0, item = 0;
    for (const Feature& f : shape_.set.features) {
      bool dense = f.kind == FeatureKind::kDense, of_user = f.side == FeatureSide::kUser;
      Place p{f.kind, of_user ? user++ : item++, dense ? number++ : slot++,
              dense ? nullptr : weights_.tables[size_t(f.table)].data()};
      Places& side = of_user ? user_places_ : item_places_;
      (dense ? side.dense : side.coded).push_back(p);
    }
  }

  const char* kind() const override { return "dlrm"; }
  uint32_t dim() const override { return 0; }
  const ModelInputs& encode_inputs(gyr_side) const override { return none_; }
  const ModelInputs& score_user_inputs() const override { return user_inputs_; }
  const ModelInputs& score_item_inputs() const override { return item_inputs_; }

  struct Buffers : Scratch {
    explicit Buffers(std::pmr::memory_resource* m) : x(m), vectors(m), top_x(m), bottom(m), work(m) {}
    Floats x, vectors, top_x, bottom, work;
  };
  std::unique_ptr<Scratch> make_scratch() const override { return std::make_unique<Buffers>(runtime_->memory()); }

  Status encode(gyr_side, const std::vector<const Column*>&, int64_t, Scratch*, float*) const override {
    return fail(GYR_E_UNSUPPORTED, "model", "dlrm models rank; they have no towers to encode with");
  }

  Status recommend(const int64_t*, const int64_t*, uint64_t, uint32_t, const int64_t*, const int64_t*, int64_t*,
                   float*) const override {
    return fail(GYR_E_UNSUPPORTED, "model", "dlrm models score given candidates; use predict or a pipeline");
  }

  Status score(const std::vector<const Column*>& user, int64_t user_row, const std::vector<const Column*>& items,
               int64_t first_item, int64_t candidates, Scratch* scratch, float* out) const override {
    GYR_TRY(check_columns(user_set_, user, user_row, 1));
    GYR_TRY(check_columns(item_set_, items, first_item, candidates));
    Buffers& b = sized(scratch);
    // The user's numbers stay in every row of x, its vectors in b.vectors; the candidates write beside them.
    for (size_t i = 0; i < kBlock; i++) read_dense(user_places_, user, user_row, b.x.data() + i * shape_.dense);
    read_codes(user_places_, user, user_row, b.vectors.data());
    bool varies = !item_places_.dense.empty();
    if (bottom_ && !varies) bottom_->run(b.x.data(), shape_.dense, 1, b.bottom.data(), shape_.dim, b.work.data());
    const int64_t block = int64_t(knobs::capacity(kBlock));
    for (int64_t at = 0; at < candidates; at += block) {
      size_t m = size_t(std::min(block, candidates - at));
      for (size_t i = 0; i < m; i++)
        read_dense(item_places_, items, first_item + at + int64_t(i), b.x.data() + i * shape_.dense);
      if (varies) bottom_->run(b.x.data(), shape_.dense, m, b.bottom.data(), shape_.dim, b.work.data());
      for (size_t i = 0; i < m; i++) {
        read_codes(item_places_, items, first_item + at + int64_t(i), b.vectors.data());
        interact(&b, i, varies ? i : 0);
      }
      finish(&b, m, out + at);
    }
    return {};
  }

  Status predict(const Batch& batch, Scratch* scratch, float* out) const override {
    std::vector<const Column*> user, items;
    GYR_TRY(bind(batch, user_inputs_, &user));
    GYR_TRY(bind(batch, item_inputs_, &items));
    GYR_TRY(check_columns(user_set_, user, 0, batch.rows));
    GYR_TRY(check_columns(item_set_, items, 0, batch.rows));
    Buffers& b = sized(scratch);
    const int64_t block = int64_t(knobs::capacity(kBlock));
    for (int64_t at = 0; at < batch.rows; at += block) {
      size_t m = size_t(std::min(block, batch.rows - at));
      for (size_t i = 0; i < m; i++) {
        read_dense(user_places_, user, at + int64_t(i), b.x.data() + i * shape_.dense);
        read_dense(item_places_, items, at + int64_t(i), b.x.data() + i * shape_.dense);
      }
      if (bottom_) bottom_->run(b.x.data(), shape_.dense, m, b.bottom.data(), shape_.dim, b.work.data());
      for (size_t i = 0; i < m; i++) {
        read_codes(user_places_, user, at + int64_t(i), b.vectors.data());
        read_codes(item_places_, items, at + int64_t(i), b.vectors.data());
        interact(&b, i, i);
      }
      finish(&b, m, out + at);
    }
    return {};
  }

  Json describe() const override {
    Json j = {{"kind", kind()},
              {"dim", shape_.dim},
              {"user_inputs", user_inputs_.names},
              {"item_inputs", item_inputs_.names},
              {"pair_order", "dense first, then schema order; strict upper triangle, row-major"}};
    uint64_t parameters = weights_.dense.size();
    for (const Floats& t : weights_.tables) parameters += t.size();
    j["parameters"] = parameters;
    shape_.write(&j);
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
  static constexpr int64_t kBlock = 64;  // candidates whose activations stay in the first caches
  struct Place {
    FeatureKind kind;
    uint32_t column;     // among its side's columns
    uint32_t slot;       // dense input, or vector
    const float* table;  // of codes
  };
  struct Places {
    std::vector<Place> dense, coded;
  };

  Buffers& sized(Scratch* scratch) const {
    Buffers& b = *static_cast<Buffers*>(scratch);
    b.vectors.resize(shape_.vectors * shape_.dim);
    b.x.resize(kBlock * shape_.dense);
    b.bottom.resize(kBlock * shape_.dim);
    b.top_x.resize(kBlock * shape_.top_in());
    b.work.resize(2 * kBlock * std::max(top_->widest(), bottom_ ? bottom_->widest() : 0));
    return b;
  }

  static void read_dense(const Places& side, const std::vector<const Column*>& columns, int64_t row, float* x) {
    for (const Place& p : side.dense) x[p.slot] = serving_value(*columns[p.column], row);
  }

  void read_codes(const Places& side, const std::vector<const Column*>& columns, int64_t row, float* vectors) const {
    size_t d = shape_.dim;
    std::span<const int64_t> codes;
    for (const Place& p : side.coded) {
      if (serving_codes(p.kind, *columns[p.column], row, &codes))
        embed(p.kind, p.table, d, codes, vectors + p.slot * d);
      else
        std::fill_n(vectors + p.slot * d, d, 0.0f);
    }
  }

  // Top input of row i from b->vectors and row `bottom` of the bottom layers' output.
  void interact(Buffers* b, size_t i, size_t bottom) const {
    size_t d = shape_.dim;
    float* to = b->top_x.data() + i * shape_.top_in();
    if (shape_.dense) {
      const float* y = b->bottom.data() + bottom * d;
      std::copy_n(y, d, b->vectors.data());
      to = std::copy_n(y, d, to);
    }
    kernels::best().interact(b->vectors.data(), shape_.vectors, d, to);
  }

  void finish(Buffers* b, size_t m, float* out) const {
    top_->run(b->top_x.data(), shape_.top_in(), m, out, 1, b->work.data());
    kernels::best().sigmoid(out, m);
  }

  RuntimePtr runtime_;
  DlrmShape shape_;
  FeatureSet user_set_, item_set_;
  Weights weights_;
  std::unique_ptr<PackedMlp> bottom_, top_;
  Places user_places_, item_places_;
  ModelInputs none_, user_inputs_, item_inputs_;
};

}  // namespace

Status DlrmShape::derive() {
  dense = set.count(FeatureKind::kDense);
  vectors = uint32_t(set.features.size()) - dense + (dense ? 1 : 0);
  if (top_in() == 0 || set.features.empty())
    return fail(GYR_E_INVALID_ARGUMENT, "model",
                "dlrm has nothing to learn from: tag columns user, item or context in the schema, or list "
                "user_features, item_features, context_features");
  if (vectors > 256) return fail(GYR_E_INVALID_ARGUMENT, "model", "dlrm takes at most 256 vectors, got %u", vectors);
  dense_size = 0;
  bottom = top = {};
  if (dense) bottom = Mlp::make(dense, bottom_widths, &dense_size);
  std::vector<int64_t> widths = top_widths;
  widths.push_back(1);
  top = Mlp::make(uint32_t(top_in()), widths, &dense_size);
  return {};
}

std::vector<TableShape> DlrmShape::tables() const {
  std::vector<TableShape> out;
  for (const auto& t : set.tables) out.push_back({t.rows, dim});
  return out;
}

void DlrmShape::write(Json* header) const {
  set.write(header);
  (*header)["dim"] = dim;
  (*header)["bottom"] = bottom_widths;
  (*header)["top"] = top_widths;
}

Status DlrmShape::read_header(const Json& header, DlrmShape* out) {
  GYR_TRY(FeatureSet::read_header(header, &out->set));
  SpecReader r(header, "", "model");
  int64_t dim = 0;
  GYR_TRY(as_corrupt(r.required_integer("dim", 1, 1024, &dim)));
  GYR_TRY(as_corrupt(r.integers("bottom", 1, 65536, &out->bottom_widths)));
  GYR_TRY(as_corrupt(r.integers("top", 1, 65536, &out->top_widths)));
  out->dim = size_t(dim);
  if (out->bottom_widths.empty() || out->bottom_widths.back() != dim || out->bottom_widths.size() > 64 ||
      out->top_widths.size() > 64)
    return fail(GYR_E_CORRUPT, "model", "model header: the bottom layers do not end in dim");
  return as_corrupt(out->derive());
}

Result<std::shared_ptr<const Model>> DlrmTrainer::export_model() const {
  if (!fitted_) return fail(GYR_E_INVALID_STATE, "model", "the trainer is not fitted yet");
  return std::shared_ptr<const Model>(std::make_shared<DlrmModel>(runtime_, spec_.shape, weights_));
}

ModelResult load_dlrm(RuntimePtr runtime, ModelReader& file) {
  DlrmShape shape;
  GYR_TRY(DlrmShape::read_header(file.header(), &shape));
  Weights weights(runtime->memory());
  GYR_TRY(weights.load(file, shape.tables(), shape.dense_size));
  return std::shared_ptr<const Model>(std::make_shared<DlrmModel>(std::move(runtime), std::move(shape), weights));
}

}  // namespace gyr
