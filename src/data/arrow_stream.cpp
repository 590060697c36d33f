#include <cerrno>
#include <exception>

#include "base/host_thread.h"
#include "base/thread_storage.h"
#include "data/arrow.h"

namespace gyr {
namespace {

struct StreamState {
  std::vector<Field> fields;
  BatchSource next;
  Batch batch;
  bool done = false;
  int failed = 0;  // errno of the pull that failed: rows may be lost, so all later ones fail, too
  char error[sizeof(ErrorInfo::message)] = {};
};

int errno_of(const Status& s) {
  switch (s.code()) {
    case GYR_E_OUT_OF_MEMORY:
    case GYR_E_RESOURCE_EXHAUSTED:
      return ENOMEM;
    case GYR_E_CANCELLED:
      return ECANCELED;
    case GYR_E_DEADLINE:
      return ETIMEDOUT;
    case GYR_E_IO:
      return s.info() && s.info()->os_errno ? s.info()->os_errno : EIO;
    default:
      return EINVAL;
  }
}

// The consumer is C: nothing may be thrown past here.
template <class Body>
int call(ArrowArrayStream* stream, Body&& body) noexcept {
  HostThread borrowed;
  if (!have_thread_storage()) return ENOMEM;
  auto* state = static_cast<StreamState*>(stream->private_data);
  try {
    Status s = body(*state);
    state->error[0] = 0;
    if (s.ok()) return 0;
    std::snprintf(state->error, sizeof state->error, "%s", s.message());
    return errno_of(s);
  } catch (const std::bad_alloc& e) {
    std::snprintf(state->error, sizeof state->error, "out of memory: %s", e.what());
    return ENOMEM;
  } catch (const std::exception& e) {
    std::snprintf(state->error, sizeof state->error, "%s", e.what());
    return EIO;
  }
}

Status check_fields(const std::vector<Field>& fields, const Batch& batch) {
  GYR_CHECK(batch.columns.size() == fields.size(), "data");
  for (size_t i = 0; i < fields.size(); i++)
    if (batch.columns[i].dtype != fields[i].dtype || batch.columns[i].is_list != fields[i].is_list)
      return fail(GYR_E_INTERNAL, "data", "column \"%.80s\": batch has %s, schema %s", fields[i].name.c_str(),
                  dtype_name(batch.columns[i].dtype), dtype_name(fields[i].dtype));
  return {};
}

int get_schema(ArrowArrayStream* stream, ArrowSchema* out) {
  return call(stream, [&](StreamState& state) { return export_schema(state.fields, out); });
}

int get_next(ArrowArrayStream* stream, ArrowArray* out) {
  int& failed = static_cast<StreamState*>(stream->private_data)->failed;
  if (failed) return failed;
  return failed = call(stream, [&](StreamState& state) -> Status {
           if (!state.done) GYR_TRY(state.next(&state.batch, &state.done));
           if (state.done) return *out = {}, Status();
           GYR_TRY(check_fields(state.fields, state.batch));
           return export_batch(state.batch, out);
         });
}

const char* get_last_error(ArrowArrayStream* stream) {
  auto* state = static_cast<StreamState*>(stream->private_data);
  return state->error[0] ? state->error : nullptr;
}

void release_stream(ArrowArrayStream* stream) {
  HostThread borrowed;
  delete static_cast<StreamState*>(stream->private_data);
  stream->release = nullptr;
}

}  // namespace

Status export_stream(std::vector<Field> fields, BatchSource next, ArrowArrayStream* out) {
  auto state = std::make_unique<StreamState>();
  state->fields = std::move(fields);
  state->next = std::move(next);
  *out = {get_schema, get_next, get_last_error, release_stream, state.release()};
  return {};
}

}  // namespace gyr
