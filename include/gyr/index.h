/* gyr/index.h: nearest-neighbour search (Faiss' place). Labels are the caller's 64-bit ids.
 * Scores are "higher is better": inner product, cosine, or minus the squared L2 distance. Ties: smaller id first. */
#ifndef GYR_INDEX_H
#define GYR_INDEX_H

#include <gyr/data.h>
#include <gyr/runtime.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A nearest-neighbour index. */
typedef struct gyr_index gyr_index;

/** What nearest means. */
typedef int32_t gyr_metric;
enum { GYR_METRIC_DEFAULT = 0 /**< inner product */, GYR_METRIC_IP = 1, GYR_METRIC_COSINE = 2, GYR_METRIC_L2 = 3 };

/** How an index finds its answers: exact scans every vector, graph (HNSW) walks links. */
typedef int32_t gyr_index_kind;
enum { GYR_INDEX_DEFAULT = 0 /**< graph */, GYR_INDEX_EXACT = 1, GYR_INDEX_GRAPH = 2 };

/** In which precision an index keeps its vectors; scores are those of the vectors as they are kept. docs/index.md has
 * what each costs in recall and takes in memory. */
typedef int32_t gyr_stored;
enum {
  GYR_STORED_DEFAULT = 0 /**< FP32 */,
  GYR_STORED_FP32 = 1,
  GYR_STORED_FP16 = 2 /**< no value beyond +-65504 */,
  GYR_STORED_BF16 = 3 /**< 8 bits of precision, float's range */,
  GYR_STORED_INT16 = 4 /**< two int8 codes and a scale per vector: the precise one of the small ones */,
  GYR_STORED_INT8 = 5 /**< one int8 code and a scale per vector: a graph's walk, and nothing else */
};

/** How an index is made; zero is the default of every field but dim. */
typedef struct gyr_index_options {
  uint32_t struct_size;
  uint32_t dim;             /**< 1..65536 */
  gyr_metric metric;        /**< what the scores are */
  gyr_index_kind kind;      /**< graph or exact */
  uint32_t degree;          /**< graph: links per node on the base layer / 2; 0 = 16 (4..128) */
  uint32_t build_effort;    /**< graph: candidates while inserting; 0 = 200 */
  uint64_t seed;            /**< 0 = fixed default; same input, same graph */
  uint64_t reserve;         /**< expected vectors; 0 = grow as needed */
  gyr_stored stored;        /**< precision of the vectors */
  uint32_t reserved;        /**< 0 */
} gyr_index_options;

/** Creates an empty index.
 * @param runtime the runtime
 * @param options required
 * @param out receives the handle
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT, OUT_OF_RANGE, RESOURCE_EXHAUSTED (reserve beyond the memory budget)
 * @ownership caller destroys *out
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_index_create(gyr_runtime *runtime, const gyr_index_options *options, gyr_index **out,
                                    gyr_error *err) GYR_NOEXCEPT;

/** How much memory an index will take, before there is one.
 * @param options as for gyr_index_create
 * @param n vectors, less than 2^31
 * @param threads of the runtime that it will be built in; 0 = 1
 * @param bytes nullable; receives gyr_index_info.bytes after n vectors, inserted by one call or within `reserve` (from
 *        256 dimensions on: seldom more); an index that grows call by call takes up to a quarter more
 * @param peak nullable; receives about the runtime's highest memory while one call inserts them
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT, OUT_OF_RANGE
 * @ownership none
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_index_estimate(const gyr_index_options *options, uint64_t n, uint32_t threads, uint64_t *bytes,
                                      uint64_t *peak, gyr_error *err) GYR_NOEXCEPT;

/** Inserts or replaces vectors. Concurrent with searches: each search sees every id at most once, old or new.
 * @param index the index
 * @param ids [n], distinct within the call
 * @param vectors [n, dim] row-major, finite, norms up to 1e18; not all zero under cosine
 * @param n number of vectors
 * @param task nullable
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT (duplicate id, NaN, zero vector, a value beyond FP16: nothing is inserted),
 *         OUT_OF_RANGE (n), RESOURCE_EXHAUSTED (too many vectors, or the memory budget: nothing is inserted); CANCELLED, DEADLINE (a prefix is inserted, as when memory runs out;
 *         the index is valid)
 * @ownership borrows arguments
 * @threadsafe any
 * @blocking builds graph links
 * @since 0.1 */
GYR_API gyr_status gyr_index_upsert(gyr_index *index, const int64_t *ids, const float *vectors, uint64_t n,
                                    gyr_task *task, gyr_error *err) GYR_NOEXCEPT;

/** Deletes ids; unknown ids are counted out.
 * @param index the index
 * @param ids [n]
 * @param n number of ids
 * @param deleted nullable; receives how many existed
 * @param err nullable
 * @return GYR_OK, OUT_OF_RANGE (n)
 * @ownership borrows ids
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_index_delete(gyr_index *index, const int64_t *ids, uint64_t n, uint64_t *deleted,
                                    gyr_error *err) GYR_NOEXCEPT;

/** One search for a batch of queries. */
typedef struct gyr_search_args {
  uint32_t struct_size;
  uint32_t k;               /**< 1..65536 */
  const float *queries;     /**< [n, dim] row-major, finite, norms up to 1e18; not all zero under cosine */
  uint64_t n;               /**< queries */
  uint32_t effort;          /**< graph: candidate pool; 0 = max(2k, 64), less than k acts as k. More = better recall, slower */
  uint32_t exact;           /**< 1 = scan everything */
  const uint64_t *filter;   /**< bitmap over slots (see gyr_index_slots), bit set = allowed; NULL = all */
  uint64_t filter_bits;     /**< bits in filter; slots beyond it are not allowed */
  int64_t *out_ids;         /**< [n, k]; -1 where fewer than k exist (also a legal id: go by out_counts) */
  float *out_scores;        /**< [n, k]; NaN where fewer than k exist */
  uint32_t *out_counts;     /**< [n] results found per query */
} gyr_search_args;

/** Searches the k best per query. k results are returned whenever k allowed vectors exist.
 * @param index the index
 * @param args all pointers but filter required
 * @param task nullable
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT, OUT_OF_RANGE, CANCELLED, DEADLINE
 * @ownership fills caller memory
 * @threadsafe any, concurrent with upsert and delete
 * @blocking spreads queries over the pool when n > 1
 * @since 0.1 */
GYR_API gyr_status gyr_index_search(const gyr_index *index, const gyr_search_args *args, gyr_task *task,
                                    gyr_error *err) GYR_NOEXCEPT;

/** Maps ids to slots, the positions of filter bitmaps. A slot stays with its id until the id is deleted.
 * @param index the index
 * @param ids [n]
 * @param n number of ids
 * @param slots [n] receives the slot, or -1 for an unknown id
 * @param err nullable
 * @return GYR_OK, OUT_OF_RANGE (n)
 * @ownership fills caller memory
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_index_slots(const gyr_index *index, const int64_t *ids, uint64_t n, int64_t *slots,
                                   gyr_error *err) GYR_NOEXCEPT;

/** Facts about an index. */
typedef struct gyr_index_info {
  uint32_t struct_size;
  uint32_t dim;        /**< floats per vector */
  gyr_metric metric;   /**< never GYR_METRIC_DEFAULT */
  gyr_index_kind kind; /**< never GYR_INDEX_DEFAULT */
  uint64_t count;      /**< live vectors */
  uint64_t slots;      /**< highest slot + 1: size a filter bitmap by it */
  uint64_t bytes;      /**< memory in use */
  gyr_stored stored;   /**< never GYR_STORED_DEFAULT */
  uint32_t reserved;   /**< 0 */
  uint64_t capacity;   /**< slots that `bytes` has room for */
  uint64_t bytes_vectors; /**< of `bytes`: vectors, without codes that the graph walks on */
  uint64_t bytes_codes;   /**< of `bytes`: the codes that the graph walks on */
  uint64_t bytes_links;   /**< of `bytes`: the graph's links */
  uint64_t bytes_ids;     /**< of `bytes`: ids and what finds them */
} gyr_index_info;

/** Facts about an index.
 * @param index the index
 * @param out in: struct_size; out: filled
 * @param err nullable
 * @return GYR_OK
 * @ownership fills caller memory
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_index_get_info(const gyr_index *index, gyr_index_info *out, gyr_error *err) GYR_NOEXCEPT;

/** Saves to a file, atomically; docs/format.md says what a crash or a killed process leaves.
 * @param index the index
 * @param path file
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT (path), IO
 * @ownership none
 * @threadsafe any
 * @blocking writes and syncs a file
 * @since 0.1 */
GYR_API gyr_status gyr_index_save(const gyr_index *index, const char *path, gyr_error *err) GYR_NOEXCEPT;

/** Opens a saved index.
 * @param runtime the runtime
 * @param path file
 * @param out receives the handle
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT (path), NOT_FOUND (no file), IO, CORRUPT, FORMAT_TOO_NEW, FORMAT_TOO_OLD
 * @ownership caller destroys *out
 * @threadsafe any
 * @blocking reads a file
 * @since 0.1 */
GYR_API gyr_status gyr_index_open(gyr_runtime *runtime, const char *path, gyr_index **out, gyr_error *err) GYR_NOEXCEPT;

/** Drops the caller's reference.
 * @param index nullable
 * @return nothing
 * @ownership consumes index
 * @threadsafe any, once per handle
 * @blocking no
 * @since 0.1 */
GYR_API void gyr_index_destroy(gyr_index *index) GYR_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif
