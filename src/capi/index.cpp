#include "index/index.h"

#include "capi/guard.h"
#include "capi/handles.h"
#include "capi/open.h"

using namespace gyr;
using namespace gyr::capi;

namespace {

uint32_t dim_of(const gyr_index* index) {
  gyr_index_info info{};
  index->impl->fill_info(&info);
  return info.dim;
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

GYR_API gyr_status gyr_index_delete(gyr_index* index, const int64_t* ids, uint64_t n, uint64_t* deleted,
                                    gyr_error* err) noexcept {
  return guard(err, "index", [&]() -> Status {
    GYR_TRY(enter(index, "index"));
    GYR_TRY(require_array(ids, "ids", n, sizeof *ids));
    return index->impl->remove(ids, n, deleted);
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
    return index->impl->search(q, nullptr, task, a.out_ids, a.out_scores, a.out_counts);
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
               [&] { return open_handle<gyr::Index>(runtime, path, gyr::Container::Access::kRead, "index", out); });
}

GYR_API void gyr_index_destroy(gyr_index* index) noexcept { destroy(index); }
