/* Using everything that scenario_open made. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scenario_parts.h"

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
    scenario_digest(s, ids, sizeof(int64_t) * counts[0]);
    scenario_digest(s, scores, sizeof(float) * counts[0]);
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
  CALL(index_save(s->h.index, scenario_path(s, "index.gyr", path), &s->err));
  scenario_check(s, scenario_recommend(s, s->h.workspace, &s->err), "recommend", __FILE__, __LINE__);
  scenario_check(s, scenario_recommend(s, NULL, &s->err), "recommend", __FILE__, __LINE__);
  uint64_t generation = 0;
  CALL(bundle_publish(s->h.bundle, scenario_path(s, "bundle.gyr", path), GYR_PUBLISH_CARRY_ROWS, &generation, &s->err));
  scenario_check(s, scenario_recommend(s, s->h.workspace, &s->err), "recommend", __FILE__, __LINE__);
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
  CALL(table_save(s->h.table, scenario_path(s, "table.gyr", path), &s->err));
  CALL(table_open(s->h.runtime, path, &opened, &s->err));
  s->g->table_destroy(opened);
}

static void use_plan(scenario* s) {
  int64_t users[2] = {1001, 4}, items[2] = {500, 7}, history[2 * kLikes], offsets[3];
  gyr_keys keys[3] = {{sizeof keys[0], GYR_DTYPE_INT64, 2, users, NULL},
                      {sizeof keys[0], GYR_DTYPE_INT64, 2, items, NULL},
                      {sizeof keys[0], GYR_DTYPE_INT64, 2, users, NULL}};
  double ages[2];
  float years[2];
  uint8_t status[3][2];
  gyr_get_destination to[3] = {{.struct_size = sizeof to[0], .values = ages, .values_capacity = 2},
                               {.struct_size = sizeof to[0], .values = years, .values_capacity = 2},
                               {.struct_size = sizeof to[0], .values = history, .values_capacity = 2 * kLikes}};
  to[2].offsets = offsets;
  for (int c = 0; c < 3; c++) to[c].status = status[c];
  CALL(get_plan_run(s->h.get_plan, keys, 3, 0, to, 3, &s->err));
  EXPECT(ages[0] == 21.25 && ages[1] == -1.5 && status[0][1] == GYR_VALUE_DEFAULT);
  EXPECT(status[1][0] == GYR_VALUE_PRESENT && status[1][1] == GYR_VALUE_MISSING && offsets[2] == kLikes);
}

static const char kPastTable[] =
    "{\"name\":\"past\",\"key\":\"user_id\",\"event_time\":\"at\",\"history\":{\"versions\":3},\"columns\":["
    "{\"name\":\"age\",\"dtype\":\"float32\"},{\"name\":\"seen\",\"dtype\":\"int64\",\"list\":true}]}";

/* Rows as they were, and labels joined with them. */
static void use_history(scenario* s) {
  gyr_table* past = NULL;
  int64_t ids[2] = {1, 2}, times[2] = {15, 25}, at[2] = {10, 20};
  gyr_keys keys = {sizeof keys, GYR_DTYPE_INT64, 2, ids, NULL}, one = {sizeof one, GYR_DTYPE_INT64, 1, ids, NULL};
  const char* names[2] = {"age", "seen"};
  CALL(table_create(s->h.runtime, kPastTable, &past, &s->err));
  for (int i = 0; i < 2; i++) {
    gyr_value values[2] = {{.dtype = GYR_DTYPE_FLOAT64, .f = 1.5 + i},
                           {.dtype = GYR_DTYPE_INT64, .is_list = 1, .list = at, .count = 2}};
    CALL(table_upsert_row(past, &one, at[i], names, values, 2, NULL, &s->err));
  }
  double ages[2];
  uint8_t status[2];
  int64_t seen[4], offsets[3];
  gyr_table_column columns[2] = {{.struct_size = sizeof columns[0], .dtype = GYR_DTYPE_FLOAT64, .name = "age"},
                                 {.struct_size = sizeof columns[0], .dtype = GYR_DTYPE_INT64, .name = "seen"}};
  columns[0].values = ages;
  columns[0].values_capacity = 2;
  columns[0].status = status;
  columns[1].values = seen;
  columns[1].values_capacity = 4;
  columns[1].offsets = offsets;
  CALL(table_get_as_of(past, &keys, times, GYR_AS_OF_UNKNOWN_TOO, columns, 2, &s->err));
  EXPECT(status[0] == GYR_VALUE_PRESENT && ages[0] == 1.5 && status[1] == GYR_VALUE_MISSING && offsets[2] == 2);
  struct column labels[] = {{"user_id", 'l', ids, NULL}, {"at", 'l', times, NULL}};
  struct ArrowArrayStream stream = make_stream(labels, 2, 2, 0), joined = {0};
  gyr_as_of_options o = {.struct_size = sizeof o, .key = "user_id", .time = "at", .columns = names, .n_columns = 1};
  o.prefix = "then_";
  CALL(table_export_as_of(past, &stream, &o, &joined, &s->err));
  drop_stream(&stream);
  struct ArrowArray array = {0};
  EXPECT(joined.release && joined.get_next(&joined, &array) == 0 && array.length == 2 && array.n_children == 3);
  if (array.release) array.release(&array);
  if (joined.release) joined.release(&joined);
  uint64_t cursor = 0, removed = 9, bytes = 0;
  CALL(table_sweep(past, 0, 100, &cursor, &removed, &s->err));
  EXPECT(removed == 0 && cursor > 0);
  CALL(table_estimate(kPastTable, 1000, 0, 3, &bytes, &s->err));
  EXPECT(bytes > 3000 * 24);
  s->g->table_destroy(past);
}

/* A table that outlives its process, opened, changed and opened again. */
static void use_live_table(scenario* s) {
  char path[512];
  static const char kSchema[] =
      "{\"name\":\"live\",\"key\":\"id\",\"columns\":[{\"name\":\"v\",\"dtype\":\"float32\"}]}";
  gyr_table_log_options options = {
      .struct_size = sizeof options, .durability = GYR_DURABILITY_SYNC, .segment_bytes = 1 << 16};
  gyr_table* table = NULL;
  int64_t id = 7;
  gyr_keys key = {sizeof key, GYR_DTYPE_INT64, 1, &id, NULL};
  const char* names[1] = {"v"};
  gyr_value value = {.dtype = GYR_DTYPE_FLOAT64, .f = 2.5};
  scenario_path(s, "live", path);
  for (int round = 0; round < 2; round++) {
    CALL(table_open_live(s->h.runtime, path, kSchema, &options, s->h.task, &table, &s->err));
    CALL(table_upsert_row(table, &key, 0, names, &value, 1, NULL, &s->err));
    CALL(table_flush(table, &s->err));
    gyr_table_log_info info = {.struct_size = sizeof info};
    CALL(table_get_log_info(table, &info, &s->err));
    EXPECT(info.last_lsn >= 1 && info.durable_lsn == info.last_lsn && !info.failed);
    if (round == 0) CALL(table_checkpoint(table, s->h.task, &s->err));
    s->g->table_destroy(table);
  }
  CALL(table_open_live(s->h.runtime, path, NULL, NULL, NULL, &table, &s->err));
  gyr_table_info rows = {.struct_size = sizeof rows};
  CALL(table_get_info(table, &rows, &s->err));
  EXPECT(rows.rows == 1 && rows.columns == 1);
  s->g->table_destroy(table);
  REFUSED(GYR_E_INVALID_STATE, table_checkpoint(s->h.table, NULL, &s->err));
  REFUSED(GYR_E_INVALID_STATE, table_flush(s->h.table, &s->err));
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
  float weights[3] = {2, 1, 5};
  CALL(cache_pool_weighted(cache, keys, weights, bags, 2, GYR_POOLING_SUM, out, status, &s->err));
  EXPECT(out[1] == 2 * rows[1] + rows[kDim + 1]);
  gyr_cache_info info = {.struct_size = sizeof info};
  CALL(cache_get_info(cache, &info, &s->err));
  EXPECT(info.dim == kDim && info.hits > 0);
}

static void use_tiers(scenario* s) {
  int64_t keys[3] = {1, 20, 2000}, removed[1] = {50};
  float rows[3 * kDim], delta_rows[kDim] = {.25f};
  uint8_t status[3];
  uint32_t applied = 9;
  uint64_t offset = 0, loaded = 0;
  gyr_cache* other = NULL;
  CALL(cache_warm(s->tiered, keys, 3, &loaded, s->h.task, &s->err));
  CALL(cache_get(s->tiered, keys, 3, rows, status, &s->err));
  EXPECT(status[0] == GYR_VALUE_PRESENT && rows[kDim] == 20 && status[2] == GYR_VALUE_MISSING);
  gyr_cache_delta delta = {.struct_size = sizeof delta,
                           .source = "stream",
                           .offset = 5,
                           .keys = keys,
                           .rows = delta_rows,
                           .n = 1,
                           .removed = removed,
                           .n_removed = 1};
  CALL(cache_apply(s->h.cache, &delta, &applied, &s->err));
  CALL(cache_apply(s->h.cache, &delta, &applied, &s->err));
  CALL(cache_get_offset(s->h.cache, "stream", &offset, &s->err));
  EXPECT(applied == 0 && offset == 5);
  gyr_cache_options o = {.struct_size = sizeof o, .dim = kDim};
  CALL(cache_create(s->h.runtime, &o, &other, &s->err));
  CALL(cache_publish(s->h.cache, other, &s->err));
  CALL(cache_publish(s->h.cache, other, &s->err));
  s->g->cache_destroy(other);
}

static void use_index_filter(scenario* s) {
  int64_t ids[2 * kK], allowed[3] = {500, 520, 521}, offsets[3] = {0, 2, 3};
  float query[2 * kDim], scores[2 * kK];
  uint32_t counts[2], efforts[2] = {0, 20};
  for (int i = 0; i < 2 * kDim; i++) query[i] = (float)(i % 3) - .5f;
  CALL(index_filter_refresh(s->h.index_filter, s->h.task, &s->err));
  gyr_index_filter_info info = {.struct_size = sizeof info};
  CALL(index_filter_get_info(s->h.index_filter, &info, &s->err));
  EXPECT(info.count == 37 && info.changes == 0);
  gyr_search_args a = {.struct_size = sizeof a, .k = kK, .queries = query, .n = 2, .selection = s->h.index_filter};
  a.out_ids = ids;
  a.out_scores = scores;
  a.out_counts = counts;
  CALL(index_search(s->h.index, &a, s->h.task, &s->err));
  EXPECT(counts[0] == kK && ids[0] >= 510);
  a.allowed_ids = allowed;
  a.n_allowed_ids = 3;
  a.allowed_offsets = offsets;
  CALL(index_search(s->h.index, &a, NULL, &s->err));
  EXPECT(counts[0] == 1 && ids[0] == 520 && counts[1] == 1 && ids[kK] == 521);
  gyr_evaluate_args e = {.struct_size = sizeof e, .k = 3, .queries = query, .n = 2};
  gyr_search_quality quality[2] = {{.struct_size = sizeof quality[0]}, {.struct_size = sizeof quality[0]}};
  CALL(index_evaluate(s->h.index, &e, efforts, 2, quality, s->h.task, &s->err));
  EXPECT(quality[0].recall == 1 && quality[1].effort == 20);
  CALL(index_tune(s->h.index, &e, .9, 1, quality, s->h.task, &s->err));
  CALL(index_compact(s->h.index, s->h.task, &s->err));
  EXPECT(quality[0].effort >= 1);
}

/* Two vectors out of a stream, a tensor and a file. */
static void fill_index(scenario* s, gyr_index* index) {
  char path[512];
  const int64_t ids[2] = {900, 901}, shape[2] = {2, kDim};
  float vectors[2 * kDim];
  for (int i = 0; i < 2 * kDim; i++) vectors[i] = (float)(i % 3) + 1;
  const column columns[] = {{"id", 'l', ids, NULL}, {"vector", 'V', vectors, NULL}};
  struct ArrowArrayStream stream = make_stream(columns, 2, 2, 0);
  CALL(index_upsert_arrow(index, &stream, "id", "vector", s->h.task, &s->err));
  drop_stream(&stream);
  struct { /* DLTensor */
    void* data;
    int32_t device_type, device_id, ndim;
    uint8_t code, bits;
    uint16_t lanes;
    const int64_t *shape, *strides;
    uint64_t byte_offset;
  } tensor = {vectors, 1, 0, 2, 2, 32, 1, shape, NULL, 0};
  CALL(index_upsert_dlpack(index, ids, &tensor, 2, s->h.task, &s->err));
  FILE* file = fopen(scenario_path(s, "vectors.fvecs", path), "wb");
  const int32_t dim = kDim;
  for (int row = 0; file && row < 2; row++) {
    EXPECT(fwrite(&dim, sizeof dim, 1, file) == 1);
    EXPECT(fwrite(vectors + row * kDim, sizeof *vectors, kDim, file) == kDim);
  }
  EXPECT(file && fclose(file) == 0);
  CALL(index_upsert_file(index, path, ids, 2, 0, s->h.task, &s->err));
  CALL(index_upsert_file(index, path, NULL, 0, 902, NULL, &s->err));
  gyr_index_info info = {.struct_size = sizeof info};
  CALL(index_get_info(index, &info, &s->err));
  EXPECT(info.count == kItems + 4);
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
  scenario_digest(s, ids, sizeof ids);
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
  gyr_index_options o = {.struct_size = sizeof o, .dim = kDim, .stored = GYR_STORED_INT16};
  uint64_t bytes = 0, peak = 0;
  CALL(index_estimate(&o, kItems, 2, &bytes, &peak, &s->err));
  EXPECT(bytes > kItems * kDim * 2 && peak > bytes);
  gyr_index* opened = NULL;
  CALL(index_save(s->h.index, scenario_path(s, "index.gyr", path), &s->err));
  CALL(index_open(s->h.runtime, path, &opened, &s->err));
  fill_index(s, opened);
  s->g->index_destroy(opened);
}

static void use_models(scenario* s) {
  char path[512];
  world* w = make_world();
  float scores[2 * kRows], best[2 * kK];
  int64_t history[3] = {5, 9, 13}, offsets[3] = {0, 2, 3}, items[2 * kK];
  uint64_t rows = 0;
  struct ArrowArrayStream stream = scenario_transformed(s, training_rows(w, 0, 0));
  CALL(model_predict(s->h.model, &stream, scores, 2 * kRows, &rows, &s->err));
  drop_stream(&stream);
  EXPECT(rows == 2 * kRows && scores[0] > 0 && scores[0] < 1);
  scenario_digest(s, scores, sizeof scores);
  CALL(model_recommend(s->als, history, offsets, 2, kK, NULL, NULL, items, best, &s->err));
  EXPECT(items[0] >= 3 && best[0] >= best[1]);
  scenario_digest(s, items, sizeof items);
  scenario_digest(s, best, sizeof best);
  char* text = TEXT(model_describe, s->als);
  EXPECT(text && strstr(text, "\"ials\""));
  free(text);
  gyr_model* opened = NULL;
  CALL(model_save(s->h.model, scenario_path(s, "model.gyr", path), &s->err));
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
  if (schema) scenario_digest(s, schema, strlen(schema));
  free(schema);
  gyr_workflow* opened = NULL;
  CALL(workflow_save(s->h.workflow, scenario_path(s, "workflow.gyr", path), &s->err));
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
  scenario_check(s, report(s->h.monitor, NULL, 0, &size, s, &s->err), "report size", __FILE__, __LINE__);
  scenario_check(s, report(s->h.monitor, text, sizeof text, &size, s, &s->err), "report", __FILE__, __LINE__);
  EXPECT(strstr(text, "\"psi\"") && strstr(text, "\"clicks\""));
  scenario_digest(s, text, strcspn(text, "c"));
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
  use_live_table(s);
  use_plan(s);
  use_history(s);
  use_cache(s, s->h.cache);
  use_cache(s, s->dense);
  use_tiers(s);
  use_index(s);
  use_index_filter(s);
  use_models(s);
  use_workflow(s);
  use_metrics(s);
  use_bundle(s);
  use_monitor(s);
}
