// compare_table [case ...]: the feature table against its peers, each case by name; none = all. Driven through the C
// interface with status bytes on. JSON lines to stdout, the rest to stderr; bench/areas/table.py runs it.
// GYR_BENCH_ENTITIES: entities instead of 1 million; GYR_BENCH_ROWS: labels of the point-in-time export instead of 8.
#include <atomic>
#include <bit>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <thread>

#include "arrow_rows.h"
#include "common.h"

using namespace compare;

namespace {

constexpr uint32_t kFields = 20;
constexpr size_t kBatch = 100, kCalls = 20000;
constexpr int kRounds = 9;

std::set<std::string> wanted;
bool wants(const char* name) { return wanted.empty() || wanted.count(name); }

std::string field(uint32_t f) { return "f" + std::to_string(100 + f); }
bool is_real(uint32_t f) { return f % 2; }  // half of the fields are float64

// Key, event time and 20 fields of 8 bytes; every field of row i says its value.
ArrowRows make_rows(size_t n) {
  std::vector<std::string> names{"id", "ts"}, formats{"l", "tsu:UTC"};
  for (uint32_t f = 0; f < kFields; f++) names.push_back(field(f)), formats.push_back(is_real(f) ? "g" : "l");
  ArrowRows rows(names, formats);
  for (auto& c : rows.columns) c.resize(n);
  return rows;
}
void set_row(ArrowRows* rows, size_t i, int64_t id, int64_t time, int64_t value) {
  rows->columns[0][i] = id;
  rows->columns[1][i] = time;
  for (uint32_t f = 0; f < kFields; f++)
    rows->columns[2 + f][i] = is_real(f) ? std::bit_cast<int64_t>(double(value)) : value;
}
void upsert(gyr_table* table, ArrowRows* rows, size_t begin, size_t end, size_t batch) {
  ArrowArrayStream stream = rows->stream(begin, end, batch);
  gyr_upsert_stats stats{};
  stats.struct_size = sizeof stats;
  Error err;
  must(gyr_table_upsert(table, &stream, &stats, nullptr, &err), err);
  if (stats.applied != end - begin)
    say("gyr applied %d rows of %d", int(stats.applied), int(end - begin)), std::exit(1);
}

std::string schema() {
  std::string text = R"({"name":"users","key":"id","event_time":"ts","ttl_seconds":1000000,"columns":[)";
  for (uint32_t f = 0; f < kFields; f++)
    text += (f ? ",{\"name\":\"" : "{\"name\":\"") + field(f) + "\",\"dtype\":\"" + (is_real(f) ? "float64" : "int64") +
            "\"}";
  return text + "]}";
}

gyr_table* make_table(gyr_runtime* runtime, uint64_t entities) {
  gyr_table* table = nullptr;
  Error err;
  must(gyr_table_create(runtime, schema().c_str(), &table, &err), err);
  constexpr size_t kLoad = 100'000;
  ArrowRows rows = make_rows(kLoad);
  for (uint64_t i = 0; i < entities; i += kLoad) {
    size_t m = size_t(std::min<uint64_t>(kLoad, entities - i));
    for (size_t k = 0; k < m; k++) set_row(&rows, k, int64_t(i + k), 1, int64_t(i + k));
    upsert(table, &rows, 0, m, 8192);
  }
  return table;
}

// One call's destinations: 20 columns with their statuses.
class Reader {
 public:
  Reader() {
    for (uint32_t f = 0; f < kFields; f++) names_.push_back(field(f));
    for (uint32_t f = 0; f < kFields; f++) {
      gyr_table_column c{};
      c.struct_size = sizeof c;
      c.dtype = is_real(f) ? GYR_DTYPE_FLOAT64 : GYR_DTYPE_INT64;
      c.name = names_[f].c_str();
      c.values = &values_[f * kBatch];
      c.values_capacity = kBatch;
      c.status = &status_[f * kBatch];
      columns_.push_back(c);
    }
  }
  void get(gyr_table* table, const int64_t* ids, size_t n) {
    gyr_keys keys{sizeof(gyr_keys), GYR_DTYPE_INT64, n, ids, nullptr};
    must(gyr_table_get(table, &keys, 1000, columns_.data(), kFields, &err_), err_);
  }
  void check(const int64_t* ids, size_t n) {
    for (uint32_t f = 0; f < kFields; f++)
      for (size_t i = 0; i < n; i++) {
        int64_t v = values_[f * kBatch + i], want = is_real(f) ? std::bit_cast<int64_t>(double(ids[i])) : ids[i];
        if (v != want || status_[f * kBatch + i] != GYR_VALUE_PRESENT) say("gyr reads a wrong value"), std::exit(1);
      }
  }

 private:
  std::vector<std::string> names_;
  std::vector<gyr_table_column> columns_;
  std::vector<int64_t> values_ = std::vector<int64_t>(kFields * kBatch);
  std::vector<uint8_t> status_ = std::vector<uint8_t>(kFields * kBatch);
  Error err_;
};

// The same through a prepared plan.
class PlannedReader {
 public:
  explicit PlannedReader(const gyr_table* table) {
    std::vector<gyr_get_column> columns(kFields);
    for (uint32_t f = 0; f < kFields; f++) names_.push_back(field(f));
    for (uint32_t f = 0; f < kFields; f++) {
      columns[f].struct_size = sizeof columns[f];
      columns[f].name = names_[f].c_str();
      gyr_get_destination d{};
      d.struct_size = sizeof d;
      d.values = &values_[f * kBatch];
      d.values_capacity = kBatch;
      d.status = &status_[f * kBatch];
      to_.push_back(d);
    }
    must(gyr_get_plan_create(&table, 1, columns.data(), kFields, &plan_, &err_), err_);
  }
  ~PlannedReader() { gyr_get_plan_destroy(plan_); }
  void get(const int64_t* ids, size_t n) {
    gyr_keys keys{sizeof(gyr_keys), GYR_DTYPE_INT64, n, ids, nullptr};
    must(gyr_get_plan_run(plan_, &keys, 1, 1000, to_.data(), kFields, &err_), err_);
  }

 private:
  gyr_get_plan* plan_ = nullptr;
  std::vector<std::string> names_;
  std::vector<gyr_get_destination> to_;
  std::vector<int64_t> values_ = std::vector<int64_t>(kFields * kBatch);
  std::vector<uint8_t> status_ = std::vector<uint8_t>(kFields * kBatch);
  Error err_;
};

std::vector<int64_t> random_ids(uint64_t entities, uint64_t seed, size_t n) {
  gyr::Random random{seed};
  std::vector<int64_t> ids(n);
  for (auto& id : ids) id = int64_t(random.below(entities));
  return ids;
}

void reads(gyr_table* table, uint64_t entities) {
  if (!wants("get_100x20") && !wants("get_1x20")) return;
  auto ids = random_ids(entities, 1, kBatch * kCalls);
  Reader reader;
  for (size_t b = 0; b < 100; b++) reader.get(table, &ids[b * kBatch], kBatch), reader.check(&ids[b * kBatch], kBatch);
  std::unique_ptr<FieldPeer> redis;
  if (environment("GYR_BENCH_PEERS", "all") == "all") redis = make_redis_fields(entities, kFields);
  auto race_of = [&](const char* name, size_t n) {
    if (!wants(name)) return;
    Contender gyr{"gyr", [&](size_t b) { reader.get(table, &ids[b * kBatch], n); }};
    Contender peer{"redis_hmget", [&](size_t b) { redis->get(&ids[b * kBatch], n); }, 0.3};
    std::vector<Contender*> all{&gyr};
    if (redis) all.push_back(&peer);
    race(all, kRounds, kCalls);
    say("%s: gyr p50 %.2f us, p99 %.2f us", name, gyr.median() / 1e3, gyr.median(0.99) / 1e3);
    if (redis) emit(name, "p50_us", gyr.median() / 1e3, "redis_hmget", peer.median() / 1e3, "lower");
  };
  race_of("get_100x20", kBatch);
  race_of("get_1x20", 1);
}

void planned_reads(gyr_table* table, uint64_t entities) {
  if (!wants("get_100x20_plan")) return;
  auto ids = random_ids(entities, 1, kBatch * kCalls);
  Reader reader;
  PlannedReader planned(table);
  Contender plan{"plan", [&](size_t b) { planned.get(&ids[b * kBatch], kBatch); }};
  Contender get{"gyr_table_get", [&](size_t b) { reader.get(table, &ids[b * kBatch], kBatch); }};
  race({&plan, &get}, kRounds, kCalls);
  emit("get_100x20_plan", "p50_us", plan.median() / 1e3, "gyr_table_get", get.median() / 1e3, "lower");
}

// Rows per second of CPU time of this thread, in batches of 4096, all keys stored already: the steady state.
void upserts(gyr_table* table, uint64_t entities) {
  if (!wants("upsert_nolog_rows_per_s")) return;
  constexpr size_t kRows = 1 << 18;
  auto ids = random_ids(entities, 2, kRows);
  ArrowRows rows = make_rows(kRows);
  std::vector<double> rates;
  for (int round = 0; round < kRounds; round++) {
    for (size_t i = 0; i < kRows; i++) set_row(&rows, i, ids[i], 2 + round, ids[i]);
    int64_t before = gyr::clock_ns(CLOCK_THREAD_CPUTIME_ID);
    upsert(table, &rows, 0, kRows, 4096);
    rates.push_back(double(kRows) * 1e9 / double(gyr::clock_ns(CLOCK_THREAD_CPUTIME_ID) - before));
  }
  emit("upsert_nolog_rows_per_s", "rows_per_cpu_second", quantile(rates, 0.5), "absolute", 1, "higher");
}

// The same rows into a table in a folder, per second of wall time until all of them
// are on disk. Then a checkpoint and opening it again, and single rows.
void async_upserts() {
  if (!wants("upsert_async_rows_per_s")) return;
  std::string folder = new_folder();
  if (folder.empty()) return say("upsert_async: no folder; skipped");
  pin(-1);  // the log's thread inherits it
  gyr_runtime* runtime = make_runtime();
  gyr_table* table = nullptr;
  Error err;
  must(gyr_table_open_live(runtime, folder.c_str(), schema().c_str(), nullptr, nullptr, &table, &err), err);
  constexpr size_t kRows = 1 << 18;
  constexpr int kLogRounds = 5;
  ArrowRows rows = make_rows(kRows);
  std::vector<double> rates;
  for (int round = 0; round < kLogRounds; round++) {
    for (size_t i = 0; i < kRows; i++) set_row(&rows, i, int64_t(i), 2 + round, int64_t(i) + round);
    int64_t before = gyr::monotonic_ns();
    upsert(table, &rows, 0, kRows, 4096);
    must(gyr_table_flush(table, &err), err);
    rates.push_back(double(kRows) * 1e9 / double(gyr::monotonic_ns() - before));
  }
  gyr_table_log_info info{};
  info.struct_size = sizeof info;
  must(gyr_table_get_log_info(table, &info, &err), err);
  constexpr size_t kSingle = 20000;
  int64_t single = gyr::monotonic_ns();
  for (size_t i = 0; i < kSingle; i++) upsert(table, &rows, i, i + 1, 1);
  single = gyr::monotonic_ns() - single;
  int64_t saving = gyr::monotonic_ns();
  must(gyr_table_checkpoint(table, nullptr, &err), err);
  saving = gyr::monotonic_ns() - saving;
  gyr_table_destroy(table);
  int64_t opening = gyr::monotonic_ns();
  must(gyr_table_open_live(runtime, folder.c_str(), nullptr, nullptr, nullptr, &table, &err), err);
  opening = gyr::monotonic_ns() - opening;
  say("async log: %.1f bytes a row; one row a call %.2f us; checkpoint %.2f, opening %.2f million rows/s",
      double(info.bytes) / double(kRows * kLogRounds), double(single) / 1e3 / double(kSingle),
      double(kRows) * 1e3 / double(saving), double(kRows) * 1e3 / double(opening));
  gyr_table_destroy(table);
  gyr_runtime_destroy(runtime);
  std::filesystem::remove_all(folder);
  emit("upsert_async_rows_per_s", "rows_per_wall_second", quantile(rates, 0.5), "absolute", 1, "higher");
}

// A reader of 100 x 20 alone, and beside a writer of a million rows a second on the other core.
void reads_under_writes(gyr_table* table, uint64_t entities) {
  constexpr const char *kP50 = "read_p50_under_1M_writes", *kP99 = "read_p99_under_1M_writes";
  if (!wants(kP50) && !wants(kP99)) return;
  constexpr size_t kRows = 1 << 18, kStep = 1000;
  auto ids = random_ids(entities, 1, kBatch * kCalls), written = random_ids(entities, 3, kRows);
  ArrowRows rows = make_rows(kRows);
  for (size_t i = 0; i < kRows; i++) set_row(&rows, i, written[i], 100, written[i]);
  std::atomic<bool> stop{false}, active{false};
  std::atomic<uint64_t> done{0};
  std::thread writer([&] {
    pin(1);
    for (size_t at = 0; !stop; at = (at + kStep) % (kRows - kStep)) {
      if (!active) {
        std::this_thread::yield();
        continue;
      }
      int64_t due = gyr::monotonic_ns() + int64_t(kStep) * 1000;
      upsert(table, &rows, at, at + kStep, kStep);
      done += kStep;
      while (gyr::monotonic_ns() < due) {
      }
    }
  });
  Reader reader;
  std::vector<double> p50[2], p99[2], rates;
  Contender gyr{"gyr", [&](size_t b) { reader.get(table, &ids[b * kBatch], kBatch); }, 0.25};
  for (int round = 0; round < 2 * kRounds; round++) {
    bool loaded = round % 2;
    active = loaded;
    uint64_t before = done;
    int64_t start = gyr::monotonic_ns();
    race({&gyr}, 1, kCalls);
    if (loaded) rates.push_back(double(done - before) * 1e9 / double(gyr::monotonic_ns() - start));
    p50[loaded].push_back(gyr.p50.back());
    p99[loaded].push_back(gyr.p99.back());
  }
  stop = true;
  writer.join();
  say("read_*_under_1M_writes: the writer made %.2f million rows/s", quantile(rates, 0.5) / 1e6);
  emit(kP50, "p50_us_100x20", quantile(p50[1], 0.5) / 1e3, "idle", quantile(p50[0], 0.5) / 1e3, "lower");
  emit(kP99, "p99_us_100x20", quantile(p99[1], 0.5) / 1e3, "idle", quantile(p99[0], 0.5) / 1e3, "lower");
}

// Labels per second of CPU time: each joined with the 64 bytes that its entity had at its time, of 16 versions.
void point_in_time(gyr_runtime* runtime, uint64_t entities) {
  if (!wants("pit_export_labels_per_s")) return;
  constexpr int64_t kVersions = 16;
  constexpr uint32_t kColumns = 8;
  constexpr size_t kLoad = 65536, kLabelBatch = 16384;
  const uint64_t labels = std::strtoull(environment("GYR_BENCH_ROWS", "8000000").c_str(), nullptr, 10);
  std::string schema =
      R"({"name":"past","key":"id","event_time":"ts","created_time":"created","history":{"versions":16},
    "columns":[)";
  std::vector<std::string> names{"id", "ts", "created"}, formats{"l", "tsu:UTC", "tsu:UTC"};
  for (uint32_t f = 0; f < kColumns; f++) {
    schema += (f ? ",{\"name\":\"" : "{\"name\":\"") + field(f) + R"(","dtype":"int64"})";
    names.push_back(field(f)), formats.push_back("l");
  }
  gyr_table* table = nullptr;
  Error err;
  must(gyr_table_create(runtime, (schema + "]}").c_str(), &table, &err), err);
  ArrowRows rows(names, formats);
  for (auto& c : rows.columns) c.resize(kLoad);
  for (uint64_t i = 0, total = entities * kVersions; i < total; i += kLoad) {
    size_t m = size_t(std::min<uint64_t>(kLoad, total - i));
    for (size_t k = 0; k < m; k++) {
      int64_t id = int64_t((i + k) / kVersions), ts = 100 * (1 + int64_t((i + k) % kVersions));
      rows.columns[0][k] = id, rows.columns[1][k] = ts, rows.columns[2][k] = ts + id % 50;
      for (uint32_t f = 0; f < kColumns; f++) rows.columns[3 + f][k] = id * 1000 + ts;
    }
    upsert(table, &rows, 0, m, 8192);
  }
  ArrowRows wanted({"id", "ts"}, {"l", "tsu:UTC"});
  gyr::Random random{4};
  for (uint64_t i = 0; i < labels; i++) {
    wanted.columns[0].push_back(int64_t(random.below(entities)));
    wanted.columns[1].push_back(200 + int64_t(random.below(100 * kVersions)));
  }
  std::vector<double> rates;
  for (int round = 0; round < 3; round++) {
    ArrowArrayStream in = wanted.stream(0, labels, kLabelBatch), out{};
    int64_t before = gyr::clock_ns(CLOCK_THREAD_CPUTIME_ID);
    must(gyr_table_export_as_of(table, &in, nullptr, &out, &err), err);
    uint64_t at = 0;
    for (;;) {
      ArrowArray batch{};
      if (out.get_next(&out, &batch)) say("the export fails: %s", out.get_last_error(&out)), std::exit(1);
      if (!batch.release) break;
      const auto* got = static_cast<const int64_t*>(batch.children[2]->buffers[1]);
      int64_t id = wanted.columns[0][at], time = wanted.columns[1][at];
      if (got[0] != id * 1000 + (time - id % 50) / 100 * 100 && time - id % 50 < 100 * (kVersions + 1))
        say("the export reads a wrong value"), std::exit(1);
      at += uint64_t(batch.length);
      batch.release(&batch);
    }
    out.release(&out);
    rates.push_back(double(at) * 1e9 / double(gyr::clock_ns(CLOCK_THREAD_CPUTIME_ID) - before));
  }
  emit("pit_export_labels_per_s", "labels_per_cpu_second", quantile(rates, 0.5), "absolute", 1, "higher");
  gyr_table_destroy(table);
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; i++) wanted.insert(argv[i]);
  uint64_t entities = std::strtoull(environment("GYR_BENCH_ENTITIES", "1000000").c_str(), nullptr, 10);
  async_upserts();
  pin(0);
  gyr_runtime* runtime = make_runtime();
  gyr_table* table = make_table(runtime, entities);
  reads(table, entities);
  planned_reads(table, entities);
  upserts(table, entities);
  reads_under_writes(table, entities);
  gyr_table_destroy(table);
  point_in_time(runtime, entities);
  gyr_runtime_destroy(runtime);
  return 0;
}
