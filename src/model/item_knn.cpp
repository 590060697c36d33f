// item_knn: cosine of binary user columns with shrinkage, s_ij = c_ij / (sqrt(c_i c_j) + shrink) (Sarwar et al. 2001;
// shrinkage as in Bell & Koren 2007). Each item keeps its nearest neighbours; a history scores an item by the sum of
// its similarities to those of the history that are among them.
#include <algorithm>
#include <atomic>
#include <cmath>

#include "base/clock.h"
#include "base/knobs.h"
#include "model/history_model.h"

namespace gyr {
namespace {

// Row j lists the items whose neighbour j is, with the similarity: what a history element adds to.
struct Neighbours {
  std::pmr::vector<uint64_t> offsets;
  std::pmr::vector<uint32_t> items;
  Floats values;
  explicit Neighbours(std::pmr::memory_resource* m) : offsets(m), items(m), values(m) {}
  Neighbours(const Neighbours& o, std::pmr::memory_resource* m)
      : offsets(o.offsets, m), items(o.items, m), values(o.values, m) {}
};

class ItemKnnModel : public HistoryModel {
 public:
  ItemKnnModel(RuntimePtr runtime, InteractionSpec names, Neighbours n)
      : HistoryModel(std::move(runtime), std::move(names)), n_(std::move(n)) {}
  const char* kind() const override { return "item_knn"; }

  struct Sums : Scratch {
    explicit Sums(size_t items, std::pmr::memory_resource* m) : values(items, 0.0f, m) {}
    Floats values;
  };
  std::unique_ptr<Scratch> make_scratch() const override {
    return std::make_unique<Sums>(size_t(names_.items), runtime_->memory());
  }

  Status score(const std::vector<const Column*>& user, int64_t row, const std::vector<const Column*>& items,
               int64_t first, int64_t candidates, Scratch* scratch, float* out) const override {
    std::span<const int64_t> history;
    GYR_TRY(history_of(*user[0], row, &history));
    Floats& sums = static_cast<Sums*>(scratch)->values;
    add(history, sums.data());
    Status status;
    for (int64_t i = 0; i < candidates && status.ok(); i++) {
      int64_t code = 0;
      status = candidate(*items[0], first + i, &code);
      if (status.ok()) out[i] = sums[size_t(code)];
    }
    clear(history, sums.data());
    return status;
  }

  Json describe() const override {
    return {{"kind", kind()},
            {"item", names_.item},
            {"history", names_.history},
            {"items", names_.items},
            {"parameters", n_.values.size()}};
  }
  Status save(ContainerWriter* file, std::string_view name) const override {
    ModelWriter w;
    w.header["kind"] = kind();
    names_.write(&w.header);
    w.header["pairs"] = n_.items.size();
    w.array(n_.offsets);
    w.array(n_.items);
    w.array(n_.values);
    return w.add_to(file, name);
  }

 protected:
  Status score_all(std::span<const int64_t> history, Scratch* scratch, float* scores) const override {
    Floats& sums = static_cast<Sums*>(scratch)->values;
    add(history, sums.data());
    for (size_t i = 0; i < sums.size(); i++) scores[i] = sums[i] > 0 ? sums[i] : -INFINITY;
    clear(history, sums.data());
    return {};
  }

 private:
  void add(std::span<const int64_t> history, float* sums) const {
    for (int64_t j : history)
      for (uint64_t p = n_.offsets[size_t(j)]; p < n_.offsets[size_t(j) + 1]; p++) sums[n_.items[p]] += n_.values[p];
  }
  void clear(std::span<const int64_t> history, float* sums) const {
    for (int64_t j : history)
      for (uint64_t p = n_.offsets[size_t(j)]; p < n_.offsets[size_t(j) + 1]; p++) sums[n_.items[p]] = 0;
  }
  Neighbours n_;
};

class ItemKnnTrainer : public InteractionTrainer {
 public:
  ItemKnnTrainer(RuntimePtr runtime, InteractionSpec names, int64_t neighbours, double shrink)
      : InteractionTrainer(std::move(runtime), std::move(names)), neighbours_(neighbours), shrink_(shrink) {}

  Status fit(gyr_task* task) override {
    GYR_TRY(require_rows());
    int64_t start = monotonic_ns();
    set_phase(task, "item_knn", uint64_t(names_.items));
    Csr users = by_user();
    Csr by_item = transpose(users, uint64_t(names_.items));
    const uint64_t per_item = knobs::capacity(64);
    uint64_t blocks = div_up(uint64_t(names_.items), per_item);
    struct Block {
      std::vector<uint32_t> sizes, items;
      std::vector<float> values;
    };
    std::vector<Block> found(blocks);
    parallel(*runtime_, blocks, [&](uint64_t b) {
      if (!check(task).ok()) return;
      nearest(users, by_item, b * per_item, std::min((b + 1) * per_item, uint64_t(names_.items)), &found[b].sizes,
              &found[b].items, &found[b].values);
      advance(task, per_item);
    });
    GYR_TRY(check(task));

    Neighbours out(runtime_->memory());  // transposed: neighbour -> items it speaks for
    out.offsets.assign(size_t(names_.items) + 1, 0);
    for (const Block& b : found)
      for (uint32_t j : b.items) out.offsets[j + 1]++;
    for (size_t j = 0; j < size_t(names_.items); j++) out.offsets[j + 1] += out.offsets[j];
    out.items.resize(out.offsets.back());
    out.values.resize(out.offsets.back());
    std::pmr::vector<uint64_t> next(out.offsets, runtime_->memory());
    uint32_t item = 0;
    for (const Block& b : found)
      for (size_t at = 0, i = 0; i < b.sizes.size(); i++, item++)
        for (uint32_t e = 0; e < b.sizes[i]; e++, at++) {
          uint64_t p = next[b.items[at]]++;
          out.items[p] = item;
          out.values[p] = b.values[at];
        }
    auto fitted = std::make_unique<Neighbours>(std::move(out));
    record(1, 0.0, double(monotonic_ns() - start) * 1e-9);  // may throw; the rest does not
    fitted_ = std::move(fitted);
    fitted_rows_ = items_.size();
    return {};
  }

  Result<std::shared_ptr<const Model>> export_model() const override {
    if (!fitted_) return fail(GYR_E_INVALID_STATE, "model", "the trainer is not fitted yet");
    return std::shared_ptr<const Model>(
        std::make_shared<ItemKnnModel>(runtime_, names_, Neighbours(*fitted_, runtime_->memory())));
  }

 private:
  // Neighbours of items [first, last): by similarity descending, then code ascending.
  void nearest(const Csr& users, const Csr& by_item, uint64_t first, uint64_t last, std::vector<uint32_t>* sizes,
               std::vector<uint32_t>* items, std::vector<float>* values) const {
    std::vector<uint32_t> common(size_t(names_.items), 0), touched;
    std::vector<std::pair<float, uint32_t>> ranked;
    for (uint64_t i = first; i < last; i++) {
      touched.clear();
      for (uint32_t u : by_item.row(i))
        for (uint32_t j : users.row(u))
          if (j != i && common[j]++ == 0) touched.push_back(j);
      ranked.clear();
      double ci = double(by_item.row(i).size());
      for (uint32_t j : touched) {
        double cj = double(by_item.row(j).size());
        ranked.emplace_back(float(common[j] / (std::sqrt(ci * cj) + shrink_)), j);
        common[j] = 0;
      }
      size_t keep = std::min(ranked.size(), size_t(neighbours_));
      std::partial_sort(ranked.begin(), ranked.begin() + int64_t(keep), ranked.end(), [](const auto& a, const auto& b) {
        return a.first != b.first ? a.first > b.first : a.second < b.second;
      });
      sizes->push_back(uint32_t(keep));
      for (size_t e = 0; e < keep; e++) {
        items->push_back(ranked[e].second);
        values->push_back(ranked[e].first);
      }
    }
  }

  int64_t neighbours_;
  double shrink_;
  std::unique_ptr<Neighbours> fitted_;
};

}  // namespace

TrainerResult make_item_knn(RuntimePtr runtime, SpecReader& spec, const Schema& schema) {
  InteractionSpec names;
  int64_t neighbours = 100;
  double shrink = 0;
  GYR_TRY(names.read(spec, schema, true));
  GYR_TRY(spec.integer("neighbors", 1, 1 << 20, &neighbours));
  GYR_TRY(spec.number("shrink", 0, 1e9, &shrink));
  GYR_TRY(spec.finish());
  return std::unique_ptr<Trainer>(
      std::make_unique<ItemKnnTrainer>(std::move(runtime), std::move(names), neighbours, shrink));
}

ModelResult load_item_knn(RuntimePtr runtime, ModelReader& file) {
  SpecReader header(file.header(), "", "model");
  InteractionSpec names;
  int64_t pairs = 0;
  GYR_TRY(as_corrupt(names.read_header(header)));
  GYR_TRY(as_corrupt(header.required_integer("pairs", 0, INT64_MAX, &pairs)));
  Neighbours n(runtime->memory());
  GYR_TRY(file.array("offsets", uint64_t(names.items) + 1, &n.offsets));
  GYR_TRY(file.array("neighbours", uint64_t(pairs), &n.items));
  GYR_TRY(file.floats("similarities", uint64_t(pairs), &n.values));
  bool sane = n.offsets.front() == 0 && n.offsets.back() == uint64_t(pairs);
  for (size_t i = 0; i + 1 < n.offsets.size(); i++) sane &= n.offsets[i] <= n.offsets[i + 1];
  for (uint32_t i : n.items) sane &= i < uint64_t(names.items);
  if (!sane) return fail(GYR_E_CORRUPT, "model", "model: the neighbour lists are inconsistent");
  return std::shared_ptr<const Model>(
      std::make_shared<ItemKnnModel>(std::move(runtime), std::move(names), std::move(n)));
}

}  // namespace gyr
