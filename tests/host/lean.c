/* A host in C, without libstdc++ of its own: the library and libstdc++ come by dlopen, so that their thread-local
 * variables are allocated at a thread's first use, by the dynamic linker, which ends the process where it cannot.
 * Each first call of a thread meets a process here that has so many bytes left, from none on.
 *
 *   lean LIBRARY */
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "scenario.h"

extern void* __libc_malloc(size_t);
extern void* __libc_calloc(size_t, size_t);
extern void __libc_free(void*);
extern void* __libc_memalign(size_t, size_t);

/* A process with so many bytes and no more. */
static atomic_long left = LONG_MAX / 2;
static atomic_int refused;

static void* counted(void* p) {
  if (p) left -= (long)malloc_usable_size(p);
  return p;
}
static int short_of(size_t size) {
  if (left >= (long)size) return 0;
  refused++;
  errno = ENOMEM;
  return 1;
}
#pragma GCC visibility push(default)
void* malloc(size_t size) { return short_of(size) ? NULL : counted(__libc_malloc(size)); }
void* calloc(size_t count, size_t size) { return short_of(count * size) ? NULL : counted(__libc_calloc(count, size)); }
void* memalign(size_t align, size_t size) { return short_of(size) ? NULL : counted(__libc_memalign(align, size)); }
void* aligned_alloc(size_t align, size_t size) { return memalign(align, size); }
int posix_memalign(void** out, size_t align, size_t size) { return (*out = memalign(align, size)) ? 0 : ENOMEM; }
void free(void* p) {
  if (p) left += (long)malloc_usable_size(p);
  __libc_free(p);
}
void* realloc(void* p, size_t size) {
  void* larger = malloc(size);
  if (!larger || !p) return larger;
  size_t old = malloc_usable_size(p);
  memcpy(larger, p, old < size ? old : size);
  free(p);
  return larger;
}
#pragma GCC visibility pop

static api g;
static gyr_runtime* runtime;
static int failures;

static gyr_status make_runtime(void) {
  gyr_runtime_options options = {.struct_size = sizeof options, .threads = 3};
  gyr_runtime* made = NULL;
  gyr_error err = GYR_ERROR_INIT;
  gyr_status status = g.runtime_create(&options, &made, &err);
  left = LONG_MAX / 2;
  g.runtime_destroy(made);
  return status;
}
static gyr_status make_table(void) {
  gyr_table* made = NULL;
  gyr_error err = GYR_ERROR_INIT;
  gyr_status status = g.table_create(runtime,
                                     "{\"name\":\"a\",\"key\":\"k\",\"key_dtype\":\"int64\","
                                     "\"columns\":[{\"name\":\"x\",\"dtype\":\"float32\"}]}",
                                     &made, &err);
  left = LONG_MAX / 2;
  if (status == GYR_E_INVALID_ARGUMENT) fprintf(stderr, "%s\n", err.message);
  g.table_destroy(made);
  return status;
}

static gyr_status make_info(void) {
  const char* info = g.build_info();
  left = LONG_MAX / 2;
  return strcmp(info, "{}") ? GYR_OK : GYR_E_OUT_OF_MEMORY;
}

typedef struct attempt {
  gyr_status (*make)(void);
  long bytes;
  gyr_status status;
} attempt;

static void* call(void* arg) {
  attempt* a = arg;
  left = a->bytes;
  a->status = a->make();
  return NULL;
}

static void sweep(const char* name, gyr_status (*make)(void)) {
  int failed = 0;
  refused = 0;
  for (long bytes = 0;; bytes += 48) {
    attempt a = {.make = make, .bytes = bytes};
    pthread_t thread;
    if (pthread_create(&thread, NULL, call, &a) || pthread_join(thread, NULL)) abort();
    if (a.status == GYR_OK) break;
    failed++;
    if (a.status != GYR_E_OUT_OF_MEMORY && a.status != GYR_E_RESOURCE_EXHAUSTED) {
      fprintf(stderr, "%s with %ld bytes: %s\n", name, bytes, g.status_name(a.status));
      failures++;
      break;
    }
  }
  printf("%s: failed %d times, %d allocations refused\n", name, failed, refused);
  if (failed < 100) failures++;
}

int main(int argc, char** argv) {
  if (argc != 2 || dlopen("libstdc++.so.6", RTLD_LAZY | RTLD_NOLOAD)) return 2;
  void* library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (!library || load_api(library, &g)) return 2;
  sweep("gyr_build_info", make_info);
  sweep("gyr_runtime_create", make_runtime);
  if (g.runtime_create(NULL, &runtime, NULL) != GYR_OK) return 2;
  sweep("gyr_table_create", make_table);
  g.runtime_destroy(runtime);
  return failures != 0;
}
