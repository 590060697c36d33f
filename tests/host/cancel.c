/* pthread_cancel reaches a thread inside a call: the call ends as ever, and the thread at the host's next cancellation
 * point.
 *
 *   cancel LIBRARY */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "scenario.h"

#include "around.h"

static api g;
static atomic_int rounds, failures;
static _Thread_local int pending; /* a cancellation waits, and is let in during calls only: the host's own code here has
                                     cancellation points, too */

static void before(int function) {
  (void)function;
  if (pending) pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
}
static void after(int function, gyr_status status) {
  (void)function, (void)status;
  if (pending) pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
}

typedef struct job {
  scenario* s;
  char path[400];
} job;

static void* save(void* arg) {
  job* j = arg;
  for (;;) {
    gyr_error err = GYR_ERROR_INIT;
    if (g.index_save(j->s->h.index, j->path, &err) != GYR_OK) failures++;
    gyr_index* opened = NULL;
    if (g.index_open(j->s->h.runtime, j->path, &opened, &err) != GYR_OK) failures++;
    g.index_destroy(opened);
    rounds++;
    pthread_testcancel();
  }
  return NULL;
}
/* Already cancelled at every call. */
static void* whole_life(void* arg) {
  job* j = arg;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
  pthread_cancel(pthread_self());
  pending = 1;
  scenario s = {.g = &around_api, .dir = j->path, .log = stderr, .threads = 2};
  failures += scenario_run(&s);
  rounds++;
  pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
  pthread_testcancel();
  failures++; /* not cancelled */
  return NULL;
}

int main(int argc, char** argv) {
  void* library = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
  if (!library || load_api(library, &g)) return 2;
  real = g;
  char folder[300];
  scenario s = {.g = &g, .dir = make_folder(folder, sizeof folder), .log = stderr, .threads = 2};
  scenario_open(&s);
  for (int i = 0; i < 60; i++) {
    job j = {.s = &s};
    snprintf(j.path, sizeof j.path, "%s/index", folder);
    pthread_t thread;
    void* result;
    pthread_create(&thread, NULL, save, &j);
    usleep((useconds_t)(i * 37));
    pthread_cancel(thread);
    pthread_join(thread, &result);
    if (result != PTHREAD_CANCELED) failures++;
  }
  int saves = rounds;
  scenario_close(&s);
  remove_folder(folder);
  job j = {0};
  make_folder(j.path, sizeof j.path);
  pthread_t thread;
  void* result;
  pthread_create(&thread, NULL, whole_life, &j);
  pthread_join(thread, &result);
  remove_folder(j.path);
  if (result != PTHREAD_CANCELED || rounds != saves + 1) failures++;
  printf("%d saves, %d failures\n", saves, failures + s.failures);
  return failures + s.failures != 0;
}
