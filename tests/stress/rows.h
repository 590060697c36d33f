// Arrow streams out of vectors, and a runtime, for setting things up.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tests/data/arrow_builder.h"
#include "tests/stress/hammer.h"

namespace gyr::stress {

class Rows {
 public:
  Rows() = default;
  Rows(const Rows&) = delete;
  Rows& operator=(const Rows&) = delete;
  ~Rows() {
    for (auto& s : schemas_) s.release(&s);
    for (auto& a : arrays_) a.release(&a);
  }
  Rows& ints(const char* name, const std::vector<int64_t>& v, const char* format = "l") {
    return add(testing::schema(format, name), testing::array(size(v), {{}, testing::bytes(v)}));
  }
  Rows& floats(const char* name, const std::vector<float>& v) {
    return add(testing::schema("f", name), testing::array(size(v), {{}, testing::bytes(v)}));
  }
  Rows& doubles(const char* name, const std::vector<double>& v) {
    return add(testing::schema("g", name), testing::array(size(v), {{}, testing::bytes(v)}));
  }
  Rows& strings(const char* name, const std::vector<std::string>& v) {
    std::vector<int32_t> offsets{0};
    std::string all;
    for (auto& s : v) all += s, offsets.push_back(int32_t(all.size()));
    return add(testing::schema("u", name), testing::array(size(v), {{}, testing::bytes(offsets), testing::text(all)}));
  }
  Rows& lists(const char* name, const std::vector<std::vector<int64_t>>& v) {
    std::vector<int32_t> offsets{0};
    std::vector<int64_t> all;
    for (auto& l : v) all.insert(all.end(), l.begin(), l.end()), offsets.push_back(int32_t(all.size()));
    return add(
        testing::schema("+l", name, {testing::schema("l", "item")}),
        testing::array(size(v), {{}, testing::bytes(offsets)}, {testing::array(size(all), {{}, testing::bytes(all)})}));
  }
  // Takes everything added so far as one batch.
  ArrowArrayStream stream() {
    auto schemas = std::exchange(schemas_, {});
    auto arrays = std::exchange(arrays_, {});
    return testing::stream(testing::schema("+s", "", schemas), {testing::array(rows_, {{}}, arrays)});
  }

 private:
  template <class T>
  static int64_t size(const std::vector<T>& v) {
    return int64_t(v.size());
  }
  Rows& add(ArrowSchema schema, ArrowArray array) {
    rows_ = array.length;
    schemas_.push_back(schema);
    arrays_.push_back(array);
    return *this;
  }
  std::vector<ArrowSchema> schemas_;
  std::vector<ArrowArray> arrays_;
  int64_t rows_ = 0;
};

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
