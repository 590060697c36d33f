/* How a host may load the library.
 *
 *   loading cycle LIBRARY          dlopen and dlclose again and again: files and mappings stay level
 *   loading thread LIBRARY         threads that used the library end after dlclose
 *   loading two LIBRARY            a second copy under another name, both at work at once; a third in a namespace
 *   loading plugins LIBRARY FAKES  RTLD_LOCAL with plugins, good and broken ones, found by GYR_BACKEND_DIR */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "process.h"
#include "scenario.h"

static int failures;
#define EXPECT(condition)                                                                         \
  do {                                                                                            \
    if (!(condition)) failures++, fprintf(stderr, "line %d: not so: %s\n", __LINE__, #condition); \
  } while (0)

static void* open_library(const char* path, api* g) {
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  const char* missing = library ? load_api(library, g) : dlerror();
  if (missing) fprintf(stderr, "%s: %s\n", path, missing), exit(1);
  return library;
}

static int run(const api* g, uint32_t threads, uint64_t* digest) {
  char folder[300];
  scenario s = {.g = g, .dir = make_folder(folder, sizeof folder), .log = stderr, .threads = threads};
  int failed = scenario_run(&s);
  remove_folder(folder);
  if (digest) *digest = s.digest;
  return failed;
}

static void cycle(const char* path) {
  int threads = count_threads(), files = open_files(), mappings = 0;
  for (int i = 0; i < 20; i++) {
    api g;
    void* library = open_library(path, &g);
    if (i % 4 == 0) failures += run(&g, 3, NULL);
    EXPECT(dlclose(library) == 0);
    EXPECT(open_files() == files);
    EXPECT(threads_gone(threads));
    if (i == 4) mappings = count_mappings(); /* the library and malloc's arenas are there now */
    if (i > 4) EXPECT(count_mappings() <= mappings + 2);
  }
}

/* ---- a thread that outlives the library's last dlclose ---- */

typedef struct worker {
  scenario* s;
  pthread_barrier_t *used, *closed;
  gyr_status status;
} worker;

static void* use_and_wait(void* arg) {
  worker* w = arg;
  gyr_error err = GYR_ERROR_INIT;
  w->status = scenario_recommend(w->s, NULL, &err);
  pthread_barrier_wait(w->used);
  pthread_barrier_wait(w->closed);
  return NULL; /* thread-local destructors run now */
}

static void thread(const char* path) {
  enum { kThreads = 4 };
  api g;
  char folder[300];
  void* library = open_library(path, &g);
  scenario s = {.g = &g, .dir = make_folder(folder, sizeof folder), .log = stderr, .threads = 3};
  scenario_open(&s);
  pthread_barrier_t used, closed;
  pthread_barrier_init(&used, NULL, kThreads + 1);
  pthread_barrier_init(&closed, NULL, kThreads + 1);
  pthread_t threads[kThreads];
  worker workers[kThreads];
  for (int i = 0; i < kThreads; i++) {
    workers[i] = (worker){&s, &used, &closed, GYR_E_INTERNAL};
    EXPECT(pthread_create(&threads[i], NULL, use_and_wait, &workers[i]) == 0);
  }
  pthread_barrier_wait(&used);
  scenario_close(&s);
  EXPECT(dlclose(library) == 0);
  pthread_barrier_wait(&closed);
  for (int i = 0; i < kThreads; i++) {
    pthread_join(threads[i], NULL);
    EXPECT(workers[i].status == GYR_OK);
  }
  remove_folder(folder);
  failures += s.failures;
}

/* ---- copies ---- */

typedef struct copy {
  api g;
  int failed;
  uint64_t digest;
} copy;

static void* run_copy(void* arg) {
  copy* c = arg;
  for (int i = 0; i < 5; i++) c->failed += run(&c->g, 1, &c->digest);
  return NULL;
}

static void copy_file(const char* from, const char* to) {
  char buffer[65536];
  FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
  if (!in || !out) exit(1);
  for (size_t n; (n = fread(buffer, 1, sizeof buffer, in)) > 0;)
    if (fwrite(buffer, 1, n, out) != n) exit(1);
  fclose(in);
  fclose(out);
}

static void two(const char* path) {
  char folder[300], other[400];
  make_folder(folder, sizeof folder);
  snprintf(other, sizeof other, "%s/libother.so", folder);
  copy_file(path, other);
  copy copies[2] = {{.failed = 0}, {.failed = 0}};
  open_library(path, &copies[0].g);
  open_library(other, &copies[1].g);
  EXPECT(copies[0].g.version != copies[1].g.version);
  EXPECT(!dlsym(RTLD_DEFAULT, "gyr_version"));
  pthread_t threads[2];
  for (int i = 0; i < 2; i++) EXPECT(pthread_create(&threads[i], NULL, run_copy, &copies[i]) == 0);
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  failures += copies[0].failed + copies[1].failed;
  EXPECT(copies[0].digest == copies[1].digest);
  /* One copy's handle is not the other's to destroy, but files are for both. */
  void* third = dlmopen(LM_ID_NEWLM, path, RTLD_NOW | RTLD_LOCAL);
  EXPECT(third != NULL);
  if (third) {
    api g;
    uint64_t digest = 0;
    EXPECT(!load_api(third, &g));
    failures += run(&g, 1, &digest);
    EXPECT(digest == copies[0].digest);
    failures += run(&g, 3, NULL);
  }
  remove_folder(folder);
}

/* ---- plugins ---- */

static gyr_status select_device(const api* g, const char* device, gyr_runtime_info* info, gyr_error* err) {
  gyr_runtime_options o = {.struct_size = sizeof o, .threads = 1, .device = device};
  gyr_runtime* runtime = NULL;
  gyr_status status = g->runtime_create(&o, &runtime, err);
  *info = (gyr_runtime_info){.struct_size = sizeof *info};
  if (status == GYR_OK) status = g->runtime_get_info(runtime, info, err);
  g->runtime_destroy(runtime);
  return status;
}

static void plugins(const char* path, const char* fakes) {
  static const char* const kBroken[] = {"none",      "no_note", "note_abi",   "table_abi",
                                        "no_symbol", "refuses", "incomplete", "missing_dependency"};
  api g;
  open_library(path, &g);
  gyr_runtime_info info;
  char folder[600];
  int pipes[2][2], saved[2], files = open_files(), threads = count_threads();
  capture_output(pipes, saved);
  for (size_t i = 0; i < sizeof kBroken / sizeof *kBroken; i++) {
    gyr_error err = GYR_ERROR_INIT;
    snprintf(folder, sizeof folder, "%s/%s", fakes, kBroken[i]);
    setenv("GYR_BACKEND_DIR", folder, 1);
    gyr_status named = select_device(&g, "cuda:0", &info, &err);
    EXPECT(named == GYR_E_BACKEND_UNAVAILABLE && err.message[0]);
    EXPECT(select_device(&g, "auto", &info, &err) == GYR_OK);
    EXPECT(!strcmp(info.device, "cpu") && info.device_reason[0]);
  }
  snprintf(folder, sizeof folder, "%s/good", fakes);
  setenv("GYR_BACKEND_DIR", folder, 1);
  gyr_error err = GYR_ERROR_INIT;
  for (int i = 0; i < 3; i++) {
    EXPECT(select_device(&g, "cuda:0", &info, &err) == GYR_OK);
    EXPECT(!strcmp(info.device, "cuda:GPU-fake-0"));
  }
  EXPECT(release_output(pipes, saved) == 0);
  EXPECT(!dlsym(RTLD_DEFAULT, "gyr_version") && !dlsym(RTLD_DEFAULT, "gyr_backend_entry_v1"));
  EXPECT(open_files() == files && count_threads() == threads);
  failures += run(&g, 2, NULL);
}

int main(int argc, char** argv) {
  const char* mode = argc > 2 ? argv[1] : "";
  if (!strcmp(mode, "cycle"))
    cycle(argv[2]);
  else if (!strcmp(mode, "thread"))
    thread(argv[2]);
  else if (!strcmp(mode, "two"))
    two(argv[2]);
  else if (!strcmp(mode, "plugins") && argc > 3)
    plugins(argv[2], argv[3]);
  else
    return 2;
  printf("%s: %d failures\n", mode, failures);
  return failures != 0;
}
