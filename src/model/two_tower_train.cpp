#include <algorithm>
#include <cinttypes>
#include <cmath>

#include "kernels/kernels.h"
#include "model/two_tower.h"

namespace gyr {

Status TowerSpec::read(SpecReader& spec, const Schema& schema, TowerSpec* out) {
  TowerShape& s = out->shape;
  s.item_name = "item";
  int64_t dim = 64, embedding = 0;
  std::vector<int64_t> hidden = {64};
  GYR_TRY(out->options.read(spec));
  GYR_TRY(spec.string("item", &s.item_name));
  GYR_TRY(spec.integer("dim", 1, 4096, &dim));
  GYR_TRY(spec.integer("embedding_dim", 1, 4096, &embedding));
  GYR_TRY(spec.integers("hidden", 1, 65536, &hidden));
  s.user_widths = s.item_widths = hidden;
  GYR_TRY(spec.integers("user_hidden", 1, 65536, &s.user_widths));
  GYR_TRY(spec.integers("item_hidden", 1, 65536, &s.item_widths));
  GYR_TRY(spec.boolean("l2_normalize", &s.l2_normalize));
  GYR_TRY(spec.boolean("item_bias", &s.item_bias));
  GYR_TRY(spec.number("temperature", 1e-4, 1e4, &s.temperature));
  GYR_TRY(spec.number("logq", 0, 2, &out->logq));
  FeatureSet all;
  GYR_TRY(FeatureSet::read(spec, schema, {out->options.weight_column}, &all));
  GYR_TRY(spec.finish());
  s.user = all.only({FeatureSide::kUser, FeatureSide::kContext});
  s.item = all.only({FeatureSide::kItem});
  s.dim = size_t(dim);
  s.embedding_dim = size_t(embedding ? embedding : dim);
  const ColumnSchema* item = schema.find(s.item_name);
  if (!item || item->cardinality < 1 || item->cardinality > INT32_MAX || item->is_list)
    return spec.error("item", "must name the item id, a categorical column of the schema with a cardinality");
  s.items = item->cardinality;
  return s.derive();
}

TowerTrainer::TowerTrainer(RuntimePtr runtime, TowerSpec spec)
    : NetworkTrainer(runtime, spec.options),
      spec_(std::move(spec)),
      user_rows_(spec_.shape.user, runtime->memory()),
      item_rows_(spec_.shape.item, runtime->memory()),
      item_codes_(runtime->memory()),
      row_weights_(runtime->memory()),
      log_q_(runtime->memory()),
      user_(&user_rows_, &spec_.shape.user_mlp, runtime->memory()),
      item_(&item_rows_, &spec_.shape.item_mlp, runtime->memory()),
      logits_(runtime->memory()),
      dlogits_(runtime->memory()),
      chunk_gradients_(runtime->memory()),
      dbias_(runtime->memory()) {
  build(spec_.shape.tables(), spec_.shape.dense_size);
  if (spec_.shape.item_bias) std::fill(weights_.tables.back().begin(), weights_.tables.back().end(), 0.0f);
  Random random(uint64_t(options_.seed), kLayerStream);
  spec_.shape.user_mlp.initialise(random, weights_.dense.data());
  spec_.shape.item_mlp.initialise(random, weights_.dense.data());
}

Status TowerTrainer::add_rows(const Batch& batch) {
  int64_t first = rows();
  auto all = [&]() -> Status {
    const Column* codes = nullptr;
    GYR_TRY(code_column(batch, spec_.shape.item_name, false, &codes));
    for (int64_t r = 0; r < batch.rows; r++) {
      if (!codes->leaf_is_valid(r)) return row_error(spec_.shape.item_name, first + r, "is null");
      GYR_TRY(check_code(spec_.shape.item_name, first + r, codes->ints[size_t(r)], spec_.shape.items));
      item_codes_.push_back(int32_t(codes->ints[size_t(r)]));
    }
    if (!options_.weight_column.empty())
      GYR_TRY(number_column(batch, options_.weight_column, first, 1e30, &row_weights_));
    GYR_TRY(item_rows_.append(batch));
    return user_rows_.append(batch);
  };
  Status s = all();
  if (s.ok()) return s;
  item_codes_.resize(size_t(first));
  row_weights_.resize(std::min(row_weights_.size(), size_t(first)));
  item_rows_.truncate(first);
  return s;
}

void TowerTrainer::drop_rows() {
  user_rows_.truncate(0);
  item_rows_.truncate(0);
  item_codes_.clear();
  row_weights_.clear();
}

Status TowerTrainer::prepare(std::span<const double> probability) {
  std::vector<double> q(size_t(spec_.shape.items), 0.0);
  for (size_t r = 0; r < probability.size(); r++) q[size_t(item_codes_[r])] += probability[r];
  log_q_.resize(q.size());
  for (size_t i = 0; i < q.size(); i++) log_q_[i] = float(spec_.logq * std::log(q[i] + 1e-16));
  return {};
}

Result<double> TowerTrainer::gradients(std::span<const uint32_t> batch, uint64_t) {
  const auto& ops = kernels::best();
  const TowerShape& s = spec_.shape;
  size_t n = batch.size(), d = s.dim, chunks = div_up(n, kChunk);
  for (Side* side : {&user_, &item_}) {
    size_t acts = side->mlp->activations();
    side->x.resize(n * side->mlp->in());
    side->dx.resize(n * side->mlp->in());
    side->acts.resize(n * acts);
    for (Floats* f : {&side->vectors, &side->dvectors}) f->resize(n * d);
    side->norms.resize(n);
  }
  parallel(*runtime_, 2 * chunks, [&](uint64_t c) { forward(c % 2 ? &item_ : &user_, batch, c / 2); });

  // All pairs of the batch: rows of logits by chunk, then columns of their gradient by chunk.
  logits_.resize(n * n);
  dlogits_.resize(n * n);
  dbias_.assign(n, 0.0f);
  std::pmr::vector<int32_t> items(n, runtime_->memory());
  Floats correction(n, runtime_->memory());
  for (size_t j = 0; j < n; j++) {
    items[j] = item_codes_[batch[j]];
    correction[j] = log_q_[size_t(items[j])];
    if (s.item_bias) correction[j] -= weights_.tables.back()[size_t(items[j])];
  }
  float inverse = float(1.0 / s.temperature);
  std::vector<double> losses(chunks);
  parallel(*runtime_, chunks, [&](uint64_t c) {
    size_t first = c * kChunk, m = std::min(kChunk, n - first);
    float *logits = logits_.data() + first * n, *grad = dlogits_.data() + first * n;
    ops.gemm_nt(user_.vectors.data() + first * d, item_.vectors.data(), logits, m, d, n, false);
    ops.scale(inverse, logits, m * n);
    losses[c] = in_batch_softmax(logits, n, first, m, items.data(), correction.data(), grad);
    ops.gemm_nn(grad, item_.vectors.data(), user_.dvectors.data() + first * d, m, n, d, false);
    ops.scale(inverse, user_.dvectors.data() + first * d, m * d);
  });
  parallel(*runtime_, chunks, [&](uint64_t c) {
    size_t first = c * kChunk, m = std::min(kChunk, n - first);
    Floats columns(n * m, runtime_->memory());
    for (size_t i = 0; i < n; i++) std::copy_n(dlogits_.data() + i * n + first, m, columns.data() + i * m);
    float* dv = item_.dvectors.data() + first * d;
    ops.gemm_tn(columns.data(), user_.vectors.data(), dv, m, n, d, false);
    ops.scale(inverse, dv, m * d);
    for (size_t i = 0; i < n; i++) ops.axpy(1.0f, columns.data() + i * m, dbias_.data() + first, m);
  });

  chunk_gradients_.assign(chunks * s.dense_size, 0.0f);
  parallel(*runtime_, chunks, [&](uint64_t c) {
    backward(&user_, n, c);
    backward(&item_, n, c);
  });
  sum_chunks(chunk_gradients_, chunks);
  parallel(*runtime_, row_gradients_.size(), [&](uint64_t t) { scatter(t, batch); });
  double loss = 0;
  for (double l : losses) loss += l;
  return loss / double(n);
}

void TowerTrainer::forward(Side* side, std::span<const uint32_t> batch, size_t chunk) {
  const RowStore& store = *side->rows;
  const FeatureSet& set = store.set();
  size_t n = batch.size(), first = chunk * kChunk, m = std::min(kChunk, n - first), in = side->mlp->in();
  size_t d = spec_.shape.dim, e = spec_.shape.embedding_dim;
  float* x = side->x.data() + first * in;
  for (size_t r = 0; r < m; r++) {
    size_t row = batch[first + r];
    float* to = x + r * in;
    for (size_t f = 0; f < set.features.size(); f++) {
      const Feature& feature = set.features[f];
      if (feature.kind == FeatureKind::kDense) {
        *to++ = store.column(f).values[row];
        continue;
      }
      embed(feature.kind, weights_.tables[size_t(feature.table)].data(), e, store.column(f).codes_of(feature, row), to);
      to += e;
    }
  }
  float* acts = side->acts.data() + first * side->mlp->activations();
  side->mlp->forward(weights_.dense.data(), x, m, acts);
  float* vectors = side->vectors.data() + first * d;
  std::copy_n(side->mlp->result(acts, m), m * d, vectors);
  for (size_t r = 0; r < m && spec_.shape.l2_normalize; r++) side->norms[first + r] = normalise(vectors + r * d, d);
}

void TowerTrainer::backward(Side* side, size_t n, size_t chunk) {
  size_t first = chunk * kChunk, m = std::min(kChunk, n - first), d = spec_.shape.dim, in = side->mlp->in();
  float* dv = side->dvectors.data() + first * d;
  for (size_t r = 0; r < m && spec_.shape.l2_normalize; r++)
    normalise_backward(side->vectors.data() + (first + r) * d, side->norms[first + r], d, dv + r * d);
  Floats work(2 * m * side->mlp->widest(), runtime_->memory());
  side->mlp->backward(
      weights_.dense.data(), side->x.data() + first * in, side->acts.data() + first * side->mlp->activations(), dv, m,
      chunk_gradients_.data() + chunk * spec_.shape.dense_size, side->dx.data() + first * in, work.data());
}

void TowerTrainer::scatter(size_t table, std::span<const uint32_t> batch) {
  size_t e = spec_.shape.embedding_dim;
  if (table == spec_.shape.user.tables.size()) {
    for (size_t r = 0; r < batch.size(); r++)
      row_gradients_[table].add(uint32_t(item_codes_[batch[r]]), 1.0f, &dbias_[r]);
    return;
  }
  for (Side* side : {&user_, &item_}) {
    const FeatureSet& set = side->rows->set();
    size_t in = side->mlp->in(), offset = 0;
    for (size_t f = 0; f < set.features.size(); f++) {
      const Feature& feature = set.features[f];
      size_t at = offset;
      offset += feature.kind == FeatureKind::kDense ? 1 : e;
      if (feature.kind == FeatureKind::kDense || size_t(feature.table) != table) continue;
      for (size_t r = 0; r < batch.size(); r++)
        scatter_codes(feature.kind, side->rows->column(f).codes_of(feature, batch[r]), side->dx.data() + r * in + at,
                      &row_gradients_[table]);
    }
  }
}

double in_batch_softmax(const float* logits, size_t n, size_t first, size_t m, const int32_t* items,
                        const float* correction, float* grad) {
  double loss = 0;
  const auto& ops = kernels::best();
  for (size_t r = 0; r < m; r++) {
    size_t own = first + r;
    const float* in = logits + r * n;
    float* out = grad + r * n;
    for (size_t j = 0; j < n; j++) out[j] = in[j] - correction[j];
    // Merlin's value for masked logits, float16's minimum over 100, would leak; minus infinity does not.
    for (size_t j = 0; j < n; j++)
      if (items[j] == items[own] && j != own) out[j] = -INFINITY;
    ops.softmax(out, n);
    loss -= std::log(std::max(double(out[own]), 1e-30));
    out[own] -= 1.0f;
    ops.scale(1.0f / float(n), out, n);
  }
  return loss;
}

TrainerResult make_two_tower(RuntimePtr runtime, SpecReader& spec, const Schema& schema) {
  TowerSpec parsed;
  GYR_TRY(TowerSpec::read(spec, schema, &parsed));
  return std::unique_ptr<Trainer>(std::make_unique<TowerTrainer>(std::move(runtime), std::move(parsed)));
}

}  // namespace gyr
