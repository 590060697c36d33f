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

}  // namespace

Status RawArrowStream::open(ArrowArrayStream* stream) {
  if (!stream || !stream->release)
    return fail(GYR_E_INVALID_ARGUMENT, "data", "the Arrow stream is NULL or was consumed already");
  if (!stream->get_schema || !stream->get_next)
    return fail(GYR_E_INVALID_ARGUMENT, "data", "the Arrow stream has no get_schema or get_next");
  stream_ = stream;
  if (int rc = stream->get_schema(stream, &schema_)) {
    schema_ = {};  // a failed call hands nothing over
    return producer_error(stream, "get_schema", rc);
  }
  if (!schema_.release) return callback_failed(0, "the Arrow stream's get_schema succeeded but gave a released schema");
  return {};
}

RawArrowStream::~RawArrowStream() {
  if (schema_.release) schema_.release(&schema_);
}

Status RawArrowStream::next(Array* out, bool* end) {
  if (!stream_) return fail(GYR_E_INVALID_STATE, "data", "the Arrow stream was accepted already");
  out->reset();
  if (int rc = stream_->get_next(stream_, out)) {
    out->release = nullptr;
    return producer_error(stream_, "get_next", rc);
  }
  *end = !out->release;
  return {};
}

void RawArrowStream::accept() {
  if (!stream_) return;
  if (stream_->release) stream_->release(stream_);
  stream_->release = nullptr;
  stream_ = nullptr;
}

Result<std::unique_ptr<ArrowReader>> ArrowReader::open(ArrowArrayStream* stream) {
  std::unique_ptr<ArrowReader> reader(new ArrowReader);
  GYR_TRY(reader->stream_.open(stream));
  GYR_ASSIGN(reader->fields_, import_fields(reader->stream_.schema()));
  return reader;
}

Status ArrowReader::next(Batch* out, bool* end) {
  RawArrowStream::Array array;
  GYR_TRY(stream_.next(&array, end));
  return *end ? Status() : import_batch(stream_.schema(), array, out);
}

}  // namespace gyr
