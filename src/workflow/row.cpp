// One row: the values become a batch of one row, which goes through the same run().
#include "base/math.h"
#include "workflow/graph_workflow.h"

namespace gyr::workflow {
namespace {

Status check_value(const gyr_value& v, const ColumnSchema& want) {
  if (v.dtype == GYR_DTYPE_NONE) return {};
  const char* what = nullptr;
  if (v.dtype < 0 || v.dtype > GYR_DTYPE_TIMESTAMP)
    what = "has an unknown dtype";
  else if (physical_of(v.dtype) != physical_of(want.dtype))
    what = "has another type than the graph declares";
  else if ((v.is_list != 0) != want.is_list)
    what = want.is_list ? "must be a list" : "must not be a list";
  else if (v.is_list && v.count && !v.list)
    what = "has a NULL list with count > 0";
  else if (v.is_list && v.count >> 32)
    what = "has an impossible count";
  if (!what) return {};
  return fail(GYR_E_INVALID_ARGUMENT, "workflow", "input \"%s\" %s", want.name.c_str(), what);
}

Status push_string(const gyr_str& s, const std::string& name, Column* to) {
  if (!s.data && s.len) return fail(GYR_E_INVALID_ARGUMENT, "workflow", "input \"%s\": NULL string", name.c_str());
  if (s.len > kMostBytes)
    return fail(GYR_E_OUT_OF_RANGE, "workflow", "input \"%s\": no memory holds a string of %llu bytes", name.c_str(),
                (unsigned long long)s.len);
  to->push_string({s.data ? s.data : "", size_t(s.len)});
  return {};
}

// Claims caller memory piece by piece; `used` is what a large enough scratch would take.
struct Arena {
  char* base;
  uint64_t size, used = 0;
  void* take(uint64_t bytes, uint64_t align) {
    used = align_up(used, align);
    void* p = used + bytes <= size ? base + used : nullptr;
    used += bytes;
    return p;
  }
};

gyr_str put_string(std::string_view s, Arena* arena) {
  void* p = arena->take(s.size(), 1);
  if (p && !s.empty()) std::memcpy(p, s.data(), s.size());
  return {static_cast<const char*>(p), s.size()};
}

gyr_value read_value(const Column& c, Arena* arena) {
  gyr_value v = {};
  if (c.row_is_null(0)) return v;
  v.dtype = c.dtype;
  v.is_list = c.is_list;
  if (!c.is_list) {
    if (c.physical() == Physical::kInt)
      v.i = c.ints[0];
    else if (c.physical() == Physical::kFloat)
      v.f = c.floats[0];
    else
      v.s = put_string(c.string(0), arena);
    return v;
  }
  size_t n = size_t(c.leaves());
  v.count = n;
  bool strings = c.physical() == Physical::kString;
  void* list = arena->take(n * (strings ? sizeof(gyr_str) : 8), 8);
  v.list = list;
  if (strings) {
    for (size_t i = 0; i < n; i++) {
      gyr_str s = put_string(c.string(int64_t(i)), arena);
      if (list) static_cast<gyr_str*>(list)[i] = s;
    }
  } else if (list && n) {
    std::memcpy(list, c.physical() == Physical::kInt ? (const void*)c.ints.data() : (const void*)c.floats.data(),
                n * 8);
  }
  return v;
}

}  // namespace

Status GraphWorkflow::fill_row(const gyr_value* in, Batch* batch) const {
  for (size_t i = 0; i < batch->columns.size(); i++) {
    const ColumnSchema& want = graph_->inputs.columns[i];
    const gyr_value& v = in[i];
    GYR_TRY(check_value(v, want));
    Column& c = batch->columns[i];
    c.reset(want.dtype, want.is_list);
    if (v.dtype == GYR_DTYPE_NONE) {
      c.push_null_row();
      continue;
    }
    size_t n = want.is_list ? size_t(v.count) : 1;
    Physical type = c.physical();
    for (size_t k = 0; k < n; k++) {
      if (type == Physical::kInt)
        c.push_int(want.is_list ? static_cast<const int64_t*>(v.list)[k] : v.i);
      else if (type == Physical::kFloat)
        c.push_float(want.is_list ? static_cast<const double*>(v.list)[k] : v.f);
      else
        GYR_TRY(push_string(want.is_list ? static_cast<const gyr_str*>(v.list)[k] : v.s, want.name, &c));
    }
    if (want.is_list) c.end_list();
  }
  batch->rows = 1;
  return {};
}

Status GraphWorkflow::run_row(const gyr_value* in, uint64_t n_in, gyr_value* out, uint64_t n_out, void* scratch,
                              uint64_t scratch_size) const {
  if (n_in != graph_->inputs.columns.size() || n_out != outputs_.columns.size())
    return fail(GYR_E_INVALID_ARGUMENT, "workflow",
                "the graph has %zu inputs and %zu outputs, got room for %llu and %llu", graph_->inputs.columns.size(),
                outputs_.columns.size(), (unsigned long long)n_in, (unsigned long long)n_out);
  if (!scratch) scratch_size = 0;
  if (reinterpret_cast<uintptr_t>(scratch) % 8)
    return fail(GYR_E_INVALID_ARGUMENT, "workflow", "scratch must be 8-byte aligned");

  // Taken from and put back into a small pool without a lock; a lost race only costs a new context.
  std::unique_ptr<RowContext> context;
  for (auto& slot : row_contexts_) {
    if (!slot.load(std::memory_order_relaxed)) continue;
    context.reset(slot.exchange(nullptr, std::memory_order_acquire));
    if (context) break;
  }
  if (!context) {
    context = std::make_unique<RowContext>();
    GYR_ASSIGN(context->plan, plan(graph_->inputs.columns, {}));
    context->scratch = make_scratch();
    for (const ColumnSchema& c : graph_->inputs.columns) context->in.add(c.name, c.dtype, c.is_list);
  }
  Status status = fill_row(in, &context->in);
  if (status.ok()) status = run(*context->plan, context->in, context->scratch.get(), &context->out, nullptr);
  if (status.ok() && context->out.rows == 0)
    status = fail(GYR_E_NOT_FOUND, "workflow", "a Filter or Dropna removed the row");
  if (status.ok()) {
    Arena measure{nullptr, 0}, arena{static_cast<char*>(scratch), scratch_size};
    for (const Column& c : context->out.columns) read_value(c, &measure);
    if (measure.used > scratch_size)
      status = fail(GYR_E_RESOURCE_EXHAUSTED, "workflow", "scratch has %llu bytes, this row needs %llu",
                    (unsigned long long)scratch_size, (unsigned long long)measure.used);
    else
      for (uint64_t i = 0; i < n_out; i++) out[i] = read_value(context->out.columns[i], &arena);
  }
  for (auto& slot : row_contexts_) {
    RowContext* free = nullptr;
    if (slot.compare_exchange_strong(free, context.get(), std::memory_order_release, std::memory_order_relaxed)) {
      (void)context.release();
      break;
    }
  }
  return status;
}

}  // namespace gyr::workflow
