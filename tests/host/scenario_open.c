/* Making everything: workflow, models, index, tables, bundle, caches, monitor. */
#include <stdlib.h>
#include <string.h>

#include "scenario_parts.h"

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

struct ArrowArrayStream scenario_transformed(scenario* s, struct ArrowArrayStream in) {
  struct ArrowArrayStream out = {0};
  CALL(workflow_transform(s->h.workflow, &in, &out, &s->err));
  drop_stream(&in);
  return out;
}

static void train_models(scenario* s, const world* w, gyr_model** retrieval, gyr_model** ranking) {
  char* schema = TEXT(workflow_schema, s->h.workflow);
  struct ArrowArrayStream items = scenario_transformed(s, item_rows(w)),
                          rows = scenario_transformed(s, training_rows(w, 1, 0));
  *retrieval = train(s, kTwoTower, schema, &rows, &items);
  rows = scenario_transformed(s, training_rows(w, 1, 0));
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
  struct ArrowArrayStream items = scenario_transformed(s, item_rows(w));
  CALL(model_encode(retrieval, GYR_SIDE_ITEM, &items, vectors, kItems, &rows, &s->err));
  drop_stream(&items);
  EXPECT(rows == kItems);
  gyr_index_options o = {.struct_size = sizeof o, .dim = kDim};
  CALL(index_create(s->h.runtime, &o, &s->h.index, &s->err));
  CALL(index_upsert(s->h.index, w->item, vectors, kItems, s->h.task, &s->err));
  scenario_digest(s, vectors, sizeof vectors);
}

static void make_filter(scenario* s, const world* w, const gyr_table* items) {
  gyr_index_filter_options o = {.struct_size = sizeof o,
                                .ids = w->item,
                                .n_ids = kItems,
                                .table = items,
                                .condition = "year >= 1960 and genre != 'noir'"};
  CALL(index_filter_create(s->h.index, &o, s->h.task, &s->h.index_filter, &s->err));
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

/* The same table twice, for other keys: ages with a default, histories, and ages once more. */
static void open_plan(scenario* s, const gyr_table* items) {
  const gyr_table* tables[3] = {s->h.table, items, s->h.table};
  gyr_value unknown = {.dtype = GYR_DTYPE_FLOAT64, .f = -1.5};
  gyr_get_column columns[3] = {
      {.struct_size = sizeof columns[0], .dtype = GYR_DTYPE_FLOAT64, .name = "age", .default_value = &unknown},
      {.struct_size = sizeof columns[0], .name = "year", .table = 1},
      {.struct_size = sizeof columns[0], .name = "history", .table = 2}};
  CALL(get_plan_create(tables, 3, columns, 3, &s->h.get_plan, &s->err));
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
  CALL(bundle_builder_save(b, scenario_path(s, "bundle.gyr", path), &s->err));
  s->h.bundle_builder = b;
  CALL(bundle_open(s->h.runtime, path, &s->h.bundle, &s->err));
  CALL(workspace_create(s->h.bundle, &s->h.workspace, &s->err));
}

/* A store below a cache: row i has i in all places. */
static gyr_status fetch_rows(uintptr_t user, const int64_t* keys, uint64_t n, void* rows, uint8_t* found,
                             int64_t timeout_ns) {
  (void)user, (void)timeout_ns;
  for (uint64_t i = 0; i < n; i++) {
    for (int d = 0; d < kDim; d++) ((float*)rows)[i * kDim + (uint64_t)d] = (float)keys[i];
    found[i] = keys[i] < 1000 ? GYR_TIER_FOUND : GYR_TIER_ABSENT;
  }
  return GYR_OK;
}

static void open_caches(scenario* s) {
  float standard[kDim] = {.5f};
  gyr_cache_options o = {.struct_size = sizeof o, .dim = kDim, .capacity = 16};
  CALL(cache_create(s->h.runtime, &o, &s->h.cache, &s->err));
  o.keys = GYR_CACHE_DENSE;
  o.miss = GYR_CACHE_MISS_DEFAULT;
  o.default_row = standard;
  CALL(cache_create(s->h.runtime, &o, &s->dense, &s->err));
  gyr_cache_tier below = {.struct_size = sizeof below, .fetch = fetch_rows};
  gyr_cache_tiers tiers = {.struct_size = sizeof tiers, .below = &below, .max_rows = 10};
  gyr_cache_options tiered = {.struct_size = sizeof tiered, .dim = kDim, .tiers = &tiers};
  CALL(cache_create(s->h.runtime, &tiered, &s->tiered, &s->err));
  char path[512];
  gyr_cache* saved = NULL;
  CALL(cache_save(s->h.cache, scenario_path(s, "cache.gyr", path), &s->err));
  CALL(cache_open(s->h.runtime, path, &tiers, &saved, &s->err));
  s->g->cache_destroy(saved);
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
    make_filter(s, w, items);
    open_plan(s, items);
    save_bundle(s, items, retrieval, s->h.model);
    open_caches(s);
    CALL(monitor_create(s->h.runtime, kMonitor, &s->h.monitor, &s->err));
    s->g->table_destroy(items);
    s->g->model_destroy(retrieval);
  }
  free(w);
}
