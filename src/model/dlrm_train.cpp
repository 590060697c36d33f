#include <algorithm>
#include <cinttypes>
#include <cmath>

#include "kernels/kernels.h"
#include "model/dlrm.h"

namespace gyr {

Status DlrmSpec::read(SpecReader& spec, const Schema& schema, DlrmSpec* out) {
  GYR_TRY(out->options.read(spec));
  GYR_TRY(spec.string("label", &out->label));
  GYR_TRY(spec.string("item", &out->item));
  if (const Json* negatives = spec.value("negatives")) {
    SpecReader n(*negatives, spec.path("negatives"), "model");
    int distribution = 0;
    out->negatives = 4;
    GYR_TRY(n.integer("per_positive", 1, 1000, &out->negatives));
    GYR_TRY(n.choice("distribution", {"uniform", "popularity"}, &distribution));
    GYR_TRY(n.string("exclude", &out->exclude));
    GYR_TRY(n.finish());
    out->by_popularity = distribution == 1;
    if (out->item.empty()) out->item = "item";
  }
  if (out->label.empty() == (out->negatives == 0))
    return spec.error("label", "give exactly one of label (a column) and negatives (an object)");
  std::vector<std::string> skip = {out->label, out->options.weight_column, out->exclude};
  GYR_TRY(FeatureSet::read(spec, schema, skip, &out->shape.set));
  if (out->negatives) {
    const ColumnSchema* c = schema.find(out->item);
    if (!c || c->cardinality < 1 || c->is_list)
      return spec.error("item", "must name a categorical column of the schema when negatives are sampled");
    out->items = c->cardinality;
  }
  int64_t dim = 16;
  std::vector<int64_t> bottom = {}, top = {64, 32};
  GYR_TRY(spec.integer("dim", 1, 1024, &dim));
  out->shape.dim = size_t(dim);
  bottom = {2 * dim, dim};
  GYR_TRY(spec.integers("bottom", 1, 65536, &bottom));
  GYR_TRY(spec.integers("top", 1, 65536, &top));
  if (bottom.empty() || bottom.back() != dim)
    return spec.error("bottom", "its last width must equal dim, because its output is one of the dotted vectors");
  out->shape.bottom_widths = bottom;
  out->shape.top_widths = top;
  GYR_TRY(spec.finish());
  return out->shape.derive();
}

namespace {

FeatureSet exclude_set(const DlrmSpec& spec) {
  FeatureSet s;
  Feature f;
  f.name = spec.exclude;
  f.kind = FeatureKind::kCodes;
  f.cardinality = spec.items;
  s.features.push_back(f);
  return s;
}

}  // namespace

DlrmTrainer::DlrmTrainer(RuntimePtr runtime, DlrmSpec spec)
    : NetworkTrainer(runtime, spec.options),
      spec_(std::move(spec)),
      store_(spec_.shape.set, runtime->memory()),
      catalogue_(spec_.shape.set.only({FeatureSide::kItem}), runtime->memory()),
      catalogue_codes_(runtime->memory()),
      item_codes_(runtime->memory()),
      labels_(runtime->memory()),
      row_weights_(runtime->memory()),
      excluded_(runtime->memory()),
      examples_(runtime->memory()),
      chunk_gradients_(runtime->memory()),
      dvectors_(runtime->memory()) {
  int32_t n = 0;
  for (const Feature& f : spec_.shape.set.features)
    catalogue_column_.push_back(f.side == FeatureSide::kItem ? n++ : -1);
  excluded_.offsets.push_back(0);
  build(spec_.shape.tables(), spec_.shape.dense_size);
  Random random(uint64_t(options_.seed), kLayerStream);
  if (spec_.shape.dense) spec_.shape.bottom.initialise(random, weights_.dense.data());
  spec_.shape.top.initialise(random, weights_.dense.data());
}

Status DlrmTrainer::add_items(const Batch& batch) {
  if (!spec_.negatives) return {};
  const Column* codes = nullptr;
  GYR_TRY(code_column(batch, spec_.item, false, &codes));
  for (int64_t r = 0; r < batch.rows; r++) {
    if (!codes->leaf_is_valid(r)) return row_error(spec_.item, catalogue_.rows() + r, "is null");
    GYR_TRY(check_code(spec_.item, catalogue_.rows() + r, codes->ints[size_t(r)], spec_.items));
  }
  catalogue_codes_.reserve(catalogue_codes_.size() + size_t(batch.rows));
  GYR_TRY(catalogue_.append(batch));
  for (int64_t r = 0; r < batch.rows; r++) catalogue_codes_.push_back(int32_t(codes->ints[size_t(r)]));
  return {};
}

void DlrmTrainer::truncate_items(int64_t rows) {
  catalogue_.truncate(rows);
  catalogue_codes_.resize(std::min(catalogue_codes_.size(), size_t(rows)));
}

Status DlrmTrainer::add_rows(const Batch& batch) {
  int64_t first = store_.rows();
  auto all = [&]() -> Status {
    if (!spec_.label.empty()) GYR_TRY(number_column(batch, spec_.label, first, 1, &labels_));
    if (!options_.weight_column.empty())
      GYR_TRY(number_column(batch, options_.weight_column, first, 1e30, &row_weights_));
    if (spec_.negatives) {
      const Column* codes = nullptr;
      GYR_TRY(code_column(batch, spec_.item, false, &codes));
      for (int64_t r = 0; r < batch.rows; r++) {
        if (!codes->leaf_is_valid(r)) return row_error(spec_.item, first + r, "is null");
        GYR_TRY(check_code(spec_.item, first + r, codes->ints[size_t(r)], spec_.items));
        item_codes_.push_back(int32_t(codes->ints[size_t(r)]));
      }
    }
    if (!spec_.exclude.empty()) {
      RowStore one(exclude_set(spec_), runtime_->memory());
      GYR_TRY(one.append(batch));
      const FeatureRows& from = one.column(0);
      size_t base = excluded_.codes.size();
      excluded_.codes.insert(excluded_.codes.end(), from.codes.begin(), from.codes.end());
      for (size_t i = 1; i < from.offsets.size(); i++) excluded_.offsets.push_back(base + from.offsets[i]);
    }
    return store_.append(batch);
  };
  Status s = all();
  if (s.ok()) return s;
  auto cut = [&](auto& v) { v.resize(std::min(v.size(), size_t(first))); };
  cut(labels_), cut(row_weights_), cut(item_codes_);
  excluded_.offsets.resize(std::min(excluded_.offsets.size(), size_t(first) + 1));
  excluded_.codes.resize(excluded_.offsets.back());
  return s;
}

void DlrmTrainer::drop_rows() {
  store_.truncate(0);
  labels_.clear(), row_weights_.clear(), item_codes_.clear(), excluded_.codes.clear();
  excluded_.offsets.assign(1, 0);
}

Status DlrmTrainer::prepare(std::span<const double> probability) {
  if (!spec_.negatives) return {};
  if (catalogue_.rows() < 2)
    return fail(GYR_E_INVALID_STATE, "model",
                "negatives are sampled from the catalogue: call add_items first (it has %" PRId64 " rows)",
                catalogue_.rows());
  popularity_.clear();
  if (!spec_.by_popularity) return {};
  std::vector<double> of_code(size_t(spec_.items), 0.0);
  for (size_t r = 0; r < item_codes_.size(); r++) of_code[size_t(item_codes_[r])] += probability[r];
  double sum = 0;
  for (int32_t code : catalogue_codes_) popularity_.push_back(sum += of_code[size_t(code)]);
  if (!(sum > 0)) return fail(GYR_E_INVALID_ARGUMENT, "model", "no item of the catalogue occurs in the rows");
  return {};
}

bool DlrmTrainer::drawable(uint32_t row, int32_t code) const {
  if (code == item_codes_[row]) return false;
  if (spec_.exclude.empty()) return true;
  auto first = excluded_.codes.begin() + ptrdiff_t(excluded_.offsets[row]);
  auto last = excluded_.codes.begin() + ptrdiff_t(excluded_.offsets[row + 1]);
  return std::find(first, last, code) == last;
}

void DlrmTrainer::draw_examples(std::span<const uint32_t> batch, uint64_t step) {
  examples_.clear();
  Random random(uint64_t(options_.seed), kNegativeStream + step);
  uint64_t n = uint64_t(catalogue_.rows());
  for (uint32_t row : batch) {
    examples_.push_back({row, -1, spec_.negatives ? 1.0f : labels_[row]});
    for (int64_t k = 0; k < spec_.negatives; k++)
      // A row whose excluded items fill the catalogue gets fewer negatives rather than a false one.
      for (int attempt = 0; attempt < 32; attempt++) {
        uint64_t at = random.below(n);
        if (spec_.by_popularity) {
          auto it = std::upper_bound(popularity_.begin(), popularity_.end(), random.uniform() * popularity_.back());
          at = std::min<uint64_t>(uint64_t(it - popularity_.begin()), n - 1);
        }
        if (!drawable(row, catalogue_codes_[at])) continue;
        examples_.push_back({row, int32_t(at), 0.0f});
        break;
      }
  }
}

std::span<const int32_t> DlrmTrainer::codes_of(size_t f, const Example& e) const {
  const Feature& feature = spec_.shape.set.features[f];
  if (e.item >= 0 && catalogue_column_[f] >= 0)
    return catalogue_.column(size_t(catalogue_column_[f])).codes_of(feature, size_t(e.item));
  return store_.column(f).codes_of(feature, e.row);
}

float DlrmTrainer::value_of(size_t f, const Example& e) const {
  if (e.item >= 0 && catalogue_column_[f] >= 0)
    return catalogue_.column(size_t(catalogue_column_[f])).values[size_t(e.item)];
  return store_.column(f).values[e.row];
}

Result<double> DlrmTrainer::gradients(std::span<const uint32_t> batch, uint64_t step) {
  draw_examples(batch, step);
  const DlrmShape& s = spec_.shape;
  size_t n = examples_.size(), chunks = div_up(n, kChunk);
  dvectors_.resize(n * s.vectors * s.dim);
  chunk_gradients_.assign(chunks * s.dense_size, 0.0f);
  while (chunks_.size() < chunks) chunks_.push_back({Floats(runtime_->memory()), 0.0});
  parallel(*runtime_, chunks, [&](uint64_t c) { run_chunk(c); });
  double loss = 0;
  for (size_t c = 0; c < chunks; c++) loss += chunks_[c].loss;
  sum_chunks(chunk_gradients_, chunks);
  parallel(*runtime_, s.set.tables.size(), [&](uint64_t t) { scatter(t); });
  return loss / double(n);
}

// Forward and backward of kChunk examples; the mean over all examples is in dz.
void DlrmTrainer::run_chunk(size_t chunk) {
  const auto& ops = kernels::best();
  const DlrmShape& s = spec_.shape;
  size_t first = chunk * kChunk, m = std::min(kChunk, examples_.size() - first);
  size_t d = s.dim, row = s.vectors * d, in = s.top_in(), dense = s.dense ? d : 0;
  size_t bottom_acts = s.dense ? s.bottom.activations() : 0,
         widest = std::max(s.dense ? s.bottom.widest() : 0, s.top.widest());
  Floats& buffer = chunks_[chunk].buffer;
  buffer.resize(kChunk * (s.dense + bottom_acts + row + in + s.top.activations() + in + dense + 2 * widest + 1));
  float* at = buffer.data();
  auto take = [&](size_t n) { return std::exchange(at, at + n * kChunk); };
  float *x = take(s.dense), *bottom = take(bottom_acts), *vectors = take(row), *top_x = take(in),
        *top = take(s.top.activations()), *dtop = take(in), *dbottom = take(dense), *work = take(2 * widest),
        *dz = take(1);

  const float* w = weights_.dense.data();
  for (size_t e = 0; e < m; e++) {
    const Example& ex = examples_[first + e];
    size_t number = 0, slot = s.first_coded();
    for (size_t f = 0; f < s.set.features.size(); f++) {
      const Feature& feature = s.set.features[f];
      if (feature.kind == FeatureKind::kDense)
        x[e * s.dense + number++] = value_of(f, ex);
      else if (float* to = vectors + e * row + slot++ * d;
               e > 0 && examples_[first + e - 1].row == ex.row && feature.side != FeatureSide::kItem)
        std::copy_n(to - row, d, to);  // the same user as in the example before
      else
        embed(feature.kind, weights_.tables[size_t(feature.table)].data(), d, codes_of(f, ex), to);
    }
  }
  const float* bottom_y = nullptr;
  if (s.dense) {
    s.bottom.forward(w, x, m, bottom);
    bottom_y = s.bottom.result(bottom, m);
    for (size_t e = 0; e < m; e++) std::copy_n(bottom_y + e * d, d, vectors + e * row);
  }
  for (size_t e = 0; e < m; e++) {
    std::copy_n(vectors + e * row, dense, top_x + e * in);
    ops.interact(vectors + e * row, s.vectors, d, top_x + e * in + dense);
  }
  s.top.forward(w, top_x, m, top);
  const float* logits = s.top.result(top, m);
  double loss = 0;
  for (size_t e = 0; e < m; e++) {
    double z = logits[e], y = examples_[first + e].label;
    loss += std::max(z, 0.0) - z * y + std::log1p(std::exp(-std::fabs(z)));
    dz[e] = float((1.0 / (1.0 + std::exp(-z)) - y) / double(examples_.size()));
  }
  chunks_[chunk].loss = loss;

  float* grad = chunk_gradients_.data() + chunk * s.dense_size;
  s.top.backward(w, top_x, top, dz, m, grad, dtop, work);
  float* dv = dvectors_.data() + first * row;
  std::fill_n(dv, m * row, 0.0f);
  for (size_t e = 0; e < m; e++) {
    interact_backward(vectors + e * row, dtop + e * in + dense, s.vectors, d, dv + e * row);
    for (size_t c = 0; c < dense; c++) dbottom[e * d + c] = dv[e * row + c] + dtop[e * in + c];
  }
  if (s.dense) s.bottom.backward(w, x, bottom, dbottom, m, grad, nullptr, work);
}

// Embedding gradients of one table, in the order of features and examples. The examples of one row share the user's
// side, so that its gradient is summed first and spread over a history once.
void DlrmTrainer::scatter(size_t table) {
  const DlrmShape& s = spec_.shape;
  size_t d = s.dim, row = s.vectors * d, slot = s.first_coded();
  Floats sum(d, runtime_->memory());
  for (size_t f = 0; f < s.set.features.size(); f++) {
    const Feature& feature = s.set.features[f];
    if (feature.kind == FeatureKind::kDense) continue;
    size_t offset = slot++ * d;
    if (size_t(feature.table) != table) continue;
    for (size_t e = 0; e < examples_.size();) {
      std::copy_n(dvectors_.data() + e * row + offset, d, sum.data());
      std::span<const int32_t> codes = codes_of(f, examples_[e]);
      size_t next = e + 1;
      for (; feature.side != FeatureSide::kItem && next < examples_.size() && examples_[next].row == examples_[e].row;
           next++)
        for (size_t c = 0; c < d; c++) sum[c] += dvectors_[next * row + offset + c];
      scatter_codes(feature.kind, codes, sum.data(), &row_gradients_[table]);
      e = next;
    }
  }
}

TrainerResult make_dlrm(RuntimePtr runtime, SpecReader& spec, const Schema& schema) {
  DlrmSpec parsed;
  GYR_TRY(DlrmSpec::read(spec, schema, &parsed));
  return std::unique_ptr<Trainer>(std::make_unique<DlrmTrainer>(std::move(runtime), std::move(parsed)));
}

}  // namespace gyr
