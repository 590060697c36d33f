#include "model/history_model.h"

#include <algorithm>
#include <atomic>
#include <cinttypes>
#include <cmath>
#include <mutex>

#include "base/knobs.h"

namespace gyr {

Status InteractionSpec::read(SpecReader& spec, const Schema& schema, bool needs_user) {
  GYR_TRY(spec.string("user", &user));
  GYR_TRY(spec.string("item", &item));
  GYR_TRY(spec.string("history", &history));
  GYR_TRY(spec.integer("reserved", 1, 1 << 20, &reserved));
  auto cardinality = [&](const char* key, const std::string& name, int64_t* out) -> Status {
    const ColumnSchema* c = schema.find(name);
    if (!c) return fail(GYR_E_INVALID_ARGUMENT, "model", "%s: the schema has no column \"%s\"", key, name.c_str());
    if (c->cardinality < 1 || c->cardinality > INT32_MAX || c->is_list)
      return fail(GYR_E_INVALID_ARGUMENT, "model",
                  "%s: column \"%s\" must be a categorical with a cardinality in 1..2147483647 (see Categorify)", key,
                  name.c_str());
    *out = c->cardinality;
    return {};
  };
  GYR_TRY(cardinality("item", item, &items));
  if (needs_user) GYR_TRY(cardinality("user", user, &users));
  return {};
}

void InteractionSpec::write(Json* header) const {
  (*header)["item"] = item;
  (*header)["history"] = history;
  (*header)["reserved"] = reserved;
  (*header)["items"] = items;
}

Status InteractionSpec::read_header(SpecReader& header) {
  GYR_TRY(header.required_string("item", &item));
  GYR_TRY(header.required_string("history", &history));
  GYR_TRY(header.required_integer("reserved", 1, 1 << 20, &reserved));
  return header.required_integer("items", 1, INT32_MAX, &items);
}

Status InteractionTrainer::add_rows(const Batch& batch) {
  const Column* item = nullptr;
  const Column* user = nullptr;
  GYR_TRY(code_column(batch, names_.item, false, &item));
  if (names_.users) GYR_TRY(code_column(batch, names_.user, false, &user));
  int64_t first = int64_t(items_.size() - fitted_rows_);
  for (int64_t r = 0; r < batch.rows; r++) {
    if (!item->leaf_is_valid(r)) return row_error(names_.item, first + r, "is null; Categorify gives nulls a code");
    GYR_TRY(check_code(names_.item, first + r, item->ints[size_t(r)], names_.items));
    if (!user) continue;
    if (!user->leaf_is_valid(r)) return row_error(names_.user, first + r, "is null; Categorify gives nulls a code");
    GYR_TRY(check_code(names_.user, first + r, user->ints[size_t(r)], names_.users));
  }
  items_.reserve(items_.size() + size_t(batch.rows));
  users_.reserve(items_.capacity());
  for (int64_t r = 0; r < batch.rows; r++) {
    items_.push_back(uint32_t(item->ints[size_t(r)]));
    if (user) users_.push_back(uint32_t(user->ints[size_t(r)]));
  }
  return {};
}

void InteractionTrainer::drop_rows() {
  items_.resize(fitted_rows_);
  if (names_.users) users_.resize(fitted_rows_);
}

Status InteractionTrainer::require_rows() const {
  if (items_.size() > fitted_rows_) return {};
  return fail(GYR_E_INVALID_STATE, "model", "there are no rows to train on");
}

void InteractionTrainer::record(int64_t epoch, double loss, double seconds) {
  history_.push_back({{"epoch", epoch}, {"loss", loss}, {"seconds", seconds}});
}

InteractionTrainer::Csr InteractionTrainer::by_user() const {
  auto* memory = runtime_->memory();
  Csr raw(memory), out(memory);
  raw.offsets.assign(size_t(names_.users) + 1, 0);
  for (size_t i = 0; i < items_.size(); i++)
    if (items_[i] >= names_.reserved) raw.offsets[users_[i] + 1]++;
  for (size_t u = 0; u < size_t(names_.users); u++) raw.offsets[u + 1] += raw.offsets[u];
  raw.items.resize(raw.offsets.back());
  std::pmr::vector<uint64_t> next(raw.offsets, memory);
  for (size_t i = 0; i < items_.size(); i++)
    if (items_[i] >= names_.reserved) raw.items[next[users_[i]]++] = items_[i];
  out.offsets.assign(1, 0);
  out.offsets.reserve(raw.offsets.size());
  out.items.reserve(raw.items.size());
  for (size_t u = 0; u < size_t(names_.users); u++) {
    auto a = raw.items.begin() + int64_t(raw.offsets[u]), b = raw.items.begin() + int64_t(raw.offsets[u + 1]);
    std::sort(a, b);
    out.items.insert(out.items.end(), a, std::unique(a, b));
    out.offsets.push_back(out.items.size());
  }
  return out;
}

InteractionTrainer::Csr InteractionTrainer::transpose(const Csr& from, uint64_t rows) const {
  Csr out(runtime_->memory());
  out.offsets.assign(rows + 1, 0);
  for (uint32_t i : from.items) out.offsets[i + 1]++;
  for (uint64_t r = 0; r < rows; r++) out.offsets[r + 1] += out.offsets[r];
  out.items.resize(from.items.size());
  std::pmr::vector<uint64_t> next(out.offsets, runtime_->memory());
  for (uint64_t u = 0; u + 1 < from.offsets.size(); u++)
    for (uint32_t i : from.row(u)) out.items[next[i]++] = uint32_t(u);
  return out;
}

HistoryModel::HistoryModel(RuntimePtr runtime, InteractionSpec names)
    : runtime_(std::move(runtime)), names_(std::move(names)) {
  history_input_.add(names_.history, names_.items);
  item_input_.add(names_.item, names_.items);
}

Status HistoryModel::encode(gyr_side, const std::vector<const Column*>&, int64_t, Scratch*, float*) const {
  return fail(GYR_E_UNSUPPORTED, "model", "%s models have no towers to encode with", kind());
}

Status HistoryModel::candidate(const Column& c, int64_t row, int64_t* code) const {
  if (c.physical() != Physical::kInt || c.is_list)
    return fail(GYR_E_INVALID_ARGUMENT, "model", "column \"%s\": expected integer codes, got %s%s", names_.item.c_str(),
                c.is_list ? "lists of " : "", dtype_name(c.dtype));
  *code = c.leaf_is_valid(row) ? c.ints[size_t(row)] : 0;
  return check_code(names_.item, row, *code, names_.items);
}

Status HistoryModel::history_of(const Column& c, int64_t row, std::span<const int64_t>* out) const {
  if (c.physical() != Physical::kInt || !c.is_list)
    return fail(GYR_E_INVALID_ARGUMENT, "model", "column \"%s\": expected lists of integer codes, got %s%s",
                names_.history.c_str(), c.is_list ? "lists of " : "", dtype_name(c.dtype));
  size_t a = size_t(c.list_offsets[size_t(row)]), b = size_t(c.list_offsets[size_t(row) + 1]);
  *out = {c.ints.data() + a, b - a};
  for (int64_t code : *out) GYR_TRY(check_code(names_.history, row, code, names_.items));
  return {};
}

namespace {

Status check_lists(const char* what, const char* name, const int64_t* items, const int64_t* offsets, uint64_t n,
                   int64_t cardinality) {
  if (offsets[0] < 0) return fail(GYR_E_INVALID_ARGUMENT, "model", "%s offsets[0] is negative", what);
  for (uint64_t i = 0; i < n; i++) {
    if (offsets[i + 1] < offsets[i])
      return fail(GYR_E_INVALID_ARGUMENT, "model", "%s offsets[%" PRIu64 "] is below the one before", what, i + 1);
    if (!items && offsets[i + 1] > offsets[i])
      return fail(GYR_E_INVALID_ARGUMENT, "model", "%s is NULL, but its offsets are not all equal", name);
    for (int64_t j = offsets[i]; j < offsets[i + 1]; j++)
      if (items[j] < 0 || items[j] >= cardinality)
        return fail(GYR_E_OUT_OF_RANGE, "model", "%s %" PRIu64 ": item code %" PRId64 " is outside [0, %" PRId64 ")",
                    what, i, items[j], cardinality);
  }
  return {};
}

}  // namespace

Status HistoryModel::recommend(const int64_t* items, const int64_t* offsets, uint64_t n, uint32_t k,
                               const int64_t* exclude, const int64_t* exclude_offsets, int64_t* out_items,
                               float* out_scores) const {
  if (n == 0) return {};
  GYR_TRY(check_lists("history", "items", items, offsets, n, names_.items));
  if (exclude_offsets) GYR_TRY(check_lists("exclude", "exclude", exclude, exclude_offsets, n, names_.items));
  const uint64_t per_item = knobs::capacity(16);
  std::mutex mutex;
  Status first_failure;
  parallel(*runtime_, div_up(n, per_item), [&](uint64_t block) {
    auto scratch = make_scratch();
    Floats scores(size_t(names_.items), 0.0f, runtime_->memory());
    std::pmr::vector<uint32_t> order(runtime_->memory());
    for (uint64_t r = block * per_item; r < std::min(n, (block + 1) * per_item); r++) {
      std::span<const int64_t> history{items + (items ? offsets[r] : 0), size_t(offsets[r + 1] - offsets[r])};
      Status s = score_all(history, scratch.get(), scores.data());
      if (!s.ok()) {
        std::lock_guard lock(mutex);
        if (first_failure.ok()) first_failure = std::move(s);
        return;
      }
      const int64_t* ex = exclude_offsets ? exclude : items;
      const int64_t* eo = exclude_offsets ? exclude_offsets : offsets;
      for (int64_t j = eo[r]; j < eo[r + 1]; j++) scores[size_t(ex[j])] = -INFINITY;
      order.clear();
      for (uint32_t i = uint32_t(std::min(names_.reserved, names_.items)); i < uint32_t(names_.items); i++)
        if (scores[i] > -INFINITY) order.push_back(i);
      size_t found = std::min<size_t>(k, order.size());
      std::partial_sort(order.begin(), order.begin() + int64_t(found), order.end(),
                        [&](uint32_t a, uint32_t b) { return scores[a] != scores[b] ? scores[a] > scores[b] : a < b; });
      for (size_t j = 0; j < k; j++) {
        out_items[r * k + j] = j < found ? order[j] : 0;
        if (out_scores) out_scores[r * k + j] = j < found ? scores[order[j]] : NAN;
      }
    }
  });
  return first_failure;
}

}  // namespace gyr
