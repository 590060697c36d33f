/* Two threads of one host with a locale each (uselocale): one writes 0.5, the other 0,5. JSON read and written at the
 * same time means the same in both.
 *
 *   locales LIBRARY */
#include <dlfcn.h>
#include <locale.h>
#include <pthread.h>

#include "scenario.h"

static api g;

typedef struct job {
  locale_t locale; /* NULL: the process's own */
  int rounds, failures;
  uint64_t digest; /* expected; 0: the first round's */
  char decimal;
} job;

static void* run(void* arg) {
  job* j = arg;
  if (j->locale) uselocale(j->locale);
  j->decimal = localeconv()->decimal_point[0];
  for (int i = 0; i < j->rounds; i++) {
    char folder[300];
    scenario s = {.g = &g, .dir = make_folder(folder, sizeof folder), .log = stderr, .threads = 1};
    j->failures += scenario_run(&s);
    remove_folder(folder);
    if (!j->digest) j->digest = s.digest;
    if (s.digest != j->digest) {
      fprintf(stderr, "with '%c': digest %016lx, not %016lx\n", j->decimal, (unsigned long)s.digest,
              (unsigned long)j->digest);
      j->failures++;
    }
  }
  if (j->locale) uselocale(LC_GLOBAL_LOCALE);
  return NULL;
}

int main(int argc, char** argv) {
  void* library = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
  if (!library || load_api(library, &g)) return 2;
  locale_t german = newlocale(LC_ALL_MASK, "de_DE.UTF-8", (locale_t)0);
  if (!german) {
    fprintf(stderr, "locale de_DE.UTF-8 not found\n");
    return 77; /* skipped */
  }
  job alone = {.rounds = 1};
  run(&alone);
  job jobs[] = {{.rounds = 4, .digest = alone.digest}, {.locale = german, .rounds = 4, .digest = alone.digest}};
  pthread_t threads[2];
  for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, run, &jobs[i]);
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  freelocale(german);
  int failures = alone.failures + jobs[0].failures + jobs[1].failures;
  if (jobs[0].decimal != '.' || jobs[1].decimal != ',') failures++;
  printf("decimals %c and %c: %d failures\n", jobs[0].decimal, jobs[1].decimal, failures);
  return failures != 0;
}
