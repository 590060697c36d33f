// An Arrow stream that a call reads to its end.
#pragma once

#include "capi/guard.h"
#include "data/arrow.h"
#include "exec/task.h"

namespace gyr::capi {

// Feeds every batch of a stream to `use`; the stream is taken only when `done` succeeded too.
template <class Use, class Done>
Status consume(ArrowArrayStream* stream, gyr_task* task, Use&& use, Done&& done) {
  GYR_TRY(require(stream, "stream"));
  GYR_ASSIGN(std::unique_ptr<ArrowReader> reader, ArrowReader::open(stream));
  Batch batch;
  for (bool end = false;;) {
    GYR_TRY(check(task));
    GYR_TRY(reader->next(&batch, &end));
    if (end) break;
    GYR_TRY(use(batch));
  }
  GYR_TRY(done());
  reader->accept();
  return {};
}

}  // namespace gyr::capi
