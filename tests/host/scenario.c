#include "scenario.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scenario_parts.h"

int scenario_check(scenario* s, gyr_status status, const char* call, const char* file, int line) {
  if (status == GYR_OK) return 1;
  s->failures++;
  fprintf(s->log, "%s:%d: %.60s: %s: %s\n", file, line, call, s->g->status_name(status), s->err.message);
  return 0;
}

int scenario_expect(scenario* s, int holds, const char* condition, const char* file, int line) {
  if (holds) return 1;
  s->failures++;
  fprintf(s->log, "%s:%d: not so: %s\n", file, line, condition);
  return 0;
}

void scenario_refused(scenario* s, gyr_status wanted, gyr_status status, const char* call, const char* file, int line) {
  if (status == wanted && s->err.code == wanted && s->err.message[0] && s->err.component[0]) return;
  s->failures++;
  fprintf(s->log, "%s:%d: %.60s: expected %s and a message, got %s \"%s\"\n", file, line, call,
          s->g->status_name(wanted), s->g->status_name(status), s->err.message);
}

void scenario_digest(scenario* s, const void* data, size_t size) {
  s->digest = s->digest * 0x9e3779b97f4a7c15u ^ s->g->hash64(data, size);
}

const char* scenario_path(const scenario* s, const char* name, char buffer[512]) {
  snprintf(buffer, 512, "%s/%s", s->dir, name);
  return buffer;
}

char* scenario_text(scenario* s, text_call call, const void* handle) {
  uint64_t size = 0;
  if (!scenario_check(s, call(handle, NULL, 0, &size, &s->err), "size of a text", __FILE__, __LINE__)) return NULL;
  size += 4096; /* metrics may grow between the calls */
  char* text = malloc(size);
  if (!text) exit(97);
  scenario_check(s, call(handle, text, size, &size, &s->err), "text", __FILE__, __LINE__);
  EXPECT(strlen(text) + 1 == size);
  return text;
}

/* ---- mistakes ---- */

static void bad_input(scenario* s) {
  char path[512];
  gyr_runtime* runtime = NULL;
  gyr_table* table = NULL;
  gyr_workflow* workflow = NULL;
  gyr_trainer* trainer = NULL;
  gyr_bundle* bundle = NULL;
  gyr_monitor* monitor = NULL;
  gyr_runtime_options o = {.struct_size = sizeof o, .device = "cuda:GPU-none"};
  REFUSED(GYR_E_BACKEND_UNAVAILABLE, runtime_create(&o, &runtime, &s->err));
  o.device = "toaster";
  REFUSED(GYR_E_INVALID_ARGUMENT, runtime_create(&o, &runtime, &s->err));
  REFUSED(GYR_E_INVALID_ARGUMENT, table_create(s->h.runtime, "{\"name\":\"t\",", &table, &s->err));
  REFUSED(GYR_E_INVALID_ARGUMENT, table_create(s->h.runtime, "{\"name\":\"t\",\"ttl_seconds\":1.5}", &table, &s->err));
  REFUSED(GYR_E_INVALID_ARGUMENT, workflow_create(s->h.runtime, "[]", &workflow, &s->err));
  REFUSED(GYR_E_INVALID_ARGUMENT, trainer_create(s->h.runtime, "{\"kind\":\"oracle\"}", "{}", &trainer, &s->err));
  REFUSED(GYR_E_INVALID_ARGUMENT, monitor_create(s->h.runtime, "{\"window\":-1,5}", &monitor, &s->err));
  REFUSED(GYR_E_NOT_FOUND, bundle_open(s->h.runtime, scenario_path(s, "nothing.gyr", path), &bundle, &s->err));
  REFUSED(GYR_E_CORRUPT, bundle_open(s->h.runtime, scenario_path(s, "torn.gyr", path), &bundle, &s->err));
  REFUSED(GYR_E_NOT_FOUND, bundle_publish(s->h.bundle, scenario_path(s, "nothing.gyr", path), 0, NULL, &s->err));
  REFUSED(GYR_E_IO, index_save(s->h.index, scenario_path(s, "no/such/folder", path), &s->err));
  REFUSED(GYR_E_INVALID_ARGUMENT, table_open(s->h.runtime, NULL, &table, &s->err));
  REFUSED(GYR_E_INVALID_HANDLE, table_open((gyr_runtime*)s->h.table, "x", &table, &s->err));
  REFUSED(GYR_E_NOT_FOUND, bundle_table(s->h.bundle, "nobody", &table, &s->err));
  REFUSED(GYR_E_NOT_FOUND, monitor_label(s->h.monitor, 424242, 1, 1, 0, &s->err));
  EXPECT(!runtime && !table && !workflow && !trainer && !bundle && !monitor);
}

void scenario_mistakes(scenario* s) {
  if (!s->h.bundle || !s->h.monitor) return;
  char path[512];
  FILE* torn = fopen(scenario_path(s, "torn.gyr", path), "w");
  if (!torn || fputs("this is no bundle at all, but it is long enough to have had a header in front of it", torn) < 0)
    exit(96);
  fclose(torn);
  bad_input(s);
  world* w = make_world();
  struct ArrowArrayStream stream = training_rows(w, 1, 1);
  gyr_upsert_stats stats = {.struct_size = sizeof stats};
  REFUSED(GYR_E_CALLBACK, table_upsert(s->h.table, &stream, &stats, NULL, &s->err));
  EXPECT(stream.release != NULL);
  drop_stream(&stream);
  stream = training_rows(w, 1, 0);
  gyr_task* task = NULL;
  CALL(task_create(&task, &s->err));
  s->g->task_cancel(task);
  REFUSED(GYR_E_CANCELLED, trainer_fit(s->h.trainer, &stream, task, &s->err));
  s->g->task_destroy(task);
  drop_stream(&stream);
  float nan = NAN;
  double auc = 0;
  uint8_t label = 1;
  REFUSED(GYR_E_INVALID_ARGUMENT, metrics_binary(&nan, &label, 1, &auc, NULL, &s->err));
  free(w);
}

/* ---- the whole ---- */

void scenario_close(scenario* s) {
  const api* g = s->g;
  g->runtime_destroy(s->h.runtime);
  g->bundle_destroy(s->h.bundle);
  g->workspace_destroy(s->h.workspace);
  g->table_destroy(s->h.table);
  g->get_plan_destroy(s->h.get_plan);
  g->index_destroy(s->h.index);
  g->index_filter_destroy(s->h.index_filter);
  g->model_destroy(s->h.model);
  g->model_destroy(s->als);
  g->cache_destroy(s->h.cache);
  g->cache_destroy(s->dense);
  g->cache_destroy(s->tiered);
  g->monitor_destroy(s->h.monitor);
  g->trainer_destroy(s->h.trainer);
  g->workflow_destroy(s->h.workflow);
  g->bundle_builder_destroy(s->h.bundle_builder);
  g->task_destroy(s->h.task);
  memset(&s->h, 0, sizeof s->h);
  s->als = NULL;
  s->dense = NULL;
  scenario_expect(s, live_streams == 0, "every Arrow stream was released", __FILE__, __LINE__);
}

int scenario_run(scenario* s) {
  scenario_open(s);
  scenario_use(s);
  scenario_mistakes(s);
  scenario_close(s);
  return s->failures;
}

const char* make_folder(char* buffer, size_t size) {
  const char* base = getenv("TMPDIR");
  snprintf(buffer, size, "%s/gyr_host_XXXXXX", base ? base : "/tmp");
  if (!mkdtemp(buffer)) exit(95);
  return buffer;
}

void remove_folder(const char* path) {
  DIR* dir = opendir(path);
  if (!dir) return;
  for (struct dirent* entry; (entry = readdir(dir));) {
    if (unlinkat(dirfd(dir), entry->d_name, 0) == 0 || entry->d_name[0] == '.') continue;
    char inner[1024]; /* a table's folder */
    snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
    remove_folder(inner);
  }
  closedir(dir);
  rmdir(path);
}
