#include "index/index.h"

#include <limits>

#include "base/math.h"
#include "capi/guard.h"
#include "capi/handles.h"
#include "capi/open.h"

using namespace gyr;
using namespace gyr::capi;

namespace {

// Pointers are needed only where there is something to read or write.
Status require_if(uint64_t n, const void* pointer, const char* name) { return n ? require(pointer, name) : Status(); }

Status check_task(const gyr_task* task) {
  if (!task || task->magic == gyr_task::kMagic) return {};
  return fail(GYR_E_INVALID_HANDLE, "index", "task is destroyed or another type of handle");
}

// Sizes of caller arrays that no address space could hold are mistakes, and would wrap our offsets.
Status check_shape(uint64_t n, uint64_t width, const char* name) {
  uint64_t bytes;
  if (checked_mul(n, width, &bytes) && checked_mul(bytes, 8, &bytes) && bytes <= uint64_t(INT64_MAX)) return {};
  return fail(GYR_E_OUT_OF_RANGE, "index", "%s: %llu x %llu elements is beyond any memory", name, (unsigned long long)n,
              (unsigned long long)width);
}

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
    GYR_TRY(read_struct(options, "gyr_index_options", &o));
    GYR_ASSIGN(auto index, Index::create(runtime->runtime, o));
    *out = make_handle<gyr_index>(runtime->runtime, std::move(index));
    return {};
  });
}

GYR_API gyr_status gyr_index_upsert(gyr_index* index, const int64_t* ids, const float* vectors, uint64_t n,
                                    gyr_task* task, gyr_error* err) noexcept {
  return guard(err, "index", [&]() -> Status {
    GYR_TRY(enter(index, "index"));
    GYR_TRY(check_task(task));
    GYR_TRY(require_if(n, ids, "ids"));
    GYR_TRY(require_if(n, vectors, "vectors"));
    GYR_TRY(check_shape(n, dim_of(index), "vectors"));
    return index->impl->upsert(ids, vectors, n, task);
  });
}

GYR_API gyr_status gyr_index_delete(gyr_index* index, const int64_t* ids, uint64_t n, uint64_t* deleted,
                                    gyr_error* err) noexcept {
  return guard(err, "index", [&]() -> Status {
    GYR_TRY(enter(index, "index"));
    GYR_TRY(require_if(n, ids, "ids"));
    GYR_TRY(check_shape(n, 1, "ids"));
    return index->impl->remove(ids, n, deleted);
  });
}

GYR_API gyr_status gyr_index_search(const gyr_index* index, const gyr_search_args* args, gyr_task* task,
                                    gyr_error* err) noexcept {
  return guard(err, "index", [&]() -> Status {
    GYR_TRY(enter(index, "index"));
    GYR_TRY(check_task(task));
    gyr_search_args a;
    GYR_TRY(read_struct(args, "gyr_search_args", &a));
    GYR_TRY(require_if(a.n, a.queries, "gyr_search_args.queries"));
    GYR_TRY(require_if(a.n, a.out_ids, "gyr_search_args.out_ids"));
    GYR_TRY(require_if(a.n, a.out_scores, "gyr_search_args.out_scores"));
    GYR_TRY(require_if(a.n, a.out_counts, "gyr_search_args.out_counts"));
    GYR_TRY(check_shape(a.n, dim_of(index), "gyr_search_args.queries"));
    GYR_TRY(check_shape(a.n, a.k, "gyr_search_args.out_ids"));
    if (a.exact > 1) return fail(GYR_E_OUT_OF_RANGE, "index", "gyr_search_args.exact is %u; expected 0 or 1", a.exact);
    if (!a.filter && a.filter_bits)
      return fail(GYR_E_INVALID_ARGUMENT, "index", "gyr_search_args.filter is NULL but filter_bits is %llu; set both",
                  (unsigned long long)a.filter_bits);
    Index::Query q{a.queries, a.n, a.k, a.effort, a.exact != 0, a.filter, a.filter_bits};
    return index->impl->search(q, nullptr, task, a.out_ids, a.out_scores, a.out_counts);
  });
}

GYR_API gyr_status gyr_index_slots(const gyr_index* index, const int64_t* ids, uint64_t n, int64_t* slots,
                                   gyr_error* err) noexcept {
  return guard(err, "index", [&]() -> Status {
    GYR_TRY(enter(index, "index"));
    GYR_TRY(require_if(n, ids, "ids"));
    GYR_TRY(require_if(n, slots, "slots"));
    GYR_TRY(check_shape(n, 1, "ids"));
    index->impl->slots(ids, n, slots);
    return {};
  });
}

GYR_API gyr_status gyr_index_get_info(const gyr_index* index, gyr_index_info* out, gyr_error* err) noexcept {
  return guard(err, "index", [&]() -> Status {
    GYR_TRY(enter(index, "index"));
    gyr_index_info info{};
    index->impl->fill_info(&info);
    return write_struct(info, "gyr_index_info", out);
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
