/* gyr/table.h: the online feature table (Feast's and Redis' place).
 *
 * Schema as JSON (docs/table.md): {"name":"users","key":"user_id","key_dtype":"int64","event_time":"ts",
 *   "ttl_seconds":0,"columns":[{"name":"age","dtype":"float32"},{"name":"genres","dtype":"string","list":true}]}
 * Event times are microseconds since the epoch. A row is visible at time `now` when event_time <= now and
 * (ttl 0 or now <= event_time + ttl). An upsert older than the stored row is ignored; an equal one replaces it. */
#ifndef GYR_TABLE_H
#define GYR_TABLE_H

#include <gyr/data.h>
#include <gyr/runtime.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A table of rows by key, read and written live. */
typedef struct gyr_table gyr_table;

/** Creates an empty table.
 * @param runtime the runtime
 * @param schema_json NUL-terminated schema; errors name the path
 * @param out receives the handle
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT
 * @ownership caller destroys *out
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_table_create(gyr_runtime *runtime, const char *schema_json, gyr_table **out,
                                    gyr_error *err) GYR_NOEXCEPT;

/** What an upsert did. */
typedef struct gyr_upsert_stats {
  uint32_t struct_size;
  uint32_t reserved;
  uint64_t rows;     /**< rows read */
  uint64_t applied;  /**< rows written */
  uint64_t stale;    /**< ignored: older than what is stored */
} gyr_upsert_stats;

/** Upserts the rows of a stream that has the key, the event time (when the schema names one; otherwise 0) and any
 * subset of the columns; absent columns keep their stored values. Batches apply in order; on failure the batches
 * before the bad one are in, which stats tell. Runs concurrently with readers and other upserts.
 * @param table the table
 * @param stream consumed on success
 * @param stats nullable; filled on success and failure
 * @param task nullable
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT, UNSUPPORTED, OUT_OF_RANGE, CORRUPT, CALLBACK (the stream), CANCELLED, DEADLINE
 * @ownership moves *stream on success
 * @threadsafe any
 * @blocking reads the whole stream
 * @since 0.1 */
GYR_API gyr_status gyr_table_upsert(gyr_table *table, struct ArrowArrayStream *stream, gyr_upsert_stats *stats,
                                    gyr_task *task, gyr_error *err) GYR_NOEXCEPT;

/** Upserts one row without Arrow (a live event). Values follow `columns`; columns not named keep their values.
 * @param table the table
 * @param key one key (count 1)
 * @param event_time_us event time, microseconds
 * @param columns [n] column names
 * @param values [n] values
 * @param n number of columns
 * @param applied nullable; receives 1 when written, 0 when stale
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT, NOT_FOUND (column), OUT_OF_RANGE (n, a length)
 * @ownership borrows arguments during the call
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_table_upsert_row(gyr_table *table, const gyr_keys *key, int64_t event_time_us,
                                        const char *const *columns, const gyr_value *values, uint64_t n,
                                        uint32_t *applied, gyr_error *err) GYR_NOEXCEPT;

/** Deletes rows.
 * @param table the table
 * @param keys which
 * @param deleted nullable; receives how many existed
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT, OUT_OF_RANGE (keys.count)
 * @ownership borrows keys
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_table_delete(gyr_table *table, const gyr_keys *keys, uint64_t *deleted,
                                    gyr_error *err) GYR_NOEXCEPT;

/** One column to read into caller memory.
 * Scalars: `values` holds count elements of `dtype`. Strings: `values` is gyr_str[count] whose bytes are copied to
 * `heap`. Lists: `values` holds all elements back to back, `offsets` [count+1] their ranges. Values that are not
 * present are zero. */
typedef struct gyr_table_column {
  uint32_t struct_size;
  gyr_dtype dtype;          /**< wanted type; numbers convert when lossless for the column's type */
  const char *name;         /**< of the column */
  void *values;             /**< receives the values */
  uint64_t values_capacity; /**< elements */
  int64_t *offsets;         /**< [count+1], lists only */
  uint8_t *status;          /**< [count] GYR_VALUE_*; nullable only if you do not care */
  char *heap;               /**< string bytes; nullable when no strings */
  uint64_t heap_capacity;   /**< bytes */
  uint8_t *element_valid;   /**< lists: [values_capacity] receives 1, or 0 for a null element; nullable: null elements
                                 then read as zero */
} gyr_table_column;

/** Batch get: `keys.count` rows x `n` columns.
 * @param table the table
 * @param keys which rows
 * @param now_us read time, microseconds; INT64_MAX = ignore TTL and future checks, 0 = the wall clock
 * @param columns [n] destinations
 * @param n number of columns
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT, NOT_FOUND (column), OUT_OF_RANGE (keys.count, n), RESOURCE_EXHAUSTED (a capacity;
 *         message says needed)
 * @ownership fills caller memory
 * @threadsafe any, concurrent with writers; each row is read whole
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_table_get(const gyr_table *table, const gyr_keys *keys, int64_t now_us,
                                 const gyr_table_column *columns, uint64_t n, gyr_error *err) GYR_NOEXCEPT;

/** Facts about a table. */
typedef struct gyr_table_info {
  uint32_t struct_size;
  uint32_t columns;    /**< without key and event time */
  uint64_t rows;       /**< stored, expired ones too */
  uint64_t bytes;      /**< memory of rows and buckets */
} gyr_table_info;

/** Facts about a table.
 * @param table the table
 * @param out in: struct_size; out: filled
 * @param err nullable
 * @return GYR_OK
 * @ownership fills caller memory
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_table_get_info(const gyr_table *table, gyr_table_info *out, gyr_error *err) GYR_NOEXCEPT;

/** Exports all rows (key, event time, columns) as an Arrow stream; each row is whole, rows come in key-hash order.
 * @param table kept alive by *out
 * @param out receives the stream
 * @param err nullable
 * @return GYR_OK
 * @ownership caller releases *out
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_table_export(const gyr_table *table, struct ArrowArrayStream *out, gyr_error *err) GYR_NOEXCEPT;

/** Saves to a file, atomically; docs/format.md says what a crash or a killed process leaves.
 * @param table the table
 * @param path file
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT (path), IO
 * @ownership none
 * @threadsafe any
 * @blocking writes and syncs a file
 * @since 0.1 */
GYR_API gyr_status gyr_table_save(const gyr_table *table, const char *path, gyr_error *err) GYR_NOEXCEPT;

/** Opens a saved table.
 * @param runtime the runtime
 * @param path file
 * @param out receives the handle
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT (path), NOT_FOUND (no file), IO, CORRUPT, FORMAT_TOO_NEW, FORMAT_TOO_OLD
 * @ownership caller destroys *out
 * @threadsafe any
 * @blocking reads a file
 * @since 0.1 */
GYR_API gyr_status gyr_table_open(gyr_runtime *runtime, const char *path, gyr_table **out, gyr_error *err) GYR_NOEXCEPT;

/** Drops the caller's reference.
 * @param table nullable
 * @return nothing
 * @ownership consumes table
 * @threadsafe any, once per handle
 * @blocking no
 * @since 0.1 */
GYR_API void gyr_table_destroy(gyr_table *table) GYR_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif
