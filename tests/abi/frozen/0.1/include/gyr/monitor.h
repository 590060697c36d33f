/* gyr/monitor.h: is the model still right? Drift against a baseline, delayed labels, windowed AUC and hit rate, a
 * retrain signal. Latency histograms of serving are in gyr_bundle_metrics.
 *
 * Options JSON (docs/monitor.md): {"features":[{"name":"age","kind":"numeric","bins":10},
 *   {"name":"genre","kind":"categorical"}], "window":500, "min_labels":250, "label_delay_seconds":86400,
 *   "pending_capacity":100000, "thresholds":{"auc":0.6,"psi":0.2,"js":0.06}} */
#ifndef GYR_MONITOR_H
#define GYR_MONITOR_H

#include <gyr/data.h>
#include <gyr/runtime.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Drift, delayed labels, and whether to retrain. */
typedef struct gyr_monitor gyr_monitor;

/** Creates a monitor.
 * @param runtime the runtime
 * @param json options; errors name the path
 * @param out receives the handle
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT
 * @ownership caller destroys *out
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_monitor_create(gyr_runtime *runtime, const char *json, gyr_monitor **out,
                                      gyr_error *err) GYR_NOEXCEPT;

/** Sets the drift baseline from a stream with the configured features (usually the training data).
 * @param monitor the monitor
 * @param stream consumed on success
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT, UNSUPPORTED, OUT_OF_RANGE, CORRUPT, CALLBACK (the stream)
 * @ownership moves *stream on success
 * @threadsafe any
 * @blocking reads the stream
 * @since 0.1 */
GYR_API gyr_status gyr_monitor_set_baseline(gyr_monitor *monitor, struct ArrowArrayStream *stream,
                                            gyr_error *err) GYR_NOEXCEPT;

/** Adds live feature rows to the present drift window.
 * @param monitor the monitor
 * @param stream consumed on success
 * @param err nullable
 * @return GYR_OK, INVALID_STATE (no baseline), INVALID_ARGUMENT, UNSUPPORTED, OUT_OF_RANGE, CORRUPT, CALLBACK (the
 *         stream)
 * @ownership moves *stream on success
 * @threadsafe any
 * @blocking reads the stream
 * @since 0.1 */
GYR_API gyr_status gyr_monitor_observe(gyr_monitor *monitor, struct ArrowArrayStream *stream,
                                       gyr_error *err) GYR_NOEXCEPT;

/** Notes what was served, to be joined with labels that come later.
 * @param monitor the monitor
 * @param request_id the host's id of the request
 * @param items [n] item ids in rank order
 * @param scores [n] finite
 * @param n number of items
 * @param time_us when, microseconds
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT, OUT_OF_RANGE (n)
 * @ownership borrows arguments
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_monitor_served(gyr_monitor *monitor, uint64_t request_id, const int64_t *items,
                                      const float *scores, uint64_t n, int64_t time_us, gyr_error *err) GYR_NOEXCEPT;

/** Joins one outcome. Served items without an outcome within label_delay_seconds count as label 0.
 * @param monitor the monitor
 * @param request_id as served
 * @param item item id
 * @param label 0 or 1
 * @param time_us when, microseconds
 * @param err nullable
 * @return GYR_OK, NOT_FOUND (unknown or expired request, or item not in it; counted), INVALID_ARGUMENT
 * @ownership none
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_monitor_label(gyr_monitor *monitor, uint64_t request_id, int64_t item, uint32_t label,
                                     int64_t time_us, gyr_error *err) GYR_NOEXCEPT;

/** Adds to a named counter (created on first use).
 * @param monitor the monitor
 * @param name [a-z0-9_:], at most 63 bytes
 * @param delta what to add
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT, RESOURCE_EXHAUSTED (more than 256 counters)
 * @ownership none
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_monitor_count(gyr_monitor *monitor, const char *name, uint64_t delta,
                                     gyr_error *err) GYR_NOEXCEPT;

/** Report as JSON: drift per feature (PSI, JS base 2), auc, hit_rate, labels joined/late/unknown, counters,
 * "retrain": {"wanted":bool,"why":[...]}. Closes windows as of `now_us`.
 * @param monitor the monitor
 * @param now_us microseconds
 * @param buffer receives NUL-terminated text, or NULL to ask for the size
 * @param capacity bytes
 * @param size receives the bytes needed
 * @param err nullable
 * @return GYR_OK, RESOURCE_EXHAUSTED (buffer too small)
 * @ownership fills caller memory
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_monitor_report(gyr_monitor *monitor, int64_t now_us, char *buffer, uint64_t capacity,
                                      uint64_t *size, gyr_error *err) GYR_NOEXCEPT;

/** Drops the caller's reference.
 * @param monitor nullable
 * @return nothing
 * @ownership consumes monitor
 * @threadsafe any, once per handle
 * @blocking no
 * @since 0.1 */
GYR_API void gyr_monitor_destroy(gyr_monitor *monitor) GYR_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif
