// A table in a folder, changed by numbered changes; what it must hold after each of them.
#pragma once

#include <map>

#include "tests/iofault/objects.h"
#include "tests/support/rows.h"

namespace gyr::test {

// Change number i from 1 on: mostly two rows at once, one of them the counter, whose value is i; sometimes a deletion.
class LiveChanges {
 public:
  static constexpr int64_t kCounter = -1, kKeys = 7;
  using State = std::map<int64_t, int64_t>;

  static bool deletes(int64_t i) { return i % 5 == 4; }
  static int64_t key(int64_t i) { return (i * 3 + i / 7) % kKeys; }
  static void apply(int64_t i, State* s) {
    if (deletes(i))
      s->erase(key(i));
    else
      (*s)[key(i)] = i, (*s)[kCounter] = i;
  }
  // After changes 1 to n.
  static State after(int64_t n) {
    State s;
    for (int64_t i = 1; i <= n; i++) apply(i, &s);
    return s;
  }
};

constexpr const char* kLiveSchema = R"({"name":"t","key":"id","columns":[{"name":"v","dtype":"int64"},
  {"name":"text","dtype":"string"}]})";

class LiveRun {
 public:
  gyr_runtime* runtime = nullptr;
  gyr_table* table = nullptr;
  gyr_error err = GYR_ERROR_INIT;
  uint64_t flush_us = 1000;

  LiveRun() {
    gyr_runtime_options o{};
    o.struct_size = sizeof o;
    o.threads = 1;
    if (gyr_runtime_create(&o, &runtime, &err) != GYR_OK) _exit(3);
  }
  ~LiveRun() {
    close();
    gyr_runtime_destroy(runtime);
  }
  LiveRun(const LiveRun&) = delete;

  // Log files are small, so that there are many.
  gyr_status open(const std::string& folder, gyr_durability durability, uint64_t segment_bytes = 4096) {
    gyr_table_log_options o{};
    o.struct_size = sizeof o;
    o.durability = durability;
    o.flush_interval_us = flush_us;
    o.segment_bytes = segment_bytes;
    gyr_status s = gyr_table_open_live(runtime, folder.c_str(), kLiveSchema, &o, nullptr, &table, &err);
    expect_in_contract("gyr_table_open_live", s);
    return s;
  }
  void close() { gyr_table_destroy(std::exchange(table, nullptr)); }

  gyr_status change(int64_t i) {
    int64_t ids[] = {LiveChanges::key(i), LiveChanges::kCounter};
    if (LiveChanges::deletes(i)) {
      gyr_keys key = {sizeof key, GYR_DTYPE_INT64, 1, ids, nullptr};
      gyr_status s = gyr_table_delete(table, &key, nullptr, &err);
      expect_in_contract("gyr_table_delete", s);
      return s;
    }
    std::string text = std::string(size_t(i % 300), 'x') + std::to_string(i);
    Rows rows;
    rows.ints("id", {ids[0], ids[1]}).ints("v", {i, i}).strings("text", {text, text});
    ArrowArrayStream stream = rows.stream();
    gyr_status s = gyr_table_upsert(table, &stream, nullptr, nullptr, &err);
    if (stream.release) stream.release(&stream);
    expect_in_contract("gyr_table_upsert", s);
    return s;
  }
  gyr_status checkpoint() {
    gyr_status s = gyr_table_checkpoint(table, nullptr, &err);
    expect_in_contract("gyr_table_checkpoint", s);
    return s;
  }
  gyr_status flush() {
    gyr_status s = gyr_table_flush(table, &err);
    expect_in_contract("gyr_table_flush", s);
    return s;
  }

  LiveChanges::State state() {
    constexpr size_t kN = LiveChanges::kKeys + 1;
    int64_t ids[kN], values[kN];
    uint8_t status[kN];
    for (size_t i = 0; i < kN; i++) ids[i] = int64_t(i) - 1;
    gyr_keys keys = {sizeof keys, GYR_DTYPE_INT64, kN, ids, nullptr};
    gyr_table_column c{};
    c.struct_size = sizeof c, c.name = "v", c.dtype = GYR_DTYPE_INT64;
    c.values = values, c.values_capacity = kN, c.status = status;
    EXPECT_EQ(gyr_table_get(table, &keys, INT64_MAX, &c, 1, &err), GYR_OK) << err.message;
    LiveChanges::State out;
    for (size_t i = 0; i < kN; i++)
      if (status[i] == GYR_VALUE_PRESENT) out[ids[i]] = values[i];
    return out;
  }
  // The number of changes that the table holds, between the two; -1 when no number fits.
  int64_t changes_there(int64_t least, int64_t most) {
    auto now = state();
    for (int64_t n = least; n <= most; n++)
      if (LiveChanges::after(n) == now) return n;
    return -1;
  }
};

}  // namespace gyr::test
