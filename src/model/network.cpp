#include "model/network.h"

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <numeric>

#include "base/clock.h"
#include "kernels/kernels.h"

namespace gyr {

Status TrainOptions::read(SpecReader& spec) {
  int kind = 0;
  double rate = 0, l2 = 0;
  GYR_TRY(spec.integer("epochs", 1, 100000, &epochs));
  GYR_TRY(spec.integer("batch", 1, 65536, &batch));
  GYR_TRY(spec.boolean("drop_last", &drop_last));
  GYR_TRY(spec.integer("seed", 0, INT64_MAX, &seed));
  GYR_TRY(spec.choice("optimizer", {"adam", "adagrad"}, &kind));
  optimizer.adam = kind == 0;
  rate = optimizer.adam ? 1e-3 : 0.05;
  GYR_TRY(spec.number("learning_rate", 1e-9, 1e3, &rate));
  GYR_TRY(spec.number("l2", 0, 1e3, &l2));
  GYR_TRY(spec.number("init_stddev", 0, 10, &init_stddev));
  optimizer.learning_rate = float(rate);
  optimizer.l2 = float(l2);
  if (const Json* sampling = spec.value("sampling")) {
    SpecReader r(*sampling, spec.path("sampling"), "model");
    GYR_TRY(r.number("decay_rows", 1e-3, 1e18, &decay_rows));
    GYR_TRY(r.string("column", &weight_column));
    GYR_TRY(r.finish());
    if ((decay_rows > 0) == !weight_column.empty())
      return spec.error("sampling", "give exactly one of decay_rows and column");
  }
  return {};
}

void Weights::shape(const std::vector<TableShape>& shapes, size_t dense_size, std::pmr::memory_resource* m) {
  dense.assign(dense_size, 0.0f);
  tables.clear();
  for (const TableShape& t : shapes) tables.emplace_back(size_t(t.rows) * t.dim, 0.0f, m);
}

void Weights::initialise_tables(uint64_t seed, double stddev) {
  for (size_t t = 0; t < tables.size(); t++) {
    Random random(seed, kTableStream + t);
    for (float& w : tables[t]) w = float(random.normal() * stddev);
  }
}

void Weights::save(ModelWriter* file) const {
  file->array(dense);
  for (const Floats& t : tables) file->array(t);
}

Status Weights::load(ModelReader& file, const std::vector<TableShape>& shapes, size_t dense_size) {
  GYR_TRY(file.floats("layers", dense_size, &dense));
  tables.clear();
  for (const TableShape& t : shapes) {
    tables.emplace_back(dense.get_allocator());
    GYR_TRY(file.floats("table", uint64_t(t.rows) * t.dim, &tables.back()));
  }
  return {};
}

void Weights::copy_from(const Weights& other) {
  dense.assign(other.dense.begin(), other.dense.end());
  for (size_t t = 0; t < tables.size(); t++) tables[t].assign(other.tables[t].begin(), other.tables[t].end());
}

bool Weights::finite() const {
  auto all = [](const Floats& f) { return std::all_of(f.begin(), f.end(), [](float w) { return std::isfinite(w); }); };
  return all(dense) && std::all_of(tables.begin(), tables.end(), all);
}

NetworkTrainer::NetworkTrainer(RuntimePtr runtime, TrainOptions options)
    : runtime_(std::move(runtime)),
      options_(std::move(options)),
      weights_(runtime_->memory()),
      gradients_(runtime_->memory()),
      m_(runtime_->memory()),
      v_(runtime_->memory()) {}

void NetworkTrainer::build(const std::vector<TableShape>& tables, size_t dense_size) {
  auto* memory = runtime_->memory();
  weights_.shape(tables, dense_size, memory);
  v_.shape(tables, dense_size, memory);
  if (options_.optimizer.adam) m_.shape(tables, dense_size, memory);
  weights_.initialise_tables(uint64_t(options_.seed), options_.init_stddev);
  gradients_.assign(dense_size, 0.0f);
  for (const TableShape& t : tables) row_gradients_.emplace_back(t.rows, t.dim, memory);
}

std::vector<double> NetworkTrainer::probabilities() const {
  size_t n = size_t(rows());
  std::vector<double> p(n, 1.0);
  for (size_t i = 0; i < n; i++) {
    if (options_.decay_rows > 0) p[i] = std::exp(-double(n - 1 - i) / options_.decay_rows);
    if (!options_.weight_column.empty()) p[i] = double(row_weight(i));
  }
  double sum = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& x : p) x = sum > 0 ? x / sum : 0.0;
  return p;
}

Status NetworkTrainer::fit(gyr_task* task) {
  if (rows() == 0) return fail(GYR_E_INVALID_STATE, "model", "there are no rows to train on");
  std::vector<double> p = probabilities();
  std::vector<double> cumulative;
  if (options_.decay_rows > 0 || !options_.weight_column.empty()) {
    cumulative.resize(p.size());
    std::partial_sum(p.begin(), p.end(), cumulative.begin());
    if (!(cumulative.back() > 0))
      return fail(GYR_E_INVALID_ARGUMENT, "model", "column \"%s\": all weights are zero",
                  options_.weight_column.c_str());
  }
  GYR_TRY(prepare(p));
  auto* memory = runtime_->memory();
  Weights saved(memory), saved_m(memory), saved_v(memory);
  for (auto [to, from] : {std::pair{&saved, &weights_}, {&saved_m, &m_}, {&saved_v, &v_}})
    for (size_t t = 0; t < from->tables.size(); t++) to->tables.emplace_back(memory);
  for (int64_t e = 1; e <= options_.epochs; e++) {
    saved.copy_from(weights_);
    saved_m.copy_from(m_);
    saved_v.copy_from(v_);
    uint64_t saved_step = options_.optimizer.step;
    int64_t start = monotonic_ns();
    double loss = 0;
    auto roll_back = [&] {
      std::swap(weights_, saved), std::swap(m_, saved_m), std::swap(v_, saved_v);
      options_.optimizer.step = saved_step;
      for (RowGradients& g : row_gradients_) g.clear();
    };
    Status s;
    try {
      s = run_epoch(e, task, cumulative, &loss);
      if (s.ok())
        history_.push_back({{"epoch", int64_t(history_.size()) + 1},
                            {"loss", loss},
                            {"seconds", double(monotonic_ns() - start) * 1e-9}});
    } catch (...) {
      roll_back();
      throw;
    }
    if (!s.ok()) {
      roll_back();
      return s;
    }
    fitted_ = true;
  }
  return {};
}

Status NetworkTrainer::run_epoch(int64_t epoch, gyr_task* task, std::span<const double> cumulative, double* loss) {
  size_t n = size_t(rows()), batch = std::min(size_t(options_.batch), n);
  // history_ counts over all fits, so that no epoch repeats another.
  Random random(uint64_t(options_.seed), kEpochStream + history_.size());
  std::pmr::vector<uint32_t> order(n, runtime_->memory());
  for (size_t i = 0; i < n; i++) {
    order[i] = uint32_t(i);
    if (cumulative.empty()) {
      std::swap(order[i], order[random.below(i + 1)]);  // Fisher-Yates, inside out
    } else {
      auto at = std::upper_bound(cumulative.begin(), cumulative.end(), random.uniform() * cumulative.back());
      order[i] = uint32_t(std::min<ptrdiff_t>(at - cumulative.begin(), ptrdiff_t(n) - 1));
    }
  }
  size_t batches = options_.drop_last ? n / batch : div_up(n, batch);
  set_phase(task, "epoch " + std::to_string(epoch) + "/" + std::to_string(options_.epochs), batches);
  double sum = 0;
  for (size_t b = 0; b < batches; b++) {
    GYR_TRY(check(task));
    std::span<const uint32_t> rows{order.data() + b * batch, std::min(batch, n - b * batch)};
    GYR_ASSIGN(double mean, gradients(rows, options_.optimizer.step));
    if (std::isfinite(mean)) {
      apply();
      sum += mean * double(rows.size());
    }
    // The state too: an infinite one would freeze its weights without a word.
    bool sane = std::isfinite(mean) && (b + 1 < batches || (weights_.finite() && m_.finite() && v_.finite()));
    if (!sane)
      return fail(
          GYR_E_INVALID_ARGUMENT, "model",
          "epoch %" PRId64
          ", batch %zu: loss, weights or optimizer state are not finite; lower learning_rate or scale the inputs "
          "(the weights of the last finished epoch are kept)",
          epoch, b + 1);
    *loss = sum / double(b * batch + rows.size());
    if (task) task->loss = *loss;
    advance(task, 1);
  }
  return {};
}

void NetworkTrainer::sum_chunks(const Floats& chunk_gradients, size_t chunks) {
  size_t n = gradients_.size();
  std::fill(gradients_.begin(), gradients_.end(), 0.0f);
  for (size_t c = 0; c < chunks; c++) kernels::best().axpy(1.0f, chunk_gradients.data() + c * n, gradients_.data(), n);
}

void NetworkTrainer::apply() {
  Optimizer& o = options_.optimizer;
  o.begin_step();
  bool adam = o.adam;
  o.update(weights_.dense.data(), adam ? m_.dense.data() : nullptr, v_.dense.data(), gradients_.data(),
           gradients_.size());
  runtime_->parallel_for(row_gradients_.size(), [&](uint64_t t) {
    row_gradients_[t].apply(o, weights_.tables[t].data(), adam ? m_.tables[t].data() : nullptr, v_.tables[t].data());
  });
}

}  // namespace gyr
