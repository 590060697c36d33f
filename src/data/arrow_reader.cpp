#include "data/arrow.h"

namespace gyr {
namespace {

[[gnu::format(printf, 2, 3)]] Status callback_failed(int rc, const char* format, ...) {
  va_list args;
  va_start(args, format);
  Status s = Status::make(GYR_E_CALLBACK, "data", rc, format, args);
  va_end(args);
  return std::move(s).with_flags(GYR_ERROR_FROM_CALLBACK);
}

Status producer_error(ArrowArrayStream* stream, const char* call, int rc) {
  const char* text = stream->get_last_error ? stream->get_last_error(stream) : nullptr;
  return callback_failed(rc, "the Arrow stream's %s failed with %d: %.300s", call, rc,
                         text ? text : "(the producer gave no message)");
}

// One array, released exactly once however import ends.
struct OwnedArray : ArrowArray {
  OwnedArray() : ArrowArray{} {}
  OwnedArray(const OwnedArray&) = delete;
  ~OwnedArray() {
    if (release) release(this);
  }
};

}  // namespace

Result<std::unique_ptr<ArrowReader>> ArrowReader::open(ArrowArrayStream* stream) {
  if (!stream || !stream->release)
    return fail(GYR_E_INVALID_ARGUMENT, "data", "the Arrow stream is NULL or was consumed already");
  if (!stream->get_schema || !stream->get_next)
    return fail(GYR_E_INVALID_ARGUMENT, "data", "the Arrow stream has no get_schema or get_next");
  std::unique_ptr<ArrowReader> reader(new ArrowReader);
  reader->stream_ = stream;
  if (int rc = stream->get_schema(stream, &reader->schema_)) {
    reader->schema_ = {};  // a failed call hands nothing over
    return producer_error(stream, "get_schema", rc);
  }
  if (!reader->schema_.release)
    return callback_failed(0, "the Arrow stream's get_schema succeeded but gave a released schema");
  GYR_ASSIGN(reader->fields_, import_fields(reader->schema_));
  return reader;
}

ArrowReader::~ArrowReader() {
  if (schema_.release) schema_.release(&schema_);
}

Status ArrowReader::next(Batch* out, bool* end) {
  if (!stream_) return fail(GYR_E_INVALID_STATE, "data", "the Arrow stream was accepted already");
  OwnedArray array;
  if (int rc = stream_->get_next(stream_, &array)) {
    array.release = nullptr;
    return producer_error(stream_, "get_next", rc);
  }
  *end = !array.release;
  return *end ? Status() : import_batch(schema_, array, out);
}

void ArrowReader::accept() {
  if (!stream_) return;
  if (stream_->release) stream_->release(stream_);
  stream_->release = nullptr;
  stream_ = nullptr;
}

}  // namespace gyr
