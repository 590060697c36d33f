/* A host that is an OpenMP program: calls from within its parallel regions, and its number of threads stays.
 *
 *   openmp LIBRARY */
#include <omp.h>
#include <stdlib.h>

#include "process.h"
#include "scenario.h"

int main(int argc, char** argv) {
  static api g;
  omp_set_num_threads(4);
  double before = 0, after = 0;
#pragma omp parallel for reduction(+ : before)
  for (int i = 1; i < 100000; i++) before += 1.0 / i;
  int threads = count_threads();
  void* library = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
  if (!library || load_api(library, &g)) return 2;
  int failures = count_threads() != threads;
  char folders[4][300];
  scenario s[4];
  for (int i = 0; i < 4; i++)
    s[i] = (scenario){.g = &g, .dir = make_folder(folders[i], sizeof folders[i]), .log = stderr, .threads = 1 + i % 2u};
#pragma omp parallel for schedule(static, 1)
  for (int i = 0; i < 4; i++)
    for (int round = 0; round < 3; round++) scenario_run(&s[i]);
#pragma omp parallel for reduction(+ : after)
  for (int i = 1; i < 100000; i++) after += 1.0 / i;
  for (int i = 0; i < 4; i++) {
    failures += s[i].failures;
    remove_folder(folders[i]);
  }
  failures += s[0].digest != s[2].digest || after < before - 1e-9 || after > before + 1e-9;
  failures += omp_get_max_threads() != 4 || omp_in_parallel() || !threads_gone(threads);
  printf("%d failures\n", failures);
  return failures != 0;
}
