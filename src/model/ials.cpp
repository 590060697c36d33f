// ials: implicit matrix factorisation by exact alternating least squares (Hu, Koren, Volinsky 2008), in the form of
// Rendle et al. 2021: sum_observed (1 - x.y)^2 + alpha sum_all (x.y)^2 + sum_rows lambda (n + alpha N)^nu |row|^2.
#include "model/ials.h"

#include <algorithm>
#include <atomic>
#include <cinttypes>
#include <cmath>

#include "base/clock.h"
#include "base/knobs.h"
#include "base/random.h"
#include "kernels/kernels.h"
#include "model/history_model.h"

namespace gyr {
namespace ials {

double Options::regularisation(uint64_t positives, uint64_t other_side) const {
  return l2 * std::pow(double(positives) + alpha * double(other_side), frequency_scaling);
}

void gram(Runtime& runtime, const Floats& factors, size_t dim, Floats* out) {
  constexpr size_t kChunk = 1024;
  size_t n = factors.size() / dim, chunks = div_up(n, kChunk);
  std::pmr::vector<uint32_t> at(n, runtime.memory());
  for (size_t i = 0; i < n; i++) at[i] = uint32_t(i);
  Floats partial(chunks * dim * dim, 0.0f, runtime.memory());
  const auto& ops = kernels::best();
  runtime.parallel_for(chunks, [&](uint64_t c) {
    size_t first = c * kChunk, count = std::min(kChunk, n - first);
    ops.syrk_rows_upper(1.0f, factors.data(), at.data() + first, count, dim, partial.data() + c * dim * dim);
  });
  out->assign(dim * dim, 0.0f);
  for (size_t c = 0; c < chunks; c++) ops.axpy(1.0f, partial.data() + c * dim * dim, out->data(), dim * dim);
}

bool solve(const Floats& factors, const float* gram, std::span<const uint32_t> positives, size_t dim, double alpha,
           double reg, float* a, float* x) {
  const auto& ops = kernels::best();
  for (size_t i = 0; i < dim * dim; i++) a[i] = float(alpha) * gram[i];
  for (size_t i = 0; i < dim; i++) a[i * dim + i] += float(reg);
  ops.syrk_rows_upper(1.0f, factors.data(), positives.data(), positives.size(), dim, a);
  std::fill(x, x + dim, 0.0f);
  for (uint32_t i : positives) ops.axpy(1.0f, factors.data() + size_t(i) * dim, x, dim);
  return ops.solve_positive_definite(a, x, dim);
}

}  // namespace ials

namespace {

using ials::Options;

class IalsModel : public HistoryModel {
 public:
  IalsModel(RuntimePtr runtime, InteractionSpec names, Options options, Floats items, std::pmr::vector<uint8_t> seen)
      : HistoryModel(std::move(runtime), std::move(names)),
        options_(options),
        items_(std::move(items)),
        seen_(std::move(seen)),
        gram_(runtime_->memory()) {
    ials::gram(*runtime_, items_, size_t(options_.dim), &gram_);
    for (uint8_t s : seen_) catalogue_ += s;
  }
  const char* kind() const override { return "ials"; }
  uint32_t dim() const override { return uint32_t(options_.dim); }
  const ModelInputs& encode_inputs(gyr_side side) const override {
    return side == GYR_SIDE_USER ? history_input_ : item_input_;
  }

  struct Solve : Scratch {
    Solve(size_t dim, std::pmr::memory_resource* m) : a(dim * dim, m), user(dim, m), positives(m) {}
    Floats a, user;
    std::pmr::vector<uint32_t> positives;
  };
  std::unique_ptr<Scratch> make_scratch() const override {
    return std::make_unique<Solve>(size_t(options_.dim), runtime_->memory());
  }

  Status encode(gyr_side side, const std::vector<const Column*>& columns, int64_t rows, Scratch* scratch,
                float* out) const override {
    size_t d = size_t(options_.dim);
    for (int64_t r = 0; r < rows; r++) {
      if (side == GYR_SIDE_ITEM) {
        int64_t code = 0;
        GYR_TRY(candidate(*columns[0], r, &code));
        std::copy_n(items_.data() + size_t(code) * d, d, out + size_t(r) * d);
      } else {
        std::span<const int64_t> history;
        GYR_TRY(history_of(*columns[0], r, &history));
        GYR_TRY(fold_in(history, static_cast<Solve*>(scratch), out + size_t(r) * d));
      }
    }
    return {};
  }

  Status score(const std::vector<const Column*>& user, int64_t row, const std::vector<const Column*>& items,
               int64_t first, int64_t candidates, Scratch* scratch, float* out) const override {
    auto* s = static_cast<Solve*>(scratch);
    std::span<const int64_t> history;
    GYR_TRY(history_of(*user[0], row, &history));
    GYR_TRY(fold_in(history, s, s->user.data()));
    size_t d = size_t(options_.dim);
    for (int64_t i = 0; i < candidates; i++) {
      int64_t code = 0;
      GYR_TRY(candidate(*items[0], first + i, &code));
      out[i] = kernels::best().dot(s->user.data(), items_.data() + size_t(code) * d, d);
    }
    return {};
  }

  Json describe() const override {
    return {{"kind", kind()},        {"item", names_.item}, {"history", names_.history},
            {"items", names_.items}, {"dim", options_.dim}, {"parameters", items_.size()}};
  }

  Status save(ContainerWriter* file, std::string_view name) const override {
    ModelWriter w;
    w.header["kind"] = kind();
    names_.write(&w.header);
    w.header["dim"] = options_.dim;
    w.header["alpha"] = options_.alpha;
    w.header["l2"] = options_.l2;
    w.header["frequency_scaling"] = options_.frequency_scaling;
    w.array(items_);
    w.array(seen_);
    return w.add_to(file, name);
  }

 protected:
  Status score_all(std::span<const int64_t> history, Scratch* scratch, float* scores) const override {
    auto* s = static_cast<Solve*>(scratch);
    GYR_TRY(fold_in(history, s, s->user.data()));
    size_t d = size_t(options_.dim);
    kernels::best().dot_rows(s->user.data(), items_.data(), size_t(names_.items), d, d, scores);
    for (size_t i = 0; i < seen_.size(); i++)
      if (!seen_[i]) scores[i] = -INFINITY;
    return {};
  }

 private:
  // The user's row as training would compute it: one solve over the distinct items of the history.
  Status fold_in(std::span<const int64_t> history, Solve* s, float* out) const {
    s->positives.clear();
    for (int64_t code : history)
      if (code >= names_.reserved && seen_[size_t(code)]) s->positives.push_back(uint32_t(code));
    std::sort(s->positives.begin(), s->positives.end());
    s->positives.erase(std::unique(s->positives.begin(), s->positives.end()), s->positives.end());
    double reg = options_.regularisation(s->positives.size(), catalogue_);
    if (s->positives.empty()) {
      std::fill_n(out, options_.dim, 0.0f);
      return {};
    }
    if (ials::solve(items_, gram_.data(), s->positives, size_t(options_.dim), options_.alpha, reg, s->a.data(), out))
      return {};
    return fail(GYR_E_INVALID_STATE, "model", "a user's normal equations are not positive definite; raise l2");
  }

  Options options_;
  Floats items_;
  std::pmr::vector<uint8_t> seen_;
  Floats gram_;
  uint64_t catalogue_ = 0;
};

class IalsTrainer : public InteractionTrainer {
 public:
  IalsTrainer(RuntimePtr runtime, InteractionSpec names, Options options)
      : InteractionTrainer(std::move(runtime), std::move(names)), options_(options) {}

  Status fit(gyr_task* task) override {
    GYR_TRY(require_rows());
    Csr users = by_user();
    Csr items = transpose(users, uint64_t(names_.items));
    size_t d = size_t(options_.dim);
    std::pmr::vector<uint8_t> seen(size_t(names_.items), 0, runtime_->memory());
    for (size_t i = 0; i < seen.size(); i++) seen[i] = !items.row(i).empty();
    Floats x(runtime_->memory()), y(item_factors_, runtime_->memory());
    initialise(seen, d, &y);
    x.assign(size_t(names_.users) * d, 0.0f);
    uint64_t active_users = 0, active_items = 0;
    for (uint64_t u = 0; u < uint64_t(names_.users); u++) active_users += !users.row(u).empty();
    for (uint8_t s : seen) active_items += s;

    set_phase(task, "ials", uint64_t(options_.epochs) * (active_users + active_items));
    for (int64_t epoch = 1; epoch <= options_.epochs; epoch++) {
      int64_t start = monotonic_ns();
      // Work on copies: a cancelled or failed sweep leaves the last finished one.
      GYR_TRY(half(users, y, active_items, task, &x));
      GYR_TRY(half(items, x, active_users, task, &y));
      double loss = objective(users, items, x, y, active_users, active_items);
      if (!std::isfinite(loss))
        return fail(GYR_E_INVALID_ARGUMENT, "model", "epoch %" PRId64 ": the objective is not finite; raise l2", epoch);
      item_factors_.reserve(y.size());
      seen_.reserve(seen.size());
      record(int64_t(history_.size()) + 1, loss, double(monotonic_ns() - start) * 1e-9);
      // Nothing throws from here on: an epoch is in the history and the weights, or in neither.
      item_factors_.assign(y.begin(), y.end());
      seen_.assign(seen.begin(), seen.end());
      if (task) task->loss = loss;
    }
    fitted_rows_ = items_.size();
    return {};
  }

  Result<std::shared_ptr<const Model>> export_model() const override {
    if (item_factors_.empty()) return fail(GYR_E_INVALID_STATE, "model", "the trainer is not fitted yet");
    auto* m = runtime_->memory();
    return std::shared_ptr<const Model>(std::make_shared<IalsModel>(
        runtime_, names_, options_, Floats(item_factors_, m), std::pmr::vector<uint8_t>(seen_, m)));
  }

 private:
  // Items never seen keep a zero row, so that they weigh nothing in the Gram matrix.
  void initialise(const std::pmr::vector<uint8_t>& seen, size_t d, Floats* y) const {
    bool fresh = y->empty();
    if (fresh) y->assign(seen.size() * d, 0.0f);
    for (size_t i = 0; i < seen.size(); i++) {
      if (!seen[i]) std::fill_n(y->begin() + ptrdiff_t(i * d), d, 0.0f);  // of rows that a cancelled fit dropped
      if (!seen[i] || !(fresh || !seen_[i])) continue;
      Random random(uint64_t(options_.seed), i);
      for (size_t c = 0; c < d; c++) (*y)[i * d + c] = float(random.normal() * options_.stddev / std::sqrt(double(d)));
    }
  }

  // One half sweep: every row of `out` from the rows of `other` that it touches.
  Status half(const Csr& lists, const Floats& other, uint64_t other_side, gyr_task* task, Floats* out) const {
    size_t d = size_t(options_.dim);
    uint64_t rows = lists.offsets.size() - 1;
    Floats g(runtime_->memory());
    ials::gram(*runtime_, other, d, &g);
    const uint64_t per_item = knobs::capacity(64);
    std::atomic<bool> singular{false};
    parallel(*runtime_, div_up(rows, per_item), [&](uint64_t b) {
      if (!check(task).ok()) return;
      Floats a(d * d, runtime_->memory());
      uint64_t done = 0;
      for (uint64_t r = b * per_item; r < std::min(rows, (b + 1) * per_item); r++) {
        auto row = lists.row(r);
        if (row.empty()) continue;
        double reg = options_.regularisation(row.size(), other_side);
        if (!ials::solve(other, g.data(), row, d, options_.alpha, reg, a.data(), out->data() + r * d)) singular = true;
        done++;
      }
      advance(task, done);
    });
    GYR_TRY(check(task));
    if (singular)
      return fail(GYR_E_INVALID_ARGUMENT, "model", "the normal equations are not positive definite; raise l2 or alpha");
    return {};
  }

  double objective(const Csr& users, const Csr& items, const Floats& x, const Floats& y, uint64_t active_users,
                   uint64_t active_items) const {
    size_t d = size_t(options_.dim);
    const auto& ops = kernels::best();
    double loss = 0;
    for (uint64_t u = 0; u + 1 < users.offsets.size(); u++) {
      const float* xu = x.data() + u * d;
      for (uint32_t i : users.row(u)) {
        double e = 1.0 - double(ops.dot(xu, y.data() + size_t(i) * d, d));
        loss += e * e;
      }
      if (auto n = users.row(u).size()) loss += options_.regularisation(n, active_items) * double(ops.dot(xu, xu, d));
    }
    for (uint64_t i = 0; i + 1 < items.offsets.size(); i++)
      if (auto n = items.row(i).size())
        loss += options_.regularisation(n, active_users) * double(ops.dot(&y[i * d], &y[i * d], d));
    // sum over all pairs of (x.y)^2 = <X^T X, Y^T Y>.
    Floats gx(runtime_->memory()), gy(runtime_->memory());
    ials::gram(*runtime_, x, d, &gx);
    ials::gram(*runtime_, y, d, &gy);
    for (size_t i = 0; i < d; i++)
      for (size_t j = i; j < d; j++)
        loss += options_.alpha * (i == j ? 1.0 : 2.0) * double(gx[i * d + j]) * double(gy[i * d + j]);
    return loss;
  }

  Options options_;
  Floats item_factors_{runtime_->memory()};
  std::pmr::vector<uint8_t> seen_{runtime_->memory()};
};

}  // namespace

TrainerResult make_ials(RuntimePtr runtime, SpecReader& spec, const Schema& schema) {
  InteractionSpec names;
  Options o;
  GYR_TRY(names.read(spec, schema, true));
  GYR_TRY(spec.integer("dim", 1, 1024, &o.dim));
  GYR_TRY(spec.integer("epochs", 1, 100000, &o.epochs));
  GYR_TRY(spec.integer("seed", 0, INT64_MAX, &o.seed));
  GYR_TRY(spec.number("alpha", 0, 1e6, &o.alpha));
  GYR_TRY(spec.number("l2", 1e-9, 1e9, &o.l2));
  GYR_TRY(spec.number("frequency_scaling", 0, 2, &o.frequency_scaling));
  GYR_TRY(spec.number("stddev", 1e-9, 1e3, &o.stddev));
  GYR_TRY(spec.finish());
  return std::unique_ptr<Trainer>(std::make_unique<IalsTrainer>(std::move(runtime), std::move(names), o));
}

ModelResult load_ials(RuntimePtr runtime, ModelReader& file) {
  SpecReader header(file.header(), "", "model");
  InteractionSpec names;
  Options o;
  GYR_TRY(as_corrupt(names.read_header(header)));
  GYR_TRY(as_corrupt(header.required_integer("dim", 1, 1024, &o.dim)));
  GYR_TRY(as_corrupt(header.number("alpha", 0, 1e6, &o.alpha)));
  GYR_TRY(as_corrupt(header.number("l2", 1e-9, 1e9, &o.l2)));
  GYR_TRY(as_corrupt(header.number("frequency_scaling", 0, 2, &o.frequency_scaling)));
  Floats factors(runtime->memory());
  std::pmr::vector<uint8_t> seen(runtime->memory());
  GYR_TRY(file.floats("factors", uint64_t(names.items) * uint64_t(o.dim), &factors));
  GYR_TRY(file.array("seen", uint64_t(names.items), &seen));
  for (uint8_t& s : seen) s = s != 0;
  return std::shared_ptr<const Model>(
      std::make_shared<IalsModel>(std::move(runtime), std::move(names), o, std::move(factors), std::move(seen)));
}

}  // namespace gyr
