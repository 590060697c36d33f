// One call: arguments in, stages over the workspace, results out.
#include <algorithm>
#include <cstdio>
#include <cstring>

#include "base/clock.h"
#include "base/math.h"
#include "pipeline/pipeline.h"
#include "pipeline/stage.h"

namespace gyr {
namespace {

constexpr uint64_t kMaxUsers = 1 << 20;

Status push_value(const gyr_value& v, const ColumnSchema& schema, Column* out) {
  auto mismatch = [&]() {
    return fail(GYR_E_INVALID_ARGUMENT, "pipeline", "context \"%s\": expected %s%s, got %s%s", schema.name.c_str(),
                schema.is_list ? "a list of " : "", dtype_name(schema.dtype), v.is_list ? "a list of " : "",
                dtype_name(v.dtype));
  };
  if (v.dtype == GYR_DTYPE_NONE) return out->push_null_row(), Status();
  if (bool(v.is_list) != schema.is_list) return mismatch();
  Physical have = physical_of(v.dtype), want = physical_of(schema.dtype);
  bool int_to_float = have == Physical::kInt && want == Physical::kFloat;
  if (have != want && !int_to_float) return mismatch();
  if (v.is_list && v.count && !v.list)
    return fail(GYR_E_INVALID_ARGUMENT, "pipeline", "context \"%s\": list is NULL", schema.name.c_str());
  if (v.is_list && v.count > kMostBytes / sizeof(gyr_str))
    return fail(GYR_E_OUT_OF_RANGE, "pipeline", "context \"%s\": no memory holds a list of %llu", schema.name.c_str(),
                (unsigned long long)v.count);
  uint64_t n = v.is_list ? v.count : 1;
  for (uint64_t i = 0; i < n; i++) {
    if (want == Physical::kString) {
      gyr_str s = v.is_list ? static_cast<const gyr_str*>(v.list)[i] : v.s;
      if (s.len && !s.data)
        return fail(GYR_E_INVALID_ARGUMENT, "pipeline", "context \"%s\": string is NULL", schema.name.c_str());
      if (s.len > kMostBytes)
        return fail(GYR_E_OUT_OF_RANGE, "pipeline", "context \"%s\": no memory holds a string of %llu bytes",
                    schema.name.c_str(), (unsigned long long)s.len);
      out->push_string({s.data ? s.data : "", size_t(s.len)});
    } else if (have == Physical::kInt) {
      int64_t x = v.is_list ? static_cast<const int64_t*>(v.list)[i] : v.i;
      if (int_to_float)
        out->push_float(double(x));
      else
        out->push_int(x);
    } else {
      out->push_float(v.is_list ? static_cast<const double*>(v.list)[i] : v.f);
    }
  }
  if (v.is_list) out->end_list();
  return {};
}

}  // namespace

Status Pipeline::check_args(const gyr_recommend_args& a) const {
  auto bad = [](const char* what) { return fail(GYR_E_INVALID_ARGUMENT, "pipeline", "%s", what); };
  if (!a.users) return bad("users is NULL");
  if (a.users->dtype != user_key_dtype_)
    return fail(GYR_E_INVALID_ARGUMENT, "pipeline", "users.dtype: the user table has %s keys, got %s",
                dtype_name(user_key_dtype_), dtype_name(a.users->dtype));
  if (a.users->count > kMaxUsers) return bad("users.count: at most 1048576 users per call");
  // Never from the graph: the caller's arrays have the caller's k, whatever a publish brings.
  if (a.k < 1 || a.k > 65536) return fail(GYR_E_OUT_OF_RANGE, "pipeline", "k: expected 1..65536, got %u", a.k);
  if (a.users->count) {
    if (user_key_dtype_ == GYR_DTYPE_INT64 && !a.users->ints) return bad("users.ints is NULL");
    if (user_key_dtype_ == GYR_DTYPE_STRING && !a.users->strings) return bad("users.strings is NULL");
    if (user_key_dtype_ == GYR_DTYPE_STRING)
      for (uint64_t i = 0; i < a.users->count; i++)
        if (a.users->strings[i].len && !a.users->strings[i].data) return bad("users.strings: a string is NULL");
    if (!a.out_scores) return bad("out_scores is NULL");
    if (!a.out_counts) return bad("out_counts is NULL");
    if (!item_ids_ && !a.out_ids) return bad("out_ids is NULL");
    if (item_ids_ && !a.out_ids && !a.out_string_ids) return bad("out_string_ids or out_ids is required");
  }
  if (a.out_string_ids && !item_ids_) return bad("out_string_ids: this bundle's item ids are int64; use out_ids");
  if (a.out_string_ids && !a.workspace) return bad("out_string_ids needs a workspace, which keeps the strings alive");
  if (a.n_context && !a.context_names) return bad("context_names is NULL, but n_context is not 0");
  if (a.n_context && a.users->count && !a.context) return bad("context is NULL, but n_context is not 0");
  if (a.n_context > kMostBytes / sizeof(gyr_value) / kMaxUsers)
    return fail(GYR_E_OUT_OF_RANGE, "pipeline", "n_context: no memory holds %llu values per user",
                (unsigned long long)a.n_context);
  if (a.trace && a.trace_capacity && (a.trace[0].struct_size < 2 * sizeof(uint32_t) || a.trace[0].struct_size > 65536))
    return bad("trace[0].struct_size: set it to sizeof(gyr_stage_trace)");
  return {};
}

void Pipeline::prepare(Workspace* w) const {
  if (w->pipeline_id == id_) return;
  w->slots.clear();
  w->slots.resize(slots_);
  w->slots[kSlotContext].columns.resize(context_.size());
  w->slots[kSlotUserKey].columns.resize(1);
  w->slots[kSlotItemKey].columns.resize(1);
  w->slots[kSlotScores].columns.resize(2);
  w->item_slots = item_slots_;
  w->scratch.clear();
  for (const auto& stage : stages_) w->scratch.push_back(stage->make_scratch());
  w->pipeline_id = id_;
}

Status Pipeline::fill_context(const gyr_recommend_args& a, Batch* out) const {
  for (uint64_t c = 0; c < a.n_context; c++) {
    if (!a.context_names[c])
      return fail(GYR_E_INVALID_ARGUMENT, "pipeline", "context_names[%llu] is NULL", (unsigned long long)c);
    bool known = std::any_of(context_.begin(), context_.end(),
                             [&](const ColumnSchema& s) { return s.name == a.context_names[c]; });
    if (!known)
      return fail(GYR_E_INVALID_ARGUMENT, "pipeline", "context_names[%llu]: the pipeline declares no context \"%.80s\"",
                  (unsigned long long)c, a.context_names[c]);
  }
  for (size_t i = 0; i < context_.size(); i++) {
    Column& column = out->columns[i];
    column.reset(context_[i].dtype, context_[i].is_list);
    uint64_t at = 0;
    while (at < a.n_context && context_[i].name != a.context_names[at]) at++;
    for (uint64_t u = 0; u < a.users->count; u++) {
      if (at == a.n_context)
        column.push_null_row();
      else
        GYR_TRY(push_value(a.context[u * a.n_context + at], context_[i], &column));
    }
  }
  out->rows = int64_t(a.users->count);
  return {};
}

Status Pipeline::fill_user_keys(const gyr_keys& users, Batch* out) const {
  Column& key = out->columns[0];
  key.reset(user_key_dtype_, false);
  if (user_key_dtype_ == GYR_DTYPE_INT64)
    key.ints.assign(users.ints, users.ints + users.count);
  else
    for (uint64_t i = 0; i < users.count; i++)
      key.push_string({users.strings[i].data ? users.strings[i].data : "", size_t(users.strings[i].len)});
  out->rows = int64_t(users.count);
  return {};
}

Status Pipeline::run(gyr_recommend_args* args, Workspace* w, gyr_task* task) const {
  GYR_TRY(check_args(*args));
  GYR_TRY(check(task));
  int64_t start = monotonic_ns();
  prepare(w);
  w->ids.clear();
  w->begin.assign(1, 0);
  for (uint32_t slot : w->item_slots) w->slots[slot].rows = -1;
  w->user_status.assign(args->users->count, GYR_VALUE_PRESENT);
  Call call{args, task, w, args->users->count, args->now_us ? args->now_us : realtime_us(), args->k};
  args->trace_count = uint32_t(stages_.size());
  if (call.users == 0) return {};
  GYR_TRY(fill_context(*args, &w->slots[kSlotContext]));
  GYR_TRY(fill_user_keys(*args->users, &w->slots[kSlotUserKey]));
  GYR_TRY(run_stages(args, call));
  GYR_TRY(write_results(args, w, call.k));
  histograms_.back().add(uint64_t(monotonic_ns() - start));
  return {};
}

// Entries lie as far apart as the caller's header has it, which may know fewer or more fields than ours.
static void write_trace(const std::string& name, uint64_t time_ns, uint64_t rows_in, uint64_t rows_out, size_t at,
                        gyr_stage_trace* traces) {
  uint32_t size = traces[0].struct_size;
  gyr_stage_trace t{};
  t.struct_size = size;
  std::snprintf(t.name, sizeof t.name, "%s", name.c_str());
  t.time_ns = time_ns;
  t.rows_in = rows_in;
  t.rows_out = rows_out;
  char* entry = reinterpret_cast<char*>(traces) + at * size;
  std::memset(entry, 0, size);
  std::memcpy(entry, &t, std::min<size_t>(size, sizeof t));
}

Status Pipeline::run_stages(gyr_recommend_args* args, const Call& call) const {
  Workspace* w = call.workspace;
  int64_t before = monotonic_ns();
  uint64_t rows = call.users;
  for (size_t i = 0; i < stages_.size(); i++) {
    GYR_TRY(check(call.task));
    GYR_TRY(stages_[i]->run(call, w->scratch[i].get()));
    int64_t now = monotonic_ns();
    uint64_t rows_out = w->begin.size() == 1 ? call.users : w->ids.size();
    if (i + 1 == stages_.size()) {
      rows_out = 0;
      for (uint64_t u = 0; u < call.users; u++) rows_out += w->out_counts[u];
    }
    histograms_[i].add(uint64_t(now - before));
    if (args->trace && i < args->trace_capacity)
      write_trace(stages_[i]->name, uint64_t(now - before), rows, rows_out, i, args->trace);
    rows = rows_out;
    before = now;
  }
  return {};
}

Status Pipeline::write_results(gyr_recommend_args* a, Workspace* w, uint32_t k) const {
  uint64_t n = a->users->count;
  if (a->out_ids) std::copy_n(w->out_ids.begin(), n * k, a->out_ids);
  std::copy_n(w->out_scores.begin(), n * k, a->out_scores);
  std::copy_n(w->out_counts.begin(), n, a->out_counts);
  if (a->out_user_status) std::copy_n(w->user_status.begin(), n, a->out_user_status);
  if (a->out_stage_scores) {
    for (uint64_t i = 0; i < n * k; i++) {
      a->out_stage_scores[2 * i] = w->out_retrieval[i];
      a->out_stage_scores[2 * i + 1] = w->out_ranking[i];
    }
  }
  if (a->out_string_ids) {
    w->string_ids = item_ids_;
    for (uint64_t i = 0; i < n * k; i++) {
      std::string_view id = w->out_ids[i] < 0 ? std::string_view() : item_ids_->id(uint64_t(w->out_ids[i]));
      a->out_string_ids[i] = {id.data(), id.size()};
    }
  }
  return {};
}

}  // namespace gyr
