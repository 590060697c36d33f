/* fork(): the child is refused by everything it inherited, may begin anew, and ends cleanly; the parent goes on.
 *
 *   forking quiet LIBRARY   nobody is inside a call at the moment of the fork
 *   forking busy LIBRARY    other threads are: recommending, training, upserting, making runtimes */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "process.h"
#include "scenario.h"
#include "stream.h"

#include "forked.h"

static api g;
static int failures;
static atomic_int stop, rounds;

/* What the child does; its exit status is the number of failures. */
static void child(scenario* inherited) {
  alarm(60); /* a child that hangs is a failure */
  int wrong = call_forked(&g, &inherited->h, stderr);
  scenario_close(inherited);
  char folder[300];
  live_streams = 0;
  scenario s = {.g = &g, .dir = make_folder(folder, sizeof folder), .log = stderr, .threads = 3};
  wrong += scenario_run(&s);
  if (!threads_gone(1)) wrong++, fprintf(stderr, "the child's threads are left\n");
  remove_folder(folder);
  exit(wrong > 100 ? 100 : wrong);
}

static void fork_once(scenario* s) {
  fflush(NULL);
  pid_t pid = fork();
  if (pid == 0) child(s);
  int status = 0;
  if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
    failures++;
    fprintf(stderr, "the child ended with status %#x\n", (unsigned)status);
  }
}

static void* serve(void* arg) {
  scenario* s = arg;
  gyr_error err = GYR_ERROR_INIT;
  while (!stop) {
    if (scenario_recommend(s, NULL, &err) != GYR_OK) failures++;
    rounds++;
  }
  return NULL;
}

static void* begin_and_end(void* arg) {
  const char* folder = arg;
  while (!stop) {
    scenario s = {.g = &g, .dir = folder, .log = stderr, .threads = 2};
    scenario_open(&s);
    scenario_use(&s);
    gyr_task_progress progress = {.struct_size = sizeof progress};
    g.task_get_progress(s.h.task, &progress);
    failures += s.failures;
    scenario_close(&s); /* may miss streams: they are counted for the whole process, and other threads have some */
    rounds++;
  }
  return NULL;
}

int main(int argc, char** argv) {
  void* library = argc == 3 ? dlopen(argv[2], RTLD_NOW | RTLD_LOCAL) : NULL;
  if (!library || load_api(library, &g)) return 2;
  int busy = !strcmp(argv[1], "busy");
  char folder[300], other[300];
  scenario s = {.g = &g, .dir = make_folder(folder, sizeof folder), .log = stderr, .threads = 3};
  make_folder(other, sizeof other);
  scenario_open(&s);
  scenario_use(&s);
  pthread_t threads[3];
  if (busy) {
    pthread_create(&threads[0], NULL, serve, &s);
    pthread_create(&threads[1], NULL, serve, &s);
    pthread_create(&threads[2], NULL, begin_and_end, other);
    while (rounds < 10) sched_yield();
  }
  for (int i = 0; i < (busy ? 25 : 2); i++) {
    fork_once(&s);
    struct timespec moment = {0, 700000 * (i % 5)};
    nanosleep(&moment, NULL);
  }
  stop = 1;
  for (int i = 0; busy && i < 3; i++) pthread_join(threads[i], NULL);
  if (!busy) scenario_use(&s);
  gyr_error err = GYR_ERROR_INIT;
  if (scenario_recommend(&s, s.h.workspace, &err) != GYR_OK) failures++, fprintf(stderr, "parent: %s\n", err.message);
  scenario_close(&s);
  remove_folder(folder);
  remove_folder(other);
  printf("%s: %d failures\n", argv[1], failures + s.failures);
  return failures + s.failures != 0;
}
