/* Smallest useful program: an exact index, filled and searched. */
#include <gyr/gyr.h>
#include <stdio.h>

static int failed(gyr_status s, const gyr_error *e) {
  if (s != GYR_OK) fprintf(stderr, "%s: %s\n", gyr_status_name(s), e->message);
  return s != GYR_OK;
}

int main(void) {
  gyr_error err = GYR_ERROR_INIT;
  gyr_runtime *rt = NULL;
  gyr_index *index = NULL;
  if (gyr_version() / 100 != GYR_VERSION_MAJOR * 100 + GYR_VERSION_MINOR) return 1;
  if (failed(gyr_runtime_create(NULL, &rt, &err), &err)) return 1;
  gyr_index_options io = {0};
  io.struct_size = sizeof io;
  io.dim = 2;
  io.kind = GYR_INDEX_EXACT;
  if (failed(gyr_index_create(rt, &io, &index, &err), &err)) return 1;
  gyr_runtime_destroy(rt); /* children keep their parents alive */
  int64_t ids[] = {10, 20, 30};
  float vectors[] = {1, 0, 0, 1, 2, 2};
  if (failed(gyr_index_upsert(index, ids, vectors, 3, NULL, &err), &err)) return 1;
  float query[] = {1, 0}, scores[2];
  int64_t found[2];
  uint32_t count = 0;
  gyr_search_args a = {0};
  a.struct_size = sizeof a;
  a.k = 2;
  a.queries = query;
  a.n = 1;
  a.out_ids = found;
  a.out_scores = scores;
  a.out_counts = &count;
  if (failed(gyr_index_search(index, &a, NULL, &err), &err)) return 1;
  gyr_index_destroy(index);
  printf("%u results, best %lld with %.1f\n", count, (long long)found[0], (double)scores[0]);
  return !(count == 2 && found[0] == 30 && found[1] == 10);
}
