/* Serves a bundle from N threads: prints recommendations with titles, throughput and latency per stage, and swaps
 * a generation while running.
 *
 *   recommend BUNDLE [--users 1,2,3] [--k 10] [--threads N] [--seconds S] [--publish FILE] [--json FILE]
 *             [--user-table users] [--item-table items] [--title title]
 *
 * Everything here is public API; the user and item ids of the bundle must be int64. */
#include <gyr/gyr.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { kMaxStages = 32, kMaxK = 100, kMaxThreads = 64, kMaxUsers = 100 };

typedef struct options {
  const char *bundle, *publish, *json, *user_table, *item_table, *title;
  int64_t users[kMaxUsers];
  uint32_t n_users, k, threads;
  double seconds;
} options;

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void die_if(gyr_status status, const char *what, const gyr_error *err) {
  if (status == GYR_OK) return;
  fprintf(stderr, "%s: %s (%s: %s)\n", what, gyr_status_name(status), err->component, err->message);
  exit(1);
}

/* Growing array of latencies in nanoseconds. */
typedef struct samples {
  uint32_t *ns;
  size_t n, capacity;
} samples;

static void add_sample(samples *s, uint64_t ns) {
  if (s->n == s->capacity) {
    s->capacity = s->capacity ? 2 * s->capacity : 65536;
    s->ns = realloc(s->ns, s->capacity * sizeof *s->ns);
    if (!s->ns) exit(1);
  }
  s->ns[s->n++] = ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
}

static int compare_u32(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

static double quantile_us(const samples *s, double q) {
  if (!s->n) return 0;
  size_t at = (size_t)(q * (double)(s->n - 1) + 0.5);
  return s->ns[at] / 1000.0;
}

/* Percentiles 0..100 in microseconds; the samples are sorted. */
static void print_quantiles(FILE *json, const samples *s) {
  fputs("\"quantiles\": [", json);
  for (int i = 0; i <= 100; i++) fprintf(json, "%s%.2f", i ? ", " : "", quantile_us(s, i / 100.0));
  fputs("]", json);
}

typedef struct worker {
  const gyr_bundle *bundle;
  const int64_t *users;
  uint64_t n_users;
  uint32_t k, index;
  atomic_int *stop;
  samples whole, stages[kMaxStages];
  char names[kMaxStages][32];
  uint32_t n_stages;
  uint64_t calls, generations_seen, last_generation;
  gyr_error err;
  gyr_status status;
} worker;

static void *serve(void *arg) {
  worker *w = arg;
  gyr_workspace *workspace = NULL;
  w->status = gyr_workspace_create(w->bundle, &workspace, &w->err);
  int64_t ids[kMaxK];
  float scores[kMaxK];
  uint32_t count = 0;
  gyr_stage_trace trace[kMaxStages];
  uint64_t at = w->index * 7919;
  while (w->status == GYR_OK && !atomic_load(w->stop)) {
    int64_t user = w->users[at++ % w->n_users];
    gyr_keys keys = {sizeof keys, GYR_DTYPE_INT64, 1, &user, NULL};
    gyr_recommend_args args = {0};
    args.struct_size = sizeof args;
    args.k = w->k;
    args.users = &keys;
    args.out_ids = ids;
    args.out_scores = scores;
    args.out_counts = &count;
    trace[0].struct_size = sizeof trace[0];
    args.trace = trace;
    args.trace_capacity = kMaxStages;
    args.workspace = workspace;
    int64_t start = now_ns();
    w->status = gyr_bundle_recommend(w->bundle, &args, NULL, &w->err);
    int64_t end = now_ns();
    if (w->status != GYR_OK) break;
    add_sample(&w->whole, (uint64_t)(end - start));
    w->n_stages = args.trace_count < kMaxStages ? args.trace_count : kMaxStages;
    for (uint32_t i = 0; i < w->n_stages; i++) {
      add_sample(&w->stages[i], trace[i].time_ns);
      memcpy(w->names[i], trace[i].name, sizeof w->names[i]);
    }
    if (args.generation != w->last_generation) {
      w->last_generation = args.generation;
      w->generations_seen++;
    }
    w->calls++;
  }
  gyr_workspace_destroy(workspace);
  return NULL;
}

/* All int64 keys of a table, through its Arrow export (column 0 is the key). */
static int64_t *load_users(const gyr_bundle *bundle, const char *table_name, uint64_t *count) {
  gyr_error err = GYR_ERROR_INIT;
  gyr_table *table = NULL;
  struct ArrowArrayStream stream;
  die_if(gyr_bundle_table(bundle, table_name, &table, &err), table_name, &err);
  die_if(gyr_table_export(table, &stream, &err), table_name, &err);
  int64_t *users = NULL;
  *count = 0;
  for (;;) {
    struct ArrowArray array;
    if (stream.get_next(&stream, &array) != 0) {
      fprintf(stderr, "%s: %s\n", table_name, stream.get_last_error(&stream));
      exit(1);
    }
    if (!array.release) break;
    const struct ArrowArray *key = array.children[0];
    const int64_t *values = (const int64_t *)key->buffers[1] + key->offset;
    users = realloc(users, (*count + (uint64_t)array.length) * sizeof *users + 8);
    if (!users) exit(1);
    memcpy(users + *count, values, (size_t)array.length * sizeof *users);
    *count += (uint64_t)array.length;
    array.release(&array);
  }
  stream.release(&stream);
  gyr_table_destroy(table);
  return users;
}

static void print_recommendations(const gyr_bundle *bundle, const options *o) {
  gyr_error err = GYR_ERROR_INIT;
  gyr_keys keys = {sizeof keys, GYR_DTYPE_INT64, o->n_users, o->users, NULL};
  static int64_t ids[kMaxUsers * kMaxK];
  static float scores[kMaxUsers * kMaxK];
  uint32_t counts[kMaxUsers];
  uint8_t status[kMaxUsers];
  gyr_recommend_args args = {0};
  args.struct_size = sizeof args;
  args.k = o->k;
  args.users = &keys;
  args.out_ids = ids;
  args.out_scores = scores;
  args.out_counts = counts;
  args.out_user_status = status;
  die_if(gyr_bundle_recommend(bundle, &args, NULL, &err), "recommend", &err);

  gyr_table *items = NULL;
  die_if(gyr_bundle_table(bundle, o->item_table, &items, &err), o->item_table, &err);
  for (uint32_t u = 0; u < o->n_users; u++) {
    printf("\nuser %lld%s (generation %llu)\n", (long long)o->users[u],
           status[u] == GYR_VALUE_PRESENT ? "" : ", unknown to the user table", (unsigned long long)args.generation);
    gyr_str titles[kMaxK];
    char heap[kMaxK * 256];
    gyr_keys shown = {sizeof shown, GYR_DTYPE_INT64, counts[u], ids + (size_t)u * o->k, NULL};
    gyr_table_column column = {0};
    column.struct_size = sizeof column;
    column.dtype = GYR_DTYPE_STRING;
    column.name = o->title;
    column.values = titles;
    column.values_capacity = kMaxK;
    column.heap = heap;
    column.heap_capacity = sizeof heap;
    die_if(gyr_table_get(items, &shown, 0, &column, 1, &err), o->title, &err);
    for (uint32_t i = 0; i < counts[u]; i++)
      printf("  %2u. %-48.*s %8.4f\n", i + 1, (int)titles[i].len, titles[i].data, (double)scores[u * o->k + i]);
  }
  gyr_table_destroy(items);
}

static void merge(samples *into, const samples *from) {
  for (size_t i = 0; i < from->n; i++) add_sample(into, from->ns[i]);
}

static void report(worker *workers, const options *o, double seconds) {
  worker all;
  memset(&all, 0, sizeof all);
  uint64_t calls = 0;
  for (uint32_t t = 0; t < o->threads; t++) {
    worker *w = &workers[t];
    calls += w->calls;
    merge(&all.whole, &w->whole);
    for (uint32_t s = 0; s < w->n_stages; s++) merge(&all.stages[s], &w->stages[s]);
    if (w->n_stages > all.n_stages) {
      all.n_stages = w->n_stages;
      memcpy(all.names, w->names, sizeof all.names);
    }
  }
  qsort(all.whole.ns, all.whole.n, sizeof(uint32_t), compare_u32);
  FILE *json = o->json ? fopen(o->json, "w") : NULL;
  if (o->json && !json) {
    perror(o->json);
    exit(1);
  }
  printf("\n%llu calls on %u thread(s) in %.1f s: %.0f calls/s\n", (unsigned long long)calls, o->threads, seconds,
         (double)calls / seconds);
  printf("%-22s %10s %10s\n", "stage", "p50 us", "p99 us");
  if (json) fprintf(json, "{\"threads\": %u, \"calls\": %llu, \"seconds\": %.3f, \"stages\": [", o->threads,
                    (unsigned long long)calls, seconds);
  for (uint32_t s = 0; s < all.n_stages; s++) {
    samples *x = &all.stages[s];
    qsort(x->ns, x->n, sizeof(uint32_t), compare_u32);
    printf("%-22s %10.1f %10.1f\n", all.names[s], quantile_us(x, .5), quantile_us(x, .99));
    if (json) {
      fprintf(json, "%s{\"stage\": \"%s\", \"p50\": %.2f, \"p99\": %.2f, ", s ? ", " : "", all.names[s],
              quantile_us(x, .5), quantile_us(x, .99));
      print_quantiles(json, x);
      fputs("}", json);
    }
    free(x->ns);
  }
  printf("%-22s %10.1f %10.1f\n", "whole call", quantile_us(&all.whole, .5), quantile_us(&all.whole, .99));
  if (json) {
    fprintf(json, "], \"p50\": %.2f, \"p99\": %.2f, ", quantile_us(&all.whole, .5), quantile_us(&all.whole, .99));
    print_quantiles(json, &all.whole);
    fputs("}\n", json);
    fclose(json);
  }
  free(all.whole.ns);
}

static void parse_users(const char *text, options *o) {
  o->n_users = 0;
  char *end = NULL;
  for (const char *p = text; *p && o->n_users < kMaxUsers; p = *end ? end + 1 : end) {
    o->users[o->n_users] = strtoll(p, &end, 10);
    if (end == p) {
      fprintf(stderr, "--users: expected numbers separated by commas, got \"%s\"\n", text);
      exit(2);
    }
    o->n_users++;
  }
}

static void parse_options(int argc, char **argv, options *o) {
  memset(o, 0, sizeof *o);
  o->user_table = "users";
  o->item_table = "items";
  o->title = "title";
  o->k = 10;
  o->threads = 1;
  o->seconds = 2;
  for (int i = 1; i < argc; i++) {
    const char *a = argv[i], *v = i + 1 < argc ? argv[i + 1] : NULL;
    if (a[0] != '-') {
      o->bundle = a;
      continue;
    }
    if (!v) {
      fprintf(stderr, "%s needs a value\n", a);
      exit(2);
    }
    if (!strcmp(a, "--users")) parse_users(v, o);
    else if (!strcmp(a, "--k")) o->k = (uint32_t)strtoul(v, NULL, 10);
    else if (!strcmp(a, "--threads")) o->threads = (uint32_t)strtoul(v, NULL, 10);
    else if (!strcmp(a, "--seconds")) o->seconds = strtod(v, NULL);
    else if (!strcmp(a, "--publish")) o->publish = v;
    else if (!strcmp(a, "--json")) o->json = v;
    else if (!strcmp(a, "--user-table")) o->user_table = v;
    else if (!strcmp(a, "--item-table")) o->item_table = v;
    else if (!strcmp(a, "--title")) o->title = v;
    else {
      fprintf(stderr, "unknown option %s\n", a);
      exit(2);
    }
    i++;
  }
  if (!o->bundle || o->k < 1 || o->k > kMaxK || o->threads < 1 || o->threads > kMaxThreads) {
    fprintf(stderr, "usage: recommend BUNDLE [--users 1,2,3] [--k 1..%d] [--threads 1..%d] [--seconds S]\n"
                    "                 [--publish FILE] [--json FILE]\n", kMaxK, kMaxThreads);
    exit(2);
  }
}

static void sleep_seconds(double seconds) {
  struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
  nanosleep(&t, NULL);
}

int main(int argc, char **argv) {
  options o;
  parse_options(argc, argv, &o);
  gyr_error err = GYR_ERROR_INIT;
  gyr_runtime *runtime = NULL;
  gyr_bundle *bundle = NULL;
  gyr_runtime_options ro = {0};
  ro.struct_size = sizeof ro;
  ro.threads = 1; /* this program brings its own threads */
  die_if(gyr_runtime_create(&ro, &runtime, &err), "runtime", &err);
  int64_t start = now_ns();
  die_if(gyr_bundle_open(runtime, o.bundle, &bundle, &err), o.bundle, &err);
  gyr_runtime_destroy(runtime); /* the bundle keeps it alive */
  printf("opened %s in %.1f ms\n", o.bundle, (double)(now_ns() - start) / 1e6);

  uint64_t n_users = 0;
  int64_t *users = load_users(bundle, o.user_table, &n_users);
  if (!n_users) {
    fprintf(stderr, "%s: the user table is empty\n", o.bundle);
    return 1;
  }
  if (!o.n_users)
    for (; o.n_users < 3 && o.n_users < n_users; o.n_users++) o.users[o.n_users] = users[o.n_users];
  print_recommendations(bundle, &o);

  static worker workers[kMaxThreads];
  pthread_t threads[kMaxThreads];
  atomic_int stop = 0;
  start = now_ns();
  for (uint32_t t = 0; t < o.threads; t++) {
    workers[t] = (worker){.bundle = bundle, .users = users, .n_users = n_users, .k = o.k, .index = t, .stop = &stop,
                          .err = GYR_ERROR_INIT};
    if (pthread_create(&threads[t], NULL, serve, &workers[t]) != 0) return 1;
  }
  uint64_t generation = 1;
  if (o.publish) {
    sleep_seconds(o.seconds / 2);
    die_if(gyr_bundle_publish(bundle, o.publish, GYR_PUBLISH_CARRY_ROWS, &generation, &err), o.publish, &err);
    sleep_seconds(o.seconds / 2);
  } else {
    sleep_seconds(o.seconds);
  }
  atomic_store(&stop, 1);
  double seconds = (double)(now_ns() - start) / 1e9;
  for (uint32_t t = 0; t < o.threads; t++) pthread_join(threads[t], NULL);
  for (uint32_t t = 0; t < o.threads; t++) die_if(workers[t].status, "serve", &workers[t].err);
  report(workers, &o, seconds);
  if (o.publish) printf("swapped to generation %llu while serving, no call failed\n", (unsigned long long)generation);
  for (uint32_t t = 0; t < o.threads; t++) {
    free(workers[t].whole.ns);
    for (uint32_t s = 0; s < kMaxStages; s++) free(workers[t].stages[s].ns);
  }
  free(users);
  gyr_bundle_destroy(bundle);
  return 0;
}
