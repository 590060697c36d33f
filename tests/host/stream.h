/* Arrow streams of one batch for plain C programs: columns of caller arrays, copied. */
#ifndef GYR_TESTS_HOST_STREAM_H
#define GYR_TESTS_HOST_STREAM_H

#include <gyr/data.h>

enum { kStreamVector = 8 };

typedef struct column {
  const char* name;
  char kind;              /* 'l' int64, 'f' float32, 'g' float64, 'u' strings, 'L' lists of int64,
                             'V' vectors of kStreamVector float32 */
  const void* values;     /* const char *const * for strings */
  const int32_t* offsets; /* [rows+1], lists only */
} column;

/* `broken`: pulling the batch fails with EIO. A failed allocation ends the program: this is the test's own memory. */
struct ArrowArrayStream make_stream(const column* columns, int n, int64_t rows, int broken);

/* Streams, schemas and arrays that this thread made here and that are not released yet. */
extern __thread int live_streams;

/* Releases what a call did not take. */
static inline void drop_stream(struct ArrowArrayStream* stream) {
  if (stream->release) stream->release(stream);
}

#endif
