/* gyr/redis_tier.h: a Redis server, or a Redis Cluster, as the tier below an embedding cache (gyr/cache.h). Its library
 * is libgyr-redis.so, to link or to dlopen: libgyr.so itself knows nothing of Redis. */
#ifndef GYR_REDIS_TIER_H
#define GYR_REDIS_TIER_H

#include <gyr/cache.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Where the rows are. Zero is the default of every field but the first three. */
typedef struct gyr_redis_options {
  uint32_t struct_size;
  uint32_t row_bytes;    /**< bytes per row as the cache keeps them: dim x 4 for float32 */
  const char *addresses; /**< "host:port" or "unix:/path"; of a cluster any of its nodes, with commas between */
  const char *prefix;    /**< rows are strings under prefix:key; NULL = "gyr". With {...} all rows share a slot */
  const char *user;      /**< nullable */
  const char *password;  /**< nullable */
  uint32_t database;     /**< of one server */
  uint32_t cluster;      /**< 1: Redis Cluster; slots are asked for, MOVED and ASK followed */
  uint64_t timeout_ns;   /**< of connecting, and of waiting for each reply; 0 = 1 s */
  uint32_t batch;        /**< keys per command or pipeline; 0 = 1000 */
  uint32_t reserved;     /**< 0 */
} gyr_redis_options;

/** Makes a tier. Connections are made when they are needed: a server that is not there shows at the first fetch.
 * @param options required
 * @param out receives the tier for gyr_cache_tiers.below; without a cache, call out->close(out->user)
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT, OPTIONS_TOO_NEW, OUT_OF_MEMORY
 * @ownership the tier is the caller's until a cache has it
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_redis_tier(const gyr_redis_options *options, gyr_cache_tier *out, gyr_error *err) GYR_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif
