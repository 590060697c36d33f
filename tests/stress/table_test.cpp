// A table under everything at once. Each write has a version of its own, told by every column of the row and by its
// event time: a row whose columns disagree was torn.
#include <cstdio>
#include <filesystem>
#include <utility>

#include "tests/stress/rows.h"

namespace gyr::stress {
namespace {

constexpr int64_t kKeys = 96, kKept = 48;  // keys from kKept on are never deleted
constexpr const char* kSchema = R"({"name":"rows","key":"id","event_time":"at","history":{"versions":4},"columns":[
  {"name":"a","dtype":"int64"},{"name":"b","dtype":"float64"},{"name":"s","dtype":"string"},
  {"name":"l","dtype":"int64","list":true},{"name":"extra","dtype":"int64"}]})";

std::string word(int64_t version) { return std::string(size_t(version % 40), 'x') + std::to_string(version); }

class TableStress : public ::testing::Test {
 protected:
  TableStress() : runtime(make_runtime(2)) {
    Error err;
    MUST_OK(err, gyr_table_create(runtime, kSchema, &table, &err));
    for (int64_t key = kKept; key < kKeys; key++) upsert_rows({key});
    make_plan(&plan);
  }
  ~TableStress() override {
    gyr_runtime_destroy(runtime);
    gyr_table_destroy(table);
    gyr_get_plan_destroy(plan);
  }

  // All rows get the same version.
  void upsert_rows(const std::vector<int64_t>& ids, gyr_task* task = nullptr) {
    int64_t v = next_version++;
    size_t n = ids.size();
    Rows rows;
    rows.ints("id", ids).ints("at", std::vector<int64_t>(n, v), "tsu:UTC").ints("a", std::vector<int64_t>(n, v));
    rows.doubles("b", std::vector<double>(n, double(v))).strings("s", std::vector<std::string>(n, word(v)));
    rows.lists("l", std::vector<std::vector<int64_t>>(n, std::vector<int64_t>(size_t(v % 7), v)));
    ArrowArrayStream stream = rows.stream();
    gyr_upsert_stats stats{};
    stats.struct_size = sizeof stats;
    Error err;
    gyr_status s = CALL(gyr_table_upsert)(table, &stream, &stats, task, &err);
    release(&stream);
    MUST(s == GYR_OK || (task && s == GYR_E_CANCELLED)) << err.message;
    MUST(stats.rows == stats.applied + stats.late + stats.stale);
    if (stats.applied == n)
      for (int64_t id : ids) raise(id, v);
  }

  void upsert_row(Worker& w) {
    int64_t id = int64_t(w.below(kKeys)), v = next_version++;
    std::string s = word(v);
    std::vector<int64_t> list(size_t(v % 7), v);
    const char* names[] = {"a", "b", "s", "l"};
    gyr_value values[4]{};
    values[0].dtype = GYR_DTYPE_INT64, values[0].i = v;
    values[1].dtype = GYR_DTYPE_FLOAT64, values[1].f = double(v);
    values[2].dtype = GYR_DTYPE_STRING, values[2].s = {s.data(), s.size()};
    values[3].dtype = GYR_DTYPE_INT64, values[3].is_list = 1, values[3].list = list.data(),
    values[3].count = list.size();
    put(id, v, names, values, 4);
  }
  void put(int64_t id, int64_t v, const char* const* names, const gyr_value* values, uint64_t n) {
    std::vector<int64_t> ids{id};
    gyr_keys key = keys_of(ids);
    Error err;
    uint32_t applied = 9;
    MUST_OK(err, CALL(gyr_table_upsert_row)(table, &key, v, names, values, n, &applied, &err));
    MUST(applied <= 1);
    if (applied == 1 && n == 4) raise(id, v);
  }
  void raise(int64_t id, int64_t v) {
    int64_t old = floor[id];
    while (old < v && !floor[id].compare_exchange_weak(old, v)) {
    }
  }

  void get(Worker& w) {
    constexpr size_t kN = 16;
    std::vector<int64_t> ids(kN), before(kN);
    for (size_t i = 0; i < kN; i++) ids[i] = int64_t(w.below(kKeys)), before[i] = floor[ids[i]];
    gyr_keys keys = keys_of(ids);
    std::vector<int64_t> a(kN), l(kN * 7), offsets(kN + 1);
    std::vector<double> b(kN);
    std::vector<gyr_str> s(kN);
    std::vector<char> heap(kN * 64);
    std::vector<uint8_t> status(kN), status_b(kN), status_s(kN), status_l(kN);
    auto column = [](const char* name, gyr_dtype type, void* to, uint64_t room, std::vector<uint8_t>* st) {
      gyr_table_column c{};
      c.struct_size = sizeof c, c.name = name, c.dtype = type, c.values = to, c.values_capacity = room;
      c.status = st->data();
      return c;
    };
    gyr_table_column c[] = {column("a", GYR_DTYPE_INT64, a.data(), kN, &status),
                            column("b", GYR_DTYPE_FLOAT64, b.data(), kN, &status_b),
                            column("s", GYR_DTYPE_STRING, s.data(), kN, &status_s),
                            column("l", GYR_DTYPE_INT64, l.data(), kN * 7, &status_l)};
    c[2].heap = heap.data(), c[2].heap_capacity = heap.size();
    c[3].offsets = offsets.data();
    Error err;
    MUST_OK(err, CALL(gyr_table_get)(table, &keys, INT64_MAX, c, 4, &err));
    for (size_t i = 0; i < kN; i++) {
      if (status[i] == GYR_VALUE_MISSING) {
        MUST(ids[i] < kKept) << ids[i];
        continue;
      }
      // A deleted key may come back with a partial upsert only: all four are null then.
      bool null = status[i] == GYR_VALUE_NULL;
      MUST(status_b[i] == status[i] && status_s[i] == status[i] && status_l[i] == status[i]);
      if (null) {
        MUST(ids[i] < kKept) << ids[i];
        continue;
      }
      std::string text(s[i].data, s[i].len);
      MUST(b[i] == double(a[i]) && text == word(a[i])) << a[i] << " " << b[i] << " " << text;
      MUST(offsets[i + 1] - offsets[i] == a[i] % 7);
      for (int64_t j = offsets[i]; j < offsets[i + 1]; j++) MUST(l[size_t(j)] == a[i]);
      if (ids[i] >= kKept) MUST(a[i] >= before[i]) << "went back from " << before[i] << " to " << a[i];
    }
  }

  // The version in force at a time is not newer than the time, and whole.
  void get_as_of(Worker& w) {
    constexpr size_t kN = 16;
    std::vector<int64_t> ids(kN), times(kN), a(kN);
    std::vector<double> b(kN);
    std::vector<uint8_t> status(kN), status_b(kN);
    for (size_t i = 0; i < kN; i++)
      ids[i] = int64_t(w.below(kKeys)), times[i] = 1 + int64_t(w.below(uint64_t(next_version)));
    gyr_keys keys = keys_of(ids);
    gyr_table_column c[2]{};
    for (auto& column : c) column.struct_size = sizeof column, column.values_capacity = kN;
    c[0].name = "a", c[0].dtype = GYR_DTYPE_INT64, c[0].values = a.data(), c[0].status = status.data();
    c[1].name = "b", c[1].dtype = GYR_DTYPE_FLOAT64, c[1].values = b.data(), c[1].status = status_b.data();
    Error err;
    MUST_OK(err, CALL(gyr_table_get_as_of)(table, &keys, times.data(), GYR_AS_OF_UNKNOWN_TOO, c, 2, &err));
    for (size_t i = 0; i < kN; i++) {
      MUST(status[i] == status_b[i]);
      if (status[i] == GYR_VALUE_PRESENT) MUST(b[i] == double(a[i]) && a[i] <= times[i]) << a[i] << " " << b[i];
    }
  }
  void join_as_of(Worker& w) {
    constexpr size_t kN = 40;
    std::vector<int64_t> ids(kN), times(kN);
    for (size_t i = 0; i < kN; i++)
      ids[i] = int64_t(w.below(kKeys)), times[i] = 1 + int64_t(w.below(uint64_t(next_version)));
    Rows labels;
    labels.ints("id", ids).ints("at", times, "tsu:UTC");
    ArrowArrayStream in = labels.stream(), out{};
    const char* columns[] = {"a", "b"};
    gyr_as_of_options o{};
    o.struct_size = sizeof o, o.flags = GYR_AS_OF_UNKNOWN_TOO, o.columns = columns, o.n_columns = 2;
    Error err;
    MUST_OK(err, CALL(gyr_table_export_as_of)(table, &in, &o, &out, &err));
    size_t rows = 0;
    if (out.release)
      read(&out, [&](const ArrowArray& batch) {
        const auto* time = values<int64_t>(*batch.children[1]);
        const auto* a = values<int64_t>(*batch.children[2]);
        const auto* b = values<double>(*batch.children[3]);
        for (int64_t i = 0; i < batch.length; i++) MUST(b[i] == double(a[i]) && a[i] <= time[i]);
        rows += size_t(batch.length);
      });
    MUST(rows == kN) << rows;
  }

  void run_plan(Worker& w) {
    std::vector<int64_t> ids, others;
    for (int i = 0; i < 5; i++)
      ids.push_back(int64_t(w.below(kKeys))), others.push_back(kKept + int64_t(w.below(kKeys - kKept)));
    int64_t a[5];
    double b[5];
    uint8_t status_a[5], status_b[5];
    gyr_keys keys[] = {keys_of(ids), keys_of(others)};
    gyr_get_destination to[2]{};
    for (auto& d : to) d.struct_size = sizeof d, d.values_capacity = 5;
    to[0].values = a, to[0].status = status_a, to[1].values = b, to[1].status = status_b;
    Error err;
    MUST_OK(err, CALL(gyr_get_plan_run)(plan, keys, 2, INT64_MAX, to, 2, &err));
    for (int i = 0; i < 5; i++) {
      MUST(status_a[i] == GYR_VALUE_DEFAULT ? a[i] == -7 : a[i] > 0) << a[i];
      MUST(status_b[i] == GYR_VALUE_PRESENT && b[i] > 0) << int(status_b[i]);
    }
  }
  void make_plan(gyr_get_plan** out) {
    const gyr_table* tables[] = {table, table};
    gyr_value unknown{};
    unknown.dtype = GYR_DTYPE_INT64, unknown.i = -7;
    gyr_get_column c[2]{};
    c[0].struct_size = c[1].struct_size = sizeof c[0];
    c[0].name = "a", c[0].default_value = &unknown, c[1].name = "b", c[1].table = 1;
    Error err;
    MUST_OK(err, CALL(gyr_get_plan_create)(tables, 2, c, 2, out, &err));
  }

  // Every row whole, in hash order without repeats, and all that were never deleted.
  void check_export(gyr_table* t) {
    Error err;
    ArrowArrayStream stream{};
    MUST_OK(err, CALL(gyr_table_export)(t, &stream, &err));
    std::vector<int> seen(kKeys);
    read(&stream, [&](const ArrowArray& batch) {
      const auto* id = values<int64_t>(*batch.children[0]);
      const auto* a = values<int64_t>(*batch.children[2]);
      const auto* b = values<double>(*batch.children[3]);
      for (int64_t i = 0; i < batch.length; i++) {
        MUST(id[i] >= 0 && id[i] < kKeys);
        seen[size_t(id[i])]++;
        const auto* valid = static_cast<const uint8_t*>(batch.children[2]->buffers[0]);
        if (valid && !(valid[i / 8] >> (i % 8) & 1)) continue;
        MUST(b[i] == double(a[i]));
      }
    });
    for (int64_t key = 0; key < kKeys; key++)
      MUST(seen[size_t(key)] == 1 || (key < kKept && seen[size_t(key)] == 0)) << key << " " << seen[size_t(key)];
  }

  gyr_runtime* runtime;
  gyr_table* table = nullptr;
  gyr_get_plan* plan = nullptr;
  std::atomic<int64_t> next_version{1};
  std::atomic<int64_t> floor[kKeys] = {};  // the newest version whose upsert has returned
};

TEST_F(TableStress, RowsAreWholeAndNeverGoBack) {
  Hammer hammer;
  hammer.operation(8, [&](Worker& w) { upsert_row(w); });
  hammer.operation(4, [&](Worker& w) {
    std::vector<int64_t> ids;
    for (int64_t id = int64_t(w.below(20)); id < kKeys; id += 1 + int64_t(w.below(20))) ids.push_back(id);
    upsert_rows(ids);
  });
  hammer.operation(2, [&](Worker& w) {  // partial: what is not named stays
    const char* name = "extra";
    gyr_value value{};
    value.dtype = GYR_DTYPE_INT64, value.i = 7;
    put(int64_t(w.below(kKeys)), next_version++, &name, &value, 1);
  });
  hammer.operation(4, [&](Worker& w) {
    std::vector<int64_t> ids{int64_t(w.below(kKept)), int64_t(w.below(kKept)), -5};
    gyr_keys keys = keys_of(ids);
    Error err;
    uint64_t deleted = 9;
    MUST_OK(err, CALL(gyr_table_delete)(table, &keys, &deleted, &err));
    MUST(deleted <= 2);
  });
  hammer.operation(16, [&](Worker& w) { get(w); });
  hammer.operation(8, [&](Worker& w) { get_as_of(w); });
  hammer.operation(8, [&](Worker& w) { run_plan(w); });
  hammer.operation(1, [&](Worker& w) {
    gyr_get_plan* mine = nullptr;
    make_plan(&mine);
    CALL(gyr_get_plan_destroy)(mine);
    Error err;
    uint64_t cursor = 0, removed = 9, bytes = 0;  // nothing expires here
    MUST_OK(err, CALL(gyr_table_sweep)(table, 0, 1 + w.below(kKeys), &cursor, &removed, &err));
    MUST(removed == 0 && cursor > 0);
    MUST_OK(err, CALL(gyr_table_estimate)(kSchema, 100, 40, 4, &bytes, &err));
    MUST(bytes > 0);
  });
  hammer.operation(4, [&](Worker& w) { join_as_of(w); });
  hammer.operation(2, [&](Worker&) {
    gyr_table_info info{};
    info.struct_size = sizeof info;
    Error err;
    MUST_OK(err, CALL(gyr_table_get_info)(table, &info, &err));
    MUST(info.rows >= uint64_t(kKeys - kKept) && info.rows <= uint64_t(kKeys) && info.bytes > 0) << info.rows;
  });
  hammer.operation(2, [&](Worker&) { check_export(table); });
  hammer.operation(1, [&](Worker& w) {
    Error err;
    std::string path = w.path("table.gyr");
    gyr_table* opened = nullptr;
    MUST_OK(err, CALL(gyr_table_save)(table, path.c_str(), &err));
    MUST_OK(err, CALL(gyr_table_open)(runtime, path.c_str(), &opened, &err));
    std::remove(path.c_str());
    if (opened) check_export(opened);
    CALL(gyr_table_destroy)(opened);
  });
  hammer.operation(1, [&](Worker& w) {  // a stream that outlives its handle
    Error err;
    gyr_table* other = nullptr;
    MUST_OK(err, CALL(gyr_table_create)(runtime, kSchema, &other, &err));
    ArrowArrayStream from{}, to{};
    MUST_OK(err, CALL(gyr_table_export)(table, &from, &err));
    MUST_OK(err, CALL(gyr_table_upsert)(other, &from, nullptr, nullptr, &err));
    release(&from);
    MUST_OK(err, CALL(gyr_table_export)(other, &to, &err));
    CALL(gyr_table_destroy)(other);
    uint64_t rows = 0;
    read(&to, [&](const ArrowArray& batch) { rows += uint64_t(batch.length); });
    MUST(rows >= uint64_t(kKeys - kKept)) << rows << w.number;
  });
  hammer.operation(1, [&](Worker&) {
    Error err;
    gyr_task* task = nullptr;
    MUST_OK(err, CALL(gyr_task_create)(&task, &err));
    CALL(gyr_task_cancel)(task);
    upsert_rows({1, 2, 3}, task);
    gyr_task_destroy(task);
  });
  hammer.run();
}

// The same on a table in a folder, with its log's thread: what was answered last is there when it is opened again.
class LiveTableStress : public TableStress {
 protected:
  LiveTableStress() : folder(temp_path("live")) {
    std::filesystem::remove_all(folder);
    gyr_table_destroy(table);
    for (int64_t key = 0; key < kKeys; key++) floor[key] = 0;
    open(&table);
    for (int64_t key = kKept; key < kKeys; key++) upsert_rows({key});
  }
  ~LiveTableStress() override {
    gyr_table_destroy(std::exchange(table, nullptr));
    std::filesystem::remove_all(folder);
  }
  void open(gyr_table** out) {
    gyr_table_log_options o{};
    o.struct_size = sizeof o;
    o.flush_interval_us = 500;
    o.segment_bytes = 1 << 16;
    o.queue_bytes = 1 << 15;
    Error err;
    MUST_OK(err, CALL(gyr_table_open_live)(runtime, folder.c_str(), kSchema, &o, nullptr, out, &err));
  }
  const std::string folder;
};

TEST_F(LiveTableStress, ChangesCheckpointsAndFlushesAtOnce) {
  Hammer hammer;
  hammer.operation(8, [&](Worker& w) { upsert_row(w); });
  hammer.operation(4, [&](Worker& w) {
    std::vector<int64_t> ids;
    for (int64_t id = int64_t(w.below(20)); id < kKeys; id += 1 + int64_t(w.below(20))) ids.push_back(id);
    upsert_rows(ids);
  });
  hammer.operation(4, [&](Worker& w) {
    std::vector<int64_t> ids{int64_t(w.below(kKept)), int64_t(w.below(kKept))};
    gyr_keys keys = keys_of(ids);
    Error err;
    MUST_OK(err, CALL(gyr_table_delete)(table, &keys, nullptr, &err));
  });
  hammer.operation(8, [&](Worker& w) { get(w); });
  hammer.operation(2, [&](Worker&) {
    Error err;
    MUST_OK(err, CALL(gyr_table_flush)(table, &err));
  });
  hammer.operation(1, [&](Worker&) {
    Error err;
    MUST_OK(err, CALL(gyr_table_checkpoint)(table, nullptr, &err));
  });
  hammer.operation(4, [&](Worker&) {
    gyr_table_log_info info{};
    info.struct_size = sizeof info;
    Error err;
    MUST_OK(err, CALL(gyr_table_get_log_info)(table, &info, &err));
    MUST(info.durable_lsn <= info.last_lsn && info.snapshot_lsn <= info.last_lsn && !info.failed);
  });
  hammer.operation(1, [&](Worker& w) {  // others come and go
    gyr_table* other = nullptr;
    std::string path = w.path("live");
    Error err;
    MUST_OK(err, CALL(gyr_table_open_live)(runtime, path.c_str(), kSchema, nullptr, nullptr, &other, &err));
    std::vector<int64_t> ids{1};
    gyr_keys key = keys_of(ids);
    MUST_OK(err, CALL(gyr_table_upsert_row)(other, &key, 1, nullptr, nullptr, 0, nullptr, &err));
    CALL(gyr_table_destroy)(other);
    std::filesystem::remove_all(path);
  });
  hammer.run();
  gyr_table_destroy(std::exchange(table, nullptr));
  open(&table);
  check_export(table);
  Worker w{0, std::mt19937_64(1)};
  for (int i = 0; i < 50; i++) get(w);  // never before what was answered
}

}  // namespace
}  // namespace gyr::stress
