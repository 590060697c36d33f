#include <gyr/workflow.h>

#include "capi/consume.h"
#include "capi/guard.h"
#include "capi/handles.h"
#include "capi/open.h"
#include "data/arrow.h"
#include "workflow/workflow.h"

using gyr::Batch;
using gyr::fail;
using gyr::Status;
using gyr::Workflow;
using namespace gyr::capi;

namespace {

// What one output stream owns: the input stream, the plan and the memory of its runs.
struct Transform {
  std::shared_ptr<Workflow> workflow;
  std::unique_ptr<ArrowArrayStream> in;
  std::unique_ptr<gyr::ArrowReader> reader;
  std::unique_ptr<Workflow::Plan> plan;
  std::unique_ptr<Workflow::Scratch> scratch;
  Batch batch;
  bool owns = false;
  ~Transform() {
    reader.reset();
    if (owns && in && in->release) in->release(in.get());
  }
};

std::vector<gyr::ColumnSchema> columns_of(const std::vector<gyr::Field>& fields) {
  std::vector<gyr::ColumnSchema> columns;
  for (const gyr::Field& f : fields) columns.push_back({f.name, f.dtype, f.is_list});
  return columns;
}

}  // namespace

extern "C" {

GYR_API gyr_status gyr_workflow_create(gyr_runtime* runtime, const char* json, gyr_workflow** out,
                                       gyr_error* err) noexcept {
  return guard(err, "workflow", [&]() -> Status {
    GYR_TRY(enter(runtime, "runtime"));
    GYR_TRY(require(json, "json"));
    GYR_TRY(require(out, "out"));
    GYR_ASSIGN(auto made, Workflow::create(runtime->runtime, json));
    *out = make_handle<gyr_workflow>(runtime->runtime, std::move(made));
    return {};
  });
}

GYR_API uint32_t gyr_workflow_fit_passes_left(const gyr_workflow* workflow) noexcept {
  return workflow && workflow->magic == gyr_workflow::kMagic ? workflow->impl->passes_left() : 0;
}

GYR_API gyr_status gyr_workflow_fit_partial(gyr_workflow* workflow, struct ArrowArrayStream* stream, gyr_task* task,
                                            gyr_error* err) noexcept {
  return guard(err, "workflow", [&]() -> Status {
    GYR_TRY(enter(workflow, "workflow"));
    GYR_TRY(enter_task(task));
    GYR_TRY(require(stream, "stream"));
    // Fitted apart and merged at the end: a failure anywhere leaves the statistics as they were.
    GYR_ASSIGN(auto apart, workflow->impl->fork());
    gyr::set_phase(task, "fit", 0);
    auto fit = [&](const Batch& batch) -> Status {
      GYR_TRY(apart->fit_batch(batch));
      gyr::advance(task, uint64_t(batch.rows));
      return {};
    };
    return consume(stream, task, fit, [&] { return workflow->impl->merge(*apart); });
  });
}

GYR_API gyr_status gyr_workflow_merge(gyr_workflow* workflow, const gyr_workflow* other, gyr_error* err) noexcept {
  return guard(err, "workflow", [&]() -> Status {
    GYR_TRY(enter(workflow, "workflow"));
    GYR_TRY(enter(other, "other"));
    return workflow->impl->merge(*other->impl);
  });
}

GYR_API gyr_status gyr_workflow_fit_finish(gyr_workflow* workflow, gyr_error* err) noexcept {
  return guard(err, "workflow", [&]() -> Status {
    GYR_TRY(enter(workflow, "workflow"));
    return workflow->impl->fit_finish();
  });
}

GYR_API gyr_status gyr_workflow_transform(const gyr_workflow* workflow, struct ArrowArrayStream* in,
                                          struct ArrowArrayStream* out, gyr_error* err) noexcept {
  return guard(err, "workflow", [&]() -> Status {
    GYR_TRY(enter(workflow, "workflow"));
    GYR_TRY(require(in, "in"));
    GYR_TRY(require(out, "out"));
    auto state = std::make_shared<Transform>();
    state->workflow = workflow->impl;
    state->in = std::make_unique<ArrowArrayStream>(*in);
    GYR_ASSIGN(state->reader, gyr::ArrowReader::open(state->in.get()));
    GYR_ASSIGN(state->plan, state->workflow->plan(columns_of(state->reader->fields()), {}));
    state->scratch = state->workflow->make_scratch();
    std::vector<gyr::Field> fields;
    for (const std::string& name : state->plan->output_names()) {
      const gyr::ColumnSchema* column = state->workflow->outputs().find(name);
      fields.push_back({name, column->dtype, column->is_list});
    }
    auto next = [state](Batch* batch, bool* end) -> Status {
      GYR_TRY(state->reader->next(&state->batch, end));
      return *end ? Status() : state->workflow->run(*state->plan, state->batch, state->scratch.get(), batch, nullptr);
    };
    ArrowArrayStream made;
    GYR_TRY(gyr::export_stream(std::move(fields), std::move(next), &made));
    in->release = nullptr;  // moved
    state->owns = true;
    *out = made;
    return {};
  });
}

GYR_API gyr_status gyr_workflow_transform_row(const gyr_workflow* workflow, const gyr_value* in, uint64_t n_in,
                                              gyr_value* out, uint64_t n_out, void* scratch, uint64_t scratch_size,
                                              gyr_error* err) noexcept {
  return guard(err, "workflow", [&]() -> Status {
    GYR_TRY(enter(workflow, "workflow"));
    GYR_TRY(require_array(in, "in", n_in, sizeof *in));
    GYR_TRY(require_array(out, "out", n_out, sizeof *out));
    return workflow->impl->run_row(in, n_in, out, n_out, scratch, scratch_size);
  });
}

GYR_API gyr_status gyr_workflow_schema(const gyr_workflow* workflow, char* buffer, uint64_t capacity, uint64_t* size,
                                       gyr_error* err) noexcept {
  return guard(err, "workflow", [&]() -> Status {
    GYR_TRY(enter(workflow, "workflow"));
    return write_text(workflow->impl->describe().dump(), buffer, capacity, size);
  });
}

GYR_API gyr_status gyr_workflow_decode(const gyr_workflow* workflow, const char* column, int64_t code, gyr_value* out,
                                       gyr_error* err) noexcept {
  return guard(err, "workflow", [&]() -> Status {
    GYR_TRY(enter(workflow, "workflow"));
    GYR_TRY(require(column, "column"));
    GYR_TRY(require(out, "out"));
    return workflow->impl->decode(column, code, out);
  });
}

GYR_API gyr_status gyr_workflow_save(const gyr_workflow* workflow, const char* path, gyr_error* err) noexcept {
  return guard(err, "workflow", [&]() -> Status {
    GYR_TRY(enter(workflow, "workflow"));
    GYR_TRY(require(path, "path"));
    gyr::ContainerWriter file;
    GYR_TRY(workflow->impl->save(&file, "workflow"));
    return file.save(path);
  });
}

GYR_API gyr_status gyr_workflow_open(gyr_runtime* runtime, const char* path, gyr_workflow** out,
                                     gyr_error* err) noexcept {
  return guard(err, "workflow", [&] {
    return open_handle<gyr::Workflow>(runtime, path, gyr::Container::Access::kMap, "workflow", out);
  });
}

GYR_API void gyr_workflow_destroy(gyr_workflow* workflow) noexcept { destroy(workflow); }

}  // extern "C"
