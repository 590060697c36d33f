// An Arrow stream over the test's own arrays that allocates nothing while it is read, so that a sweep meets gyr's
// allocations only. Every schema and array that was handed out must be released.
#pragma once

#include <gtest/gtest.h>
#include <gyr/data.h>

#include <memory>
#include <string>
#include <vector>

namespace gyr::test {

class Source {
 public:
  // Gives the same rows `batches` times.
  explicit Source(int batches = 1) : batches_(batches) {}
  Source(const Source&) = delete;
  ~Source() { EXPECT_EQ(given_, released_) << "Arrow schemas or arrays handed out and released"; }

  Source& ints(const char* name, std::vector<int64_t> v) {
    Column& c = column(name, "l", int64_t(v.size()));
    c.ints = std::move(v);
    c.buffers = {nullptr, c.ints.data(), nullptr};
    return *this;
  }
  Source& floats(const char* name, std::vector<float> v) {
    Column& c = column(name, "f", int64_t(v.size()));
    c.floats = std::move(v);
    c.buffers = {nullptr, c.floats.data(), nullptr};
    return *this;
  }
  // Rows of a fixed size.
  Source& vectors(const char* name, uint32_t dim, std::vector<float> v) {
    Column& c = column(name, "+w:" + std::to_string(dim), int64_t(v.size() / dim));
    c.floats = std::move(v);
    c.buffers = {nullptr};
    c.n_buffers = 1;
    return *this;
  }
  Source& strings(const char* name, const std::vector<std::string>& v) {
    Column& c = column(name, "u", int64_t(v.size()));
    c.n_buffers = 3;
    c.offsets = {0};
    for (const std::string& s : v) {
      c.text += s;
      c.offsets.push_back(int32_t(c.text.size()));
    }
    c.buffers = {nullptr, c.offsets.data(), c.text.data()};
    return *this;
  }
  Source& lists(const char* name, const std::vector<std::vector<int64_t>>& v) {
    Column& c = column(name, "+l", int64_t(v.size()));
    c.offsets = {0};
    for (const auto& list : v) {
      c.ints.insert(c.ints.end(), list.begin(), list.end());
      c.offsets.push_back(int32_t(c.ints.size()));
    }
    c.buffers = {nullptr, c.offsets.data(), nullptr};
    return *this;
  }

  // From the first row again.
  ArrowArrayStream open() {
    at_ = 0;
    return {[](ArrowArrayStream* s, ArrowSchema* out) { return self(s)->give_schema(out); },
            [](ArrowArrayStream* s, ArrowArray* out) { return self(s)->give_batch(out); },
            [](ArrowArrayStream*) -> const char* { return nullptr; }, [](ArrowArrayStream* s) { s->release = nullptr; },
            this};
  }

 private:
  struct Column {
    Source* source;
    std::string name;
    std::string format;
    int64_t rows, n_buffers = 2;
    std::vector<int64_t> ints;
    std::vector<float> floats;
    std::vector<int32_t> offsets;
    std::string text;
    std::vector<const void*> buffers;
    const void* leaf_buffers[2] = {};
    ArrowSchema schema = {}, leaf_schema = {}, *schema_children[1] = {&leaf_schema};
    ArrowArray array = {}, leaf_array = {}, *array_children[1] = {&leaf_array};
  };

  static Source* self(ArrowArrayStream* s) { return static_cast<Source*>(s->private_data); }

  Column& column(const char* name, std::string format, int64_t rows) {
    columns_.push_back(std::make_unique<Column>());
    Column& c = *columns_.back();
    c.source = this;
    c.name = name;
    c.format = std::move(format);
    c.rows = rows_ = rows;
    schemas_.push_back(&c.schema);
    arrays_.push_back(&c.array);
    return c;
  }

  template <class T>
  static void child_released(T* t) {
    t->release = nullptr;
  }
  template <class T>
  static void released(T* t) {
    static_cast<Source*>(t->private_data)->released_++;
    t->release = nullptr;
  }

  int give_schema(ArrowSchema* out) {
    for (auto& c : columns_) {
      bool list = c->format[0] == '+';
      c->leaf_schema = {c->floats.empty() ? "l" : "f", "item", nullptr, 0, 0, nullptr, nullptr,
                        child_released<ArrowSchema>,   nullptr};
      c->schema = {c->format.c_str(),
                   c->name.c_str(),
                   nullptr,
                   0,
                   list ? 1 : 0,
                   list ? c->schema_children : nullptr,
                   nullptr,
                   child_released<ArrowSchema>,
                   nullptr};
    }
    *out = {"+s", "", nullptr, 0, int64_t(columns_.size()), schemas_.data(), nullptr, released<ArrowSchema>, this};
    given_++;
    return 0;
  }

  int give_batch(ArrowArray* out) {
    *out = {};
    if (at_ == batches_) return 0;
    at_++;
    for (auto& c : columns_) {
      bool list = c->format[0] == '+';
      if (c->floats.empty())
        c->leaf_buffers[1] = c->ints.data();
      else
        c->leaf_buffers[1] = c->floats.data();
      c->leaf_array = {int64_t(c->ints.size() + c->floats.size()),
                       0,
                       0,
                       2,
                       0,
                       c->leaf_buffers,
                       nullptr,
                       nullptr,
                       child_released<ArrowArray>,
                       nullptr};
      c->array = {c->rows,
                  0,
                  0,
                  c->n_buffers,
                  list ? 1 : 0,
                  c->buffers.data(),
                  list ? c->array_children : nullptr,
                  nullptr,
                  child_released<ArrowArray>,
                  nullptr};
    }
    *out = {rows_, 0, 0, 1, int64_t(columns_.size()), no_buffers_, arrays_.data(), nullptr, released<ArrowArray>, this};
    given_++;
    return 0;
  }

  int batches_, at_ = 0;
  int64_t rows_ = 0, given_ = 0, released_ = 0;
  std::vector<std::unique_ptr<Column>> columns_;
  std::vector<ArrowSchema*> schemas_;
  std::vector<ArrowArray*> arrays_;
  const void* no_buffers_[1] = {nullptr};
};

// What gyr says of streams: moved from on success only, and released in every case.
inline gyr_status finish(gyr_status status, ArrowArrayStream* stream) {
  if (status != GYR_OK) {
    EXPECT_NE(stream->release, nullptr) << "a failed call took the stream";
  }
  if (stream->release) stream->release(stream);
  return status;
}

}  // namespace gyr::test
