#include "scenario.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stream.h"

enum { kUsers = 40, kItems = 60, kGroups = 4, kLikes = 6, kRows = kUsers * kLikes, kDim = 8, kK = 5 };

#define CALL(...) check(s, s->g->__VA_ARGS__, #__VA_ARGS__, __LINE__)
#define EXPECT(condition) expect(s, !!(condition), #condition, __LINE__)
#define REFUSED(status, ...) refused(s, status, s->g->__VA_ARGS__, #__VA_ARGS__, __LINE__)

static int check(scenario* s, gyr_status status, const char* call, int line) {
  if (status == GYR_OK) return 1;
  s->failures++;
  fprintf(s->log, "scenario.c:%d: %.60s: %s: %s\n", line, call, s->g->status_name(status), s->err.message);
  return 0;
}

static int expect(scenario* s, int holds, const char* condition, int line) {
  if (holds) return 1;
  s->failures++;
  fprintf(s->log, "scenario.c:%d: not so: %s\n", line, condition);
  return 0;
}

static void refused(scenario* s, gyr_status wanted, gyr_status status, const char* call, int line) {
  if (status == wanted && s->err.code == wanted && s->err.message[0] && s->err.component[0]) return;
  s->failures++;
  fprintf(s->log, "scenario.c:%d: %.60s: expected %s and a message, got %s \"%s\"\n", line, call,
          s->g->status_name(wanted), s->g->status_name(status), s->err.message);
}

static void digest(scenario* s, const void* data, size_t size) {
  s->digest = s->digest * 0x9e3779b97f4a7c15u ^ s->g->hash64(data, size);
}

static const char* path_of(const scenario* s, const char* name, char buffer[512]) {
  snprintf(buffer, 512, "%s/%s", s->dir, name);
  return buffer;
}

/* ---- the world: users like items of their own group ---- */

typedef struct world {
  int64_t user[kUsers], at[kUsers], item[kItems], year_int[kItems];
  float age[kUsers], year[kItems];
  const char* genre[kItems];
  int64_t likes[kUsers * kLikes];
  int32_t like_offsets[kUsers + 1];
  int64_t row_item[2 * kRows], row_history[2 * kRows * kLikes];
  int32_t row_offsets[2 * kRows + 1];
  float row_age[2 * kRows], row_year[2 * kRows], row_label[2 * kRows];
  const char* row_genre[2 * kRows];
  int64_t event_user[kRows], event_item[kRows];
} world;

static const char* const kGenres[kGroups] = {"drama", "com\303\251die", "noir", "western"};

static world* make_world(void) {
  world* w = calloc(1, sizeof *w);
  if (!w) exit(97);
  for (int i = 0; i < kItems; i++) {
    w->item[i] = 500 + i;
    w->year[i] = 1950.5f + (float)i;
    w->genre[i] = kGenres[i % kGroups];
  }
  int rows = 0;
  for (int u = 0; u < kUsers; u++) {
    w->user[u] = 1000 + u;
    w->at[u] = 1000000;
    w->age[u] = 20.25f + (float)u;
    w->like_offsets[u + 1] = (u + 1) * kLikes;
    for (int n = 0; n < kLikes; n++)
      w->likes[u * kLikes + n] = 500 + ((u * 7 + n * 5) % (kItems / kGroups)) * kGroups + u % kGroups;
    for (int n = 0; n < kLikes; n++) {
      w->event_user[u * kLikes + n] = 3 + u;
      w->event_item[u * kLikes + n] = 3 + w->likes[u * kLikes + n] - 500;
    }
    for (int n = 0; n < 2 * kLikes; n++, rows++) {
      int item = n < kLikes ? (int)w->likes[u * kLikes + n] - 500 : (u * 11 + n * 17) % kItems;
      w->row_item[rows] = w->item[item];
      w->row_age[rows] = w->age[u];
      w->row_year[rows] = w->year[item];
      w->row_genre[rows] = w->genre[item];
      w->row_label[rows] = n < kLikes ? 1 : 0;
      memcpy(w->row_history + rows * kLikes, w->likes + u * kLikes, kLikes * 8);
      w->row_offsets[rows + 1] = (rows + 1) * kLikes;
    }
  }
  return w;
}

static struct ArrowArrayStream training_rows(const world* w, int with_label, int broken) {
  column columns[] = {{"age", 'f', w->row_age, NULL},      {"history", 'L', w->row_history, w->row_offsets},
                      {"item_id", 'l', w->row_item, NULL}, {"genre", 'u', w->row_genre, NULL},
                      {"year", 'f', w->row_year, NULL},    {"label", 'f', w->row_label, NULL}};
  return make_stream(columns, with_label ? 6 : 5, 2 * kRows, broken);
}

static struct ArrowArrayStream user_rows(const world* w) {
  column columns[] = {{"user_id", 'l', w->user, NULL},
                      {"at", 'l', w->at, NULL},
                      {"age", 'f', w->age, NULL},
                      {"history", 'L', w->likes, w->like_offsets},
                      {"seen", 'L', w->likes, w->like_offsets}};
  return make_stream(columns, 5, kUsers, 0);
}

static struct ArrowArrayStream item_rows(const world* w) {
  column columns[] = {{"item_id", 'l', w->item, NULL}, {"genre", 'u', w->genre, NULL}, {"year", 'f', w->year, NULL}};
  return make_stream(columns, 3, kItems, 0);
}

static const char kWorkflow[] =
    "{\"version\":1,\"inputs\":[{\"name\":\"age\",\"dtype\":\"float32\",\"tags\":[\"user\"]},"
    "{\"name\":\"history\",\"dtype\":\"int64\",\"list\":true,\"tags\":[\"user\"]},"
    "{\"name\":\"item_id\",\"dtype\":\"int64\",\"tags\":[\"item_id\"]},"
    "{\"name\":\"genre\",\"dtype\":\"string\",\"tags\":[\"item\"]},"
    "{\"name\":\"year\",\"dtype\":\"float32\",\"tags\":[\"item\"]},"
    "{\"name\":\"label\",\"dtype\":\"float32\",\"tags\":[\"target\"]}],"
    "\"ops\":[{\"op\":\"FillMissing\",\"columns\":[\"age\",\"year\"],\"value\":0.5},"
    "{\"op\":\"Clip\",\"columns\":[\"year\"],\"min_value\":1900.25},"
    "{\"op\":\"LogOp\",\"columns\":[\"year\"]},"
    "{\"op\":\"Normalize\",\"columns\":[\"age\",\"year\"]},"
    "{\"op\":\"Categorify\",\"columns\":[\"item_id\",\"history\"],\"joint\":true},"
    "{\"op\":\"Categorify\",\"columns\":[\"genre\"]}]}";
static const char kTwoTower[] =
    "{\"version\":1,\"kind\":\"two_tower\",\"item\":\"item_id\",\"dim\":8,\"embedding_dim\":8,\"hidden\":[8],"
    "\"batch\":64,\"epochs\":1,\"learning_rate\":0.015625,\"user_features\":[\"history\",\"age\"],"
    "\"item_features\":[\"item_id\",\"genre\"],\"seed\":5}";
static const char kDlrm[] =
    "{\"version\":1,\"kind\":\"dlrm\",\"label\":\"label\",\"dim\":8,\"bottom\":[8,8],\"top\":[8],\"batch\":64,"
    "\"epochs\":1,\"learning_rate\":5e-2,\"optimizer\":\"adagrad\",\"user_features\":[\"history\",\"age\"],"
    "\"item_features\":[\"item_id\",\"genre\",\"year\"],\"seed\":6}";
static const char kUserTable[] =
    "{\"name\":\"users\",\"key\":\"user_id\",\"key_dtype\":\"int64\",\"event_time\":\"at\",\"ttl_seconds\":0,"
    "\"columns\":["
    "{\"name\":\"age\",\"dtype\":\"float32\"},{\"name\":\"history\",\"dtype\":\"int64\",\"list\":true},"
    "{\"name\":\"seen\",\"dtype\":\"int64\",\"list\":true}]}";
static const char kItemTable[] =
    "{\"name\":\"items\",\"key\":\"item_id\",\"key_dtype\":\"int64\",\"columns\":["
    "{\"name\":\"genre\",\"dtype\":\"string\"},{\"name\":\"year\",\"dtype\":\"float32\"}]}";
static const char kPipeline[] =
    "{\"version\":1,\"context\":[{\"name\":\"oldest\",\"dtype\":\"float32\"}],\"stages\":["
    "{\"stage\":\"features\",\"side\":\"user\",\"table\":\"users\"},"
    "{\"stage\":\"encode\",\"workflow\":\"features\",\"model\":\"retrieval\"},"
    "{\"stage\":\"retrieve\",\"index\":\"by_vector\",\"k\":30},"
    "{\"stage\":\"filter\",\"seen\":\"seen\"},"
    "{\"stage\":\"features\",\"side\":\"item\",\"table\":\"items\"},"
    "{\"stage\":\"filter\",\"expr\":\"oldest is null or year >= oldest + 0.25\"},"
    "{\"stage\":\"encode\",\"side\":\"item\",\"workflow\":\"features\"},"
    "{\"stage\":\"score\",\"model\":\"ranking\"},"
    "{\"stage\":\"order\",\"k\":5,\"by\":\"score * 1.5 + retrieval_score * 0.25\",\"method\":\"softmax\","
    "\"temperature\":0.75}]}";
static const char kMonitor[] =
    "{\"features\":[{\"name\":\"age\",\"kind\":\"numeric\",\"bins\":5}],\"window\":4,\"min_labels\":1,"
    "\"label_delay_seconds\":1,\"min_rows\":10,\"thresholds\":{\"psi\":0.2,\"auc\":0.6}}";

/* Asks for the size, then for the text. Returns memory of the caller's, NULL after a failure. */
typedef gyr_status (*text_call)(const void* handle, char* buffer, uint64_t capacity, uint64_t* size, gyr_error* err);
static char* text_of(scenario* s, text_call call, const void* handle) {
  uint64_t size = 0;
  if (!check(s, call(handle, NULL, 0, &size, &s->err), "size of a text", __LINE__)) return NULL;
  size += 4096; /* metrics may grow between the calls */
  char* text = malloc(size);
  if (!text) exit(97);
  check(s, call(handle, text, size, &size, &s->err), "text", __LINE__);
  EXPECT(strlen(text) + 1 == size);
  return text;
}
#define TEXT(call, handle) text_of(s, (text_call)(void (*)(void))s->g->call, handle)

/* ---- building ---- */

static void open_runtime(scenario* s) {
  gyr_runtime_options o = {0};
  o.struct_size = sizeof o;
  o.threads = s->threads;
  CALL(runtime_create(s->options ? s->options : &o, &s->h.runtime, &s->err));
  gyr_runtime_info info = {.struct_size = sizeof info};
  CALL(runtime_get_info(s->h.runtime, &info, &s->err));
  EXPECT(info.cores > 0 && info.simd[0]);
  CALL(task_create(&s->h.task, &s->err));
}

static void fit_workflow(scenario* s, const world* w) {
  CALL(workflow_create(s->h.runtime, kWorkflow, &s->h.workflow, &s->err));
  gyr_workflow* other = NULL;
  CALL(workflow_create(s->h.runtime, kWorkflow, &other, &s->err));
  for (int pass = 0; pass < 8 && s->g->workflow_fit_passes_left(s->h.workflow); pass++) {
    struct ArrowArrayStream rows = training_rows(w, 1, 0);
    CALL(workflow_fit_partial(s->h.workflow, &rows, s->h.task, &s->err));
    drop_stream(&rows);
    if (pass == 0) CALL(workflow_merge(s->h.workflow, other, &s->err));
    CALL(workflow_fit_finish(s->h.workflow, &s->err));
  }
  EXPECT(s->g->workflow_fit_passes_left(s->h.workflow) == 0);
  s->g->workflow_destroy(other);
}

static gyr_model* train(scenario* s, const char* spec, const char* schema, struct ArrowArrayStream* rows,
                        struct ArrowArrayStream* items) {
  gyr_trainer* trainer = NULL;
  gyr_model* model = NULL;
  CALL(trainer_create(s->h.runtime, spec, schema, &trainer, &s->err));
  if (items) {
    CALL(trainer_add_items(trainer, items, s->h.task, &s->err));
    drop_stream(items);
  }
  CALL(trainer_fit(trainer, rows, s->h.task, &s->err));
  drop_stream(rows);
  CALL(trainer_export(trainer, &model, &s->err));
  free(TEXT(trainer_history, trainer));
  s->g->trainer_destroy(s->h.trainer); /* the last one stays open */
  s->h.trainer = trainer;
  return model;
}

static struct ArrowArrayStream transformed(scenario* s, struct ArrowArrayStream in) {
  struct ArrowArrayStream out = {0};
  CALL(workflow_transform(s->h.workflow, &in, &out, &s->err));
  drop_stream(&in);
  return out;
}

static void train_models(scenario* s, const world* w, gyr_model** retrieval, gyr_model** ranking) {
  char* schema = TEXT(workflow_schema, s->h.workflow);
  struct ArrowArrayStream items = transformed(s, item_rows(w)), rows = transformed(s, training_rows(w, 1, 0));
  *retrieval = train(s, kTwoTower, schema, &rows, &items);
  rows = transformed(s, training_rows(w, 1, 0));
  *ranking = train(s, kDlrm, schema, &rows, NULL);
  free(schema);
  const char* codes =
      "{\"columns\":[{\"name\":\"user\",\"dtype\":\"int64\",\"tags\":[\"user\",\"categorical\"],\"cardinality\":43},"
      "{\"name\":\"item\",\"dtype\":\"int64\",\"tags\":[\"item\",\"categorical\"],\"cardinality\":63}]}";
  column events[] = {{"user", 'l', w->event_user, NULL}, {"item", 'l', w->event_item, NULL}};
  const char* kinds[] = {"{\"version\":1,\"kind\":\"popularity\"}",
                         "{\"version\":1,\"kind\":\"item_knn\",\"shrink\":0.5}",
                         "{\"version\":1,\"kind\":\"ials\",\"dim\":8,\"epochs\":2,\"alpha\":0.125,\"l2\":1.5e-2}"};
  for (int i = 0; i < 3; i++) {
    struct ArrowArrayStream stream = make_stream(events, 2, kRows, 0);
    s->g->model_destroy(s->als);
    s->als = train(s, kinds[i], codes, &stream, NULL);
  }
}

static void fill_index(scenario* s, const world* w, const gyr_model* retrieval) {
  float vectors[kItems * kDim] = {0};
  uint64_t rows = 0;
  struct ArrowArrayStream items = transformed(s, item_rows(w));
  CALL(model_encode(retrieval, GYR_SIDE_ITEM, &items, vectors, kItems, &rows, &s->err));
  drop_stream(&items);
  EXPECT(rows == kItems);
  gyr_index_options o = {.struct_size = sizeof o, .dim = kDim};
  CALL(index_create(s->h.runtime, &o, &s->h.index, &s->err));
  CALL(index_upsert(s->h.index, w->item, vectors, kItems, s->h.task, &s->err));
  digest(s, vectors, sizeof vectors);
}

static void fill_tables(scenario* s, const world* w, gyr_table** items) {
  CALL(table_create(s->h.runtime, kUserTable, &s->h.table, &s->err));
  CALL(table_create(s->h.runtime, kItemTable, items, &s->err));
  gyr_upsert_stats stats = {.struct_size = sizeof stats};
  struct ArrowArrayStream stream = user_rows(w);
  CALL(table_upsert(s->h.table, &stream, &stats, s->h.task, &s->err));
  drop_stream(&stream);
  EXPECT(stats.applied == kUsers);
  stream = item_rows(w);
  CALL(table_upsert(*items, &stream, &stats, NULL, &s->err));
  drop_stream(&stream);
  EXPECT(stats.rows == kItems);
}

static void save_bundle(scenario* s, const gyr_table* items, const gyr_model* retrieval, const gyr_model* ranking) {
  char path[512];
  gyr_bundle_builder* b = NULL;
  gyr_str ids[2] = {{"a", 1}, {"b", 1}};
  CALL(bundle_builder_create(s->h.runtime, &b, &s->err));
  CALL(bundle_builder_add_workflow(b, "features", s->h.workflow, &s->err));
  CALL(bundle_builder_add_table(b, "users", s->h.table, &s->err));
  CALL(bundle_builder_add_table(b, "items", items, &s->err));
  CALL(bundle_builder_add_index(b, "by_vector", s->h.index, &s->err));
  CALL(bundle_builder_add_model(b, "retrieval", retrieval, &s->err));
  CALL(bundle_builder_add_model(b, "ranking", ranking, &s->err));
  CALL(bundle_builder_add_ids(b, "names", ids, 2, &s->err));
  CALL(bundle_builder_set_pipeline(b, kPipeline, &s->err));
  CALL(bundle_builder_set_metadata(b, "{\"recall\":0.125,\"made\":\"here\"}", &s->err));
  CALL(bundle_builder_save(b, path_of(s, "bundle.gyr", path), &s->err));
  s->h.bundle_builder = b;
  CALL(bundle_open(s->h.runtime, path, &s->h.bundle, &s->err));
  CALL(workspace_create(s->h.bundle, &s->h.workspace, &s->err));
}

static void open_caches(scenario* s) {
  float standard[kDim] = {.5f};
  gyr_cache_options o = {.struct_size = sizeof o, .dim = kDim, .capacity = 16};
  CALL(cache_create(s->h.runtime, &o, &s->h.cache, &s->err));
  o.keys = GYR_CACHE_DENSE;
  o.miss = GYR_CACHE_MISS_DEFAULT;
  o.default_row = standard;
  CALL(cache_create(s->h.runtime, &o, &s->dense, &s->err));
}

void scenario_open(scenario* s) {
  s->err = (gyr_error)GYR_ERROR_INIT;
  world* w = make_world();
  gyr_table* items = NULL;
  gyr_model* retrieval = NULL;
  open_runtime(s);
  if (s->h.runtime) {
    fit_workflow(s, w);
    train_models(s, w, &retrieval, &s->h.model);
    fill_index(s, w, retrieval);
    fill_tables(s, w, &items);
    save_bundle(s, items, retrieval, s->h.model);
    open_caches(s);
    CALL(monitor_create(s->h.runtime, kMonitor, &s->h.monitor, &s->err));
    s->g->table_destroy(items);
    s->g->model_destroy(retrieval);
  }
  free(w);
}

/* ---- using ---- */

gyr_status scenario_recommend(scenario* s, gyr_workspace* workspace, gyr_error* err) {
  int64_t users[3] = {1000, 1007, 99};
  gyr_keys keys = {sizeof keys, GYR_DTYPE_INT64, 3, users, NULL};
  const char* names[1] = {"oldest"};
  gyr_value context[3] = {{0}};
  context[0].dtype = GYR_DTYPE_FLOAT64;
  context[0].f = 1960.5;
  int64_t ids[3 * kK];
  float scores[3 * kK], stages[6 * kK];
  uint32_t counts[3];
  uint8_t status[3];
  gyr_stage_trace trace[16];
  memset(trace, 0, sizeof trace);
  trace[0].struct_size = sizeof trace[0];
  gyr_recommend_args a = {0};
  a.struct_size = sizeof a;
  a.k = kK;
  a.users = &keys;
  a.context_names = names;
  a.context = context;
  a.n_context = 1;
  a.now_us = 2000000;
  a.seed = 7;
  a.out_ids = ids;
  a.out_scores = scores;
  a.out_stage_scores = stages;
  a.out_counts = counts;
  a.out_user_status = status;
  a.trace = trace;
  a.trace_capacity = 16;
  a.workspace = workspace;
  gyr_status result = s->g->bundle_recommend(s->h.bundle, &a, NULL, err);
  if (result != GYR_OK) return result;
  if (counts[0] != kK || status[0] != GYR_VALUE_PRESENT || status[2] != GYR_VALUE_MISSING || a.trace_count < 8 ||
      !a.generation)
    return GYR_E_INTERNAL;
  if (s->threads == 1) { /* else several threads may be here */
    digest(s, ids, sizeof(int64_t) * counts[0]);
    digest(s, scores, sizeof(float) * counts[0]);
  }
  return GYR_OK;
}

static int decimal_comma(const char* text) {
  for (; *text; text++)
    if (text[0] >= '0' && text[0] <= '9' && text[1] == ',' && text[2] >= '0' && text[2] <= '9') return 1;
  return 0;
}

static void use_bundle(scenario* s) {
  char path[512];
  CALL(index_save(s->h.index, path_of(s, "index.gyr", path), &s->err));
  check(s, scenario_recommend(s, s->h.workspace, &s->err), "recommend", __LINE__);
  check(s, scenario_recommend(s, NULL, &s->err), "recommend", __LINE__);
  uint64_t generation = 0;
  CALL(bundle_publish(s->h.bundle, path_of(s, "bundle.gyr", path), GYR_PUBLISH_CARRY_ROWS, &generation, &s->err));
  check(s, scenario_recommend(s, s->h.workspace, &s->err), "recommend", __LINE__);
  CALL(bundle_rollback(s->h.bundle, &generation, &s->err));
  free(TEXT(bundle_describe, s->h.bundle));
  char* metrics = TEXT(bundle_metrics, s->h.bundle);
  EXPECT(metrics && strstr(metrics, "gyr_") && !decimal_comma(metrics));
  free(metrics);
  gyr_table* table = NULL;
  gyr_index* index = NULL;
  gyr_model* model = NULL;
  gyr_workflow* workflow = NULL;
  CALL(bundle_table(s->h.bundle, "items", &table, &s->err));
  CALL(bundle_index(s->h.bundle, "by_vector", &index, &s->err));
  CALL(bundle_model(s->h.bundle, "retrieval", &model, &s->err));
  CALL(bundle_workflow(s->h.bundle, "features", &workflow, &s->err));
  s->g->table_destroy(table);
  s->g->index_destroy(index);
  s->g->model_destroy(model);
  s->g->workflow_destroy(workflow);
}

static void use_table(scenario* s) {
  char path[512];
  int64_t ids[3] = {1000, 1001, 4};
  gyr_keys keys = {sizeof keys, GYR_DTYPE_INT64, 3, ids, NULL}, one = {sizeof one, GYR_DTYPE_INT64, 1, ids + 2, NULL};
  double ages[3];
  uint8_t status[3], list_status[3];
  int64_t history[3 * kLikes], offsets[4];
  gyr_table_column columns[2] = {{.struct_size = sizeof columns[0], .dtype = GYR_DTYPE_FLOAT64, .name = "age"},
                                 {.struct_size = sizeof columns[0], .dtype = GYR_DTYPE_INT64, .name = "history"}};
  columns[0].values = ages;
  columns[0].values_capacity = 3;
  columns[0].status = status;
  columns[1].values = history;
  columns[1].values_capacity = 3 * kLikes;
  columns[1].offsets = offsets;
  columns[1].status = list_status;
  CALL(table_get(s->h.table, &keys, 0, columns, 2, &s->err));
  EXPECT(status[0] == GYR_VALUE_PRESENT && status[2] == GYR_VALUE_MISSING && ages[1] == 21.25 &&
         offsets[2] == 2 * kLikes);
  const char* names[1] = {"age"};
  gyr_value value = {.dtype = GYR_DTYPE_FLOAT64, .f = 44.5};
  uint32_t applied = 0;
  CALL(table_upsert_row(s->h.table, &one, 2000000, names, &value, 1, &applied, &s->err));
  EXPECT(applied == 1);
  uint64_t deleted = 0;
  CALL(table_delete(s->h.table, &one, &deleted, &s->err));
  EXPECT(deleted == 1);
  gyr_table_info info = {.struct_size = sizeof info};
  CALL(table_get_info(s->h.table, &info, &s->err));
  EXPECT(info.rows == kUsers && info.columns == 3);
  struct ArrowArrayStream exported;
  CALL(table_export(s->h.table, &exported, &s->err));
  struct ArrowArray array = {0};
  EXPECT(exported.get_next(&exported, &array) == 0 && array.length == kUsers);
  if (array.release) array.release(&array);
  exported.release(&exported);
  gyr_table* opened = NULL;
  CALL(table_save(s->h.table, path_of(s, "table.gyr", path), &s->err));
  CALL(table_open(s->h.runtime, path, &opened, &s->err));
  s->g->table_destroy(opened);
}

static void use_cache(scenario* s, gyr_cache* cache) {
  int64_t keys[3] = {1, 2, 3}, bags[3] = {0, 2, 3};
  float rows[3 * kDim], out[3 * kDim];
  uint8_t status[3];
  uint64_t removed = 0;
  for (int i = 0; i < 3 * kDim; i++) rows[i] = (float)i * .5f;
  CALL(cache_put(cache, keys, rows, 3, &s->err));
  CALL(cache_get(cache, keys, 3, out, status, &s->err));
  EXPECT(!memcmp(rows, out, sizeof rows) && status[2] == GYR_VALUE_PRESENT);
  CALL(cache_remove(cache, keys + 2, 1, &removed, &s->err));
  CALL(cache_pool(cache, keys, bags, 2, GYR_POOLING_MEAN, out, status, &s->err));
  EXPECT(removed == 1 && status[2] != GYR_VALUE_PRESENT && out[1] == (rows[1] + rows[kDim + 1]) / 2);
  gyr_cache_info info = {.struct_size = sizeof info};
  CALL(cache_get_info(cache, &info, &s->err));
  EXPECT(info.dim == kDim && info.hits > 0);
}

static void use_index(scenario* s) {
  char path[512];
  int64_t ids[2 * kK], slots[2], wanted[2] = {500, 7};
  float query[2 * kDim], scores[2 * kK];
  uint32_t counts[2];
  for (int i = 0; i < 2 * kDim; i++) query[i] = (float)(i % 5) - 1.5f;
  CALL(index_slots(s->h.index, wanted, 2, slots, &s->err));
  EXPECT(slots[0] >= 0 && slots[1] == -1);
  gyr_search_args a = {.struct_size = sizeof a, .k = kK, .queries = query, .n = 2};
  a.out_ids = ids;
  a.out_scores = scores;
  a.out_counts = counts;
  CALL(index_search(s->h.index, &a, s->h.task, &s->err));
  EXPECT(counts[0] == kK && counts[1] == kK && scores[0] >= scores[1]);
  digest(s, ids, sizeof ids);
  uint64_t filter[2] = {0x5555555555555555u, 0}, deleted = 1;
  a.exact = 1;
  a.filter = filter;
  a.filter_bits = 60;
  CALL(index_search(s->h.index, &a, NULL, &s->err));
  EXPECT(counts[0] == kK);
  CALL(index_delete(s->h.index, wanted + 1, 1, &deleted, &s->err));
  EXPECT(deleted == 0);
  gyr_index_info info = {.struct_size = sizeof info};
  CALL(index_get_info(s->h.index, &info, &s->err));
  EXPECT(info.count == kItems && info.dim == kDim);
  gyr_index* opened = NULL;
  CALL(index_save(s->h.index, path_of(s, "index.gyr", path), &s->err));
  CALL(index_open(s->h.runtime, path, &opened, &s->err));
  s->g->index_destroy(opened);
}

static void use_models(scenario* s) {
  char path[512];
  world* w = make_world();
  float scores[2 * kRows], best[2 * kK];
  int64_t history[3] = {5, 9, 13}, offsets[3] = {0, 2, 3}, items[2 * kK];
  uint64_t rows = 0;
  struct ArrowArrayStream stream = transformed(s, training_rows(w, 0, 0));
  CALL(model_predict(s->h.model, &stream, scores, 2 * kRows, &rows, &s->err));
  drop_stream(&stream);
  EXPECT(rows == 2 * kRows && scores[0] > 0 && scores[0] < 1);
  digest(s, scores, sizeof scores);
  CALL(model_recommend(s->als, history, offsets, 2, kK, NULL, NULL, items, best, &s->err));
  EXPECT(items[0] >= 3 && best[0] >= best[1]);
  digest(s, items, sizeof items);
  digest(s, best, sizeof best);
  char* text = TEXT(model_describe, s->als);
  EXPECT(text && strstr(text, "\"ials\""));
  free(text);
  gyr_model* opened = NULL;
  CALL(model_save(s->h.model, path_of(s, "model.gyr", path), &s->err));
  CALL(model_open(s->h.runtime, path, &opened, &s->err));
  s->g->model_destroy(opened);
  free(w);
}

static void use_workflow(scenario* s) {
  char path[512];
  gyr_value in[6] = {{0}}, out[6], code;
  int64_t history[2] = {500, 501};
  int64_t scratch[64];
  in[0].dtype = GYR_DTYPE_FLOAT64;
  in[0].f = 30.5;
  in[1].dtype = GYR_DTYPE_INT64;
  in[1].is_list = 1;
  in[1].list = history;
  in[1].count = 2;
  in[2].dtype = GYR_DTYPE_INT64;
  in[2].i = 500;
  in[3].dtype = GYR_DTYPE_STRING;
  in[3].s = (gyr_str){"noir", 4};
  in[4].dtype = GYR_DTYPE_FLOAT64;
  in[4].f = 1999.5;
  CALL(workflow_transform_row(s->h.workflow, in, 6, out, 6, scratch, sizeof scratch, &s->err));
  EXPECT(out[2].dtype == GYR_DTYPE_INT64 && out[2].i >= 3 && out[1].count == 2);
  CALL(workflow_decode(s->h.workflow, "genre", 3, &code, &s->err));
  EXPECT(code.dtype == GYR_DTYPE_STRING && code.s.len > 0);
  char* schema = TEXT(workflow_schema, s->h.workflow);
  if (schema) digest(s, schema, strlen(schema));
  free(schema);
  gyr_workflow* opened = NULL;
  CALL(workflow_save(s->h.workflow, path_of(s, "workflow.gyr", path), &s->err));
  CALL(workflow_open(s->h.runtime, path, &opened, &s->err));
  s->g->workflow_destroy(opened);
}

static gyr_status report(gyr_monitor* monitor, char* text, uint64_t capacity, uint64_t* size, const scenario* s,
                         gyr_error* err) {
  return s->g->monitor_report(monitor, 9000000, text, capacity, size, err);
}

static void use_monitor(scenario* s) {
  world* w = make_world();
  column ages[] = {{"age", 'f', w->row_age, NULL}};
  struct ArrowArrayStream stream = make_stream(ages, 1, 2 * kRows, 0);
  CALL(monitor_set_baseline(s->h.monitor, &stream, &s->err));
  drop_stream(&stream);
  stream = make_stream(ages, 1, 40, 0);
  CALL(monitor_observe(s->h.monitor, &stream, &s->err));
  drop_stream(&stream);
  int64_t items[4] = {1, 2, 3, 4};
  float scores[4] = {.9f, .7f, .5f, .25f};
  uint64_t id = s->digest | 1; /* a new request each time */
  CALL(monitor_served(s->h.monitor, id, items, scores, 4, 1000000, &s->err));
  CALL(monitor_label(s->h.monitor, id, 4, 1, 1000001, &s->err));
  CALL(monitor_count(s->h.monitor, "clicks", 3, &s->err));
  char text[8192];
  uint64_t size = 0;
  check(s, report(s->h.monitor, NULL, 0, &size, s, &s->err), "report size", __LINE__);
  check(s, report(s->h.monitor, text, sizeof text, &size, s, &s->err), "report", __LINE__);
  EXPECT(strstr(text, "\"psi\"") && strstr(text, "\"clicks\""));
  digest(s, text, strcspn(text, "c"));
  free(w);
}

static void use_metrics(scenario* s) {
  int64_t recommended[4] = {1, 2, 3, 4}, relevant[2] = {2, 4}, offsets[3] = {0, 1, 2};
  gyr_ranking_args a = {.struct_size = sizeof a, .k = 2, .n = 2};
  a.recommended = recommended;
  a.relevant = relevant;
  a.relevant_offsets = offsets;
  gyr_ranking_metrics m = {.struct_size = sizeof m};
  double ndcg[2], recall[2], auc = 0, loss = 0, low = 0, high = 0;
  CALL(metrics_ranking(&a, &m, ndcg, recall, &s->err));
  EXPECT(m.recall == 1 && m.mrr == .5 && recall[0] == 1);
  float scores[4] = {.125f, .5f, .75f, .25f};
  uint8_t labels[4] = {0, 1, 1, 0};
  CALL(metrics_binary(scores, labels, 4, &auc, &loss, &s->err));
  EXPECT(auc == 1 && loss > 0);
  CALL(metrics_bootstrap(ndcg, 2, 50, .9, 3, &low, &high, &s->err));
  EXPECT(low <= high);
}

static void use_facts(scenario* s) {
  EXPECT(s->g->version() == GYR_VERSION_MAJOR * 10000 + GYR_VERSION_MINOR * 100 + GYR_VERSION_PATCH);
  EXPECT(strstr(s->g->build_info(), "\"version\""));
  EXPECT(!strcmp(s->g->status_name(GYR_E_IO), "GYR_E_IO"));
  EXPECT(s->g->struct_size("gyr_error") == sizeof(gyr_error));
  EXPECT(s->g->hash64("", 0) == 0x2d06800538d394c2u);
  uint64_t devices = 0;
  gyr_device_info info[4];
  memset(info, 0, sizeof info);
  info[0].struct_size = sizeof info[0];
  CALL(device_list(info, 4, &devices, &s->err));
  EXPECT(devices >= 1 && info[0].kind == GYR_DEVICE_CPU && !strcmp(info[0].selector, "cpu"));
  gyr_task_progress progress = {.struct_size = sizeof progress};
  s->g->task_get_progress(s->h.task, &progress);
  EXPECT(progress.phase[0]);
  s->g->task_set_timeout(s->h.task, 1000000000000);
  s->g->task_set_timeout(s->h.task, 0);
}

void scenario_use(scenario* s) {
  if (!s->h.bundle || !s->h.monitor) return; /* scenario_open has said why */
  use_facts(s);
  use_table(s);
  use_cache(s, s->h.cache);
  use_cache(s, s->dense);
  use_index(s);
  use_models(s);
  use_workflow(s);
  use_metrics(s);
  use_bundle(s);
  use_monitor(s);
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
  REFUSED(GYR_E_NOT_FOUND, bundle_open(s->h.runtime, path_of(s, "nothing.gyr", path), &bundle, &s->err));
  REFUSED(GYR_E_CORRUPT, bundle_open(s->h.runtime, path_of(s, "torn.gyr", path), &bundle, &s->err));
  REFUSED(GYR_E_NOT_FOUND, bundle_publish(s->h.bundle, path_of(s, "nothing.gyr", path), 0, NULL, &s->err));
  REFUSED(GYR_E_IO, index_save(s->h.index, path_of(s, "no/such/folder", path), &s->err));
  REFUSED(GYR_E_INVALID_ARGUMENT, table_open(s->h.runtime, NULL, &table, &s->err));
  REFUSED(GYR_E_INVALID_HANDLE, table_open((gyr_runtime*)s->h.table, "x", &table, &s->err));
  REFUSED(GYR_E_NOT_FOUND, bundle_table(s->h.bundle, "nobody", &table, &s->err));
  REFUSED(GYR_E_NOT_FOUND, monitor_label(s->h.monitor, 424242, 1, 1, 0, &s->err));
  EXPECT(!runtime && !table && !workflow && !trainer && !bundle && !monitor);
}

void scenario_mistakes(scenario* s) {
  if (!s->h.bundle || !s->h.monitor) return;
  char path[512];
  FILE* torn = fopen(path_of(s, "torn.gyr", path), "w");
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

void scenario_close(scenario* s) {
  const api* g = s->g;
  g->runtime_destroy(s->h.runtime);
  g->bundle_destroy(s->h.bundle);
  g->workspace_destroy(s->h.workspace);
  g->table_destroy(s->h.table);
  g->index_destroy(s->h.index);
  g->model_destroy(s->h.model);
  g->model_destroy(s->als);
  g->cache_destroy(s->h.cache);
  g->cache_destroy(s->dense);
  g->monitor_destroy(s->h.monitor);
  g->trainer_destroy(s->h.trainer);
  g->workflow_destroy(s->h.workflow);
  g->bundle_builder_destroy(s->h.bundle_builder);
  g->task_destroy(s->h.task);
  memset(&s->h, 0, sizeof s->h);
  s->als = NULL;
  s->dense = NULL;
  expect(s, live_streams == 0, "every Arrow stream was released", __LINE__);
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
  for (struct dirent* entry; (entry = readdir(dir));) unlinkat(dirfd(dir), entry->d_name, 0);
  closedir(dir);
  rmdir(path);
}
