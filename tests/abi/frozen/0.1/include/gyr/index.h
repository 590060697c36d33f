/* gyr/index.h: nearest-neighbour search (Faiss' place). Labels are the caller's 64-bit ids.
 * Higher scores are better: inner product, cosine, minus the squared L2 distance. Ties, of what is met: smaller id first. */
#ifndef GYR_INDEX_H
#define GYR_INDEX_H

#include <gyr/data.h>
#include <gyr/runtime.h>
#include <gyr/table.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A nearest-neighbour index. */
typedef struct gyr_index gyr_index;

/** What nearest means. */
typedef int32_t gyr_metric;
enum { GYR_METRIC_DEFAULT = 0 /**< inner product */, GYR_METRIC_IP = 1, GYR_METRIC_COSINE = 2, GYR_METRIC_L2 = 3 };

/** How an index finds its answers: exact scans every vector, graph (HNSW) walks links, IVF (inverted file) reads the
 * lists of vectors that are nearest to the query. */
typedef int32_t gyr_index_kind;
enum { GYR_INDEX_DEFAULT = 0 /**< graph */, GYR_INDEX_EXACT = 1, GYR_INDEX_GRAPH = 2, GYR_INDEX_IVF = 3 };

/** In which precision an index keeps its vectors; scores are those of the vectors as they are kept. docs/index.md has
 * what each costs in recall and takes in memory. */
typedef int32_t gyr_stored;
enum {
  GYR_STORED_DEFAULT = 0 /**< FP32 */,
  GYR_STORED_FP32 = 1,
  GYR_STORED_FP16 = 2 /**< no value beyond +-65504 */,
  GYR_STORED_BF16 = 3 /**< 8 bits of precision, float's range */,
  GYR_STORED_INT16 = 4 /**< two int8 codes and a scale per vector: the precise one of the small ones */,
  GYR_STORED_INT8 = 5 /**< one int8 code and a scale per vector; below 256 dimensions a graph walks on it */
};

/** How an index is made; zero is the default of every field but dim. */
typedef struct gyr_index_options {
  uint32_t struct_size;
  uint32_t dim;             /**< 1..65536 */
  gyr_metric metric;        /**< what the scores are */
  gyr_index_kind kind;      /**< graph, exact or IVF */
  uint32_t degree;          /**< graph: half of the links per node; 0 = 16 (4..128) */
  uint32_t build_effort;    /**< graph: candidates while inserting; 0 = 100 */
  uint64_t seed;            /**< 0 = fixed default; same input, same graph */
  uint64_t reserve;         /**< expected vectors; 0 = grow as needed */
  gyr_stored stored;        /**< precision of the vectors */
  uint32_t lists;           /**< IVF: how many; 0 = 4 sqrt(vectors), renewed as they grow (1..65536) */
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
 *        256 dimensions on: seldom more; of IVF within a tenth); an index that grows call by call takes up to a quarter more
 * @param peak nullable; receives about the runtime's highest memory while one call inserts them
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT, OUT_OF_RANGE
 * @ownership none
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_index_estimate(const gyr_index_options *options, uint64_t n, uint32_t threads, uint64_t *bytes,
                                      uint64_t *peak, gyr_error *err) GYR_NOEXCEPT;

/** Inserts or replaces vectors. Concurrent with searches: each search sees every id at most once, old or new. When
 * 2,000 vectors of a graph, and half of those that are there, have changed since all links were found, the call finds them
 * anew at its end, as gyr_index_compact does; a task that is cancelled or a lack of memory then puts that off to a later
 * call, and the answer is GYR_OK.
 * @param index the index
 * @param ids [n], distinct within the call
 * @param vectors [n, dim] row-major, finite, norms up to 1e18; not all zero under cosine
 * @param n number of vectors
 * @param task nullable
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT (duplicate id, NaN, zero vector, a value beyond FP16: nothing is inserted),
 *         OUT_OF_RANGE (n), RESOURCE_EXHAUSTED (too many vectors, or the memory budget: nothing is inserted, but into
 *         GYR_INDEX_IVF perhaps a prefix); CANCELLED, DEADLINE (a prefix is inserted, as when memory runs out; the
 *         index is valid), CORRUPT (found out by the first change of an opened index)
 * @ownership borrows arguments
 * @threadsafe any
 * @blocking builds graph links, or lists when there are many more vectors than they were built of
 * @since 0.1 */
GYR_API gyr_status gyr_index_upsert(gyr_index *index, const int64_t *ids, const float *vectors, uint64_t n,
                                    gyr_task *task, gyr_error *err) GYR_NOEXCEPT;

/** Inserts or replaces the vectors of an Arrow stream, 65,536 rows at a time: memory beside the index does not grow with
 * the stream. An id that comes again replaces what came before. When a row is refused the message names it; chunks
 * before its own are inserted then, but for rows that are new to a graph: these become searchable at the end, some at a
 * time, after all their links are found at once, and a stream that fails or is cancelled leaves none of them. The task's
 * progress counts rows, and then the vectors that wait for links.
 * @param index the index
 * @param stream moved from on success
 * @param id_column name of an int64 column without nulls
 * @param vector_column name of a column of fixed-size lists of dim float32 or float16, without nulls
 * @param task nullable
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT (column, type, null, NaN, zero vector), CORRUPT (invalid array), CALLBACK (the
 *         producer failed), RESOURCE_EXHAUSTED (too many vectors); CANCELLED, DEADLINE (a prefix is inserted, as when
 *         memory runs out; the index is valid)
 * @ownership consumes stream on success
 * @threadsafe any
 * @blocking reads the stream and builds the index
 * @since 0.1 */
GYR_API gyr_status gyr_index_upsert_arrow(gyr_index *index, struct ArrowArrayStream *stream, const char *id_column,
                                          const char *vector_column, gyr_task *task, gyr_error *err) GYR_NOEXCEPT;

/** Inserts or replaces the rows of a DLPack tensor as gyr_index_upsert_arrow does.
 * @param index the index
 * @param ids one for each row, n in all
 * @param tensor a DLTensor of dlpack.h in CPU memory: [n, dim] of float32, float16, bfloat16, int8 or uint8, its rows
 *        contiguous (they may lie apart)
 * @param n number of vectors
 * @param task nullable
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT (shape, type, device, strides, NaN, zero vector), OUT_OF_RANGE (n),
 *         RESOURCE_EXHAUSTED (too many vectors); CANCELLED, DEADLINE (a prefix is inserted, as when memory runs out; the
 *         index is valid),
 *         CORRUPT (as gyr_index_upsert)
 * @ownership borrows arguments
 * @threadsafe any
 * @blocking builds the index
 * @since 0.1 */
GYR_API gyr_status gyr_index_upsert_dlpack(gyr_index *index, const int64_t *ids, const void *tensor, uint64_t n,
                                           gyr_task *task, gyr_error *err) GYR_NOEXCEPT;

/** Inserts or replaces the rows of a file as gyr_index_upsert_arrow does: .npy (float32, float16, uint8 or int8,
 * little-endian, row-major), .fvecs or .bvecs, by the end of its name.
 * @param index the index
 * @param path file; its rows have dim values
 * @param ids one for each row, n in all; NULL: rows are numbered from first_id on
 * @param n number of ids; 0 when ids is NULL
 * @param first_id id of the first row when ids is NULL
 * @param task nullable
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT (path, kind of file, type, shape, order, number of ids, NaN, zero vector),
 *         OUT_OF_RANGE (n, first_id), NOT_FOUND (no file), IO, CORRUPT (cut off, or not as its header says),
 *         RESOURCE_EXHAUSTED (too many vectors); CANCELLED, DEADLINE (a prefix is inserted, as when memory runs out; the
 *         index is valid)
 * @ownership borrows arguments
 * @threadsafe any
 * @blocking reads the file and builds the index
 * @since 0.1 */
GYR_API gyr_status gyr_index_upsert_file(gyr_index *index, const char *path, const int64_t *ids, uint64_t n,
                                         int64_t first_id, gyr_task *task, gyr_error *err) GYR_NOEXCEPT;

/** Deletes ids; unknown ids are counted out.
 * @param index the index
 * @param ids [n]
 * @param n number of ids
 * @param deleted nullable; receives how many existed
 * @param err nullable
 * @return GYR_OK, OUT_OF_RANGE (n),
 *         CORRUPT (as gyr_index_upsert)
 * @ownership borrows ids
 * @threadsafe any
 * @blocking no: an upsert or a compaction that is under way is not waited for
 * @since 0.1 */
GYR_API gyr_status gyr_index_delete(gyr_index *index, const int64_t *ids, uint64_t n, uint64_t *deleted,
                                    gyr_error *err) GYR_NOEXCEPT;

/** Finds the links of a graph anew among the vectors that are there, as a fresh build does, forgets deleted ones, and gives
 * memory back that they held: searches become as good and as fast as after a build. Of an inverted file it makes the lists
 * anew. Searches and deletes go on meanwhile and are kept; so do upserts of a graph, and those of the other kinds wait.
 * Slots stay with their ids; deleted ones at the end are given up. Upserts of a graph do the same by themselves (see
 * gyr_index_upsert), after many changes; a host that calls this from a thread of its own before that keeps its upserts
 * short.
 * @param index the index
 * @param task nullable
 * @param err nullable
 * @return GYR_OK, RESOURCE_EXHAUSTED (the memory budget: the index is as it was, or compacted in more memory than it
 *         needs); CANCELLED, DEADLINE (the index is as it was),
 *         CORRUPT (as gyr_index_upsert)
 * @ownership none
 * @threadsafe any; one at a time, another call waits
 * @blocking as long as inserting all vectors at once
 * @since 0.1 */
GYR_API gyr_status gyr_index_compact(gyr_index *index, gyr_task *task, gyr_error *err) GYR_NOEXCEPT;

/** Ids that searches may return, looked up once and used by any number of them, from any number of threads, without
 * another look-up or allocation. Deleting an id takes it out; ids that come later are let through after a refresh. */
typedef struct gyr_index_filter gyr_index_filter;

/** What a filter lets through: ids that meet all that is given; zero is the default of every field. */
typedef struct gyr_index_filter_options {
  uint32_t struct_size;
  uint32_t reserved;
  const int64_t *ids;    /**< [n_ids] only these, unknown ones when they come; NULL = all. Copied */
  uint64_t n_ids;        /**< number of ids; 0 with ids that are not NULL lets nothing through */
  const gyr_table *table; /**< whose rows `condition` is asked of, by id; NULL without a condition. Kept alive */
  const char *condition; /**< expression over the table's columns and its key, as a pipeline's filter takes it
                              (docs/expression.md); an id without a row has nulls in all columns; NULL = none */
  const gyr_str *keys;   /**< [n_keys] for tables with string keys: id i has the key keys[i], ids beyond have none; NULL
                              otherwise. Copied */
  uint64_t n_keys;       /**< number of keys */
  int64_t now_us;        /**< read time of the table, microseconds; 0 = the wall clock of each refresh; INT64_MAX = ignore
                              TTL */
} gyr_index_filter_options;

/** Makes a filter.
 * @param index kept alive by the filter
 * @param options required
 * @param task nullable
 * @param out receives the handle
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT (the condition, keys that do not fit the table), OUT_OF_RANGE (n_ids, n_keys),
 *         CANCELLED, DEADLINE
 * @ownership caller destroys *out
 * @threadsafe any, concurrent with searches and writers
 * @blocking looks every id up
 * @since 0.1 */
GYR_API gyr_status gyr_index_filter_create(const gyr_index *index, const gyr_index_filter_options *options,
                                           gyr_task *task, gyr_index_filter **out, gyr_error *err) GYR_NOEXCEPT;

/** Asks again which ids there are and which of them meet the condition. Searches that run go on with what there was;
 * those that begin afterwards take the new answer. When it fails the filter stays as it was.
 * @param filter the filter
 * @param task nullable
 * @param err nullable
 * @return GYR_OK, CANCELLED, DEADLINE
 * @ownership none
 * @threadsafe any, concurrent with searches and writers
 * @blocking looks every id up
 * @since 0.1 */
GYR_API gyr_status gyr_index_filter_refresh(const gyr_index_filter *filter, gyr_task *task, gyr_error *err)
    GYR_NOEXCEPT;

/** Facts about a filter. */
typedef struct gyr_index_filter_info {
  uint32_t struct_size;
  uint32_t reserved;
  uint64_t count;   /**< vectors that it lets through now */
  uint64_t changes; /**< ids that came to or went from the index since it was made or refreshed; 0 = not stale, but for
                         changes of the table, which it does not see */
  uint64_t bytes;   /**< memory in use */
} gyr_index_filter_info;

/** Facts about a filter.
 * @param filter the filter
 * @param out in: struct_size; out: filled
 * @param err nullable
 * @return GYR_OK
 * @ownership fills caller memory
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_index_filter_get_info(const gyr_index_filter *filter, gyr_index_filter_info *out,
                                             gyr_error *err) GYR_NOEXCEPT;

/** Drops the caller's reference.
 * @param filter nullable
 * @return nothing
 * @ownership consumes filter
 * @threadsafe any, once per handle
 * @blocking no
 * @since 0.1 */
GYR_API void gyr_index_filter_destroy(gyr_index_filter *filter) GYR_NOEXCEPT;

/** One search for a batch of queries. A vector is returned when all filters that are given let it through. */
typedef struct gyr_search_args {
  uint32_t struct_size;
  uint32_t k;               /**< 1..65536 */
  const float *queries;     /**< [n, dim] row-major, finite, norms up to 1e18; not all zero under cosine */
  uint64_t n;               /**< queries */
  uint32_t effort;          /**< graph: candidate pool, IVF: twice the lists read; 0 = what gyr_index_tune found, else
                                 max(2k, 64). Less than k is for low recalls; a graph under a filter takes it as k.
                                 More = better recall, slower */
  uint32_t exact;           /**< 1 = scan everything */
  const uint64_t *filter;   /**< bitmap over slots (see gyr_index_slots), bit set = allowed; NULL = all. Beside deletes use
                                 `selection`: a slot whose id was deleted may be another id's by now */
  uint64_t filter_bits;     /**< bits in filter; slots beyond it are not allowed */
  int64_t *out_ids;         /**< [n, k]; -1 where fewer than k exist (also a legal id: go by out_counts) */
  float *out_scores;        /**< [n, k]; NaN where fewer than k exist */
  uint32_t *out_counts;     /**< [n] results found per query */
  const gyr_index_filter *selection; /**< a prepared filter of this index; NULL = all */
  const int64_t *allowed_ids;        /**< [n_allowed_ids] ids that may be returned, unknown ones count out; NULL = all */
  uint64_t n_allowed_ids;            /**< number of them; 0 with allowed_ids that are not NULL lets nothing through */
  const int64_t *allowed_offsets;    /**< [n + 1] query i may return allowed_ids[offsets[i]] to [offsets[i + 1] - 1]; NULL =
                                          each query all of allowed_ids */
} gyr_search_args;

/** Searches the k best per query. k results are returned whenever k allowed vectors exist.
 * @param index the index
 * @param args all pointers but the filters' required
 * @param task nullable
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT, OUT_OF_RANGE, CANCELLED, DEADLINE
 * @ownership fills caller memory
 * @threadsafe any, concurrent with upsert and delete
 * @blocking spreads queries over the pool, 16 at a time
 * @since 0.1 */
GYR_API gyr_status gyr_index_search(const gyr_index *index, const gyr_search_args *args, gyr_task *task,
                                    gyr_error *err) GYR_NOEXCEPT;

/** How well an index answers: its answers held against exact search of the same vectors. */
typedef struct gyr_evaluate_args {
  uint32_t struct_size;
  uint32_t k;                  /**< 1..65535; 0 = 10 */
  const float *queries;        /**< [n, dim] row-major, as for gyr_index_search; NULL = n of the index's own vectors, evenly
                                    taken, each searched without itself. Real queries say more, above all under inner
                                    product */
  uint64_t n;                  /**< queries; without queries 0 = 1000, and never more than there are vectors */
  const gyr_index_filter *selection; /**< the answers are those under it; NULL = all */
} gyr_evaluate_args;

/** What a search effort gives. Means are over the queries. */
typedef struct gyr_search_quality {
  uint32_t struct_size;
  uint32_t effort;         /**< as tried */
  double recall;           /**< share of the true k nearest that were found; a vector that scores as high counts as one */
  double seconds;          /**< of one query, where all are given in one call: spread over the pool */
  double codes;            /**< quantised vectors looked at per query, of IVF the lists' centres, too */
  double vectors;          /**< vectors scored exactly per query; a scan of all vectors is not counted */
  double bytes;            /**< of both, per query */
} gyr_search_quality;

/** Measures recall and speed of search efforts against exact search. Takes the time of n exact searches, then that of
 * the searches themselves. Other work on the machine makes `seconds` larger; nothing changes recall but the index.
 * @param index the index
 * @param args required
 * @param efforts [n_efforts] search efforts; 0 = what searches take that name none
 * @param n_efforts number of efforts
 * @param results [n_efforts] in: struct_size of the first, which they all have; out: filled
 * @param task nullable; progress in queries, then in efforts
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT, OUT_OF_RANGE, INVALID_STATE (nothing to find), CANCELLED, DEADLINE
 * @ownership fills caller memory
 * @threadsafe any, concurrent with upsert and delete, which then count as lost recall
 * @blocking searches n times and more
 * @since 0.1 */
GYR_API gyr_status gyr_index_evaluate(const gyr_index *index, const gyr_evaluate_args *args, const uint32_t *efforts,
                                      uint64_t n_efforts, gyr_search_quality *results, gyr_task *task,
                                      gyr_error *err) GYR_NOEXCEPT;

/** Finds about the smallest search effort that reaches a recall, and may make it the index's own: that of searches with
 * effort 0, kept by save. For a larger k than it was found for they take effort x (k + 20) / (its k + 20), for a smaller
 * one the same. What is inserted or deleted later changes what an effort finds: tune again once a good part has been
 * replaced.
 * @param index the index
 * @param args required
 * @param recall wanted, above 0 and at most 1; 0 = 0.95
 * @param keep 1 = make it the index's own, 0 = only say it
 * @param out nullable; receives what the effort gives
 * @param task nullable; progress in queries, then in efforts
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT, OUT_OF_RANGE (k, n, recall; or no effort reaches it), INVALID_STATE (nothing to find),
 *         CANCELLED, DEADLINE; the index's effort is then what it was
 * @ownership fills caller memory
 * @threadsafe any, concurrent with everything
 * @blocking searches n times and more
 * @since 0.1 */
GYR_API gyr_status gyr_index_tune(gyr_index *index, const gyr_evaluate_args *args, double recall, uint32_t keep,
                                  gyr_search_quality *out, gyr_task *task, gyr_error *err) GYR_NOEXCEPT;

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
  uint64_t bytes;      /**< memory in use, pages of the file that it was opened from among it */
  gyr_stored stored;   /**< never GYR_STORED_DEFAULT */
  uint32_t reserved;   /**< 0 */
  uint64_t capacity;   /**< slots that `bytes` has room for */
  uint64_t bytes_vectors; /**< of `bytes`: vectors, without codes that the graph walks on */
  uint64_t bytes_codes;   /**< of `bytes`: the codes that the graph walks on, or that lists hold */
  uint64_t bytes_links;   /**< of `bytes`: the graph's links, or the lists' centres and what else they need */
  uint64_t bytes_ids;     /**< of `bytes`: ids and what finds them */
  uint32_t tuned_k;      /**< gyr_index_tune: the k it was for; 0 = not tuned */
  uint32_t tuned_effort; /**< the effort it found; 0 = not tuned */
  uint64_t code_bytes;   /**< that searches read of one quantised vector; 0 = there are none */
  uint64_t codes_touched;   /**< quantised vectors that searches have looked at since the index was created or opened */
  uint64_t vectors_touched; /**< vectors that they scored exactly after that */
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

/** Opens a saved index where its file lies. Searches read the file's pages, which processes share; the first change of
 * the index looks all of it through, beside searches, and makes changed pages this process's own. The file must not be
 * truncated as long as the index lives (SIGBUS); renaming another over it, as saving does, is fine.
 * @param runtime the runtime
 * @param path file
 * @param out receives the handle
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT (path), NOT_FOUND (no file), IO, CORRUPT, FORMAT_TOO_NEW, FORMAT_TOO_OLD
 * @ownership caller destroys *out
 * @threadsafe any
 * @blocking reads the file once, for its checksums
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
