// Streams, texts and a runtime, for setting things up.
#pragma once

#include <string>
#include <vector>

#include "tests/stress/hammer.h"
#include "tests/support/rows.h"

namespace gyr::stress {

using test::Rows;

inline void release(ArrowArrayStream* s) {
  if (s->release) s->release(s);
}

// Calls f(batch) for each batch of a stream and releases everything.
template <class F>
void read(ArrowArrayStream* stream, F&& f) {
  for (;;) {
    ArrowArray batch{};
    int rc = stream->get_next(stream, &batch);
    MUST(rc == 0) << stream->get_last_error(stream);
    if (rc != 0 || !batch.release) break;
    f(batch);
    batch.release(&batch);
  }
  stream->release(stream);
}
template <class T>
const T* values(const ArrowArray& column, int buffer = 1) {
  return static_cast<const T*>(column.buffers[buffer]) + column.offset;
}

inline gyr_runtime* make_runtime(uint32_t threads) {
  Error err;
  gyr_runtime_options o{};
  o.struct_size = sizeof o;
  o.threads = threads;
  gyr_runtime* runtime = nullptr;
  MUST_OK(err, gyr_runtime_create(&o, &runtime, &err));
  return runtime;
}

inline gyr_keys keys_of(const std::vector<int64_t>& ids) {
  return {sizeof(gyr_keys), GYR_DTYPE_INT64, ids.size(), ids.data(), nullptr};
}

// Text by the size-then-fill convention; a text that grew meanwhile is asked for again.
template <class F>
std::string text_of(F&& call) {
  std::string text;
  for (;;) {
    Error err;
    uint64_t size = 0;
    MUST_OK(err, call(nullptr, 0, &size, &err));
    text.resize(size);
    gyr_status s = call(text.data(), text.size(), &size, &err);
    if (s == GYR_E_RESOURCE_EXHAUSTED) continue;
    MUST(s == GYR_OK) << err.message;
    text.resize(size ? size - 1 : 0);
    return text;
  }
}
// The number after the first `"name":` of a JSON text; -1 when there is none.
inline int64_t number_in(const std::string& json, const std::string& name) {
  size_t at = json.find("\"" + name + "\":");
  return at == std::string::npos ? -1 : std::atoll(json.c_str() + at + name.size() + 3);
}

}  // namespace gyr::stress
