#include "index/index.h"

#include "index/stream.h"

#include "capi/guard.h"
#include "capi/handles.h"
#include "capi/open.h"
#include "pipeline/item_filter.h"

using namespace gyr;
using namespace gyr::capi;

namespace {

uint32_t dim_of(const gyr_index* index) {
  gyr_index_info info{};
  index->impl->fill_info(&info);
  return info.dim;
}

// The ids that came with a search.
Status read_allowed(const gyr_search_args& a, Index::Query* q) {
  GYR_TRY(require_array(a.allowed_ids, "args.allowed_ids", a.n_allowed_ids, sizeof *a.allowed_ids));
  q->listed = a.allowed_ids || a.allowed_offsets;
  q->allowed_ids = {a.allowed_ids, size_t(a.n_allowed_ids)};
  q->allowed_offsets = a.allowed_offsets;
  for (uint64_t i = 0; a.allowed_offsets && i < a.n; i++)
    if (a.allowed_offsets[i] < 0 || a.allowed_offsets[i] > a.allowed_offsets[i + 1] ||
        uint64_t(a.allowed_offsets[i + 1]) > a.n_allowed_ids)
      return fail(GYR_E_INVALID_ARGUMENT, "index",
                  "args.allowed_offsets[%llu] and the next are %lld and %lld; expected 0 <= one <= other <= %llu ids",
                  (unsigned long long)i, (long long)a.allowed_offsets[i], (long long)a.allowed_offsets[i + 1],
                  (unsigned long long)a.n_allowed_ids);
  return {};
}

Status read_selection(const gyr_index_filter* filter, const char* name, std::shared_ptr<const Index::Selection>* out) {
  if (!filter) return {};
  GYR_TRY(enter(filter, name));
  *out = filter->impl->selection();
  return {};
}

Status read_filter_options(const gyr_index_filter_options* in, ItemFilter::Options* out) {
  gyr_index_filter_options o;
  GYR_TRY(read_struct(in, "options", "gyr_index_filter_options", &o));
  GYR_TRY(require_array(o.ids, "options.ids", o.n_ids, sizeof *o.ids));
  GYR_TRY(require_array(o.keys, "options.keys", o.n_keys, sizeof *o.keys));
  if (bool(o.table) != bool(o.condition) || (o.keys && !o.table))
    return fail(GYR_E_INVALID_ARGUMENT, "index", "options.%s is NULL; a condition is asked of a table: set both",
                o.table ? "condition" : "table");
  if (o.ids) out->ids.emplace(o.ids, o.ids + o.n_ids);
  out->now_us = o.now_us;
  if (!o.table) return {};
  GYR_TRY(enter(o.table, "options.table"));
  out->table = o.table->impl;
  out->condition = o.condition;
  if (!o.keys) return {};
  std::vector<std::string_view> keys;
  keys.reserve(o.n_keys);
  for (uint64_t i = 0; i < o.n_keys; i++) {
    GYR_TRY(require_array(o.keys[i].data, "options.keys[].data", o.keys[i].len, 1));
    keys.emplace_back(o.keys[i].data, size_t(o.keys[i].len));
  }
  GYR_ASSIGN(out->keys, IdList::create(keys));
  return {};
}

// What is measured, with the defaults in place.
Status read_trial(const gyr_index* index, const gyr_evaluate_args* args, Index::Trial* out,
                  std::shared_ptr<const Index::Selection>* selection) {
  gyr_evaluate_args a;
  GYR_TRY(read_struct(args, "args", "gyr_evaluate_args", &a));
  if (a.queries) GYR_TRY(require_array(a.queries, "args.queries", a.n, dim_of(index) * sizeof *a.queries));
  if (a.k == 0) a.k = 10;
  if (a.k > 65535) return fail(GYR_E_OUT_OF_RANGE, "index", "args.k is %u; expected 1..65535", a.k);
  GYR_TRY(read_selection(a.selection, "args.selection", selection));
  *out = {a.k, a.queries, a.n, selection->get()};
  return {};
}

gyr_search_quality quality(const Index::Point& p) {
  gyr_search_quality q{};
  q.effort = p.effort;
  q.recall = p.recall;
  q.seconds = p.seconds;
  q.codes = p.codes;
  q.vectors = p.rows;
  q.bytes = p.bytes;
  return q;
}

}  // namespace

GYR_API gyr_status gyr_index_create(gyr_runtime* runtime, const gyr_index_options* options, gyr_index** out,
                                    gyr_error* err) noexcept {
  return guard(err, "index", [&]() -> Status {
    GYR_TRY(enter(runtime, "runtime"));
    GYR_TRY(require(out, "out"));
    gyr_index_options o;
    GYR_TRY(read_struct(options, "options", "gyr_index_options", &o));
    GYR_ASSIGN(auto index, Index::create(runtime->runtime, o));
    *out = make_handle<gyr_index>(runtime->runtime, std::move(index));
    return {};
  });
}

GYR_API gyr_status gyr_index_estimate(const gyr_index_options* options, uint64_t n, uint32_t threads, uint64_t* bytes,
                                      uint64_t* peak, gyr_error* err) noexcept {
  return guard(err, "index", [&]() -> Status {
    gyr_index_options o;
    GYR_TRY(read_struct(options, "options", "gyr_index_options", &o));
    GYR_ASSIGN(auto estimate, Index::estimate(o, n, threads));
    if (bytes) *bytes = estimate.bytes;
    if (peak) *peak = estimate.peak;
    return {};
  });
}

GYR_API gyr_status gyr_index_upsert(gyr_index* index, const int64_t* ids, const float* vectors, uint64_t n,
                                    gyr_task* task, gyr_error* err) noexcept {
  return guard(err, "index", [&]() -> Status {
    GYR_TRY(enter(index, "index"));
    GYR_TRY(enter_task(task));
    GYR_TRY(require_array(ids, "ids", n, sizeof *ids));
    GYR_TRY(require_array(vectors, "vectors", n, dim_of(index) * sizeof *vectors));
    return index->impl->upsert(ids, vectors, n, task);
  });
}

GYR_API gyr_status gyr_index_upsert_arrow(gyr_index* index, struct ArrowArrayStream* stream, const char* id_column,
                                          const char* vector_column, gyr_task* task, gyr_error* err) noexcept {
  return guard(err, "index", [&]() -> Status {
    GYR_TRY(enter(index, "index"));
    GYR_TRY(enter_task(task));
    GYR_TRY(require(stream, "stream"));
    GYR_TRY(require(id_column, "id_column"));
    GYR_TRY(require(vector_column, "vector_column"));
    return index::upsert_arrow(index->runtime.get(), index->impl.get(), stream, id_column, vector_column, task);
  });
}

GYR_API gyr_status gyr_index_upsert_dlpack(gyr_index* index, const int64_t* ids, const void* tensor, uint64_t n,
                                           gyr_task* task, gyr_error* err) noexcept {
  return guard(err, "index", [&]() -> Status {
    GYR_TRY(enter(index, "index"));
    GYR_TRY(enter_task(task));
    GYR_TRY(require_array(ids, "ids", n, sizeof *ids));
    GYR_TRY(require(tensor, "tensor"));
    return index::upsert_tensor(index->runtime.get(), index->impl.get(), *static_cast<const DlTensor*>(tensor), ids, n,
                                task);
  });
}

GYR_API gyr_status gyr_index_upsert_file(gyr_index* index, const char* path, const int64_t* ids, uint64_t n,
                                         int64_t first_id, gyr_task* task, gyr_error* err) noexcept {
  return guard(err, "index", [&]() -> Status {
    GYR_TRY(enter(index, "index"));
    GYR_TRY(enter_task(task));
    GYR_TRY(require(path, "path"));
    if (ids) GYR_TRY(require_array(ids, "ids", n, sizeof *ids));
    if (!ids && n)
      return fail(GYR_E_INVALID_ARGUMENT, "index", "ids is NULL but n is %llu; set both or neither",
                  (unsigned long long)n);
    return index::upsert_file(index->runtime.get(), index->impl.get(), path, {ids, n, first_id}, task);
  });
}

GYR_API gyr_status gyr_index_delete(gyr_index* index, const int64_t* ids, uint64_t n, uint64_t* deleted,
                                    gyr_error* err) noexcept {
  return guard(err, "index", [&]() -> Status {
    GYR_TRY(enter(index, "index"));
    GYR_TRY(require_array(ids, "ids", n, sizeof *ids));
    return index->impl->remove(ids, n, deleted);
  });
}

GYR_API gyr_status gyr_index_compact(gyr_index* index, gyr_task* task, gyr_error* err) noexcept {
  return guard(err, "index", [&]() -> Status {
    GYR_TRY(enter(index, "index"));
    GYR_TRY(enter_task(task));
    return index->impl->compact(task);
  });
}

GYR_API gyr_status gyr_index_search(const gyr_index* index, const gyr_search_args* args, gyr_task* task,
                                    gyr_error* err) noexcept {
  return guard(err, "index", [&]() -> Status {
    GYR_TRY(enter(index, "index"));
    GYR_TRY(enter_task(task));
    gyr_search_args a;
    GYR_TRY(read_struct(args, "args", "gyr_search_args", &a));
    GYR_TRY(require_array(a.queries, "args.queries", a.n, dim_of(index) * sizeof *a.queries));
    GYR_TRY(require_array(a.out_ids, "args.out_ids", a.n, a.k * sizeof *a.out_ids));
    GYR_TRY(require_array(a.out_scores, "args.out_scores", a.n, a.k * sizeof *a.out_scores));
    GYR_TRY(require_array(a.out_counts, "args.out_counts", a.n, sizeof *a.out_counts));
    if (a.exact > 1) return fail(GYR_E_OUT_OF_RANGE, "index", "args.exact is %u; expected 0 or 1", a.exact);
    if (!a.filter && a.filter_bits)
      return fail(GYR_E_INVALID_ARGUMENT, "index", "args.filter is NULL but filter_bits is %llu; set both",
                  (unsigned long long)a.filter_bits);
    Index::Query q{a.queries, a.n, a.k, a.effort, a.exact != 0, a.filter, a.filter_bits};
    GYR_TRY(read_allowed(a, &q));
    std::shared_ptr<const Index::Selection> selection;  // kept through the search, whatever refreshes meanwhile
    GYR_TRY(read_selection(a.selection, "args.selection", &selection));
    q.selection = selection.get();
    return index->impl->search(q, nullptr, task, a.out_ids, a.out_scores, a.out_counts);
  });
}

GYR_API gyr_status gyr_index_filter_create(const gyr_index* index, const gyr_index_filter_options* options,
                                           gyr_task* task, gyr_index_filter** out, gyr_error* err) noexcept {
  return guard(err, "index", [&]() -> Status {
    GYR_TRY(enter(index, "index"));
    GYR_TRY(enter_task(task));
    GYR_TRY(require(out, "out"));
    ItemFilter::Options o;
    GYR_TRY(read_filter_options(options, &o));
    GYR_ASSIGN(auto filter, ItemFilter::create(index->impl, std::move(o), task));
    *out = make_handle<gyr_index_filter>(index->runtime, std::move(filter));
    return {};
  });
}

GYR_API gyr_status gyr_index_filter_refresh(const gyr_index_filter* filter, gyr_task* task, gyr_error* err) noexcept {
  return guard(err, "index", [&]() -> Status {
    GYR_TRY(enter(filter, "filter"));
    GYR_TRY(enter_task(task));
    return filter->impl->refresh(task);
  });
}

GYR_API gyr_status gyr_index_filter_get_info(const gyr_index_filter* filter, gyr_index_filter_info* out,
                                             gyr_error* err) noexcept {
  return guard(err, "index", [&]() -> Status {
    GYR_TRY(enter(filter, "filter"));
    gyr_index_filter_info info{};
    filter->impl->fill_info(&info);
    return write_struct(info, "out", "gyr_index_filter_info", out);
  });
}

GYR_API void gyr_index_filter_destroy(gyr_index_filter* filter) noexcept { destroy(filter); }

GYR_API gyr_status gyr_index_evaluate(const gyr_index* index, const gyr_evaluate_args* args, const uint32_t* efforts,
                                      uint64_t n_efforts, gyr_search_quality* results, gyr_task* task,
                                      gyr_error* err) noexcept {
  return guard(err, "index", [&]() -> Status {
    GYR_TRY(enter(index, "index"));
    GYR_TRY(enter_task(task));
    GYR_TRY(require_array(efforts, "efforts", n_efforts, sizeof *efforts));
    GYR_TRY(require_array(results, "results", n_efforts, sizeof *results));
    Index::Trial trial;
    std::shared_ptr<const Index::Selection> selection;
    GYR_TRY(read_trial(index, args, &trial, &selection));
    if (n_efforts == 0) return {};
    const uint32_t size = results->struct_size;
    GYR_TRY(check_size(size, "results[0]", "gyr_search_quality"));
    std::vector<Index::Point> points(n_efforts);
    GYR_TRY(index->impl->evaluate(trial, {efforts, size_t(n_efforts)}, task, points.data()));
    for (uint64_t i = 0; i < n_efforts; i++) {
      auto* at = reinterpret_cast<gyr_search_quality*>(reinterpret_cast<char*>(results) + i * size);
      std::memcpy(static_cast<void*>(at), &size, sizeof size);  // only the first one's need be set
      GYR_TRY(write_struct(quality(points[i]), "results", "gyr_search_quality", at));
    }
    return {};
  });
}

GYR_API gyr_status gyr_index_tune(gyr_index* index, const gyr_evaluate_args* args, double recall, uint32_t keep,
                                  gyr_search_quality* out, gyr_task* task, gyr_error* err) noexcept {
  return guard(err, "index", [&]() -> Status {
    GYR_TRY(enter(index, "index"));
    GYR_TRY(enter_task(task));
    Index::Trial trial;
    std::shared_ptr<const Index::Selection> selection;
    GYR_TRY(read_trial(index, args, &trial, &selection));
    if (recall == 0) recall = 0.95;
    if (!(recall > 0 && recall <= 1))
      return fail(GYR_E_OUT_OF_RANGE, "index", "recall is %g; expected above 0 and at most 1", recall);
    if (keep > 1) return fail(GYR_E_OUT_OF_RANGE, "index", "keep is %u; expected 0 or 1", keep);
    if (out) GYR_TRY(check_size(out->struct_size, "out", "gyr_search_quality"));
    Index::Point point{};
    GYR_TRY(index->impl->tune(trial, recall, keep != 0, task, &point));
    return out ? write_struct(quality(point), "out", "gyr_search_quality", out) : Status();
  });
}

GYR_API gyr_status gyr_index_slots(const gyr_index* index, const int64_t* ids, uint64_t n, int64_t* slots,
                                   gyr_error* err) noexcept {
  return guard(err, "index", [&]() -> Status {
    GYR_TRY(enter(index, "index"));
    GYR_TRY(require_array(ids, "ids", n, sizeof *ids));
    GYR_TRY(require_array(slots, "slots", n, sizeof *slots));
    index->impl->slots(ids, n, slots);
    return {};
  });
}

GYR_API gyr_status gyr_index_get_info(const gyr_index* index, gyr_index_info* out, gyr_error* err) noexcept {
  return guard(err, "index", [&]() -> Status {
    GYR_TRY(enter(index, "index"));
    gyr_index_info info{};
    index->impl->fill_info(&info);
    return write_struct(info, "out", "gyr_index_info", out);
  });
}

GYR_API gyr_status gyr_index_save(const gyr_index* index, const char* path, gyr_error* err) noexcept {
  return guard(err, "index", [&]() -> Status {
    GYR_TRY(enter(index, "index"));
    GYR_TRY(require(path, "path"));
    ContainerWriter file;
    GYR_TRY(index->impl->save(&file, "index"));
    return file.save(path);
  });
}

GYR_API gyr_status gyr_index_open(gyr_runtime* runtime, const char* path, gyr_index** out, gyr_error* err) noexcept {
  return guard(err, "index",
               [&] { return open_handle<gyr::Index>(runtime, path, gyr::Container::Access::kMap, "index", out); });
}

GYR_API void gyr_index_destroy(gyr_index* index) noexcept { destroy(index); }
