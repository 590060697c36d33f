/* gyr/data.h: how data crosses the boundary: Arrow C streams for tables, views for hot calls.
 *
 * Arrow types read: b c C s S i I l L f g u U vu tsX tdD (dates), dictionaries of those, lists (+l +L) of those,
 * null (n). uint64 above 2^63-1 is refused. Imported arrays are validated in full (lengths, offsets, UTF-8,
 * dictionary indices) before use. A non-const ArrowArrayStream* is moved from on success only: afterwards run
 * `if (s.release) s.release(&s)` in every case. */
#ifndef GYR_DATA_H
#define GYR_DATA_H

#include <gyr/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The Arrow C data and stream interfaces, verbatim ABI:
 * https://arrow.apache.org/docs/format/CDataInterface.html */
#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE
#define ARROW_FLAG_DICTIONARY_ORDERED 1
#define ARROW_FLAG_NULLABLE 2
#define ARROW_FLAG_MAP_KEYS_SORTED 4
struct ArrowSchema {
  const char *format;
  const char *name;
  const char *metadata;
  int64_t flags;
  int64_t n_children;
  struct ArrowSchema **children;
  struct ArrowSchema *dictionary;
  void (*release)(struct ArrowSchema *);
  void *private_data;
};
struct ArrowArray {
  int64_t length;
  int64_t null_count;
  int64_t offset;
  int64_t n_buffers;
  int64_t n_children;
  const void **buffers;
  struct ArrowArray **children;
  struct ArrowArray *dictionary;
  void (*release)(struct ArrowArray *);
  void *private_data;
};
#endif
#ifndef ARROW_C_STREAM_INTERFACE
#define ARROW_C_STREAM_INTERFACE
struct ArrowArrayStream {
  int (*get_schema)(struct ArrowArrayStream *, struct ArrowSchema *out);
  int (*get_next)(struct ArrowArrayStream *, struct ArrowArray *out);
  const char *(*get_last_error)(struct ArrowArrayStream *);
  void (*release)(struct ArrowArrayStream *);
  void *private_data;
};
#endif

/** Element type of a column or a view. */
typedef int32_t gyr_dtype;
enum {
  GYR_DTYPE_NONE = 0,
  GYR_DTYPE_BOOL = 1,   /**< uint8_t 0/1 in caller memory */
  GYR_DTYPE_INT8 = 2,
  GYR_DTYPE_INT16 = 3,
  GYR_DTYPE_INT32 = 4,
  GYR_DTYPE_INT64 = 5,
  GYR_DTYPE_UINT8 = 6,
  GYR_DTYPE_UINT16 = 7,
  GYR_DTYPE_UINT32 = 8,
  GYR_DTYPE_UINT64 = 9,
  GYR_DTYPE_FLOAT32 = 10,
  GYR_DTYPE_FLOAT64 = 11,
  GYR_DTYPE_STRING = 12,    /**< UTF-8 */
  GYR_DTYPE_TIMESTAMP = 13  /**< int64 microseconds since the Unix epoch, UTC */
};

/** What a single looked-up value is. Silent defaults do not exist in gyr. */
enum {
  GYR_VALUE_PRESENT = 0,
  GYR_VALUE_NULL = 1,    /**< the row exists, the value is null */
  GYR_VALUE_MISSING = 2, /**< no such key */
  GYR_VALUE_EXPIRED = 3, /**< the row is older than its TTL */
  GYR_VALUE_DEFAULT = 4, /**< a configured default was written */
  GYR_VALUE_DEADLINE = 5, /**< not there yet: it is still being fetched */
  GYR_VALUE_ERROR = 6     /**< could not be read where it is kept */
};

/** A batch of entity keys: either int64 ids or strings. */
typedef struct gyr_keys {
  uint32_t struct_size;
  gyr_dtype dtype;         /**< GYR_DTYPE_INT64 or GYR_DTYPE_STRING */
  uint64_t count;          /**< number of keys */
  const int64_t *ints;     /**< [count] when INT64 */
  const gyr_str *strings;  /**< [count] when STRING */
} gyr_keys;

/** One value of any type, for rows. Lists point to caller memory. */
typedef struct gyr_value {
  gyr_dtype dtype;        /**< type of the value or of the list's elements; GYR_DTYPE_NONE = null */
  uint32_t is_list;       /**< 1: `list` points to `count` int64_t, double or gyr_str */
  int64_t i;              /**< integers, bool, timestamp */
  double f;               /**< floats */
  gyr_str s;              /**< string */
  const void *list;       /**< elements when is_list is 1 */
  uint64_t count;         /**< number of elements */
} gyr_value;

#ifdef __cplusplus
}
#endif
#endif
