/* gyr/table.h: the online feature table (Feast's and Redis' place).
 *
 * Schema as JSON (docs/table.md): {"name":"users","key":"user_id","key_dtype":"int64","event_time":"ts",
 *   "ttl_seconds":0,"columns":[{"name":"age","dtype":"float32"},{"name":"genres","dtype":"string","list":true}]}
 * Event times are microseconds since the epoch. A row is visible at time `now` when event_time <= now and
 * (ttl 0 or now <= event_time + ttl). An upsert older than the stored row is ignored; an equal one replaces it.
 * With "history":{"versions":16,"seconds":86400} (either may be left out) a table also keeps what rows were, for reads
 * as of a time; "created_time" names the column that says when a row became known (without it: when it was upserted).
 * "views":[{"name":"clicks","event_time":"clicked_at","ttl_seconds":3600,"columns":["n_clicks"]}] give groups of columns
 * an event time and a TTL of their own; what is said of rows here holds for each group. */
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
  uint64_t late;     /**< older than what is stored, kept in the history only */
} gyr_upsert_stats;

/** Upserts the rows of a stream that has the key, the event time (when the schema names one; otherwise 0) and any
 * subset of the columns; absent columns keep their stored values. Tables with views: the event times of the groups that
 * it has columns of, null where a row brings nothing of a group. Batches apply in order; on failure the batches
 * before the bad one are in, which stats tell. Runs concurrently with readers and other upserts.
 * @param table the table
 * @param stream consumed on success
 * @param stats nullable; filled on success and failure
 * @param task nullable
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT, UNSUPPORTED, OUT_OF_RANGE, CORRUPT, CALLBACK (the stream), CANCELLED, DEADLINE,
 *         RESOURCE_EXHAUSTED (the schema's memory_budget; the rows before are in), IO (the log)
 * @ownership moves *stream on success
 * @threadsafe any
 * @blocking reads the whole stream
 * @since 0.1 */
GYR_API gyr_status gyr_table_upsert(gyr_table *table, struct ArrowArrayStream *stream, gyr_upsert_stats *stats,
                                    gyr_task *task, gyr_error *err) GYR_NOEXCEPT;

/** Upserts one row without Arrow (a live event). Values follow `columns`; columns not named keep their values. The
 * created time may be among them. Tables with views: the event is one of every group that a column of is named.
 * @param table the table
 * @param key one key (count 1)
 * @param event_time_us event time, microseconds
 * @param columns [n] column names
 * @param values [n] values
 * @param n number of columns
 * @param applied nullable; receives 1 when written, 0 when stale
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT, NOT_FOUND (column), OUT_OF_RANGE (n, a length), IO (the log)
 * @ownership borrows arguments during the call
 * @threadsafe any
 * @blocking no; tables in folders: for room in the log's queue, with SYNC for the disk
 * @since 0.1 */
GYR_API gyr_status gyr_table_upsert_row(gyr_table *table, const gyr_keys *key, int64_t event_time_us,
                                        const char *const *columns, const gyr_value *values, uint64_t n,
                                        uint32_t *applied, gyr_error *err) GYR_NOEXCEPT;

/** Deletes rows, and what the history has of them.
 * @param table the table
 * @param keys which
 * @param deleted nullable; receives how many existed
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT, OUT_OF_RANGE (keys.count), IO (the log)
 * @ownership borrows keys
 * @threadsafe any
 * @blocking no; tables in folders: for room in the log's queue, with SYNC for the disk
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

/** How reads as of a time look at the history. */
enum {
  GYR_AS_OF_UNKNOWN_TOO = 1 /**< also versions that were created only after the time: not known then, so training on them
                                 leaks what a server could not have served */
};

/** Batch get from the history: each key's row as it was at a time of its own. Of the versions with event_time <= time
 * that were known by then (created_time <= time) the one with the newest event time, of equal ones the one created last;
 * the TTL is applied at that time. INT64_MAX is the newest version whatever its age. Needs a history in the schema.
 * @param table the table
 * @param keys which rows
 * @param times_us [keys.count] read times, microseconds
 * @param flags GYR_AS_OF_* or 0
 * @param columns [n] destinations
 * @param n number of columns
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT, NOT_FOUND (column), OUT_OF_RANGE (keys.count, n), INVALID_STATE (no history),
 *         RESOURCE_EXHAUSTED (a capacity; message says needed)
 * @ownership fills caller memory
 * @threadsafe any, concurrent with writers; each row is read whole
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_table_get_as_of(const gyr_table *table, const gyr_keys *keys, const int64_t *times_us,
                                       uint32_t flags, const gyr_table_column *columns, uint64_t n,
                                       gyr_error *err) GYR_NOEXCEPT;

/** What a point-in-time export reads and how its columns are called. */
typedef struct gyr_as_of_options {
  uint32_t struct_size;
  uint32_t flags;             /**< GYR_AS_OF_* or 0 */
  const char *key;            /**< column of the labels; NULL = as the table calls its key */
  const char *time;           /**< column of the labels, timestamp or integer microseconds; NULL = as the table calls its
                                   event time */
  const char *const *columns; /**< [n_columns] of the table; NULL = all */
  uint64_t n_columns;         /**< number of columns */
  const char *prefix;         /**< put before the names of the table's columns; NULL = nothing */
} gyr_as_of_options;

/** Joins labels with the rows as they were: all columns of `labels`, then the table's columns as of each label's time
 * (null where gyr_table_get_as_of() gives another status than PRESENT). Batches are those of `labels`, read as *out is;
 * a null key or time fails the stream. Needs a history in the schema.
 * @param table kept alive by *out
 * @param labels consumed on success; read while *out is
 * @param options nullable: all columns, names as the table has them
 * @param out receives the stream
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT (a label column's type, a name that is there twice), UNSUPPORTED (a type), NOT_FOUND
 *         (a column), OUT_OF_RANGE (n_columns), CORRUPT (the labels' schema), CALLBACK (the stream), INVALID_STATE (no
 *         history)
 * @ownership moves *labels on success; caller releases *out
 * @threadsafe any, concurrent with writers; the streams are read by one thread at a time
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_table_export_as_of(const gyr_table *table, struct ArrowArrayStream *labels,
                                          const gyr_as_of_options *options, struct ArrowArrayStream *out,
                                          gyr_error *err) GYR_NOEXCEPT;

/** A read of several tables that was prepared: names, types and conversions are looked up once. */
typedef struct gyr_get_plan gyr_get_plan;

/** One column of a plan. */
typedef struct gyr_get_column {
  uint32_t struct_size;
  gyr_dtype dtype;                /**< wanted type; NONE = as stored; numbers convert when lossless for the column's type */
  const char *name;               /**< of the column */
  const gyr_value *default_value; /**< nullable; a number that is written, with GYR_VALUE_DEFAULT, where the value is not
                                       present: for columns of single numbers */
  uint32_t table;                 /**< which of the plan's tables */
  uint32_t reserved;
} gyr_get_column;

/** Where a plan writes one of its columns; as gyr_table_column, without what the plan knows. */
typedef struct gyr_get_destination {
  uint32_t struct_size;
  uint32_t reserved;
  void *values;             /**< receives the values */
  uint64_t values_capacity; /**< elements */
  int64_t *offsets;         /**< [count+1], lists only */
  uint8_t *status;          /**< [count] GYR_VALUE_*; nullable only if you do not care */
  char *heap;               /**< string bytes; nullable when no strings */
  uint64_t heap_capacity;   /**< bytes */
  uint8_t *element_valid;   /**< lists: [values_capacity] receives 1, or 0 for a null element; nullable: null elements
                                 then read as zero */
} gyr_get_destination;

/** Prepares a read of columns of one or more tables.
 * @param tables [n_tables] tables, kept alive by the plan; one may be there twice, for other keys
 * @param n_tables number of tables, 1 at least
 * @param columns [n] columns
 * @param n number of columns
 * @param out receives the handle
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT (a type, a default), NOT_FOUND (column), OUT_OF_RANGE (n_tables, n, a length)
 * @ownership caller destroys *out
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_get_plan_create(const gyr_table *const *tables, uint64_t n_tables, const gyr_get_column *columns,
                                       uint64_t n, gyr_get_plan **out, gyr_error *err) GYR_NOEXCEPT;

/** Reads what the plan says, of every table as gyr_table_get() would. Allocates nothing once as many calls have run as
 * run at a time.
 * @param plan the plan
 * @param keys [n_keys] which rows, for each of the plan's tables; all of one count
 * @param n_keys number of tables
 * @param now_us read time, microseconds; INT64_MAX = ignore TTL and future checks, 0 = the wall clock
 * @param destinations [n] one per column of the plan
 * @param n number of columns
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT (n_keys and n are not the plan's), OUT_OF_RANGE (a count), RESOURCE_EXHAUSTED (a
 *         capacity; message says needed)
 * @ownership fills caller memory
 * @threadsafe any, concurrent with writers; each row is read whole
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_get_plan_run(const gyr_get_plan *plan, const gyr_keys *keys, uint64_t n_keys, int64_t now_us,
                                    const gyr_get_destination *destinations, uint64_t n, gyr_error *err) GYR_NOEXCEPT;

/** Drops the caller's reference.
 * @param plan nullable
 * @return nothing
 * @ownership consumes plan
 * @threadsafe any, once per handle
 * @blocking no
 * @since 0.1 */
GYR_API void gyr_get_plan_destroy(gyr_get_plan *plan) GYR_NOEXCEPT;

/** Removes rows that have expired, a bounded step at a time; readers and writers go on meanwhile. With a history that is
 * bounded in seconds rows go, together with their history, so much later; with one that is not they stay until they are
 * deleted. Reads never depend on it.
 * @param table the table
 * @param now_us the time to expire by, microseconds; 0 = the wall clock; INT64_MAX removes every row with a TTL
 * @param max_rows rows to look at, about
 * @param cursor in: 0 to begin, or where the last step ended; out: where this one did, UINT64_MAX = all rows were seen
 * @param removed nullable; receives how many rows went
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT, IO (the log)
 * @ownership none
 * @threadsafe any
 * @blocking no; tables in folders: with SYNC for the disk
 * @since 0.1 */
GYR_API gyr_status gyr_table_sweep(gyr_table *table, int64_t now_us, uint64_t max_rows, uint64_t *cursor,
                                   uint64_t *removed, gyr_error *err) GYR_NOEXCEPT;

/** About how much memory a table will take (gyr_table_info.bytes), before it is loaded.
 * @param schema_json NUL-terminated schema; errors name the path
 * @param rows how many
 * @param variable_bytes mean bytes per row of strings, list elements and string key
 * @param versions mean number per row in the history, 0 without one; loaded entity by entity it takes about half
 * @param bytes receives the estimate
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT, OUT_OF_RANGE (rows, variable_bytes)
 * @ownership none
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_table_estimate(const char *schema_json, uint64_t rows, uint64_t variable_bytes,
                                      uint64_t versions, uint64_t *bytes, gyr_error *err) GYR_NOEXCEPT;

/** Facts about a table. */
typedef struct gyr_table_info {
  uint32_t struct_size;
  uint32_t columns;    /**< without key and event time */
  uint64_t rows;       /**< stored, expired ones too */
  uint64_t bytes;      /**< memory of rows, history and buckets */
  uint64_t versions;   /**< in the history, the rows' own among them */
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

/** When a change is safe from a crash. */
typedef int32_t gyr_durability;
enum {
  GYR_DURABILITY_ASYNC = 0, /**< within flush_interval_us of the call's return; until then a crash may undo it */
  GYR_DURABILITY_SYNC = 1,  /**< before the call returns; calls that wait share one flush */
  GYR_DURABILITY_NONE = 2   /**< when gyr_table_checkpoint returns; no log is kept */
};

/** How a table in a folder is kept. */
typedef struct gyr_table_log_options {
  uint32_t struct_size;
  gyr_durability durability;  /**< GYR_DURABILITY_* */
  uint64_t flush_interval_us; /**< ASYNC: 0 = 10 000; at most a minute */
  uint64_t segment_bytes;     /**< of one log file, reserved when it is made; 0 = 64 MiB, else 4 KiB to 1 TiB */
  uint64_t queue_bytes;       /**< of changes that wait for the disk, then writers wait; 0 = 16 MiB, as above */
} gyr_table_log_options;

/** Opens the table that lives in a folder, or makes it: what it holds is kept there by a snapshot and a log of every
 * change since (docs/table.md). All other functions work on it as on any table. One opener at a time uses a folder.
 * When the schema names more columns than the folder's table has, they are added, null until written.
 * @param runtime the runtime
 * @param folder its parent must exist
 * @param schema_json nullable when the folder holds a table; NUL-terminated schema
 * @param options nullable
 * @param task nullable
 * @param out receives the handle
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT (folder, schema, options), OUT_OF_RANGE (options), NOT_FOUND (no table, no schema),
 *         BUSY (another opener has the folder), IO, CORRUPT, FORMAT_TOO_NEW, FORMAT_TOO_OLD, CANCELLED, DEADLINE,
 *         RESOURCE_EXHAUSTED (threads)
 * @ownership caller destroys *out
 * @threadsafe any
 * @blocking reads and writes files
 * @since 0.1 */
GYR_API gyr_status gyr_table_open_live(gyr_runtime *runtime, const char *folder, const char *schema_json,
                                       const gyr_table_log_options *options, gyr_task *task, gyr_table **out,
                                       gyr_error *err) GYR_NOEXCEPT;

/** Saves a snapshot of a table in a folder and removes the log before it. Readers and writers go on meanwhile.
 * @param table from gyr_table_open_live
 * @param task nullable
 * @param err nullable
 * @return GYR_OK, INVALID_STATE (not in a folder), IO, CANCELLED, DEADLINE
 * @ownership none
 * @threadsafe any; one after the other
 * @blocking writes and syncs files
 * @since 0.1 */
GYR_API gyr_status gyr_table_checkpoint(gyr_table *table, gyr_task *task, gyr_error *err) GYR_NOEXCEPT;

/** Waits until every change whose call has returned is on disk.
 * @param table from gyr_table_open_live
 * @param err nullable
 * @return GYR_OK, INVALID_STATE (not in a folder, or no log), IO
 * @ownership none
 * @threadsafe any
 * @blocking writes and syncs a file
 * @since 0.1 */
GYR_API gyr_status gyr_table_flush(gyr_table *table, gyr_error *err) GYR_NOEXCEPT;

/** How the log of a table in a folder stands. Changes are numbered from 1. */
typedef struct gyr_table_log_info {
  uint32_t struct_size;
  gyr_durability durability; /**< GYR_DURABILITY_*, as opened */
  uint64_t last_lsn;     /**< the newest change */
  uint64_t durable_lsn;  /**< the newest that is sure to be on disk */
  uint64_t snapshot_lsn; /**< the newest that the snapshot holds for sure */
  uint64_t bytes;        /**< of the log's files that are in use */
  uint32_t files;        /**< of the log */
  uint32_t failed;       /**< 1 after a write to the log failed: changes answer IO until the table is opened again */
} gyr_table_log_info;

/** How the log of a table in a folder stands.
 * @param table from gyr_table_open_live
 * @param out in: struct_size; out: filled
 * @param err nullable
 * @return GYR_OK, INVALID_STATE (not in a folder)
 * @ownership fills caller memory
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_table_get_log_info(const gyr_table *table, gyr_table_log_info *out, gyr_error *err) GYR_NOEXCEPT;

/** Drops the caller's reference. The last one to a table in a folder writes what waits for the disk.
 * @param table nullable
 * @return nothing
 * @ownership consumes table
 * @threadsafe any, once per handle
 * @blocking no; tables in a folder: writes and syncs a file
 * @since 0.1 */
GYR_API void gyr_table_destroy(gyr_table *table) GYR_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif
