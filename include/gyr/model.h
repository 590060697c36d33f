/* gyr/model.h: training and inference (Merlin Models' and HugeCTR's place).
 *
 * A trainer is mutable and exclusive; the model it exports is immutable and usable from any number of threads.
 * Spec JSON (docs/model.md): {"version":1,"kind":"two_tower", ...}. Kinds:
 *   popularity, item_knn           counting baselines over (user, item) interactions
 *   ials                           implicit ALS matrix factorisation (Hu, Koren, Volinsky 2008), fold-in of users
 *   two_tower                      feature towers, in-batch sampled softmax with logQ correction (Yi et al. 2019)
 *   dlrm                           dot-interaction ranking (Naumov et al. 2019), BCE; pair order: dense first, then
 *                                  schema order, strict upper triangle row-major
 * Inputs are the workflow's outputs: integer codes, floats and lists of codes, matched by column name. */
#ifndef GYR_MODEL_H
#define GYR_MODEL_H

#include <gyr/data.h>
#include <gyr/runtime.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Weights being trained. */
typedef struct gyr_trainer gyr_trainer;
/** Trained weights, immutable. */
typedef struct gyr_model gyr_model;

/** Creates a trainer.
 * @param runtime the runtime
 * @param spec_json NUL-terminated spec; errors name the path
 * @param schema_json output schema of the workflow (gyr_workflow_schema); gives cardinalities and shared domains
 * @param out receives the handle
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT, FORMAT_TOO_NEW (the spec's version)
 * @ownership caller destroys *out
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_trainer_create(gyr_runtime *runtime, const char *spec_json, const char *schema_json,
                                      gyr_trainer **out, gyr_error *err) GYR_NOEXCEPT;

/** Adds the item catalogue: one row per item with the item-side features. Needed by dlrm when its spec samples
 * negatives; optional otherwise.
 * @param trainer exclusive
 * @param stream consumed on success
 * @param task nullable
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT, UNSUPPORTED, OUT_OF_RANGE, CORRUPT, CALLBACK (the stream), CANCELLED, DEADLINE
 * @ownership moves *stream on success
 * @threadsafe exclusive
 * @blocking reads the stream
 * @since 0.1 */
GYR_API gyr_status gyr_trainer_add_items(gyr_trainer *trainer, struct ArrowArrayStream *stream, gyr_task *task,
                                         gyr_error *err) GYR_NOEXCEPT;

/** Trains on the rows of a stream (one interaction per row) for the spec's number of epochs. Deterministic for a
 * seed and input, whatever the number of threads. Calling again continues from the present weights.
 * @param trainer exclusive; usable after a failure, weights as of the last finished epoch
 * @param stream consumed on success
 * @param task nullable; progress reports epochs and loss
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT (missing column, code out of range, NaN), INVALID_STATE (no rows), UNSUPPORTED,
 *         OUT_OF_RANGE, CORRUPT, CALLBACK (the stream), CANCELLED, DEADLINE
 * @ownership moves *stream on success
 * @threadsafe exclusive
 * @blocking trains
 * @since 0.1 */
GYR_API gyr_status gyr_trainer_fit(gyr_trainer *trainer, struct ArrowArrayStream *stream, gyr_task *task,
                                   gyr_error *err) GYR_NOEXCEPT;

/** Training history as JSON: [{"epoch":1,"loss":0.69,"seconds":0.8}, ...].
 * @param trainer the trainer
 * @param buffer receives NUL-terminated text, or NULL to ask for the size
 * @param capacity bytes
 * @param size receives the bytes needed
 * @param err nullable
 * @return GYR_OK, RESOURCE_EXHAUSTED (buffer too small)
 * @ownership fills caller memory
 * @threadsafe per-handle
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_trainer_history(const gyr_trainer *trainer, char *buffer, uint64_t capacity, uint64_t *size,
                                       gyr_error *err) GYR_NOEXCEPT;

/** Exports an immutable copy of the present weights.
 * @param trainer fitted
 * @param out receives the model
 * @param err nullable
 * @return GYR_OK, INVALID_STATE (not fitted)
 * @ownership caller destroys *out
 * @threadsafe per-handle
 * @blocking packs weights
 * @since 0.1 */
GYR_API gyr_status gyr_trainer_export(const gyr_trainer *trainer, gyr_model **out, gyr_error *err) GYR_NOEXCEPT;

/** Frees the trainer.
 * @param trainer nullable
 * @return nothing
 * @ownership consumes trainer
 * @threadsafe exclusive
 * @blocking no
 * @since 0.1 */
GYR_API void gyr_trainer_destroy(gyr_trainer *trainer) GYR_NOEXCEPT;

/** Which tower of a model. */
typedef int32_t gyr_side;
enum { GYR_SIDE_USER = 1, GYR_SIDE_ITEM = 2 };

/** Embeds users or items into the retrieval space (two_tower, ials). ials folds users in from the history column.
 * @param model the model
 * @param side which tower
 * @param stream rows with that side's features; consumed on success
 * @param out [rows, dim] row-major
 * @param capacity_rows rows in out
 * @param rows receives the number of rows written
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT, INVALID_STATE (ials: a user cannot be folded in), UNSUPPORTED (the kind has no
 *         towers; a type in the stream), OUT_OF_RANGE, CORRUPT, CALLBACK (the stream), RESOURCE_EXHAUSTED (more rows
 *         than capacity)
 * @ownership fills caller memory; moves *stream on success
 * @threadsafe any
 * @blocking computes
 * @since 0.1 */
GYR_API gyr_status gyr_model_encode(const gyr_model *model, gyr_side side, struct ArrowArrayStream *stream, float *out,
                                    uint64_t capacity_rows, uint64_t *rows, gyr_error *err) GYR_NOEXCEPT;

/** Scores rows that hold user and item features (dlrm: probability; two_tower, ials: dot product).
 * @param model the model
 * @param stream rows; consumed on success
 * @param out [rows]
 * @param capacity_rows rows in out
 * @param rows receives the number of rows written
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT, INVALID_STATE (ials: a user cannot be folded in), UNSUPPORTED, OUT_OF_RANGE,
 *         CORRUPT, CALLBACK (the stream), RESOURCE_EXHAUSTED (more rows than capacity)
 * @ownership fills caller memory; moves *stream on success
 * @threadsafe any
 * @blocking computes
 * @since 0.1 */
GYR_API gyr_status gyr_model_predict(const gyr_model *model, struct ArrowArrayStream *stream, float *out,
                                     uint64_t capacity_rows, uint64_t *rows, gyr_error *err) GYR_NOEXCEPT;

/** Recommends item codes for histories of item codes (popularity, item_knn, ials). Ties: smaller code first.
 * @param model the model
 * @param items [offsets[n]] item codes
 * @param offsets [n+1]
 * @param n number of histories
 * @param k 1..65536
 * @param exclude [exclude_offsets[n]] codes never to return; NULL = the history itself
 * @param exclude_offsets [n+1]; NULL with exclude
 * @param out_items [n, k] receives codes; 0 where fewer exist
 * @param out_scores [n, k] receives scores, NaN where fewer exist; nullable
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT, INVALID_STATE (ials: a user cannot be folded in), UNSUPPORTED, OUT_OF_RANGE
 * @ownership fills caller memory
 * @threadsafe any
 * @blocking computes
 * @since 0.1 */
GYR_API gyr_status gyr_model_recommend(const gyr_model *model, const int64_t *items, const int64_t *offsets, uint64_t n,
                                       uint32_t k, const int64_t *exclude, const int64_t *exclude_offsets,
                                       int64_t *out_items, float *out_scores, gyr_error *err) GYR_NOEXCEPT;

/** Description as JSON: kind, inputs per side, dim, parameters, layer order.
 * @param model the model
 * @param buffer receives NUL-terminated text, or NULL to ask for the size
 * @param capacity bytes
 * @param size receives the bytes needed
 * @param err nullable
 * @return GYR_OK, RESOURCE_EXHAUSTED (buffer too small)
 * @ownership fills caller memory
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_model_describe(const gyr_model *model, char *buffer, uint64_t capacity, uint64_t *size,
                                      gyr_error *err) GYR_NOEXCEPT;

/** Saves to a file, atomically; docs/format.md says what a crash or a killed process leaves.
 * @param model the model
 * @param path file
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT (path), IO
 * @ownership none
 * @threadsafe any
 * @blocking writes and syncs a file
 * @since 0.1 */
GYR_API gyr_status gyr_model_save(const gyr_model *model, const char *path, gyr_error *err) GYR_NOEXCEPT;

/** Opens a saved model.
 * @param runtime the runtime
 * @param path file
 * @param out receives the handle
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT (path), NOT_FOUND (no file), IO, CORRUPT, FORMAT_TOO_NEW, FORMAT_TOO_OLD
 * @ownership caller destroys *out
 * @threadsafe any
 * @blocking reads a file
 * @since 0.1 */
GYR_API gyr_status gyr_model_open(gyr_runtime *runtime, const char *path, gyr_model **out, gyr_error *err) GYR_NOEXCEPT;

/** Drops the caller's reference.
 * @param model nullable
 * @return nothing
 * @ownership consumes model
 * @threadsafe any, once per handle
 * @blocking no
 * @since 0.1 */
GYR_API void gyr_model_destroy(gyr_model *model) GYR_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif
