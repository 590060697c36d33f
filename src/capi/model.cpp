#include <gyr/model.h>

#include "base/json.h"
#include "capi/consume.h"
#include "capi/guard.h"
#include "capi/handles.h"
#include "capi/open.h"
#include "model/model.h"

using namespace gyr;
using namespace gyr::capi;

namespace {

// The columns of a batch in the order the model wants them.
Status bind(const Batch& batch, const ModelInputs& inputs, std::vector<const Column*>* out) {
  out->clear();
  for (const std::string& name : inputs.names) {
    int at = batch.find(name);
    if (at < 0) return fail(GYR_E_INVALID_ARGUMENT, "model", "the stream has no column \"%s\"", name.c_str());
    out->push_back(&batch.columns[size_t(at)]);
  }
  return {};
}

Status room(uint64_t have, int64_t adding, uint64_t capacity) {
  if (uint64_t(adding) <= capacity - have) return {};
  return fail(GYR_E_RESOURCE_EXHAUSTED, "model", "the stream has more rows than capacity_rows (%llu)",
              (unsigned long long)capacity);
}

}  // namespace

extern "C" {

GYR_API gyr_status gyr_trainer_create(gyr_runtime* runtime, const char* spec_json, const char* schema_json,
                                      gyr_trainer** out, gyr_error* err) noexcept {
  return guard(err, "model", [&]() -> Status {
    GYR_TRY(enter(runtime, "runtime"));
    GYR_TRY(require(spec_json, "spec_json"));
    GYR_TRY(require(schema_json, "schema_json"));
    GYR_TRY(require(out, "out"));
    GYR_ASSIGN(std::unique_ptr<Trainer> trainer, Trainer::create(runtime->runtime, spec_json, schema_json));
    *out = make_handle<gyr_trainer>(runtime->runtime, std::shared_ptr<Trainer>(std::move(trainer)));
    return {};
  });
}

GYR_API gyr_status gyr_trainer_add_items(gyr_trainer* trainer, struct ArrowArrayStream* stream, gyr_task* task,
                                         gyr_error* err) noexcept {
  return guard(err, "model", [&]() -> Status {
    GYR_TRY(enter(trainer, "trainer"));
    GYR_TRY(enter_task(task));
    Trainer* t = trainer->impl.get();
    struct Undo {  // a stream that fails half way leaves the catalogue as it was
      Trainer* t;
      int64_t begun = t->items_added();
      bool keep = false;
      ~Undo() {
        if (!keep) t->truncate_items(begun);
      }
    } undo{t};
    GYR_TRY(consume(
        stream, task, [&](const Batch& b) { return t->add_items(b); }, [] { return Status(); }));
    undo.keep = true;
    return {};
  });
}

GYR_API gyr_status gyr_trainer_fit(gyr_trainer* trainer, struct ArrowArrayStream* stream, gyr_task* task,
                                   gyr_error* err) noexcept {
  return guard(err, "model", [&]() -> Status {
    GYR_TRY(enter(trainer, "trainer"));
    GYR_TRY(enter_task(task));
    struct DropRows {
      Trainer* t;
      ~DropRows() { t->drop_rows(); }
    } drop{trainer->impl.get()};
    return consume(
        stream, task, [&](const Batch& b) { return trainer->impl->add_rows(b); },
        [&] { return trainer->impl->fit(task); });
  });
}

GYR_API gyr_status gyr_trainer_history(const gyr_trainer* trainer, char* buffer, uint64_t capacity, uint64_t* size,
                                       gyr_error* err) noexcept {
  return guard(err, "model", [&]() -> Status {
    GYR_TRY(enter(trainer, "trainer"));
    return write_text(trainer->impl->history().dump(), buffer, capacity, size);
  });
}

GYR_API gyr_status gyr_trainer_export(const gyr_trainer* trainer, gyr_model** out, gyr_error* err) noexcept {
  return guard(err, "model", [&]() -> Status {
    GYR_TRY(enter(trainer, "trainer"));
    GYR_TRY(require(out, "out"));
    GYR_ASSIGN(std::shared_ptr<const Model> model, trainer->impl->export_model());
    *out = make_handle<gyr_model>(trainer->runtime, std::move(model));
    return {};
  });
}

GYR_API void gyr_trainer_destroy(gyr_trainer* trainer) noexcept { destroy(trainer); }

GYR_API gyr_status gyr_model_encode(const gyr_model* model, gyr_side side, struct ArrowArrayStream* stream, float* out,
                                    uint64_t capacity_rows, uint64_t* rows, gyr_error* err) noexcept {
  return guard(err, "model", [&]() -> Status {
    GYR_TRY(enter(model, "model"));
    GYR_TRY(require(rows, "rows"));
    if (capacity_rows) GYR_TRY(require(out, "out"));
    if (side != GYR_SIDE_USER && side != GYR_SIDE_ITEM)
      return fail(GYR_E_INVALID_ARGUMENT, "model", "side is %d; use GYR_SIDE_USER or GYR_SIDE_ITEM", side);
    const Model& m = *model->impl;
    if (m.dim() == 0) return fail(GYR_E_UNSUPPORTED, "model", "%s models have no towers to encode with", m.kind());
    auto scratch = m.make_scratch();
    std::vector<const Column*> columns;
    uint64_t done = 0;
    GYR_TRY(consume(
        stream, nullptr,
        [&](const Batch& b) -> Status {
          GYR_TRY(bind(b, m.encode_inputs(side), &columns));
          GYR_TRY(room(done, b.rows, capacity_rows));
          GYR_TRY(m.encode(side, columns, b.rows, scratch.get(), out + done * m.dim()));
          done += uint64_t(b.rows);
          return {};
        },
        [] { return Status(); }));
    *rows = done;
    return {};
  });
}

GYR_API gyr_status gyr_model_predict(const gyr_model* model, struct ArrowArrayStream* stream, float* out,
                                     uint64_t capacity_rows, uint64_t* rows, gyr_error* err) noexcept {
  return guard(err, "model", [&]() -> Status {
    GYR_TRY(enter(model, "model"));
    GYR_TRY(require(rows, "rows"));
    if (capacity_rows) GYR_TRY(require(out, "out"));
    const Model& m = *model->impl;
    auto scratch = m.make_scratch();
    uint64_t done = 0;
    GYR_TRY(consume(
        stream, nullptr,
        [&](const Batch& b) -> Status {
          GYR_TRY(room(done, b.rows, capacity_rows));
          GYR_TRY(m.predict(b, scratch.get(), out + done));
          done += uint64_t(b.rows);
          return {};
        },
        [] { return Status(); }));
    *rows = done;
    return {};
  });
}

GYR_API gyr_status gyr_model_recommend(const gyr_model* model, const int64_t* items, const int64_t* offsets, uint64_t n,
                                       uint32_t k, const int64_t* exclude, const int64_t* exclude_offsets,
                                       int64_t* out_items, float* out_scores, gyr_error* err) noexcept {
  return guard(err, "model", [&]() -> Status {
    GYR_TRY(enter(model, "model"));
    if (k < 1 || k > 65536) return fail(GYR_E_INVALID_ARGUMENT, "model", "k is %u; expected 1..65536", k);
    if (n == 0) return {};
    GYR_TRY(require_array(offsets, "offsets", n, sizeof *offsets));
    if (exclude) GYR_TRY(require(exclude_offsets, "exclude_offsets"));
    GYR_TRY(require_array(out_items, "out_items", n, k * sizeof *out_items));
    return model->impl->recommend(items, offsets, n, k, exclude, exclude_offsets, out_items, out_scores);
  });
}

GYR_API gyr_status gyr_model_describe(const gyr_model* model, char* buffer, uint64_t capacity, uint64_t* size,
                                      gyr_error* err) noexcept {
  return guard(err, "model", [&]() -> Status {
    GYR_TRY(enter(model, "model"));
    return write_text(model->impl->describe().dump(), buffer, capacity, size);
  });
}

GYR_API gyr_status gyr_model_save(const gyr_model* model, const char* path, gyr_error* err) noexcept {
  return guard(err, "model", [&]() -> Status {
    GYR_TRY(enter(model, "model"));
    GYR_TRY(require(path, "path"));
    ContainerWriter file;
    GYR_TRY(model->impl->save(&file, "model"));
    return file.save(path);
  });
}

GYR_API gyr_status gyr_model_open(gyr_runtime* runtime, const char* path, gyr_model** out, gyr_error* err) noexcept {
  return guard(err, "model",
               [&] { return open_handle<gyr::Model>(runtime, path, gyr::Container::Access::kMap, "model", out); });
}

GYR_API void gyr_model_destroy(gyr_model* model) noexcept { destroy(model); }

}  // extern "C"
