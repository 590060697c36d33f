/* gyr/workflow.h: the fitted feature-engineering graph (NVTabular's place).
 *
 * The graph is JSON (docs/workflow.md): {"version":1,
 *   "inputs":[{"name":"user_id","dtype":"int64","list":false,"tags":["user_id"]}, ...],
 *   "ops":[{"op":"Categorify","columns":["user_id"],"as":["user"], ...}, ...],
 *   "outputs":["user", ...]}
 * Each op reads `columns` and writes `as` (default: replaces them). Codes: 0 pad, 1 null, 2.. OOV buckets, then the
 * vocabulary by count descending, then value ascending (integers by number, strings by bytes).
 *
 * Fitting: for each pass (gyr_workflow_fit_passes_left) call gyr_workflow_fit_partial with one or more streams over
 * the whole training data, then gyr_workflow_fit_finish. States of one pass fitted apart merge exactly. */
#ifndef GYR_WORKFLOW_H
#define GYR_WORKFLOW_H

#include <gyr/data.h>
#include <gyr/runtime.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A graph of feature ops, fitted or being fitted. */
typedef struct gyr_workflow gyr_workflow;

/** Parses and checks a graph; errors name the JSON path.
 * @param runtime the runtime
 * @param json NUL-terminated graph
 * @param out receives an unfitted workflow (fitted already when no op needs statistics)
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT, FORMAT_TOO_NEW (the spec's version)
 * @ownership caller destroys *out
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_workflow_create(gyr_runtime *runtime, const char *json, gyr_workflow **out,
                                       gyr_error *err) GYR_NOEXCEPT;

/** Passes over the training data still needed; 0 = fitted.
 * @param workflow nullable
 * @return number of passes, 0 for NULL
 * @ownership none
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API uint32_t gyr_workflow_fit_passes_left(const gyr_workflow *workflow) GYR_NOEXCEPT;

/** Adds the rows of a stream to the current pass. On failure the pass keeps the state from before the call.
 * @param workflow exclusive
 * @param stream consumed on success
 * @param task nullable
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT (columns do not fit), INVALID_STATE (fitted already), RESOURCE_EXHAUSTED (too many
 *         distinct values), UNSUPPORTED, OUT_OF_RANGE, CORRUPT, CALLBACK (the stream), CANCELLED, DEADLINE
 * @ownership moves *stream on success
 * @threadsafe exclusive
 * @blocking reads the whole stream
 * @since 0.1 */
GYR_API gyr_status gyr_workflow_fit_partial(gyr_workflow *workflow, struct ArrowArrayStream *stream, gyr_task *task,
                                            gyr_error *err) GYR_NOEXCEPT;

/** Adds another workflow's statistics of the same graph and pass (distributed fit). Exact and commutative.
 * @param workflow receives the sum
 * @param other unchanged
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT (other graph), INVALID_STATE (other pass), OUT_OF_RANGE (variance),
 *         RESOURCE_EXHAUSTED (too many distinct values)
 * @ownership none
 * @threadsafe exclusive
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_workflow_merge(gyr_workflow *workflow, const gyr_workflow *other, gyr_error *err) GYR_NOEXCEPT;

/** Ends the current pass: builds vocabularies and moments.
 * @param workflow exclusive
 * @param err nullable
 * @return GYR_OK, INVALID_STATE (no rows seen, or already fitted), OUT_OF_RANGE
 * @ownership none
 * @threadsafe exclusive
 * @blocking sorts vocabularies
 * @since 0.1 */
GYR_API gyr_status gyr_workflow_fit_finish(gyr_workflow *workflow, gyr_error *err) GYR_NOEXCEPT;

/** Transforms a stream lazily: each pulled batch is one input batch. Inputs absent from the stream are allowed when
 * no requested output needs them (serving without targets).
 * @param workflow fitted; kept alive by *out
 * @param in consumed on success
 * @param out receives the stream
 * @param err nullable
 * @return GYR_OK, INVALID_STATE (not fitted), INVALID_ARGUMENT, UNSUPPORTED, CORRUPT, CALLBACK (the stream)
 * @ownership moves *in on success; caller releases *out
 * @threadsafe any
 * @blocking no; pulling from *out does the work
 * @since 0.1 */
GYR_API gyr_status gyr_workflow_transform(const gyr_workflow *workflow, struct ArrowArrayStream *in,
                                          struct ArrowArrayStream *out, gyr_error *err) GYR_NOEXCEPT;

/** Transforms one row through the same code. `in` follows the graph's inputs in order, `out` its outputs.
 * Lists and strings in `out` point into `scratch`.
 * @param workflow fitted
 * @param in [n_in] values
 * @param n_in number of graph inputs
 * @param out [n_out] receives values
 * @param n_out number of graph outputs
 * @param scratch caller memory for list and string values, 8-byte aligned; may be NULL when there are none
 * @param scratch_size bytes
 * @param err nullable
 * @return GYR_OK, INVALID_STATE (not fitted), INVALID_ARGUMENT, NOT_FOUND (a Filter or Dropna removed the row),
 *         OUT_OF_RANGE (a length), RESOURCE_EXHAUSTED (scratch too small)
 * @ownership fills caller memory
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_workflow_transform_row(const gyr_workflow *workflow, const gyr_value *in, uint64_t n_in,
                                              gyr_value *out, uint64_t n_out, void *scratch, uint64_t scratch_size,
                                              gyr_error *err) GYR_NOEXCEPT;

/** Output schema as JSON, under "columns": name, dtype, list, tags, cardinality, embedding size, statistics, source
 * columns. Under "inputs": the columns that the graph reads, in its order.
 * @param workflow the workflow
 * @param buffer receives NUL-terminated text, or NULL to ask for the size
 * @param capacity bytes in buffer
 * @param size receives the bytes needed, including the NUL
 * @param err nullable
 * @return GYR_OK, RESOURCE_EXHAUSTED (buffer too small; *size is set)
 * @ownership fills caller memory
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_workflow_schema(const gyr_workflow *workflow, char *buffer, uint64_t capacity, uint64_t *size,
                                       gyr_error *err) GYR_NOEXCEPT;

/** Original value of a Categorify code.
 * @param workflow fitted
 * @param column output column
 * @param code the code
 * @param out receives the value (borrowed from the workflow); dtype NONE for pad, null and OOV codes
 * @param err nullable
 * @return GYR_OK, INVALID_STATE (not fitted), NOT_FOUND (no such categorical output), OUT_OF_RANGE
 * @ownership borrowed until the workflow is destroyed
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_workflow_decode(const gyr_workflow *workflow, const char *column, int64_t code, gyr_value *out,
                                       gyr_error *err) GYR_NOEXCEPT;

/** Saves graph and statistics to a file, atomically; docs/format.md says what a crash or a killed process leaves.
 * @param workflow the workflow, fitted or between passes
 * @param path file
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT (path), IO
 * @ownership none
 * @threadsafe any
 * @blocking writes and syncs a file
 * @since 0.1 */
GYR_API gyr_status gyr_workflow_save(const gyr_workflow *workflow, const char *path, gyr_error *err) GYR_NOEXCEPT;

/** Opens a saved workflow.
 * @param runtime the runtime
 * @param path file
 * @param out receives the handle
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT (path), NOT_FOUND (no file), IO, CORRUPT, FORMAT_TOO_NEW, FORMAT_TOO_OLD
 * @ownership caller destroys *out
 * @threadsafe any
 * @blocking reads a file
 * @since 0.1 */
GYR_API gyr_status gyr_workflow_open(gyr_runtime *runtime, const char *path, gyr_workflow **out,
                                     gyr_error *err) GYR_NOEXCEPT;

/** Drops the caller's reference.
 * @param workflow nullable
 * @return nothing
 * @ownership consumes workflow
 * @threadsafe any, once per handle
 * @blocking no
 * @since 0.1 */
GYR_API void gyr_workflow_destroy(gyr_workflow *workflow) GYR_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif
