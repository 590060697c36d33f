/* gyr/cache.h: the embedding cache (HugeCTR HPS' place): rows in memory, over a disk tier, Redis or a store of the
 * host's. */
#ifndef GYR_CACHE_H
#define GYR_CACHE_H

#include <gyr/data.h>
#include <gyr/runtime.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A cache of embedding rows. */
typedef struct gyr_cache gyr_cache;

/** What keys are. */
typedef int32_t gyr_cache_keys;
enum {
  GYR_CACHE_HASHED = 0, /**< any int64 */
  GYR_CACHE_DENSE = 1   /**< row numbers 0..capacity-1 */
};

/** What a missing row reads as. */
typedef int32_t gyr_cache_miss;
enum {
  GYR_CACHE_MISS_ZERO = 0,   /**< missing rows read as zeros, flagged GYR_VALUE_MISSING */
  GYR_CACHE_MISS_DEFAULT = 1 /**< missing rows read as the default row, flagged GYR_VALUE_DEFAULT */
};

/** How rows are kept. They go in and out as float32; the smaller types round. */
typedef int32_t gyr_cache_rows;
enum {
  GYR_CACHE_FLOAT32 = 0,  /**< as they came */
  GYR_CACHE_FLOAT16 = 1,  /**< IEEE binary16, values up to 65504 */
  GYR_CACHE_BFLOAT16 = 2, /**< the upper half of a float32 */
  GYR_CACHE_INT8 = 3      /**< 255 steps from a row's smallest value to its largest; dim + 8 bytes a row */
};

/** How the rows of a bag become one. */
typedef int32_t gyr_pooling;
enum { GYR_POOLING_SUM = 1, GYR_POOLING_MEAN = 2 };

/** Which row goes when a cache is full. */
typedef int32_t gyr_cache_policy;
enum {
  GYR_CACHE_CLOCK = 0,  /**< a row that was not read for a while; rows read often stay longer */
  GYR_CACHE_LRU = 1,    /**< the row, of 16, that was not read for longest */
  GYR_CACHE_TINYLFU = 2 /**< as CLOCK, and only for a row that is asked for more often than it */
};

/** What a call does about rows that are not in memory. */
typedef int32_t gyr_cache_wait;
enum {
  GYR_CACHE_WAIT = 0,     /**< fetches them, however long it takes */
  GYR_CACHE_DEADLINE = 1, /**< fetches them; after timeout_ns those that are not there yet are flagged */
  GYR_CACHE_DEFAULT = 2   /**< flags them and goes on; they are fetched in the background */
};

/** What a tier says about a key, in `found`. Any other number counts as GYR_TIER_ERROR. */
enum {
  GYR_TIER_ABSENT = 0, /**< no such key */
  GYR_TIER_FOUND = 1,  /**< the row was written */
  GYR_TIER_ERROR = 2   /**< the row could not be read; others could */
};

/** Where a cache's rows come from and go to: a store below it. Rows pass as the cache keeps them (docs/cache.md):
 * `row_bytes` bytes each, float32 rows as dim floats. Callbacks come from any thread, several at once, under no lock
 * that a read takes, and may not call the cache that calls them. They may be slow, and they may fail: keys of a fetch
 * that answers anything but GYR_OK are in error. */
typedef struct gyr_cache_tier {
  uint32_t struct_size;
  uint32_t row_bytes; /**< bytes per row; 0 = whatever the cache's are. Another number than the cache's is refused */
  uintptr_t user;     /**< the host's; passed to every call */
  /** required: fills rows [n, row_bytes] and found [n], all 0 before; timeout_ns: how long somebody waits, 0 = no limit */
  gyr_status (*fetch)(uintptr_t user, const int64_t *keys, uint64_t n, void *rows, uint8_t *found, int64_t timeout_ns);
  gyr_status (*put)(uintptr_t user, const int64_t *keys, const void *rows, uint64_t n); /**< nullable: read only */
  gyr_status (*remove)(uintptr_t user, const int64_t *keys, uint64_t n); /**< nullable: removed rows may come back */
  void (*close)(uintptr_t user); /**< nullable; called once, when the cache is gone */
} gyr_cache_tier;

/** What of a cache stays in memory, and where the rest is. Zero is the default of every field. */
typedef struct gyr_cache_tiers {
  uint32_t struct_size;
  gyr_cache_policy policy;     /**< which row goes */
  uint64_t max_rows;           /**< rows in memory; 0 = no limit */
  uint64_t max_bytes;          /**< of rows and their index, turned into a number of rows; 0 = no limit */
  float evict_to;              /**< 0..1: when there is no room, rows go until this share of the limit is left; 0 = one
                                    goes for one */
  uint32_t admit_count;        /**< a fetched row stays from its n-th miss on; 0 and 1 = from the first */
  const gyr_cache_tier *below; /**< nullable; copied. Only rows that it holds are ever evicted */
  const char *folder;          /**< nullable; instead of below: rows lie in files of this folder, which is made when it
                                    is not there and belongs to one cache at a time */
  uint64_t segment_bytes;      /**< folder: rows that were put wait in memory until there are so many bytes of them, or
                                    the cache is saved or destroyed; a crash loses them. 0 = 16 MiB */
  gyr_cache_wait wait;         /**< what a call does about rows that are not in memory */
  float wait_below;            /**< GYR_CACHE_DEFAULT: a call waits all the same when a smaller share of its distinct
                                    keys is in memory; 0 = never, more than 1 = always */
  uint64_t timeout_ns;         /**< GYR_CACHE_DEADLINE: what a call waits at most; 0 = 1 ms */
  uint64_t retry_ns;           /**< how often a tier that failed is tried in the background; 0 = 1 s */
  uint32_t failures;           /**< failed fetches, or calls that waited for one in vain, in a row after which it is not
                                    asked any more; 0 = 5 */
  uint32_t reserved;           /**< 0 */
} gyr_cache_tiers;

/** How a cache is made. */
typedef struct gyr_cache_options {
  uint32_t struct_size;
  uint32_t dim;             /**< floats per row, 1..65536 */
  gyr_cache_keys keys;      /**< hashed or dense */
  gyr_cache_miss miss;      /**< zeros or the default row */
  uint64_t capacity;        /**< dense: number of rows; hashed: expected rows (grows) */
  const float *default_row; /**< [dim], needed for GYR_CACHE_MISS_DEFAULT; copied, and rounded as rows are */
  gyr_cache_rows rows;      /**< how rows are kept */
  uint32_t reserved;        /**< 0 */
  const gyr_cache_tiers *tiers; /**< nullable: everything stays in memory */
} gyr_cache_options;

/** Creates an empty cache.
 * @param runtime the runtime
 * @param options required
 * @param out receives the handle
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT, OUT_OF_RANGE, IO (the folder), BUSY (another cache has it), CORRUPT (its files),
 *         RESOURCE_EXHAUSTED (also: a thread could not be started)
 * @ownership caller destroys *out; the tier is the cache's from GYR_OK on, and is closed with it
 * @threadsafe any
 * @blocking starts threads when there is a tier
 * @since 0.1 */
GYR_API gyr_status gyr_cache_create(gyr_runtime *runtime, const gyr_cache_options *options, gyr_cache **out,
                                    gyr_error *err) GYR_NOEXCEPT;

/** Inserts or replaces rows; concurrent with readers, who see old or new rows, never torn ones. With a tier that takes
 * rows they go there first; rows that the tier does not hold are never evicted.
 * @param cache the cache
 * @param keys [n]
 * @param rows [n, dim] row-major, finite
 * @param n number of rows
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT (NaN, infinity, too large for the type of the rows), OUT_OF_RANGE (dense key, n),
 *         RESOURCE_EXHAUSTED (also: the limit is reached and too few rows may go; nothing was inserted), CALLBACK (the
 *         tier failed, and may have some of the rows; the cache is as before), IO (the folder, likewise); nothing is
 *         inserted when the input is refused, a prefix when memory ran out
 * @ownership borrows arguments
 * @threadsafe any
 * @blocking by the tier
 * @since 0.1 */
GYR_API gyr_status gyr_cache_put(gyr_cache *cache, const int64_t *keys, const float *rows, uint64_t n,
                                 gyr_error *err) GYR_NOEXCEPT;

/** Removes rows, from the tier first when it can.
 * @param cache the cache
 * @param keys [n]
 * @param n number of keys
 * @param removed nullable; receives how many were in memory
 * @param err nullable
 * @return GYR_OK, OUT_OF_RANGE (dense key, n), CALLBACK (the tier failed; the cache is as before), IO (the folder)
 * @ownership borrows arguments
 * @threadsafe any
 * @blocking by the tier
 * @since 0.1 */
GYR_API gyr_status gyr_cache_remove(gyr_cache *cache, const int64_t *keys, uint64_t n, uint64_t *removed,
                                    gyr_error *err) GYR_NOEXCEPT;

/** Gathers rows. What is not in memory comes from the tier, as gyr_cache_tiers.wait says; rows that are late
 * (GYR_VALUE_DEADLINE) or could not be read (GYR_VALUE_ERROR) read as missing ones do.
 * @param cache the cache
 * @param keys [n]
 * @param n number of keys
 * @param out [n, dim]
 * @param status [n] GYR_VALUE_PRESENT, MISSING, DEFAULT, DEADLINE or ERROR; nullable
 * @param err nullable
 * @return GYR_OK, OUT_OF_RANGE (n)
 * @ownership fills caller memory
 * @threadsafe any
 * @blocking by the tier
 * @since 0.1 */
GYR_API gyr_status gyr_cache_get(const gyr_cache *cache, const int64_t *keys, uint64_t n, float *out, uint8_t *status,
                                 gyr_error *err) GYR_NOEXCEPT;

/** Gathers and pools bags, fetching as gyr_cache_get does. Missing keys, late ones and those in error count as their miss value in a sum and in the mean's divisor only when the
 * policy is DEFAULT; with ZERO they are left out of both. An empty bag is zeros.
 * @param cache the cache
 * @param keys [offsets[bags]]
 * @param offsets [bags+1], non-decreasing, offsets[0] = 0
 * @param bags number of bags
 * @param pooling sum or mean
 * @param out [bags, dim]
 * @param status [offsets[bags]] per key; nullable
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT, OUT_OF_RANGE (bags)
 * @ownership fills caller memory
 * @threadsafe any
 * @blocking by the tier
 * @since 0.1 */
GYR_API gyr_status gyr_cache_pool(const gyr_cache *cache, const int64_t *keys, const int64_t *offsets, uint64_t bags,
                                  gyr_pooling pooling, float *out, uint8_t *status, gyr_error *err) GYR_NOEXCEPT;

/** Gathers and pools bags, each row times its key's weight. The mean divides by the weights of the rows that count
 * (gyr_cache_pool says which); where those add up to 0 it is the sum.
 * @param cache the cache
 * @param keys [offsets[bags]]
 * @param weights [offsets[bags]], finite
 * @param offsets [bags+1], non-decreasing, offsets[0] = 0
 * @param bags number of bags
 * @param pooling sum or mean
 * @param out [bags, dim]
 * @param status [offsets[bags]] per key; nullable
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT, OUT_OF_RANGE (bags)
 * @ownership fills caller memory
 * @threadsafe any
 * @blocking by the tier
 * @since 0.1 */
GYR_API gyr_status gyr_cache_pool_weighted(const gyr_cache *cache, const int64_t *keys, const float *weights,
                                           const int64_t *offsets, uint64_t bags, gyr_pooling pooling, float *out,
                                           uint8_t *status, gyr_error *err) GYR_NOEXCEPT;

/** A batch of changes from a numbered stream. */
typedef struct gyr_cache_delta {
  uint32_t struct_size;
  uint32_t reserved;      /**< 0 */
  const char *source;     /**< name of the stream, at most 255 bytes */
  uint64_t offset;        /**< place of this batch in it; rises from batch to batch */
  const int64_t *keys;    /**< [n] */
  const float *rows;      /**< [n, dim] row-major, finite */
  uint64_t n;             /**< rows to insert or replace; of a key that is there twice the last counts */
  const int64_t *removed; /**< [n_removed] */
  uint64_t n_removed;     /**< rows to remove, after the others were inserted */
} gyr_cache_delta;

/** Applies a batch of changes unless it was applied already: a stream may be replayed from any place before its last
 * offset. The offsets are saved with the cache. Batches are applied one after the other.
 * @param cache the cache
 * @param delta required
 * @param applied nullable; receives 1, or 0 when the offset is not above the source's last
 * @param err nullable
 * @return GYR_OK, or what gyr_cache_put and gyr_cache_remove answer: INVALID_ARGUMENT, OUT_OF_RANGE, CALLBACK, IO. The
 *         offset is then not taken; the batch may be partly applied, and is to be applied again
 * @ownership borrows arguments
 * @threadsafe any
 * @blocking by the tier
 * @since 0.1 */
GYR_API gyr_status gyr_cache_apply(gyr_cache *cache, const gyr_cache_delta *delta, uint32_t *applied,
                                   gyr_error *err) GYR_NOEXCEPT;

/** The last offset applied.
 * @param cache the cache
 * @param source name of the stream
 * @param offset receives it
 * @param err nullable
 * @return GYR_OK, NOT_FOUND (nothing of this source was applied)
 * @ownership borrows arguments
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_cache_get_offset(const gyr_cache *cache, const char *source, uint64_t *offset,
                                        gyr_error *err) GYR_NOEXCEPT;

/** Exchanges the content of two caches of one dim at once: rows, default row, limits, tier, offsets and figures. Every
 * call on either sees one content or the other. Build the next version aside, publish it, and destroy `aside` or keep it
 * to go back.
 * @param cache the cache that is in use
 * @param aside the other
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT (the same cache, another dim)
 * @ownership borrows arguments
 * @threadsafe any
 * @blocking until readers that look at rows just now have left
 * @since 0.1 */
GYR_API gyr_status gyr_cache_publish(gyr_cache *cache, gyr_cache *aside, gyr_error *err) GYR_NOEXCEPT;

/** Fetches rows that are not in memory from the tier, in this order, until the cache is full: the first request finds
 * them there. Nothing is evicted for it.
 * @param cache the cache
 * @param keys [n] the most important first
 * @param n number of keys
 * @param loaded nullable; receives how many rows came
 * @param task nullable: progress in keys, cancellation
 * @param err nullable
 * @return GYR_OK, OUT_OF_RANGE (n, dense key), INVALID_STATE (no tier), CALLBACK (the tier failed; rows before are in),
 *         CANCELLED, DEADLINE
 * @ownership borrows arguments
 * @threadsafe any
 * @blocking by the tier
 * @since 0.1 */
GYR_API gyr_status gyr_cache_warm(gyr_cache *cache, const int64_t *keys, uint64_t n, uint64_t *loaded, gyr_task *task,
                                  gyr_error *err) GYR_NOEXCEPT;

/** Saves the rows in memory, those read most first, and the offsets of the sources; what waits for the folder's files
 * is written, too. Where the folder cannot be written the file gets it instead, and the logger is told: open that file
 * next time, with the folder.
 * @param cache the cache
 * @param path target file
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT (path), IO, INVALID_STATE (a dense cache with few rows)
 * @ownership borrows arguments
 * @threadsafe any
 * @blocking file I/O
 * @since 0.1 */
GYR_API gyr_status gyr_cache_save(const gyr_cache *cache, const char *path, gyr_error *err) GYR_NOEXCEPT;

/** Opens a saved cache.
 * @param runtime the runtime
 * @param path a saved file
 * @param tiers nullable: everything stays in memory. With a limit, the rows read most are loaded; the others must be in
 *        the tier
 * @param out receives the handle
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT, OUT_OF_RANGE, NOT_FOUND (no file), IO, BUSY (another cache has the folder), CORRUPT,
 *         FORMAT_TOO_NEW, FORMAT_TOO_OLD, RESOURCE_EXHAUSTED (also: more rows that no tier holds than the limit)
 * @ownership caller destroys *out; the tier is the cache's from GYR_OK on, and is closed with it
 * @threadsafe any
 * @blocking file I/O
 * @since 0.1 */
GYR_API gyr_status gyr_cache_open(gyr_runtime *runtime, const char *path, const gyr_cache_tiers *tiers, gyr_cache **out,
                                  gyr_error *err) GYR_NOEXCEPT;

/** Facts about a cache. */
typedef struct gyr_cache_info {
  uint32_t struct_size;
  uint32_t dim;     /**< floats per row */
  uint64_t rows;    /**< present now */
  uint64_t bytes;   /**< memory in use */
  uint64_t hits;    /**< keys found since creation, approximate under concurrency */
  uint64_t misses;  /**< keys not found, likewise */
  uint64_t max_rows; /**< the limit in rows; 0 = none */
  uint64_t evicted;  /**< rows that went to make room */
  uint64_t fetched;  /**< rows that came from the tier */
  uint64_t late;     /**< keys that a call did not wait for */
  uint64_t failed;   /**< keys in error */
  uint64_t pinned;   /**< rows that the tier does not hold, which never go */
  uint32_t tier_down; /**< 1: the tier failed too often and is not asked, but tried in the background */
  uint32_t reserved;  /**< 0 */
} gyr_cache_info;

/** Facts about a cache.
 * @param cache the cache
 * @param out in: struct_size; out: filled
 * @param err nullable
 * @return GYR_OK
 * @ownership fills caller memory
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_cache_get_info(const gyr_cache *cache, gyr_cache_info *out, gyr_error *err) GYR_NOEXCEPT;

/** Drops the caller's reference.
 * @param cache nullable
 * @return nothing
 * @ownership consumes cache
 * @threadsafe any, once per handle
 * @blocking until callbacks of the tier have returned
 * @since 0.1 */
GYR_API void gyr_cache_destroy(gyr_cache *cache) GYR_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif
