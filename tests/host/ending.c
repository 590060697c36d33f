/* How a process may end.
 *
 *   ending LIBRARY   in children: handles never destroyed; destroyed by an atexit handler; exit() while threads are
 * inside calls; quick_exit; the thread that called ends before the others */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "scenario.h"

static const char* path;
static api g;
static scenario s;
static char folder[300];

static void begin(uint32_t threads) {
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library || load_api(library, &g)) _exit(90);
  s = (scenario){.g = &g, .dir = folder, .log = stderr, .threads = threads};
  scenario_open(&s);
  if (s.failures) _exit(91);
}

static void close_late(void) { scenario_close(&s); }

static void* serve(void* arg) {
  (void)arg;
  gyr_error err = GYR_ERROR_INIT;
  for (;;)
    if (scenario_recommend(&s, NULL, &err) != GYR_OK) _exit(92);
  return NULL;
}

static void* do_everything(void* arg) {
  (void)arg;
  for (;;) {
    scenario mine = {.g = &g, .dir = folder, .log = stderr, .threads = 2};
    scenario_open(&mine);
    scenario_use(&mine);
    scenario_close(&mine);
  }
  return NULL;
}

static void sleep_ms(long ms) {
  struct timespec t = {0, ms * 1000000};
  nanosleep(&t, NULL);
}

static void never_destroyed(int i) {
  begin(1 + (uint32_t)i % 3);
  scenario_use(&s);
  exit(0);
}

static void destroyed_at_exit(int i) {
  if (i % 2) atexit(close_late); /* before the library is there: runs after its own exit functions */
  begin(3);
  if (!(i % 2)) atexit(close_late);
  exit(0);
}

static void exit_amid_calls(int i) {
  pthread_t thread;
  begin(3);
  pthread_create(&thread, NULL, serve, NULL);
  pthread_create(&thread, NULL, do_everything, NULL);
  sleep_ms(1 + i);
  exit(0);
}

static void quick(int i) {
  pthread_t thread;
  begin(2);
  pthread_create(&thread, NULL, serve, NULL);
  sleep_ms(1 + i);
  quick_exit(0);
}

static void* exit_from_here(void* arg) {
  (void)arg;
  sleep_ms(3);
  exit(0);
}

static void main_thread_leaves(int i) {
  pthread_t thread;
  (void)i;
  begin(2);
  pthread_create(&thread, NULL, exit_from_here, NULL);
  pthread_exit(NULL);
}

static int children(const char* what, void (*body)(int), int n) {
  int failures = 0;
  for (int i = 0; i < n; i++) {
    fflush(NULL);
    pid_t pid = fork(); /* the library is not loaded here */
    if (pid == 0) {
      alarm(60);
      body(i);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
      failures++;
      fprintf(stderr, "%s, round %d: status %#x\n", what, i, (unsigned)status);
    }
  }
  return failures;
}

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  path = argv[1];
  make_folder(folder, sizeof folder);
  int failures = children("never destroyed", never_destroyed, 3);
  failures += children("destroyed by an atexit handler", destroyed_at_exit, 4);
  failures += children("exit amid calls", exit_amid_calls, 30);
  failures += children("quick_exit", quick, 3);
  failures += children("the main thread leaves first", main_thread_leaves, 3);
  remove_folder(folder);
  printf("%d failures\n", failures);
  return failures != 0;
}
