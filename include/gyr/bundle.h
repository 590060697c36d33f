/* gyr/bundle.h: one file holding a generation of workflow, tables, indexes, models and pipeline; opened, served,
 * swapped and rolled back as one. A builder collects components and writes the file. */
#ifndef GYR_BUNDLE_H
#define GYR_BUNDLE_H

#include <gyr/index.h>
#include <gyr/model.h>
#include <gyr/table.h>
#include <gyr/workflow.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A live bundle: the generation that serves, and the one before. */
typedef struct gyr_bundle gyr_bundle;
/** Collects components and writes a bundle file. */
typedef struct gyr_bundle_builder gyr_bundle_builder;

/** Creates a builder.
 * @param runtime the runtime
 * @param out receives the handle
 * @param err nullable
 * @return GYR_OK
 * @ownership caller destroys *out
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_bundle_builder_create(gyr_runtime *runtime, gyr_bundle_builder **out,
                                             gyr_error *err) GYR_NOEXCEPT;

/** Adds a component under a name ([a-z0-9_], at most 63 bytes); the pipeline refers to it by that name.
 * @param builder exclusive
 * @param name unique within the bundle
 * @param workflow kept alive until the builder is destroyed
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT (name), ALREADY_EXISTS, INVALID_STATE (not fitted)
 * @ownership retains the component
 * @threadsafe exclusive
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_bundle_builder_add_workflow(gyr_bundle_builder *builder, const char *name,
                                                   const gyr_workflow *workflow, gyr_error *err) GYR_NOEXCEPT;
/** Adds a table; its rows at save time go into the file.
 * @param builder exclusive
 * @param name unique within the bundle
 * @param table kept alive until the builder is destroyed
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT (name), ALREADY_EXISTS
 * @ownership retains the component
 * @threadsafe exclusive
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_bundle_builder_add_table(gyr_bundle_builder *builder, const char *name, const gyr_table *table,
                                                gyr_error *err) GYR_NOEXCEPT;
/** Adds an index.
 * @param builder exclusive
 * @param name unique within the bundle
 * @param index kept alive until the builder is destroyed
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT (name), ALREADY_EXISTS
 * @ownership retains the component
 * @threadsafe exclusive
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_bundle_builder_add_index(gyr_bundle_builder *builder, const char *name, const gyr_index *index,
                                                gyr_error *err) GYR_NOEXCEPT;
/** Adds a model.
 * @param builder exclusive
 * @param name unique within the bundle
 * @param model kept alive until the builder is destroyed
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT (name), ALREADY_EXISTS
 * @ownership retains the component
 * @threadsafe exclusive
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_bundle_builder_add_model(gyr_bundle_builder *builder, const char *name, const gyr_model *model,
                                                gyr_error *err) GYR_NOEXCEPT;
/** Adds a list of string ids: index label i stands for ids[i]. For catalogues whose item ids are strings.
 * @param builder exclusive
 * @param name unique within the bundle
 * @param ids [n], distinct
 * @param n number of ids
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT (name, an id twice), ALREADY_EXISTS, OUT_OF_RANGE (n, a length)
 * @ownership copies ids
 * @threadsafe exclusive
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_bundle_builder_add_ids(gyr_bundle_builder *builder, const char *name, const gyr_str *ids,
                                              uint64_t n, gyr_error *err) GYR_NOEXCEPT;
/** Sets the serving graph (docs/pipeline.md).
 * @param builder exclusive
 * @param json NUL-terminated; checked against the components at save
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT
 * @ownership copies json
 * @threadsafe exclusive
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_bundle_builder_set_pipeline(gyr_bundle_builder *builder, const char *json,
                                                   gyr_error *err) GYR_NOEXCEPT;
/** Sets free-form metadata shown by gyr_bundle_describe (quality figures, data version, ...).
 * @param builder exclusive
 * @param json NUL-terminated JSON object
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT
 * @ownership copies json
 * @threadsafe exclusive
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_bundle_builder_set_metadata(gyr_bundle_builder *builder, const char *json,
                                                   gyr_error *err) GYR_NOEXCEPT;
/** Checks that everything fits together and writes the file atomically; docs/format.md says what a crash leaves.
 * @param builder the builder
 * @param path file
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT (path; the pipeline does not fit the components), INVALID_STATE (no pipeline),
 *         FORMAT_TOO_NEW (the pipeline's version), RESOURCE_EXHAUSTED (too many components), IO
 * @ownership none
 * @threadsafe exclusive
 * @blocking writes and syncs a file
 * @since 0.1 */
GYR_API gyr_status gyr_bundle_builder_save(const gyr_bundle_builder *builder, const char *path,
                                           gyr_error *err) GYR_NOEXCEPT;
/** Frees a builder.
 * @param builder nullable
 * @return nothing
 * @ownership consumes builder
 * @threadsafe exclusive
 * @blocking no
 * @since 0.1 */
GYR_API void gyr_bundle_builder_destroy(gyr_bundle_builder *builder) GYR_NOEXCEPT;

/** Opens a bundle as generation 1 of a live handle.
 * @param runtime the runtime
 * @param path file
 * @param out receives the handle
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT (path), NOT_FOUND (no such file), IO, CORRUPT, FORMAT_TOO_NEW, FORMAT_TOO_OLD
 * @ownership caller destroys *out
 * @threadsafe any
 * @blocking reads and checks the file
 * @since 0.1 */
GYR_API gyr_status gyr_bundle_open(gyr_runtime *runtime, const char *path, gyr_bundle **out,
                                   gyr_error *err) GYR_NOEXCEPT;

enum {
  GYR_PUBLISH_CARRY_ROWS = 1 /**< rows upserted live (not in the file, or newer than there) move along */
};

/** Opens another file and makes it the serving generation. Calls in flight finish on the generation they began
 * with; no call fails or mixes generations. The previous one is kept for rollback. On failure nothing changes.
 * @param bundle the bundle
 * @param path file
 * @param flags GYR_PUBLISH_*
 * @param generation nullable; receives the new generation's number
 * @param err nullable
 * @return as gyr_bundle_open
 * @ownership none
 * @threadsafe any, concurrent with gyr_bundle_recommend
 * @blocking reads and checks the file; then waits up to a second for calls on the generation that it frees
 * @since 0.1 */
GYR_API gyr_status gyr_bundle_publish(gyr_bundle *bundle, const char *path, uint32_t flags, uint64_t *generation,
                                      gyr_error *err) GYR_NOEXCEPT;

/** Returns to the previous generation (again: back to the newer one).
 * @param bundle the bundle
 * @param generation nullable; receives the number now serving
 * @param err nullable
 * @return GYR_OK, INVALID_STATE (there is no previous one)
 * @ownership none
 * @threadsafe any, concurrent with gyr_bundle_recommend
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_bundle_rollback(gyr_bundle *bundle, uint64_t *generation, gyr_error *err) GYR_NOEXCEPT;

/** Live table of the serving generation, for upserts and reads. The handle stays with that generation: after a publish
 * or a rollback take a new one, or what is upserted is not served.
 * @param bundle the bundle
 * @param name component name
 * @param out receives a handle of its own
 * @param err nullable
 * @return GYR_OK, NOT_FOUND
 * @ownership caller destroys *out
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_bundle_table(const gyr_bundle *bundle, const char *name, gyr_table **out,
                                    gyr_error *err) GYR_NOEXCEPT;
/** Live index of the serving generation; the handle stays with that generation, as a table's does.
 * @param bundle the bundle
 * @param name component name
 * @param out receives a handle of its own
 * @param err nullable
 * @return GYR_OK, NOT_FOUND
 * @ownership caller destroys *out
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_bundle_index(const gyr_bundle *bundle, const char *name, gyr_index **out,
                                    gyr_error *err) GYR_NOEXCEPT;
/** Model of the serving generation.
 * @param bundle the bundle
 * @param name component name
 * @param out receives a handle of its own
 * @param err nullable
 * @return GYR_OK, NOT_FOUND
 * @ownership caller destroys *out
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_bundle_model(const gyr_bundle *bundle, const char *name, gyr_model **out,
                                    gyr_error *err) GYR_NOEXCEPT;
/** Workflow of the serving generation.
 * @param bundle the bundle
 * @param name component name
 * @param out receives a handle of its own
 * @param err nullable
 * @return GYR_OK, NOT_FOUND
 * @ownership caller destroys *out
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_bundle_workflow(const gyr_bundle *bundle, const char *name, gyr_workflow **out,
                                       gyr_error *err) GYR_NOEXCEPT;

/** Description as JSON: generation, components with sizes, pipeline, metadata.
 * @param bundle the bundle
 * @param buffer receives NUL-terminated text, or NULL to ask for the size
 * @param capacity bytes
 * @param size receives the bytes needed
 * @param err nullable
 * @return GYR_OK, RESOURCE_EXHAUSTED (buffer too small)
 * @ownership fills caller memory
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_bundle_describe(const gyr_bundle *bundle, char *buffer, uint64_t capacity, uint64_t *size,
                                       gyr_error *err) GYR_NOEXCEPT;

/** Serving metrics in Prometheus text format: requests, errors, per-stage latency histograms (seconds), generation.
 * @param bundle the bundle
 * @param buffer receives NUL-terminated text, or NULL to ask for the size
 * @param capacity bytes
 * @param size receives the bytes needed; may grow between calls
 * @param err nullable
 * @return GYR_OK, RESOURCE_EXHAUSTED (buffer too small)
 * @ownership fills caller memory
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_bundle_metrics(const gyr_bundle *bundle, char *buffer, uint64_t capacity, uint64_t *size,
                                      gyr_error *err) GYR_NOEXCEPT;

/** Drops the caller's reference.
 * @param bundle nullable
 * @return nothing
 * @ownership consumes bundle
 * @threadsafe any, once per handle
 * @blocking no
 * @since 0.1 */
GYR_API void gyr_bundle_destroy(gyr_bundle *bundle) GYR_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif
