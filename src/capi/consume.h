// An Arrow stream that a call reads to its end.
#pragma once

#include "capi/guard.h"
#include "data/arrow.h"
#include "exec/task.h"

namespace gyr::capi {

// Reads a stream with `read`; it is taken only when that succeeded.
template <class Read>
Status read_stream(ArrowArrayStream* stream, Read&& read) {
  GYR_TRY(require(stream, "stream"));
  GYR_ASSIGN(std::unique_ptr<ArrowReader> reader, ArrowReader::open(stream));
  GYR_TRY(read(reader.get()));
  reader->accept();
  return {};
}

// Feeds every batch of a stream to `use`; it is taken only when `done` succeeded too.
template <class Use, class Done>
Status consume(ArrowArrayStream* stream, gyr_task* task, Use&& use, Done&& done) {
  return read_stream(stream, [&](ArrowReader* reader) -> Status {
    Batch batch;
    for (bool end = false;;) {
      GYR_TRY(check(task));
      GYR_TRY(reader->next(&batch, &end));
      if (end) return done();
      GYR_TRY(use(batch));
    }
  });
}

}  // namespace gyr::capi
