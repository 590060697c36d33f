/* One run through nearly the whole C interface, as a host makes it: every function by a table that dlsym filled, every
 * result checked, every handle given back. What surrounds the calls (other allocators, rounding modes, locales, copies
 * of the library, forks) is up to the program that uses it. */
#ifndef GYR_TESTS_HOST_SCENARIO_H
#define GYR_TESTS_HOST_SCENARIO_H

#include <stdio.h>

#include "functions.h"
#include "handles.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct scenario {
  const api* g;
  const char* dir; /* a folder to write to */
  FILE* log;       /* where failures go: not stdout, which the library must leave alone */
  uint32_t threads;
  const gyr_runtime_options* options; /* nullable: instead of `threads` */

  gyr_error err;
  handles h;         /* everything that is open */
  gyr_model* als;    /* a model that factors matrices */
  gyr_cache* dense;  /* a second cache */
  gyr_cache* tiered; /* a third, over a store of the host's */
  int failures;
  uint64_t digest; /* over the results: equal runs give equal numbers */
} scenario;

/* Builds a small planted world: tables, workflow, models, index, bundle. */
void scenario_open(scenario* s);
/* Reads, writes and serves what scenario_open made; may be repeated. */
void scenario_use(scenario* s);
/* Mistakes of every kind: each must come back as a status with a message. */
void scenario_mistakes(scenario* s);
/* Destroys everything, parents first. */
void scenario_close(scenario* s);
/* All four. Returns the number of failures. */
int scenario_run(scenario* s);
/* A recommendation for three users, the call that services make all day. */
gyr_status scenario_recommend(scenario* s, gyr_workspace* workspace, gyr_error* err);

/* An empty folder of its own below $TMPDIR or /tmp; removed, with what is in it, by remove_folder. */
const char* make_folder(char* buffer, size_t size);
void remove_folder(const char* path);

#ifdef __cplusplus
}
#endif
#endif
