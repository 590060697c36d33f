/* gyr/base.h: status, error, strings, version, hash.
 *
 * Conventions of every gyr header (docs/conventions.md has the long form):
 *  - A fallible call returns gyr_status (0 = ok) and fills the caller's gyr_error, which may be NULL.
 *    On failure scalar out-parameters and handles are untouched and nothing needs cleaning; result arrays of calls over
 *    many rows may be partly written once the arguments have been accepted (cancelled, out of memory, a bad later batch).
 *  - A pointer may be NULL where its @param says so, and an array where its count is 0.
 *  - An @return lists what a function may answer, but for these, which any function may:
 *      INVALID_ARGUMENT    a pointer that must not be NULL is, or a struct_size is wrong; the message names it
 *      OPTIONS_TOO_NEW     an input struct has fields that this library does not know
 *      INVALID_HANDLE      a handle is NULL, of another type, or destroyed (as far as freed memory tells)
 *      FORKED              a handle's runtime was created before a fork()
 *      OUT_OF_MEMORY       an allocation failed
 *      RESOURCE_EXHAUSTED  on a handle: the runtime's memory_budget would be exceeded
 *      INTERNAL            a defect in gyr
 *    After the two about memory the object is as before the call, unless the function says what is done by then; the
 *    same call may be made again.
 *  - Option structs begin with `struct_size` = sizeof(the struct). Zero means "default" in every other field.
 *    Structs only grow at the end; an unknown non-zero tail is refused with GYR_E_OPTIONS_TOO_NEW.
 *  - `const T*` functions may run from any number of threads at once; `T*` functions are exclusive per handle,
 *    unless the declaration says otherwise.
 *  - Children keep their parents alive: destroy handles in any order. Destroy functions accept NULL.
 *  - Strings are UTF-8. Sizes are in bytes unless said otherwise. All structs use fixed-width integers.
 */
#ifndef GYR_BASE_H
#define GYR_BASE_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define GYR_API __attribute__((visibility("default")))
#else
#define GYR_API
#endif

#ifdef __cplusplus
#define GYR_NOEXCEPT noexcept
extern "C" {
#else
#define GYR_NOEXCEPT
#endif

#define GYR_VERSION_MAJOR 0
#define GYR_VERSION_MINOR 1
#define GYR_VERSION_PATCH 0

/** Result of a fallible call. 0 is success; values are never renumbered. */
typedef int32_t gyr_status;
enum {
  GYR_OK = 0,
  GYR_E_INVALID_ARGUMENT = 1,    /**< an argument is wrong; the message names it */
  GYR_E_INVALID_HANDLE = 2,      /**< NULL, destroyed, or a handle of another type */
  GYR_E_INVALID_STATE = 3,       /**< the call does not fit the object's state (e.g. transform before fit) */
  GYR_E_OUT_OF_RANGE = 4,        /**< a number is outside its documented range */
  GYR_E_NOT_FOUND = 5,           /**< a named thing does not exist */
  GYR_E_ALREADY_EXISTS = 6,      /**< a named thing exists already */
  GYR_E_UNSUPPORTED = 7,         /**< valid, but not available in this build or for this type */
  GYR_E_OPTIONS_TOO_NEW = 8,     /**< an option struct has non-zero fields this library does not know */
  GYR_E_OUT_OF_MEMORY = 9,       /**< an allocation failed */
  GYR_E_RESOURCE_EXHAUSTED = 10, /**< a configured budget or a caller's buffer is too small */
  GYR_E_BUSY = 11,               /**< an exclusive call met another one */
  GYR_E_CANCELLED = 12,          /**< gyr_task_cancel was called */
  GYR_E_DEADLINE = 13,           /**< the task's deadline passed */
  GYR_E_IO = 14,                 /**< a system call failed; os_errno holds errno */
  GYR_E_CORRUPT = 15,            /**< stored or imported data contradicts itself */
  GYR_E_FORMAT_TOO_NEW = 16,     /**< file written by a newer library */
  GYR_E_FORMAT_TOO_OLD = 17,     /**< file format no longer read */
  GYR_E_BACKEND_UNAVAILABLE = 18,/**< the named device or plugin is not there; the message says why */
  GYR_E_DEVICE = 19,             /**< a device operation failed */
  GYR_E_DEVICE_LOST = 20,        /**< the device is gone; the handle must be destroyed */
  GYR_E_FORKED = 21,             /**< the runtime was created before fork(); create a new one */
  GYR_E_CALLBACK = 22,           /**< a host callback reported failure */
  GYR_E_INTERNAL = 23            /**< a defect in gyr; please report it */
};

/** Flags of gyr_error.flags. */
enum { GYR_ERROR_RETRYABLE = 1, GYR_ERROR_FROM_CALLBACK = 2, GYR_ERROR_DEVICE = 4 };

/** Caller-owned error text: fixed size, no pointers, nothing to free.
 * Set `struct_size` (GYR_ERROR_INIT does) before the call; it is filled only when the call fails. */
typedef struct gyr_error {
  uint32_t struct_size; /**< in: sizeof(gyr_error) */
  gyr_status code;      /**< same as the returned status */
  int32_t os_errno;     /**< errno of a failed system call, else 0 */
  uint32_t flags;       /**< GYR_ERROR_* */
  char component[16];   /**< "index", "io", "workflow", ... */
  char message[480];    /**< what, where, and what to do; always NUL-terminated */
} gyr_error;

#define GYR_ERROR_INIT {sizeof(gyr_error), 0, 0, 0, {0}, {0}}

/** Borrowed UTF-8 bytes, not necessarily NUL-terminated. */
typedef struct gyr_str {
  const char *data; /**< NULL is allowed when len is 0 */
  uint64_t len;     /**< bytes, without any NUL */
} gyr_str;

/** Name of a status, e.g. "GYR_E_IO"; "GYR_E_UNKNOWN" for any other number.
 * @param status any number
 * @return static text, never NULL
 * @ownership static
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API const char *gyr_status_name(gyr_status status) GYR_NOEXCEPT;

/** Version of the loaded library as MAJOR*10000 + MINOR*100 + PATCH.
 * @return the number
 * @ownership none
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API uint32_t gyr_version(void) GYR_NOEXCEPT;

/** Build facts as JSON text: version, compiler, SIMD levels built in and in use, file format version.
 * @return static NUL-terminated JSON; {} where memory is too short for the first call of a thread
 * @ownership static
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API const char *gyr_build_info(void) GYR_NOEXCEPT;

/** Size in bytes of a public struct in the loaded library, so a binding can check its layout at load time.
 * @param name struct name, e.g. "gyr_error"; nullable
 * @return the size, or 0 for an unknown name
 * @ownership none
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API uint64_t gyr_struct_size(const char *name) GYR_NOEXCEPT;

/** gyr's published hash: XXH3-64 with seed 0 over the bytes. An int64 id hashes as its 8 little-endian bytes.
 * Vectors: docs/hash.md. Source: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
 * @param data bytes; may be NULL when size is 0
 * @param size number of bytes
 * @return the 64-bit hash
 * @ownership borrows data during the call
 * @threadsafe any
 * @blocking no
 * @since 0.1 */
GYR_API uint64_t gyr_hash64(const void *data, uint64_t size) GYR_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif
