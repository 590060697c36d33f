// gyr/workflow.h and gyr/monitor.h with every allocation failing once.
#include <cerrno>

#include "tests/fault/world.h"

namespace gyr::test {
namespace {

WorkflowHandle unfitted(const Fault& f) {
  WorkflowHandle w;
  GYR_SETUP(gyr_workflow_create(World::of(f).runtime(), kGraph, w.out(), err));
  return w;
}

void add_rows(gyr_workflow* w) {
  Source rows;
  raw_rows(&rows);
  ArrowArrayStream stream = rows.open();
  GYR_SETUP(gyr_workflow_fit_partial(w, &stream, nullptr, err));
}

std::string schema_of(const gyr_workflow* w) {
  return text_of([w](char* buffer, uint64_t capacity, uint64_t* size, gyr_error* err) {
    return gyr_workflow_schema(w, buffer, capacity, size, err);
  });
}

// The genre of one row, coded.
int64_t code_of(const gyr_workflow* w, const char* genre) {
  gyr_value in[7] = {}, out[8] = {};
  in[4].dtype = GYR_DTYPE_STRING;
  in[4].s = {genre, 2};
  alignas(8) char scratch[256];
  GYR_SETUP(gyr_workflow_transform_row(w, in, 7, out, 8, scratch, sizeof scratch, err));
  return out[4].i;
}

FAULT_SCENARIO(gyr_workflow_create) {
  gyr_runtime* runtime = World::of(f).runtime();
  WorkflowHandle w;
  f.call([&](gyr_error* err) { return gyr_workflow_create(runtime, kGraph, w.out(), err); }, w.out());
  EXPECT_GT(gyr_workflow_fit_passes_left(w), 0u);
}

FAULT_SCENARIO(gyr_workflow_fit_passes_left) {
  WorkflowHandle w = unfitted(f);
  uint32_t left = 0;
  f.run([&] { left = gyr_workflow_fit_passes_left(w); });
  EXPECT_EQ(left, 1u);
}

FAULT_SCENARIO(gyr_workflow_fit_partial) {
  WorkflowHandle w = unfitted(f);
  Source rows(2);
  raw_rows(&rows);
  f.call([&](gyr_error* err) {
    ArrowArrayStream stream = rows.open();
    return finish(gyr_workflow_fit_partial(w, &stream, nullptr, err), &stream);
  });
  GYR_SETUP(gyr_workflow_fit_finish(w, err));
  // Rows of a failed call do not count: the statistics are those of the same rows without any fault.
  WorkflowHandle twin = unfitted(f);
  ArrowArrayStream stream = rows.open();
  GYR_SETUP(gyr_workflow_fit_partial(twin, &stream, nullptr, err));
  GYR_SETUP(gyr_workflow_fit_finish(twin, err));
  EXPECT_EQ(schema_of(w), schema_of(twin));
}

FAULT_SCENARIO(gyr_workflow_merge) {
  WorkflowHandle w = unfitted(f), other = unfitted(f);
  add_rows(w);
  add_rows(other);
  f.call([&](gyr_error* err) { return gyr_workflow_merge(w, other, err); });
  GYR_SETUP(gyr_workflow_fit_finish(w, err));
  WorkflowHandle twin = unfitted(f);
  add_rows(twin);
  add_rows(twin);
  GYR_SETUP(gyr_workflow_fit_finish(twin, err));
  EXPECT_EQ(schema_of(w), schema_of(twin));
}

FAULT_SCENARIO(gyr_workflow_fit_finish) {
  WorkflowHandle w = unfitted(f);
  add_rows(w);
  f.call([&](gyr_error* err) { return gyr_workflow_fit_finish(w, err); });
  EXPECT_EQ(schema_of(w), World::of(f).schema());
  EXPECT_EQ(code_of(w, "g1"), 4);
}

FAULT_SCENARIO(gyr_workflow_transform) {
  gyr_workflow* w = World::of(f).workflow();
  Source rows;
  raw_rows(&rows);
  ArrowArrayStream out = {};
  f.call(
      [&](gyr_error* err) {
        ArrowArrayStream stream = rows.open();
        return finish(gyr_workflow_transform(w, &stream, &out, err), &stream);
      },
      &out);
  ArrowArray batch = {};
  ASSERT_EQ(out.get_next(&out, &batch), 0);
  EXPECT_EQ(batch.length, 18);
  batch.release(&batch);
  out.release(&out);
}

// The work is done by who pulls: a failed pull says ENOMEM.
FAULT_VARIANT(gyr_workflow_transform, pull) {
  gyr_workflow* w = World::of(f).workflow();
  Source rows(2);
  raw_rows(&rows);
  ArrowArrayStream out = {}, in = rows.open();
  GYR_SETUP(gyr_workflow_transform(w, &in, &out, err));
  ArrowSchema schema = {};
  ArrowArray batches[2] = {};
  int rc = 0;
  f.run([&] {
    rc = out.get_schema(&out, &schema);
    for (ArrowArray& b : batches)
      if (rc == 0) rc = out.get_next(&out, &b);
  });
  EXPECT_TRUE(rc == 0 || rc == ENOMEM) << rc;
  EXPECT_TRUE(rc == 0 || f.met());
  EXPECT_EQ(rc != 0, out.get_last_error(&out) != nullptr);
  EXPECT_EQ(batches[1].length, rc ? 0 : 18);
  if (schema.release) schema.release(&schema);
  for (ArrowArray& b : batches)
    if (b.release) b.release(&b);
  out.release(&out);
}

FAULT_SCENARIO(gyr_workflow_transform_row) {
  gyr_workflow* w = World::of(f).workflow();
  gyr_value in[7] = {}, out[8] = {};
  int64_t history[] = {item_id(1), item_id(2)};
  in[1].dtype = GYR_DTYPE_FLOAT64, in[1].f = 30;
  in[2].dtype = GYR_DTYPE_INT64, in[2].is_list = 1, in[2].list = history, in[2].count = 2;
  in[4].dtype = GYR_DTYPE_STRING, in[4].s = {"g2", 2};
  alignas(8) char scratch[256];
  f.call([&](gyr_error* err) { return gyr_workflow_transform_row(w, in, 7, out, 8, scratch, sizeof scratch, err); });
  EXPECT_EQ(out[1].f, 0.5);
  EXPECT_EQ(out[2].count, 2u);
  EXPECT_EQ(out[4].i, 5);
}

FAULT_SCENARIO(gyr_workflow_schema) {
  gyr_workflow* w = World::of(f).workflow();
  std::string text(World::of(f).schema().size() + 1, 0);
  uint64_t size = 0;
  f.call([&](gyr_error* err) { return gyr_workflow_schema(w, text.data(), text.size(), &size, err); }, &size);
  EXPECT_EQ(size, text.size());
  EXPECT_EQ(text.c_str(), World::of(f).schema());
}

FAULT_SCENARIO(gyr_workflow_decode) {
  gyr_workflow* w = World::of(f).workflow();
  gyr_value value = {};
  f.call([&](gyr_error* err) { return gyr_workflow_decode(w, "genre", 4, &value, err); }, &value);
  EXPECT_EQ(std::string(value.s.data, value.s.len), "g1");
}

FAULT_SCENARIO(gyr_workflow_save) {
  World& w = World::of(f);
  gyr_workflow* workflow = w.workflow();
  std::string path = w.path("workflow.gyr");
  f.call([&](gyr_error* err) { return gyr_workflow_save(workflow, path.c_str(), err); });
  EXPECT_EQ(w.files(), std::vector<std::string>{"workflow.gyr"});
  WorkflowHandle opened;
  GYR_SETUP(gyr_workflow_open(w.runtime(), path.c_str(), opened.out(), err));
  EXPECT_EQ(schema_of(opened), w.schema());
}

FAULT_SCENARIO(gyr_workflow_open) {
  World& w = World::of(f);
  std::string path = w.path("workflow.gyr");
  if (w.files().empty()) GYR_SETUP(gyr_workflow_save(w.workflow(), path.c_str(), err));
  gyr_runtime* runtime = w.runtime();
  WorkflowHandle opened;
  f.call([&](gyr_error* err) { return gyr_workflow_open(runtime, path.c_str(), opened.out(), err); }, opened.out());
  EXPECT_EQ(schema_of(opened), w.schema());
}

FAULT_SCENARIO(gyr_workflow_destroy) {
  WorkflowHandle w = unfitted(f);
  add_rows(w);
  f.run([&] { gyr_workflow_destroy(w.release()); });
}

void monitor_rows(Source* out, float offset) {
  out->floats("age", {1 + offset, 2 + offset, 3 + offset, 4 + offset}).strings("genre", {"a", "b", "b", "c"});
}

MonitorHandle monitor_of(const Fault& f, bool baseline = true) {
  MonitorHandle m;
  GYR_SETUP(gyr_monitor_create(World::of(f).runtime(), kMonitorOptions, m.out(), err));
  if (!baseline) return m;
  Source rows;
  monitor_rows(&rows, 0);
  ArrowArrayStream stream = rows.open();
  GYR_SETUP(gyr_monitor_set_baseline(m, &stream, err));
  return m;
}

void serve(gyr_monitor* m, uint64_t request) {
  const int64_t items[] = {1, 2};
  const float scores[] = {0.9f, 0.1f};
  GYR_SETUP(gyr_monitor_served(m, request, items, scores, 2, 1'000'000, err));
}

std::string report_of(gyr_monitor* m) {
  uint64_t size = 0;
  char text[4096] = "";
  GYR_SETUP(gyr_monitor_report(m, 2'000'000, text, sizeof text, &size, err));
  return text;
}

void expect_says(const std::string& text, const char* what) {
  EXPECT_NE(text.find(what), std::string::npos) << "no " << what << " in " << text;
}

FAULT_SCENARIO(gyr_monitor_create) {
  gyr_runtime* runtime = World::of(f).runtime();
  MonitorHandle m;
  f.call([&](gyr_error* err) { return gyr_monitor_create(runtime, kMonitorOptions, m.out(), err); }, m.out());
  expect_says(report_of(m), "\"retrain\"");
}

FAULT_SCENARIO(gyr_monitor_set_baseline) {
  MonitorHandle m = monitor_of(f), twin = monitor_of(f);
  Source rows(2);
  monitor_rows(&rows, 10);
  f.call([&](gyr_error* err) {
    ArrowArrayStream stream = rows.open();
    return finish(gyr_monitor_set_baseline(m, &stream, err), &stream);
  });
  ArrowArrayStream stream = rows.open();
  GYR_SETUP(gyr_monitor_set_baseline(twin, &stream, err));
  for (gyr_monitor* one : {(gyr_monitor*)m, (gyr_monitor*)twin}) {
    stream = rows.open();
    GYR_SETUP(gyr_monitor_observe(one, &stream, err));
  }
  EXPECT_EQ(report_of(m), report_of(twin));
}

FAULT_SCENARIO(gyr_monitor_observe) {
  MonitorHandle m = monitor_of(f), twin = monitor_of(f);
  Source rows(2);
  monitor_rows(&rows, 2);
  f.call([&](gyr_error* err) {
    ArrowArrayStream stream = rows.open();
    return finish(gyr_monitor_observe(m, &stream, err), &stream);
  });
  ArrowArrayStream stream = rows.open();
  GYR_SETUP(gyr_monitor_observe(twin, &stream, err));
  EXPECT_EQ(report_of(m), report_of(twin));  // rows of a failed call are not counted
}

FAULT_SCENARIO(gyr_monitor_served) {
  MonitorHandle m = monitor_of(f);
  const int64_t items[] = {1, 2, 3};
  const float scores[] = {0.9f, 0.5f, 0.1f};
  f.call([&](gyr_error* err) { return gyr_monitor_served(m, 7, items, scores, 3, 1'000'000, err); });
  std::string text = report_of(m);
  expect_says(text, "\"served\":3");
  expect_says(text, "\"pending\":3");
  expect_says(text, "\"dropped\":0");
  GYR_SETUP(gyr_monitor_label(m, 7, 3, 1, 1'500'000, err));
}

// Room for ten pending items: the oldest request must go.
FAULT_VARIANT(gyr_monitor_served, full) {
  MonitorHandle m = monitor_of(f);
  for (uint64_t r = 0; r < 5; r++) serve(m, r);
  const int64_t items[] = {1, 2};
  const float scores[] = {0.9f, 0.1f};
  f.call([&](gyr_error* err) { return gyr_monitor_served(m, 7, items, scores, 2, 1'000'000, err); });
  std::string text = report_of(m);
  expect_says(text, "\"served\":12");
  expect_says(text, "\"pending\":10");
  expect_says(text, "\"dropped\":2");
}

FAULT_SCENARIO(gyr_monitor_label) {
  MonitorHandle m = monitor_of(f);
  serve(m, 7);
  GYR_SETUP(gyr_monitor_label(m, 7, 2, 0, 1'400'000, err));
  f.call([&](gyr_error* err) { return gyr_monitor_label(m, 7, 1, 1, 1'500'000, err); });
  std::string text = report_of(m);
  expect_says(text, "\"joined\":2");
  expect_says(text, "\"repeated\":0");
  expect_says(text, "\"pending\":0");
  expect_says(text, "\"auc\":1");
}

FAULT_SCENARIO(gyr_monitor_count) {
  MonitorHandle m = monitor_of(f);
  f.call([&](gyr_error* err) { return gyr_monitor_count(m, "a_counter_with_a_name_longer_than_sso", 3, err); });
  expect_says(report_of(m), "\"a_counter_with_a_name_longer_than_sso\":3");
}

FAULT_SCENARIO(gyr_monitor_report) {
  MonitorHandle m = monitor_of(f), twin = monitor_of(f);
  for (gyr_monitor* one : {(gyr_monitor*)m, (gyr_monitor*)twin}) {
    serve(one, 7);
    GYR_SETUP(gyr_monitor_label(one, 7, 1, 0, 1'500'000, err));
    GYR_SETUP(gyr_monitor_label(one, 7, 2, 1, 1'500'000, err));
    GYR_SETUP(gyr_monitor_count(one, "calls", 2, err));
    Source rows;
    monitor_rows(&rows, 2);
    ArrowArrayStream stream = rows.open();
    GYR_SETUP(gyr_monitor_observe(one, &stream, err));
  }
  char text[4096] = "";
  uint64_t size = 0;
  f.call([&](gyr_error* err) { return gyr_monitor_report(m, 2'000'000, text, sizeof text, &size, err); }, &size);
  EXPECT_EQ(text, report_of(twin));  // a failed report closed nothing
  EXPECT_EQ(report_of(m), report_of(twin));
}

FAULT_SCENARIO(gyr_monitor_destroy) {
  MonitorHandle m = monitor_of(f);
  serve(m, 7);
  f.run([&] { gyr_monitor_destroy(m.release()); });
}

}  // namespace
}  // namespace gyr::test
