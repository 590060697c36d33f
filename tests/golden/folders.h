// Golden folders: a live table's and the disk tier's. They are made by numbered changes, and whatever is opened must
// hold the state after some number of them. Opening writes into a folder, so it is copied first.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include "tests/golden/helpers.h"

namespace gyr::golden {

constexpr int64_t kLiveChanges = 9, kLiveSnapshot = 4, kLiveKeys = 5;
constexpr int64_t kFolderKeys = 40;
constexpr uint32_t kFolderDim = 70;  // 14 rows to a page

class CopyOf {
 public:
  explicit CopyOf(const std::string& folder) {
    std::string base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : std::filesystem::temp_directory_path().string();
    path_ = base + "/gyr-golden-XXXXXX";
    if (!mkdtemp(path_.data())) std::exit(1);
    if (!folder.empty()) std::filesystem::copy(folder, path_);
  }
  ~CopyOf() { std::filesystem::remove_all(path_); }
  CopyOf(const CopyOf&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline gyr_status open_live(gyr_runtime* runtime, const std::string& folder, const char* schema, gyr_table** t,
                            gyr_error* err) {
  gyr_table_log_options o{};
  o.struct_size = sizeof o;
  o.segment_bytes = 4096;
  return gyr_table_open_live(runtime, folder.c_str(), schema, &o, nullptr, t, err);
}

// Row 0 counts the changes; the others come, change and go.
inline void make_live(gyr_runtime* runtime, const std::string& folder,
                      const std::function<void(const gyr_table*)>& told = {}) {
  gyr_error err = GYR_ERROR_INIT;
  gyr_table* t = nullptr;
  const char* schema = R"({"name":"l","key":"id","event_time":"ts","created_time":"known","history":{"versions":3},
    "columns":[{"name":"v","dtype":"int64"},{"name":"s","dtype":"string"}]})";
  need(open_live(runtime, folder, schema, &t, &err), err, "live");
  if (told) told(t);
  for (int64_t i = 1; i <= kLiveChanges; i++) {
    if (i % 4 == 0) {
      int64_t gone = i % kLiveKeys + 1;
      gyr_keys key{sizeof key, GYR_DTYPE_INT64, 1, &gone, nullptr};
      need(gyr_table_delete(t, &key, nullptr, &err), err, "delete");
    } else {
      Rows rows;
      rows.ints("id", {0, i % kLiveKeys + 1}).ints("ts", {i, i}, "tsu:").ints("known", {i + 1, i + 1}, "tsu:");
      rows.ints("v", {i, i * 100}).strings("s", {"", std::string(size_t(i * 40), char('a' + i))});
      ArrowArrayStream s = rows.stream();
      need(gyr_table_upsert(t, &s, nullptr, nullptr, &err), err, "upsert");
    }
    if (told) told(t);
    if (i == kLiveSnapshot) need(gyr_table_checkpoint(t, nullptr, &err), err, "checkpoint");
  }
  gyr_table_destroy(t);
}

// Rows and statuses, now and as of a time in the middle.
inline std::string live_rows(const gyr_table* t) {
  gyr_error err = GYR_ERROR_INIT;
  std::ostringstream out;
  std::vector<int64_t> ids, values(kLiveKeys + 2), times(kLiveKeys + 2, 6);
  for (int64_t k = 0; k < kLiveKeys + 2; k++) ids.push_back(k);
  std::vector<uint8_t> status(ids.size());
  std::vector<gyr_str> texts(ids.size());
  std::string heap(4096, 0);
  gyr_keys keys{sizeof keys, GYR_DTYPE_INT64, ids.size(), ids.data(), nullptr};
  gyr_table_column c[2]{};
  c[0].struct_size = c[1].struct_size = sizeof c[0];
  c[0].name = "v", c[0].dtype = GYR_DTYPE_INT64, c[0].values = values.data(), c[0].status = status.data();
  c[1].name = "s", c[1].dtype = GYR_DTYPE_STRING, c[1].values = texts.data();
  c[1].heap = heap.data(), c[1].heap_capacity = heap.size();
  c[0].values_capacity = c[1].values_capacity = ids.size();
  for (bool past : {false, true}) {
    need(past ? gyr_table_get_as_of(t, &keys, times.data(), 0, c, 2, &err)
              : gyr_table_get(t, &keys, INT64_MAX, c, 2, &err),
         err, "read");
    for (size_t i = 0; i < ids.size(); i++)
      out << (past ? " was " : " is ") << int(status[i]) << ' ' << values[i] << ' ' << texts[i].len << ' '
          << gyr_hash64(texts[i].data, texts[i].len);
  }
  return out.str();
}

inline std::string live_answers(gyr_runtime* runtime, const std::string& folder) {
  CopyOf copy(folder);
  gyr_error err = GYR_ERROR_INIT;
  gyr_table* t = nullptr;
  need(open_live(runtime, copy.path(), nullptr, &t, &err), err, "live");
  gyr_table_log_info info{};
  info.struct_size = sizeof info;
  need(gyr_table_get_log_info(t, &info, &err), err, "log");
  std::ostringstream out;
  out << "live " << info.last_lsn << ' ' << info.snapshot_lsn << live_rows(t) << '\n';
  gyr_table_destroy(t);
  return out.str();
}

// Statuses and rows of a cache.
inline std::string cached_rows(const gyr_cache* c, const std::vector<int64_t>& keys, uint32_t dim) {
  gyr_error err = GYR_ERROR_INIT;
  std::vector<float> rows(keys.size() * dim);
  std::vector<uint8_t> status(keys.size());
  need(gyr_cache_get(c, keys.data(), keys.size(), rows.data(), status.data(), &err), err, "get");
  std::ostringstream out;
  for (size_t i = 0; i < keys.size(); i++) {
    out << ' ' << int(status[i]);
    for (uint32_t d = 0; d < dim; d++) out << ' ' << rows[i * dim + d];
  }
  return out.str();
}

inline gyr_status open_cache_folder(gyr_runtime* runtime, const std::string& folder, gyr_cache** c, gyr_error* err) {
  gyr_cache_tiers t{};
  t.struct_size = sizeof t;
  t.folder = folder.c_str();
  t.max_rows = 4;
  gyr_cache_options o{};
  o.struct_size = sizeof o;
  o.dim = kFolderDim;
  o.rows = GYR_CACHE_FLOAT16;
  o.tiers = &t;
  return gyr_cache_create(runtime, &o, c, err);
}

inline std::vector<int64_t> folder_keys() {
  std::vector<int64_t> keys;
  for (int64_t k = -2; k < kFolderKeys + 2; k++) keys.push_back(k);
  return keys;
}

// Two files: all keys, then every third once more, and every fifth gone.
inline void make_cache_folder(gyr_runtime* runtime, const std::string& folder) {
  gyr_error err = GYR_ERROR_INIT;
  for (int round = 0; round < 2; round++) {
    gyr_cache* c = nullptr;
    need(open_cache_folder(runtime, folder, &c, &err), err, "cache");
    for (int64_t k = 0; k < kFolderKeys; k += round ? 3 : 1) {
      std::vector<float> row(kFolderDim, float(k) + float(round) / 2);
      need(gyr_cache_put(c, &k, row.data(), 1, &err), err, "put");
    }
    for (int64_t k = 0; round && k < kFolderKeys; k += 5)
      need(gyr_cache_remove(c, &k, 1, nullptr, &err), err, "remove");
    gyr_cache_destroy(c);
  }
}

inline std::string cache_folder_answers(gyr_runtime* runtime, const std::string& folder) {
  CopyOf copy(folder);
  gyr_error err = GYR_ERROR_INIT;
  gyr_cache* c = nullptr;
  need(open_cache_folder(runtime, copy.path(), &c, &err), err, "cache_rows");
  std::string out = "cache_rows" + cached_rows(c, folder_keys(), kFolderDim) + "\n";
  gyr_cache_destroy(c);
  return out;
}

}  // namespace gyr::golden
