// Batches of equally long int64 columns as an Arrow stream that borrows the caller's vectors: what a producer that has
// its columns ready hands over, with no copy on this side.
#pragma once

#include <gyr/data.h>

#include <cstdint>
#include <string>
#include <vector>

namespace compare {

class ArrowRows {
 public:
  // formats: "l" int64, "g" float64, "tsu:UTC" timestamps; all 8 bytes wide.
  ArrowRows(std::vector<std::string> names, std::vector<std::string> formats)
      : names_(std::move(names)), formats_(std::move(formats)), columns(names_.size()) {}

  // Batches of `batch` rows out of the columns' rows [begin, end).
  ArrowArrayStream stream(size_t begin, size_t end, size_t batch) {
    at_ = begin, end_ = end, batch_ = batch;
    return {get_schema, get_next, [](ArrowArrayStream*) { return ""; },
            [](ArrowArrayStream* s) { s->release = nullptr; }, this};
  }

 private:
  static int get_schema(ArrowArrayStream* s, ArrowSchema* out) {
    auto& me = *static_cast<ArrowRows*>(s->private_data);
    size_t n = me.names_.size();
    me.schemas_.assign(n, {});
    me.schema_list_.clear();
    for (size_t c = 0; c < n; c++) {
      me.schemas_[c] = {me.formats_[c].c_str(),
                        me.names_[c].c_str(),
                        nullptr,
                        ARROW_FLAG_NULLABLE,
                        0,
                        nullptr,
                        nullptr,
                        [](ArrowSchema* x) { x->release = nullptr; },
                        nullptr};
      me.schema_list_.push_back(&me.schemas_[c]);
    }
    *out = {"+s",       "",
            nullptr,    0,
            int64_t(n), me.schema_list_.data(),
            nullptr,    [](ArrowSchema* x) { x->release = nullptr; },
            nullptr};
    return 0;
  }
  static int get_next(ArrowArrayStream* s, ArrowArray* out) {
    auto& me = *static_cast<ArrowRows*>(s->private_data);
    *out = {};
    if (me.at_ >= me.end_) return 0;
    size_t n = me.names_.size(), rows = me.end_ - me.at_ < me.batch_ ? me.end_ - me.at_ : me.batch_;
    me.arrays_.assign(n, {});
    me.buffers_.assign(2 * n, nullptr);
    me.array_list_.clear();
    for (size_t c = 0; c < n; c++) {
      me.buffers_[2 * c + 1] = me.columns[c].data() + me.at_;
      me.arrays_[c] = {
          int64_t(rows), 0, 0, 2, 0, &me.buffers_[2 * c], nullptr, nullptr, [](ArrowArray* x) { x->release = nullptr; },
          nullptr};
      me.array_list_.push_back(&me.arrays_[c]);
    }
    static const void* no_buffers[1] = {nullptr};
    *out = {int64_t(rows),
            0,
            0,
            1,
            int64_t(n),
            no_buffers,
            me.array_list_.data(),
            nullptr,
            [](ArrowArray* x) { x->release = nullptr; },
            nullptr};
    me.at_ += rows;
    return 0;
  }

  std::vector<std::string> names_, formats_;
  size_t at_ = 0, end_ = 0, batch_ = 0;
  std::vector<ArrowSchema> schemas_;
  std::vector<ArrowSchema*> schema_list_;
  std::vector<ArrowArray> arrays_;
  std::vector<ArrowArray*> array_list_;
  std::vector<const void*> buffers_;

 public:
  std::vector<std::vector<int64_t>> columns;  // float64 columns hold the bits
};

}  // namespace compare
