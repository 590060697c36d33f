// Arrow C data interface in and out. Import copies into Columns after full validation; see gyr/data.h for the types.
#pragma once

#include <gyr/data.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "data/column.h"

namespace gyr {

struct Field {
  std::string name;
  gyr_dtype dtype = GYR_DTYPE_NONE;
  bool is_list = false;
};

// A stream's schema and arrays as they are. Takes the stream only in accept(), so a failing call leaves it with the
// caller.
class RawArrowStream {
 public:
  // Released exactly once however its use ends.
  struct Array : ArrowArray {
    Array() : ArrowArray{} {}
    Array(const Array&) = delete;
    Array& operator=(const Array&) = delete;
    ~Array() { reset(); }
    void reset() {
      if (release) release(this);
      release = nullptr;
    }
  };
  RawArrowStream() = default;
  RawArrowStream(const RawArrowStream&) = delete;
  ~RawArrowStream();
  Status open(ArrowArrayStream* stream);
  const ArrowSchema& schema() const { return schema_; }
  // The next array, in place of what *out held, or *end = true. CALLBACK when the producer failed.
  Status next(Array* out, bool* end);
  void accept();

 private:
  ArrowArrayStream* stream_ = nullptr;
  ArrowSchema schema_{};
};

// Reads a stream batch by batch. Takes the stream only in accept(), so a failing call leaves it with the caller.
class ArrowReader {
 public:
  // `stream` stays owned by the caller until accept().
  static Result<std::unique_ptr<ArrowReader>> open(ArrowArrayStream* stream);
  const std::vector<Field>& fields() const { return fields_; }
  // Next batch, or *end = true. CORRUPT for invalid arrays (naming column and row), CALLBACK when the producer failed.
  Status next(Batch* out, bool* end);
  // The call succeeded: releases the stream and marks it moved.
  void accept() { stream_.accept(); }

 private:
  ArrowReader() = default;
  RawArrowStream stream_;
  std::vector<Field> fields_;
};

// Import of one array (a struct array, or RecordBatch) with its schema; neither is released.
Status import_batch(const ArrowSchema& schema, const ArrowArray& array, Batch* out);
Result<std::vector<Field>> import_fields(const ArrowSchema& schema);

// Exports copies that own their memory.
Status export_batch(const Batch& batch, ArrowArray* out);
Status export_schema(const std::vector<Field>& fields, ArrowSchema* out);
std::vector<Field> fields_of(const Batch& batch);

// A stream whose batches come from `next` (sets *end when there are no more). Errors reach get_last_error.
using BatchSource = std::function<Status(Batch* out, bool* end)>;
Status export_stream(std::vector<Field> fields, BatchSource next, ArrowArrayStream* out);

}  // namespace gyr
