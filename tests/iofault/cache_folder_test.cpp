// A cache over a folder, changed by a numbered stream and saved now and then: damaged pages, full disks, power cuts at
// every file operation, death at every third. What is opened afterwards, and gets the stream again from the offset that it has, is
// what it would have been.
#include <cmath>
#include <map>

#include "tests/iofault/child.h"
#include "tests/iofault/power_model.h"

namespace gyr::test {
namespace {

constexpr uint32_t kDim = 64;  // 256 bytes a row, 15 rows a page
constexpr int64_t kRowsPerPage = 15;

// What the logger was told of caches.
struct Told {
  std::mutex mutex;
  std::vector<std::string> lines;
  static void hear(const gyr_log_record* r, uintptr_t user) {
    auto* self = reinterpret_cast<Told*>(user);
    std::lock_guard lock(self->mutex);
    if (std::string(r->component.data, r->component.len) == "cache")
      self->lines.emplace_back(r->message.data, r->message.len);
  }
};

// A cache whose rows lie in a folder, where its file lies, too.
class FolderCache {
 public:
  gyr_runtime* runtime = nullptr;
  gyr_cache* cache = nullptr;
  gyr_error err = GYR_ERROR_INIT;
  Told told;

  FolderCache() {
    gyr_logger logger{};
    logger.struct_size = sizeof logger;
    logger.fn = Told::hear;
    logger.user = reinterpret_cast<uintptr_t>(&told);
    gyr_runtime_options o{};
    o.struct_size = sizeof o;
    o.threads = 1;
    o.logger = &logger;
    if (gyr_runtime_create(&o, &runtime, &err) != GYR_OK) _exit(3);
  }
  ~FolderCache() {
    close();
    gyr_runtime_destroy(runtime);
  }
  FolderCache(const FolderCache&) = delete;

  // Few rows stay in memory, and few wait there for a file.
  gyr_status open(const std::string& folder, uint64_t segment_rows = 6) {
    close();
    file_ = folder + "/cache.gyr";
    gyr_cache_tiers t{};
    t.struct_size = sizeof t;
    t.folder = folder.c_str();
    t.segment_bytes = segment_rows * kDim * sizeof(float);
    t.max_rows = 4;
    gyr_cache_options o{};
    o.struct_size = sizeof o;
    o.dim = kDim;
    o.tiers = &t;
    bool saved = access(file_.c_str(), F_OK) == 0;
    gyr_status s =
        saved ? gyr_cache_open(runtime, file_.c_str(), &t, &cache, &err) : gyr_cache_create(runtime, &o, &cache, &err);
    expect_in_contract(saved ? "gyr_cache_open" : "gyr_cache_create", s);
    return s;
  }
  void close() { gyr_cache_destroy(std::exchange(cache, nullptr)); }
  gyr_status save() { return in_contract("gyr_cache_save", gyr_cache_save(cache, file_.c_str(), &err)); }
  gyr_status put(const std::vector<int64_t>& keys, float value) {
    std::vector<float> rows(keys.size() * kDim, value);
    return in_contract("gyr_cache_put", gyr_cache_put(cache, keys.data(), rows.data(), keys.size(), &err));
  }
  gyr_status remove(int64_t key) {
    return in_contract("gyr_cache_remove", gyr_cache_remove(cache, &key, 1, nullptr, &err));
  }
  // Change number i of the stream.
  gyr_status apply(int64_t i) {
    std::vector<int64_t> keys = {-1, key(i), key(i) + 100}, gone = {key(i + 1)};
    std::vector<float> rows(keys.size() * kDim, float(i));
    gyr_cache_delta d{};
    d.struct_size = sizeof d;
    d.source = "stream";
    d.offset = uint64_t(i);
    d.keys = keys.data(), d.rows = rows.data(), d.n = keys.size();
    d.removed = gone.data(), d.n_removed = i % 4 == 3;
    return in_contract("gyr_cache_apply", gyr_cache_apply(cache, &d, nullptr, &err));
  }
  static int64_t key(int64_t i) { return i * 3 % 11; }
  static std::map<int64_t, float> after(int64_t n) {
    std::map<int64_t, float> rows;
    for (int64_t i = 1; i <= n; i++) {
      rows[-1] = rows[key(i)] = rows[key(i) + 100] = float(i);
      if (i % 4 == 3) rows.erase(key(i + 1));
    }
    return rows;
  }
  int64_t offset() {
    uint64_t at = 0;
    return gyr_cache_get_offset(cache, "stream", &at, &err) == GYR_OK ? int64_t(at) : 0;
  }

  std::vector<uint8_t> get(const std::vector<int64_t>& keys, std::vector<float>* values) {
    std::vector<float> out(keys.size() * kDim, NAN);
    std::vector<uint8_t> status(keys.size(), 99);
    EXPECT_EQ(gyr_cache_get(cache, keys.data(), keys.size(), out.data(), status.data(), &err), GYR_OK) << err.message;
    values->clear();
    for (size_t i = 0; i < keys.size(); i++) {
      values->push_back(out[i * kDim]);
      for (uint32_t d = 0; d < kDim; d++) EXPECT_EQ(out[i * kDim + d], values->back()) << "a row is whole";
    }
    return status;
  }
  // All that the stream writes; keys in error are NAN.
  std::map<int64_t, float> rows() {
    std::vector<int64_t> keys;
    for (int64_t k = -1; k < 120; k++) keys.push_back(k);
    std::vector<float> values;
    auto status = get(keys, &values);
    std::map<int64_t, float> found;
    for (size_t i = 0; i < keys.size(); i++)
      if (status[i] != GYR_VALUE_MISSING) found[keys[i]] = status[i] == GYR_VALUE_PRESENT ? values[i] : NAN;
    return found;
  }

 private:
  static gyr_status in_contract(const char* function, gyr_status s) {
    expect_in_contract(function, s);
    return s;
  }
  std::string file_;
};

std::vector<int64_t> first_keys(int64_t n) {
  std::vector<int64_t> keys;
  for (int64_t k = 0; k < n; k++) keys.push_back(k);
  return keys;
}
void flip(const std::string& path, size_t at) {
  std::string bytes = slurp(path);
  bytes.at(at) = char(bytes.at(at) ^ 1);
  spill(path, bytes);
}

// Rows of the page are in error and the others served; the page is told of once, and not looked at again, until the
// rows have been written anew.
TEST(CacheFolder, ADamagedPageIsToldOfAndSetAside) {
  Folder folder(false);
  FolderCache run;
  constexpr int64_t kRows = 120, kPage = 5;
  auto keys = first_keys(kRows);
  ASSERT_EQ(run.open(folder.path, kRows), GYR_OK) << run.err.message;
  ASSERT_EQ(run.put(keys, 1), GYR_OK) << run.err.message;
  run.close();
  const std::string path = folder.file("rows-00000000.seg");
  const size_t at = 4096 * (1 + kPage) + 1000;
  flip(path, at);
  ASSERT_EQ(run.open(folder.path, kRows), GYR_OK) << run.err.message;
  std::vector<float> values;
  auto expect = [&](bool healed) {
    auto status = run.get(keys, &values);
    for (size_t i = 0; i < keys.size(); i++) {
      bool bad = int64_t(i) / kRowsPerPage == kPage && (!healed || i % 2);
      EXPECT_EQ(status[i], bad ? GYR_VALUE_ERROR : GYR_VALUE_PRESENT) << i;
      EXPECT_EQ(values[i], bad ? 0.0f : status[i] == GYR_VALUE_PRESENT && healed && values[i] == 2 ? 2.0f : 1.0f) << i;
    }
  };
  expect(false);
  ASSERT_EQ(run.told.lines.size(), 1u);
  EXPECT_NE(run.told.lines[0].find(path), std::string::npos) << run.told.lines[0];
  EXPECT_NE(run.told.lines[0].find("page 5"), std::string::npos) << run.told.lines[0];
  flip(path, at);  // nobody looks there any more
  expect(false);
  flip(path, at);
  gyr_cache_info info{};
  info.struct_size = sizeof info;
  EXPECT_EQ(gyr_cache_get_info(run.cache, &info, &run.err), GYR_OK);
  EXPECT_EQ(info.failed, 2u * kRowsPerPage);
  EXPECT_EQ(info.tier_down, 0u) << "the tier is asked for all other rows";
  std::vector<int64_t> again;  // every other row is written again
  for (int64_t k = kPage * kRowsPerPage; k < (kPage + 1) * kRowsPerPage; k++)
    if (k % 2 == 0) again.push_back(k);
  ASSERT_EQ(run.put(again, 2), GYR_OK) << run.err.message;
  expect(true);
  EXPECT_EQ(run.told.lines.size(), 1u);
  ASSERT_EQ(run.open(folder.path, kRows), GYR_OK) << run.err.message;
  expect(true);
  EXPECT_EQ(run.told.lines.size(), 2u) << "opened again it is looked at again";
}

#ifdef GYR_FAULTS

constexpr int64_t kChanges = 24;
bool save_at(int64_t i) { return i % 8 == 0; }

struct Progress {
  int64_t saved = 0, begun = 0;
};

gyr_status run_script(FolderCache* run, const std::string& folder,
                      const std::function<void(const Progress&)>& told = {}) {
  Progress p;
  gyr_status s = run->open(folder);
  for (int64_t i = run->cache ? run->offset() + 1 : 0; s == GYR_OK && i <= kChanges; i++) {
    p.begun = i;
    if (told) told(p);
    s = run->apply(i);
    if (s == GYR_OK && save_at(i)) {
      s = run->save();
      if (s == GYR_OK) p.saved = i;
    }
    if (told) told(p);
  }
  return s;
}

// What was saved is there; the stream, from there on, completes it.
void expect_completed_by_replay(const std::string& folder, const Progress& p) {
  FolderCache again;
  ASSERT_EQ(again.open(folder), GYR_OK) << again.err.message;
  int64_t at = again.offset();
  ASSERT_GE(at, p.saved);
  ASSERT_LE(at, p.begun);
  for (auto& [key, value] : again.rows()) {
    ASSERT_FALSE(std::isnan(value)) << "row " << key << " is in error";
    ASSERT_LE(value, float(p.begun)) << key;
  }
  ASSERT_EQ(run_script(&again, folder), GYR_OK) << again.err.message;
  ASSERT_EQ(again.offset(), kChanges);
  ASSERT_EQ(again.rows(), FolderCache::after(kChanges)) << "from offset " << at;
}

TEST(CacheFolder, AFullDiskOrAFailedFlushIsOvercome) {
  int failed = 0;
  for (Trouble trouble : {Trouble::kError, Trouble::kNoSpace, Trouble::kTorn})
    for (int n = 0;; n += 3) {
      SCOPED_TRACE(std::string(name(trouble)) + " for good at " + std::to_string(n));
      ASSERT_LT(n, 1000);
      Folder folder(true);
      Progress p;
      bool met = false;
      {
        FolderCache run;
        gyr_status s;
        {
          Disturber d(trouble, n, true);
          s = run_script(&run, folder.path, [&](const Progress& now) { p = now; });
          met = d.met();
          if (s != GYR_OK) {
            EXPECT_EQ(s, GYR_E_IO) << run.err.message;
            EXPECT_EQ(run.err.code, GYR_E_IO);
            failed++;
          }
        }
        if (run.cache && s != GYR_OK) {  // the disk is well again
          for (auto& [key, value] : run.rows()) EXPECT_FALSE(std::isnan(value)) << key;
          EXPECT_EQ(run.put({500}, 1), GYR_OK) << run.err.message;
          EXPECT_EQ(run.save(), GYR_OK) << run.err.message;
        }
      }
      if (!met) break;
      expect_completed_by_replay(folder.path, p);
      if (HasFailure()) return;
    }
  EXPECT_GT(failed, 20);
}

// The folder's disk is full and others are not.
TEST(CacheFolder, WhatAFullFolderCannotTakeIsSavedElsewhere) {
  struct Full final : FileWatch {
    const std::string folder;
    bool full = true;
    explicit Full(std::string path) : folder(std::move(path)) { file_watch = this; }
    ~Full() override { file_watch = nullptr; }
    FileVerdict before(const FileCall& call) override {
      bool takes_space = call.op == FileOp::kCreate || call.op == FileOp::kCreateUnnamed || call.op == FileOp::kWrite;
      if (!full || !takes_space || !std::string(call.path).starts_with(folder)) return {};
      return {.perform = false, .limit = size_t(-1), .error = ENOSPC};
    }
    void after(const FileCall&, bool, ptrdiff_t) override {}
  };
  Folder folder(false), elsewhere(false);
  FolderCache run;
  ASSERT_EQ(run.open(folder.path), GYR_OK) << run.err.message;
  Full watch(folder.path);
  std::vector<int64_t> keys;
  gyr_status s = GYR_OK;
  for (int64_t k = 0; k < 100 && s == GYR_OK; k++) {
    s = run.put({k}, float(k));
    if (s == GYR_OK) keys.push_back(k);
  }
  EXPECT_EQ(s, GYR_E_IO);
  EXPECT_EQ(run.err.os_errno, ENOSPC);
  EXPECT_EQ(run.err.flags & GYR_ERROR_FROM_CALLBACK, 0u);
  EXPECT_NE(std::string(run.err.message).find(folder.path), std::string::npos) << run.err.message;
  ASSERT_GT(keys.size(), 4u) << "more than stay in memory";
  const std::string path = elsewhere.file("rescued.gyr");
  ASSERT_EQ(gyr_cache_save(run.cache, path.c_str(), &run.err), GYR_OK) << run.err.message;
  gyr_cache* rescued = nullptr;
  ASSERT_EQ(gyr_cache_open(run.runtime, path.c_str(), nullptr, &rescued, &run.err), GYR_OK) << run.err.message;
  std::swap(rescued, run.cache);
  std::vector<float> values, want(keys.begin(), keys.end());
  EXPECT_EQ(run.get(keys, &values), std::vector<uint8_t>(keys.size(), GYR_VALUE_PRESENT));
  EXPECT_EQ(values, want);
  std::swap(rescued, run.cache);
  gyr_cache_destroy(rescued);
  watch.full = false;
  EXPECT_EQ(run.put({100}, 100), GYR_OK) << run.err.message;
  keys.push_back(100), want.push_back(100);
  run.close();
  ASSERT_EQ(run.open(folder.path), GYR_OK) << run.err.message;
  EXPECT_EQ(run.get(keys, &values), std::vector<uint8_t>(keys.size(), GYR_VALUE_PRESENT));
  EXPECT_EQ(values, want);
}

// A writer dies in gyr_cache_apply, or in a save: at every third file operation.
TEST(CacheFolder, AWriterThatDiesIsCompletedByReplay) {
  int deaths = 0;
  for (Trouble trouble : {Trouble::kDie, Trouble::kDieTorn})
    for (int n = 0;; n += 3) {
      SCOPED_TRACE(std::string(name(trouble)) + " at " + std::to_string(n));
      ASSERT_LT(n, 1000);
      Folder folder(true);
      Reports reports;
      int status = wait_child(start_child([&] {
        FolderCache run;
        Disturber d(trouble, n);
        gyr_status s =
            run_script(&run, folder.path, [&](const Progress& now) { reports.say(now.saved << 32 | now.begun); });
        run.close();
        return s == GYR_OK ? 0 : 5;
      }));
      ASSERT_TRUE(status == 0 || status == kDeathMark) << status;
      int64_t said = reports.last(0);
      expect_completed_by_replay(folder.path, {said >> 32, said & 0xffffffff});
      if (testing::Test::HasFailure()) return;
      if (status == 0) break;
      deaths++;
    }
  EXPECT_GT(deaths, 20);
}

TEST(CacheFolder, APowerLossLeavesWhatWasSaved) {
  Folder work(true);
  std::vector<Event> events;
  {
    Recorder recorder(true);
    FolderCache run;
    ASSERT_EQ(run_script(&run, work.path,
                         [&](const Progress& now) {
                           recorder.acked = int(now.saved);
                           recorder.begun = int(now.begun);
                         }),
              GYR_OK)
        << run.err.message;
    run.close();
    events = recorder.events;
  }
  size_t states = 0;
  for (auto& crash : crashes(events, {}, size_t(-1))) {
    SCOPED_TRACE("power off before operation " + std::to_string(crash.at) + " of " + std::to_string(events.size()));
    bool over = crash.at == events.size();
    Folder disk(true);
    for (auto& [name, text] : crash.disk) spill(disk.file(name), text);
    expect_completed_by_replay(disk.path,
                               {over ? kChanges : events[crash.at].acked, over ? kChanges : events[crash.at].begun});
    if (HasFailure()) return;
    states++;
  }
  EXPECT_GT(states, 30u);
  std::printf("%zu states of the disk\n", states);
}

#endif

}  // namespace
}  // namespace gyr::test
