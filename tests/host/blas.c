/* A host with a threaded OpenBLAS of its own, whose settings in the environment are not ours to follow.
 *
 *   blas LIBRARY OPENBLAS   77 (skipped) without that OpenBLAS */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "process.h"
#include "scenario.h"

enum { kSize = 160 };

static void (*dgemm)(int, int, int, int, int, int, double, const double*, int, const double*, int, double, double*,
                     int);
static int (*blas_threads)(void);
static api g;
static atomic_int stop, products, failures;

static void complain(const char* what) {
  failures++;
  fprintf(stderr, "%s\n", what);
}

static int multiply(void) {
  double *a = malloc(sizeof(double) * kSize * kSize), *b = malloc(sizeof(double) * kSize * kSize),
         *c = calloc(kSize * kSize, sizeof(double));
  for (int i = 0; i < kSize * kSize; i++) {
    a[i] = i % 7 - 3;
    b[i] = i % 5 - 2;
  }
  dgemm(101, 111, 111, kSize, kSize, kSize, 1, a, kSize, b, kSize, 0, c, kSize);
  int right = 1;
  for (int at = 0; at < kSize * kSize; at += 611) {
    double sum = 0;
    for (int k = 0; k < kSize; k++) sum += a[at / kSize * kSize + k] * b[k * kSize + at % kSize];
    right &= sum == c[at];
  }
  free(a);
  free(b);
  free(c);
  return right;
}

static void* multiply_on(void* arg) {
  (void)arg;
  while (!stop) {
    if (!multiply()) failures++;
    products++;
  }
  return NULL;
}

static uint64_t run(uint32_t threads) {
  char folder[300];
  scenario s = {.g = &g, .dir = make_folder(folder, sizeof folder), .log = stderr, .threads = threads};
  failures += scenario_run(&s);
  remove_folder(folder);
  return s.digest;
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  void* blas = access(argv[2], R_OK) == 0 ? dlopen(argv[2], RTLD_NOW | RTLD_GLOBAL) : NULL;
  if (!blas) return 77;
  *(void**)&dgemm = dlsym(blas, "cblas_dgemm");
  *(void**)&blas_threads = dlsym(blas, "openblas_get_num_threads");
  if (!multiply()) return 3;
  int threads = count_threads(), configured = blas_threads();
  int pipes[2][2], saved[2];
  capture_output(pipes, saved);
  setenv("OPENBLAS_VERBOSE", "2", 1);
  setenv("OPENBLAS_CORETYPE", "Nonsense", 1);
  void* library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (release_output(pipes, saved)) complain("written while loading");
  if (!library || load_api(library, &g)) return 2;
  uint64_t digest = run(1);
  if (count_threads() != threads || blas_threads() != configured) complain("threads of BLAS changed");
  pthread_t thread;
  pthread_create(&thread, NULL, multiply_on, NULL);
  for (int i = 0; i < 5 || products < 20; i++)
    if (run(1) != digest) complain("other results beside BLAS");
  run(3);
  stop = 1;
  pthread_join(thread, NULL);
  if (!multiply() || blas_threads() != configured || !threads_gone(threads)) complain("BLAS changed");
  printf("%d products beside gyr, BLAS with %d threads: %d failures\n", (int)products, configured, (int)failures);
  return failures != 0;
}
