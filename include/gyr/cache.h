/* gyr/cache.h: the embedding cache (HugeCTR HPS' place). 0.1 has the host tier: rows in memory. */
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
} gyr_cache_options;

/** Creates an empty cache.
 * @param runtime the runtime
 * @param options required
 * @param out receives the handle
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT, OUT_OF_RANGE
 * @ownership caller destroys *out
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_cache_create(gyr_runtime *runtime, const gyr_cache_options *options, gyr_cache **out,
                                    gyr_error *err) GYR_NOEXCEPT;

/** Inserts or replaces rows; concurrent with readers, who see old or new rows, never torn ones.
 * @param cache the cache
 * @param keys [n]
 * @param rows [n, dim] row-major, finite
 * @param n number of rows
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT (NaN, infinity, too large for the type of the rows), OUT_OF_RANGE (dense key, n);
 *         nothing is inserted when the input is refused, a prefix when memory ran out
 * @ownership borrows arguments
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_cache_put(gyr_cache *cache, const int64_t *keys, const float *rows, uint64_t n,
                                 gyr_error *err) GYR_NOEXCEPT;

/** Removes rows.
 * @param cache the cache
 * @param keys [n]
 * @param n number of keys
 * @param removed nullable; receives how many existed
 * @param err nullable
 * @return GYR_OK, OUT_OF_RANGE (dense key, n)
 * @ownership borrows arguments
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_cache_remove(gyr_cache *cache, const int64_t *keys, uint64_t n, uint64_t *removed,
                                    gyr_error *err) GYR_NOEXCEPT;

/** Gathers rows.
 * @param cache the cache
 * @param keys [n]
 * @param n number of keys
 * @param out [n, dim]
 * @param status [n] GYR_VALUE_PRESENT, MISSING or DEFAULT; nullable
 * @param err nullable
 * @return GYR_OK, OUT_OF_RANGE (n)
 * @ownership fills caller memory
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_cache_get(const gyr_cache *cache, const int64_t *keys, uint64_t n, float *out, uint8_t *status,
                                 gyr_error *err) GYR_NOEXCEPT;

/** Gathers and pools bags. Missing keys count as their miss value in a sum and in the mean's divisor only when the
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
 * @blocking no
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
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_cache_pool_weighted(const gyr_cache *cache, const int64_t *keys, const float *weights,
                                           const int64_t *offsets, uint64_t bags, gyr_pooling pooling, float *out,
                                           uint8_t *status, gyr_error *err) GYR_NOEXCEPT;

/** Facts about a cache. */
typedef struct gyr_cache_info {
  uint32_t struct_size;
  uint32_t dim;     /**< floats per row */
  uint64_t rows;    /**< present now */
  uint64_t bytes;   /**< memory in use */
  uint64_t hits;    /**< keys found since creation, approximate under concurrency */
  uint64_t misses;  /**< keys not found, likewise */
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
 * @blocking no
 * @since 0.1 */
GYR_API void gyr_cache_destroy(gyr_cache *cache) GYR_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif
