/* gyr/pipeline.h: the serving graph: features -> encode -> retrieve -> filter -> features -> score -> order,
 * for a batch of users in one call.
 *
 * Graph JSON (docs/pipeline.md): {"version":1,"stages":[
 *   {"stage":"features","side":"user","table":"users","columns":["age","history","seen"]},
 *   {"stage":"encode","workflow":"features","model":"retrieval"},
 *   {"stage":"retrieve","index":"items","k":200},
 *   {"stage":"filter","seen":"seen"},
 *   {"stage":"features","side":"item","table":"items","columns":["item","genres","year"]},
 *   {"stage":"filter","expr":"year >= 1950"},
 *   {"stage":"score","model":"ranker"},
 *   {"stage":"order","k":10,"by":"score","method":"greedy"}]} */
#ifndef GYR_PIPELINE_H
#define GYR_PIPELINE_H

#include <gyr/bundle.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Reusable memory of one call at a time; with it a warmed-up call allocates nothing. */
typedef struct gyr_workspace gyr_workspace;

/** Creates a workspace, usable with every generation of the bundle.
 * @param bundle the bundle
 * @param out receives the handle
 * @param err nullable
 * @return GYR_OK
 * @ownership caller destroys *out
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_workspace_create(const gyr_bundle *bundle, gyr_workspace **out, gyr_error *err) GYR_NOEXCEPT;

/** Frees a workspace.
 * @param workspace nullable
 * @return nothing
 * @ownership consumes workspace
 * @threadsafe exclusive
 * @blocking no
 * @since 0.1 */
GYR_API void gyr_workspace_destroy(gyr_workspace *workspace) GYR_NOEXCEPT;

/** What one stage did in one call, summed over the users. */
typedef struct gyr_stage_trace {
  uint32_t struct_size;
  uint32_t reserved;
  char name[32];       /**< "retrieve", "filter:seen", ... */
  uint64_t time_ns;    /**< wall clock */
  uint64_t rows_in;    /**< candidates (or users) entering */
  uint64_t rows_out;   /**< and leaving */
} gyr_stage_trace;

/** One request for a batch of users. */
typedef struct gyr_recommend_args {
  uint32_t struct_size;
  uint32_t k;                    /**< room per user in the out arrays, 1..65536; at most the order stage's k are filled */
  const gyr_keys *users;         /**< at most 2^20 user ids, int64 or string as the user table has them */
  const char *const *context_names; /**< [n_context] request features by name; nullable */
  const gyr_value *context;      /**< [users.count, n_context] */
  uint64_t n_context;            /**< number of names */
  int64_t now_us;                /**< request time for TTL; 0 = the wall clock */
  uint64_t seed;                 /**< for sampling order; same seed, generation and request: same list */
  int64_t *out_ids;              /**< [users, k] item ids; for string catalogues NULL is allowed */
  gyr_str *out_string_ids;       /**< [users, k], string catalogues only; valid until the workspace's next call */
  float *out_scores;             /**< [users, k] final score; NaN beyond the count */
  float *out_stage_scores;       /**< nullable [users, k, 2]: retrieval score, ranking score (NaN when there is none) */
  uint32_t *out_counts;          /**< [users] */
  uint8_t *out_user_status;      /**< nullable [users] GYR_VALUE_PRESENT, MISSING or EXPIRED in the user table */
  gyr_stage_trace *trace;        /**< nullable [trace_capacity], trace[0].struct_size set */
  uint32_t trace_capacity;       /**< entries in trace */
  uint32_t trace_count;          /**< out: stages of the pipeline */
  uint64_t generation;           /**< out: the generation that answered */
  gyr_workspace *workspace;      /**< nullable: one is taken from a pool; required for out_string_ids */
} gyr_recommend_args;

/** Recommends for a batch of users. Unknown users get answers too (from defaults and context); their status says so.
 * @param bundle the bundle
 * @param args in and out
 * @param task nullable
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT, OUT_OF_RANGE, INVALID_STATE (the index does not fit the id list), BUSY (workspace
 *         in use), CANCELLED, DEADLINE
 * @ownership fills caller memory
 * @threadsafe any; concurrent with publish, rollback and upserts
 * @blocking computes
 * @since 0.1 */
GYR_API gyr_status gyr_bundle_recommend(const gyr_bundle *bundle, gyr_recommend_args *args, gyr_task *task,
                                        gyr_error *err) GYR_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif
