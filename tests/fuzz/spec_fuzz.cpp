// JSON that hosts write. The first byte chooses what it is; what is accepted gets used.
#include <map>

#include "base/json.h"
#include "data/arrow.h"
#include "monitor/monitor.h"
#include "tests/fuzz/use_bundle.h"
#include "tests/fuzz/use_model.h"
#include "tests/fuzz/use_table.h"
#include "tests/fuzz/use_workflow.h"

using namespace gyr;
using namespace gyr::fuzz;

namespace {

void json(std::string_view text) {
  auto parsed = parse_json(text, "test");
  if (!parsed.ok()) return refused(parsed.status());
  std::string dumped = parsed->dump();
  auto again = parse_json(dumped, "test");
  expect_ok(again.status(), "dumped JSON parses");
  must(again->dump() == dumped, "dumping is stable");
}

void workflow(std::string_view text) {
  auto w = Workflow::create(runtime(), text);
  if (!w.ok()) return refused(w.status());
  use_workflow(w->get());
}

void table(std::string_view text) {
  auto t = Table::create(runtime(), text);
  if (!t.ok()) return refused(t.status());
  std::vector<Field> fields = (*t)->scan_fields();
  Table::UpsertStats stats;
  for (bool wild : {false, true}) check((*t)->upsert(rows_for(fields, wild), &stats));
  use_table(t->get());
}

// A number of three digits or more, or with an exponent, is in the text.
bool large(std::string_view text) {
  int digits = 0;
  for (char c : text) {
    if (digits > 0 && (c == 'e' || c == 'E')) return true;
    digits = c >= '0' && c <= '9' ? digits + 1 : 0;
    if (digits > 2) return true;
  }
  return false;
}

// The trainer's spec, then the schema behind a line "---". A trainer asks for as much memory and time as its spec
// says, so what is too large for a test ends here; reading it must not.
void trainer(std::string_view text) {
  size_t cut = std::min(text.find("\n---\n"), text.size());
  std::string_view schema = text.substr(std::min(cut + 5, text.size()));
  auto columns = schema_from_json(schema);
  check(columns.status());
  if (columns.ok())
    for (const ColumnSchema& c : columns->columns)
      if (c.cardinality > 1000) return;
  auto parsed = parse_json(text.substr(0, cut), "test");
  if (parsed.ok() && parsed->is_object())
    for (const char* key : {"dim", "embedding_dim", "epochs", "batch", "hidden", "top", "bottom", "user_hidden",
                            "item_hidden", "neighbors", "negatives"})
      if (const Json* value = parsed->find(key); value && large(value->dump())) return;
  auto t = Trainer::create(runtime(), text.substr(0, cut), schema);
  if (!t.ok()) return refused(t.status());
  must(columns.ok(), "a trainer has a schema");
  Batch rows;
  for (const ColumnSchema& c : columns->columns) {
    if (rows.find(c.name) >= 0) continue;
    Column& column = rows.add(c.name, c.dtype, c.is_list);
    fill(&column, 1, false);
    for (int64_t& v : column.ints) v = c.cardinality ? (v + 3) % c.cardinality : v;
    for (double& v : column.floats) v = v > 1 ? 1 : 0;
  }
  rows.rows = kRows;
  check((*t)->add_items(rows));
  Status s = (*t)->add_rows(rows);
  if (s.ok()) s = (*t)->fit(nullptr);
  if (!s.ok()) return refused(s);
  auto model = (*t)->export_model();
  if (!model.ok()) return refused(model.status());
  use_model(**model);
}

void observe(Monitor* m, const Batch& rows, bool baseline) {
  bool given = false;
  ArrowArrayStream stream{};
  BatchSource next = [&](Batch* out, bool* end) {
    *end = given;
    if (!given) *out = rows;
    given = true;
    return Status();
  };
  expect_ok(export_stream(fields_of(rows), next, &stream), "rows can be exported");
  {
    auto reader = ArrowReader::open(&stream);
    if (reader.ok())
      check(baseline ? m->set_baseline(reader->get()) : m->observe(reader->get()));
    else
      refused(reader.status());
  }
  if (stream.release) stream.release(&stream);
}

void monitor(std::string_view text) {
  auto options = parse_monitor_options(text);
  if (!options.ok()) return refused(options.status());
  auto m = Monitor::create(runtime(), text);
  expect_ok(m.status(), "options that parse make a monitor");
  Batch rows;
  for (const FeatureSpec& f : options->features)
    fill(&rows.add(f.name, f.numeric ? GYR_DTYPE_FLOAT64 : GYR_DTYPE_STRING, false), 0, true);
  rows.rows = kRows;
  observe(m->get(), rows, true);
  observe(m->get(), rows, false);
  int64_t items[] = {1, 2};
  float scores[] = {0.5f, 0.25f};
  check((*m)->served(1, items, scores, 2, 10));
  check((*m)->label(1, 2, 1, 20));
  check((*m)->count("clicks", 3));
  std::string report;
  expect_ok((*m)->report(INT64_MAX,
                         [&](std::string_view r, bool* delivered) {
                           report = r;
                           *delivered = true;
                           return Status();
                         }),
            "a monitor reports");
  expect_ok(parse_json(report, "test").status(), "a report is JSON");
}

// A serving graph over the components of the newest golden bundle.
void pipeline(std::string_view text) {
  static const std::unique_ptr<Generation> golden = [] {
    auto g = Generation::open(runtime(), GYR_SOURCE_DIR "/tests/golden/1.0/bundle.gyr");
    expect_ok(g.status(), "the golden bundle opens");
    return std::move(*g);
  }();
  auto p = Pipeline::create(text, golden->components);
  if (!p.ok()) return refused(p.status());
  Answer answer;
  check(recommend(**p, &answer));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  constexpr void (*kKinds[])(std::string_view) = {json, workflow, table, trainer, monitor, pipeline};
  kKinds[data[0] % 6](text_of(data + 1, size - 1));
  return 0;
}
