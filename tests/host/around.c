/* Is the process after every call what it was before it? Every function is called with checks on both sides: rounding
 * mode, flush-to-zero, exception masks, signal mask, signal handlers, locale, environment, working directory, umask,
 * open files, threads. And is the answer one that the function's contract has? In the mode given:
 *
 *   plain       as processes are
 *   upward      rounding upward, subnormals flushed, in the host's threads
 *   trapping    division by zero, overflow and invalid operations raise SIGFPE
 *   masked      the host has blocked signals and has handlers of its own
 *   german      LC_ALL=de_DE.UTF-8, where 0.5 is written 0,5 (LOCPATH says where it is)
 *
 *   around MODE LIBRARY [THREADS] */
#include <fcntl.h>
#include <fenv.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xmmintrin.h>

#include "process.h"
#include "scenario.h"

#include "answers.h"
#include "around.h"

typedef struct state {
  unsigned mxcsr;
  int rounding;
  sigset_t blocked;
  struct sigaction actions[65];
  const char* locale;
  char decimal;
  uint64_t environment;
  char folder[512];
  mode_t mask;
  int files;
} state;

static FILE* report; /* the real stderr, while a pipe is in its place */
static int failures, calls[kFunctions], succeeded[kFunctions], threads_before, runtimes, in_call;
static state now_before;

static void complain(int function, const char* what) {
  failures++;
  fprintf(report ? report : stderr, "%s: %s\n", function < 0 ? "loading" : kFunctionNames[function], what);
}

static void look(state* s) {
  s->mxcsr = _mm_getcsr(); /* modes, masks, and the exceptions that have happened */
  s->rounding = fegetround();
  pthread_sigmask(SIG_SETMASK, NULL, &s->blocked);
  for (int i = 1; i < 65; i++)
    if (sigaction(i, NULL, &s->actions[i]) != 0) memset(&s->actions[i], 0, sizeof s->actions[i]);
  s->locale = setlocale(LC_ALL, NULL);
  s->decimal = localeconv()->decimal_point[0];
  s->environment = environment_sum();
  if (!getcwd(s->folder, sizeof s->folder)) s->folder[0] = 0;
  s->mask = umask(0);
  umask(s->mask);
  s->files = open_files();
}

/* A table in a folder has its lock and its log open, from its first call to its last. */
static int opens_files(int function) {
  static const char* const kCalls[] = {"gyr_table_open_live", "gyr_table_upsert_row", "gyr_table_checkpoint",
                                       "gyr_table_flush", "gyr_table_destroy"};
  for (size_t i = 0; function >= 0 && i < sizeof kCalls / sizeof *kCalls; i++)
    if (!strcmp(kFunctionNames[function], kCalls[i])) return 1;
  return 0;
}

static void compare(int function, const state* was, const state* is) {
  /* Over the whole run the host's own arithmetic raises flags too: the modes count. */
  unsigned counts = function < 0 ? ~0x3fu : ~0u;
  if ((was->mxcsr & counts) != (is->mxcsr & counts) || was->rounding != is->rounding)
    complain(function, "floating-point mode changed");
  if (memcmp(&was->blocked, &is->blocked, sizeof was->blocked)) complain(function, "signal mask changed");
  for (int i = 1; i < 65; i++)
    if (was->actions[i].sa_sigaction != is->actions[i].sa_sigaction ||
        was->actions[i].sa_flags != is->actions[i].sa_flags)
      complain(function, "signal handler changed");
  if (strcmp(was->locale, is->locale) || was->decimal != is->decimal) complain(function, "locale changed");
  if (was->environment != is->environment) complain(function, "environment changed");
  if (strcmp(was->folder, is->folder)) complain(function, "working directory changed");
  if (was->mask != is->mask) complain(function, "umask changed");
  if (was->files != is->files && !opens_files(function)) complain(function, "open files changed");
}

static void before(int function) {
  calls[function]++;
  if (in_call++) return;
  look(&now_before);
  if (!runtimes && count_threads() != threads_before) complain(function, "threads without a runtime");
}

static void after(int function, gyr_status status) {
  static state is;
  if (status == GYR_OK) succeeded[function]++;
  if (!in_contract(function, status)) {
    char what[64];
    snprintf(what, sizeof what, "its @return has no %s", real.status_name(status));
    complain(function, what);
  }
  if (--in_call) return;
  look(&is);
  compare(function, &now_before, &is);
}

static void enter_mode(const char* mode) {
  if (!strcmp(mode, "upward")) {
    fesetround(FE_UPWARD);
    _mm_setcsr(_mm_getcsr() | 0x8040); /* flush to zero, denormals are zero */
  } else if (!strcmp(mode, "trapping")) {
    feclearexcept(FE_ALL_EXCEPT);
    feenableexcept(FE_DIVBYZERO | FE_OVERFLOW | FE_INVALID);
  } else if (!strcmp(mode, "masked")) {
    sigset_t some;
    sigemptyset(&some);
    sigaddset(&some, SIGUSR1);
    sigaddset(&some, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &some, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGSEGV, _exit);
    signal(SIGCHLD, SIG_IGN);
  } else if (!strcmp(mode, "german") && (!setlocale(LC_ALL, "de_DE.UTF-8") || localeconv()->decimal_point[0] != ',')) {
    fprintf(stderr, "locale de_DE.UTF-8 not found\n");
    exit(77); /* skipped */
  }
}

/* Every function must have been called, and have succeeded where it can say so. */
static void check_coverage(void) {
  for (int i = 0; i < kFunctions; i++)
    if (!succeeded[i]) complain(i, calls[i] ? "never succeeded" : "never called");
}

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  int pipes[2][2], saved[2];
  capture_output(pipes, saved);
  enter_mode(argv[1]);
  static state start, loaded, end;
  threads_before = count_threads();
  look(&start);
  start.files = open_files();
  void* library = dlopen(argv[2], RTLD_NOW | RTLD_LOCAL);
  const char* missing = library ? load_api(library, &real) : dlerror();
  look(&loaded);
  compare(-1, &start, &loaded);
  if (!missing && count_threads() != threads_before) complain(-1, "a thread was started");
  char folder[300];
  scenario s = {.g = &around_api, .dir = make_folder(folder, sizeof folder), .log = NULL};
  s.log = fdopen(dup(saved[1]), "w");
  s.threads = argc > 3 ? (uint32_t)atoi(argv[3]) : 3;
  setvbuf(s.log, NULL, _IONBF, 0);
  report = s.log;
  if (!missing) {
    runtimes = 1;
    scenario_run(&s);
    runtimes = 0;
    if (!threads_gone(threads_before)) complain(-1, "threads left after the last destroy");
  }
  look(&end);
  end.files -= 1; /* the log */
  compare(-1, &start, &end);
  fesetenv(FE_DFL_ENV);
  remove_folder(folder);
  if (!missing) check_coverage();
  size_t written = release_output(pipes, saved);
  if (written) fprintf(stderr, "%zu bytes on stdout or stderr\n", written), failures++;
  if (missing) fprintf(stderr, "%s\n", missing), failures++;
  printf("%s: %d failures, digest %016lx\n", argv[1], failures + s.failures, (unsigned long)s.digest);
  return failures + s.failures != 0;
}
