/* gyr/runtime.h: threads, memory budget, host hooks, tasks. */
#ifndef GYR_RUNTIME_H
#define GYR_RUNTIME_H

#include <gyr/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Owns the thread pool, the memory budget, host hooks and loaded backends. Every other handle keeps it alive. */
typedef struct gyr_runtime gyr_runtime;
/** Progress, cancellation and deadline of one long call. */
typedef struct gyr_task gyr_task;

/** Bulk-memory hooks (arrays, tables, indexes; small bookkeeping uses operator new). Called from any thread. */
typedef struct gyr_allocator {
  uint32_t struct_size;
  uint32_t reserved;
  void *(*alloc)(uintptr_t user, uint64_t size, uint64_t align); /**< NULL = out of memory */
  void (*free)(uintptr_t user, void *ptr, uint64_t size, uint64_t align); /**< never called with NULL */
  uintptr_t user;                    /**< the host's; passed to every call */
  void (*user_free)(uintptr_t user); /**< nullable; called once when the runtime is gone */
} gyr_allocator;

/** How serious a log record is; as gyr_logger.min_level: which records the host wants. */
typedef int32_t gyr_log_level;
enum { GYR_LOG_DEFAULT = 0, GYR_LOG_DEBUG = 1, GYR_LOG_INFO = 2, GYR_LOG_WARN = 3, GYR_LOG_ERROR = 4, GYR_LOG_OFF = 5 };

/** One event. Pointers are valid during the callback only. */
typedef struct gyr_log_record {
  uint32_t struct_size;
  gyr_log_level level; /**< DEBUG, INFO, WARN or ERROR */
  int64_t time_ns;     /**< CLOCK_REALTIME */
  gyr_str component;   /**< "runtime", "device", ... */
  gyr_str message;     /**< one line of text */
} gyr_log_record;

/** Log hook. Never called under a library lock; may be called from any thread. Without one gyr is silent. */
typedef struct gyr_logger {
  uint32_t struct_size;
  gyr_log_level min_level; /**< default GYR_LOG_INFO */
  void (*fn)(const gyr_log_record *record, uintptr_t user); /**< required */
  uintptr_t user;                    /**< the host's; passed to every call */
  void (*user_free)(uintptr_t user); /**< nullable; called once when the runtime is gone */
} gyr_logger;

/** Host executor: replaces gyr's own pool. `parallel_for` must run body(ctx, i) for every i in [0, n), on any
 * threads, and return when all are done; what it left out by then, the calling thread runs. `concurrency` is how many
 * may run at once. */
typedef struct gyr_executor {
  uint32_t struct_size;
  uint32_t concurrency;              /**< threads that may run bodies at once; 0 = CPUs in the affinity mask */
  void (*parallel_for)(uintptr_t user, uint64_t n, void (*body)(void *ctx, uint64_t i), void *ctx); /**< required */
  uintptr_t user;                    /**< the host's; passed to every call */
  void (*user_free)(uintptr_t user); /**< nullable; called once when the runtime is gone */
} gyr_executor;

/** How a runtime is made; zero is the default of every field. */
typedef struct gyr_runtime_options {
  uint32_t struct_size;
  uint32_t threads;              /**< pool size incl. the caller; 0 = CPUs in affinity mask and cgroup quota; 1 = no pool */
  uint64_t memory_budget;        /**< bytes of bulk memory; 0 = unlimited. Exceeding it is GYR_E_RESOURCE_EXHAUSTED */
  const gyr_allocator *allocator;/**< nullable; copied */
  const gyr_logger *logger;      /**< nullable; copied */
  const gyr_executor *executor;  /**< nullable; copied; `threads` must then be 0 */
  const char *device;            /**< NULL = "cpu"; see gyr/device.h for selection strings */
} gyr_runtime_options;

/** Facts about a runtime and the machine as it sees it. */
typedef struct gyr_runtime_info {
  uint32_t struct_size;
  uint32_t threads;          /**< size of the pool in use */
  uint64_t memory_budget;    /**< 0 = unlimited */
  uint64_t memory_used;      /**< bulk bytes now */
  uint64_t memory_peak;      /**< highest memory_used so far */
  uint32_t cpus_affinity;    /**< CPUs in the affinity mask at creation */
  uint32_t cpus_quota;       /**< cgroup CPU quota rounded up; 0 = none */
  uint32_t numa_nodes;       /**< nodes that have memory */
  uint32_t cores;            /**< physical cores of the affinity mask */
  uint64_t l2_bytes;         /**< per core, 0 = unknown */
  uint64_t l3_bytes;         /**< of the first package, 0 = unknown */
  char simd[16];             /**< level in use: "AVX3_VNNI", "AVX2", "NEON", ... , "SCALAR" */
  char device[64];           /**< selected device, e.g. "cpu" */
  char device_reason[256];   /**< why `auto` fell back, else empty */
} gyr_runtime_info;

/** Creates a runtime. No thread exists before the first one; several may coexist.
 * @param options nullable
 * @param out receives the handle
 * @param err nullable
 * @return GYR_OK, INVALID_ARGUMENT, BACKEND_UNAVAILABLE, RESOURCE_EXHAUSTED (a thread could not be started)
 * @ownership caller destroys *out with gyr_runtime_destroy
 * @threadsafe any
 * @blocking starts threads; may load a plugin
 * @since 0.1 */
GYR_API gyr_status gyr_runtime_create(const gyr_runtime_options *options, gyr_runtime **out,
                                      gyr_error *err) GYR_NOEXCEPT;

/** Releases the caller's reference; threads stop when the last child is gone too.
 * @param runtime nullable
 * @return nothing
 * @ownership consumes runtime
 * @threadsafe any, once per handle
 * @blocking joins pool threads when this was the last reference
 * @since 0.1 */
GYR_API void gyr_runtime_destroy(gyr_runtime *runtime) GYR_NOEXCEPT;

/** Facts about a runtime.
 * @param runtime the runtime
 * @param info in: struct_size; out: filled up to it
 * @param err nullable
 * @return GYR_OK
 * @ownership fills caller memory
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_runtime_get_info(const gyr_runtime *runtime, gyr_runtime_info *info,
                                        gyr_error *err) GYR_NOEXCEPT;

/** Creates a task to pass to one long call at a time.
 * @param out receives the handle
 * @param err nullable
 * @return GYR_OK
 * @ownership caller destroys *out with gyr_task_destroy, after the call that uses it has returned
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API gyr_status gyr_task_create(gyr_task **out, gyr_error *err) GYR_NOEXCEPT;

/** Asks the call using the task to stop with GYR_E_CANCELLED at its next check. Stays set.
 * @param task nullable
 * @return nothing
 * @ownership none
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API void gyr_task_cancel(gyr_task *task) GYR_NOEXCEPT;

/** Sets a deadline; a call past it stops with GYR_E_DEADLINE.
 * @param task nullable
 * @param timeout_ns nanoseconds from now; <= 0 removes the deadline
 * @return nothing
 * @ownership none
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API void gyr_task_set_timeout(gyr_task *task, int64_t timeout_ns) GYR_NOEXCEPT;

/** How far the call that uses a task has come. */
typedef struct gyr_task_progress {
  uint32_t struct_size;
  uint32_t reserved;
  uint64_t done;       /**< units finished in this phase */
  uint64_t total;      /**< units of this phase; 0 = unknown */
  double loss;         /**< last training loss, NaN when there is none */
  char phase[32];      /**< "fit", "epoch 3/10", ... */
} gyr_task_progress;

/** Reads progress; poll it from another thread.
 * @param task nullable
 * @param out in: struct_size; out: filled; nullable, and left alone when the size is wrong or there is no task
 * @return nothing
 * @ownership fills caller memory
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API void gyr_task_get_progress(const gyr_task *task, gyr_task_progress *out) GYR_NOEXCEPT;

/** Frees a task.
 * @param task nullable
 * @return nothing
 * @ownership consumes task
 * @threadsafe exclusive
 * @blocking no
 * @since 0.1 */
GYR_API void gyr_task_destroy(gyr_task *task) GYR_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif
