// Processes that save, publish and upsert in a loop are killed at random moments (SIGKILL). Whoever opens the file next
// finds the last version that was reported as saved, or the one that was being saved, whole.
//
// GYR_KILL_SECONDS is the time of each test, 2 by default:
//   GYR_KILL_SECONDS=600 build/dev/tests/test_iofault --gtest_filter='Kill*'
#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "tests/iofault/child.h"
#include "tests/iofault/objects.h"

namespace gyr::test {
namespace {

using Clock = std::chrono::steady_clock;

double seconds() {
  const char* text = std::getenv("GYR_KILL_SECONDS");
  return text ? std::max(1.0, std::atof(text)) : 2;
}

constexpr int kDim = 24, kRows = 600;

struct Tally {
  int kills = 0, kept = 0, advanced = 0;  // reopened with the reported version, or the one after it
  int64_t saves = 0;
  size_t leftovers = 0;
};

// One kind of writer: `write` puts a version into the file, `read` takes it out and fails when parts disagree.
class Kill : public testing::Test {
 protected:
  using Writer = std::function<void(const Reports&, int64_t from)>;
  using Reader = std::function<int64_t()>;

  void loop(const char* what, const Writer& writer, const Reader& reader) {
    Random random{uint64_t(getpid())};
    Tally t;
    int64_t version = 0;
    auto end = Clock::now() + std::chrono::duration<double>(seconds());
    while (Clock::now() < end && !HasFailure()) {
      Reports reports;
      pid_t pid = start_child([&] {
        writer(reports, version);
        return 5;
      });
      // Now and then while the process is still starting, mostly in the middle of the saving.
      if (random.below(8)) {
        ASSERT_TRUE(reports.heard());
      }
      std::this_thread::sleep_for(std::chrono::microseconds(random.below(100'000)));
      kill(pid, SIGKILL);
      ASSERT_EQ(wait_child(pid), -SIGKILL) << "the writer failed by itself";
      t.kills++;
      int64_t reported = reports.last(version);
      int64_t there = fs::exists(path_) ? reader() : 0;
      ASSERT_TRUE(there == reported || there == reported + 1) << reported << " was reported, the file has " << there;
      (there == reported ? t.kept : t.advanced)++;
      t.saves += there - version;
      version = there;
    }
    for (auto& name : folder_.names()) t.leftovers += name.starts_with(".gyr-");
    EXPECT_GT(t.saves, 0);
    std::printf("%s: %d kills, %lld saves, file as reported %d, one ahead %d, temporary files left %zu\n", what,
                t.kills, (long long)t.saves, t.kept, t.advanced, t.leftovers);
  }

  gyr_runtime* runtime() {
    gyr_runtime_options o{};
    o.struct_size = sizeof o;
    o.threads = 1;
    gyr_runtime* made = nullptr;
    must(gyr_runtime_create(&o, &made, &err_));
    return made;
  }
  void must(gyr_status s) {
    if (s == GYR_OK) return;
    std::fprintf(stderr, "%s: %s\n", gyr_status_name(s), err_.message);
    _exit(3);
  }

  Folder folder_{false};
  const std::string path_ = folder_.file("file.gyr");
  gyr_error err_ = GYR_ERROR_INIT;
};

constexpr const char* kSchema = R"({"name":"t","key":"id","key_dtype":"int64",
  "columns":[{"name":"version","dtype":"int64"},{"name":"text","dtype":"string"}]})";

class KillTable : public Kill {
 protected:
  void upsert(gyr_table* table, int64_t id, int64_t version) {
    gyr_keys key = {sizeof key, GYR_DTYPE_INT64, 1, &id, nullptr};
    const char* columns[] = {"version", "text"};
    std::string text = "row " + std::to_string(id) + " of " + std::to_string(version);
    gyr_value values[2]{};
    values[0].dtype = GYR_DTYPE_INT64;
    values[0].i = version;
    values[1].dtype = GYR_DTYPE_STRING;
    values[1].s = {text.data(), text.size()};
    gyr_error err = GYR_ERROR_INIT;
    if (gyr_table_upsert_row(table, &key, 0, columns, values, 2, nullptr, &err) != GYR_OK) _exit(3);
  }

  // The version that all rows carry; -1 when they do not agree.
  int64_t read() {
    gyr_runtime* rt = runtime();
    gyr_table* table = nullptr;
    EXPECT_EQ(gyr_table_open(rt, path_.c_str(), &table, &err_), GYR_OK) << err_.message;
    std::vector<int64_t> ids(kRows), versions(kRows), offsets(kRows + 1);
    std::vector<gyr_str> texts(kRows);
    std::vector<char> heap(kRows * 64);
    for (int i = 0; i < kRows; i++) ids[size_t(i)] = i;
    gyr_keys keys = {sizeof keys, GYR_DTYPE_INT64, kRows, ids.data(), nullptr};
    gyr_table_column columns[2]{};
    columns[0].struct_size = columns[1].struct_size = sizeof columns[0];
    columns[0].name = "version", columns[0].dtype = GYR_DTYPE_INT64;
    columns[0].values = versions.data(), columns[0].values_capacity = kRows;
    columns[1].name = "text", columns[1].dtype = GYR_DTYPE_STRING;
    columns[1].values = texts.data(), columns[1].values_capacity = kRows;
    columns[1].heap = heap.data(), columns[1].heap_capacity = heap.size();
    EXPECT_EQ(gyr_table_get(table, &keys, 0, columns, 2, &err_), GYR_OK) << err_.message;
    gyr_table_destroy(table);
    gyr_runtime_destroy(rt);
    for (size_t i = 0; i < kRows; i++) {
      std::string text = "row " + std::to_string(i) + " of " + std::to_string(versions[0]);
      EXPECT_EQ(versions[i], versions[0]);
      EXPECT_EQ(std::string(texts[i].data, texts[i].len), text);
      if (HasFailure()) return -1;
    }
    return versions[0];
  }
};

// Saves while another thread upserts other rows.
TEST_F(KillTable, SavesAndUpserts) {
  loop(
      "table",
      [&](const Reports& reports, int64_t version) {
        gyr_runtime* rt = runtime();
        gyr_table* table = nullptr;
        must(gyr_table_create(rt, kSchema, &table, &err_));
        reports.say(version);
        std::thread live([&] {
          for (int64_t n = 0;; n++)
            upsert(table, kRows + n % 500, n), std::this_thread::sleep_for(std::chrono::microseconds(50));
        });
        for (;;) {
          version++;
          for (int i = 0; i < kRows; i++) upsert(table, i, version);
          must(gyr_table_save(table, path_.c_str(), &err_));
          reports.say(version);
        }
      },
      [&] { return read(); });
}

// Three processes save to one path; one after the other is killed. The file is always somebody's, whole.
TEST_F(KillTable, SeveralProcessesSaveToOnePath) {
  constexpr int kWriters = 3;
  constexpr int64_t kOwn = int64_t(1) << 40;  // versions of writer w start at (w + 1) * kOwn
  Random random{uint64_t(getpid())};
  auto start = [&](int64_t writer) {
    return start_child([&] {
      gyr_runtime* rt = runtime();
      gyr_table* table = nullptr;
      must(gyr_table_create(rt, kSchema, &table, &err_));
      for (int64_t version = (writer + 1) * kOwn;; version++) {
        for (int i = 0; i < kRows; i++) upsert(table, i, version);
        must(gyr_table_save(table, path_.c_str(), &err_));
      }
      return 5;
    });
  };
  pid_t pids[kWriters];
  for (int w = 0; w < kWriters; w++) pids[w] = start(w);
  int kills = 0, reads = 0, changes = 0;
  int64_t before = 0;
  std::vector<int> seen(kWriters), seen_alive(kWriters);  // in all; since the process was started
  auto all_seen = [&] { return *std::min_element(seen.begin(), seen.end()) > 0; };
  auto end = Clock::now() + std::chrono::duration<double>(seconds()), latest = end + std::chrono::seconds(60);
  while ((Clock::now() < end || (!all_seen() && Clock::now() < latest)) && !HasFailure()) {
    std::this_thread::sleep_for(std::chrono::microseconds(random.below(20'000)));
    if (fs::exists(path_)) {
      int64_t version = read();
      reads++;
      ASSERT_GE(version, kOwn);
      ASSERT_LT(version / kOwn, kWriters + 1);
      seen[size_t(version / kOwn - 1)]++;
      seen_alive[size_t(version / kOwn - 1)]++;
      changes += version != before;
      before = version;
    }
    size_t victim = random.below(kWriters);
    if (random.below(3) || !seen_alive[victim]) continue;  // on a slow machine, too, every process comes to save
    kill(pids[victim], SIGKILL);
    ASSERT_EQ(wait_child(pids[victim]), -SIGKILL) << "a writer failed by itself";
    kills++;
    seen_alive[victim] = 0;
    pids[victim] = start(int64_t(victim));
  }
  for (pid_t pid : pids) {
    kill(pid, SIGKILL);
    EXPECT_EQ(wait_child(pid), -SIGKILL) << "a writer failed by itself";
  }
  EXPECT_GE(changes, kWriters);
  for (int n : seen) EXPECT_GT(n, 0);
  std::printf("one path: %d kills, %d reads, %d of them new, by writer %d %d %d\n", kills, reads, changes, seen[0],
              seen[1], seen[2]);
}

using KillIndex = Kill;

TEST_F(KillIndex, SavesAndUpserts) {
  auto fill = [](int64_t id, int64_t version, float* out) {
    for (int d = 0; d < kDim; d++) out[d] = float((id * 31 + d * 7) % 97) + float(version);
  };
  gyr_index_options options{};
  options.struct_size = sizeof options;
  options.dim = kDim;
  options.metric = GYR_METRIC_L2;
  options.kind = GYR_INDEX_EXACT;
  loop(
      "index",
      [&](const Reports& reports, int64_t version) {
        gyr_runtime* rt = runtime();
        gyr_index* index = nullptr;
        must(gyr_index_create(rt, &options, &index, &err_));
        reports.say(version);
        std::vector<float> vectors(kRows * kDim);
        std::vector<int64_t> ids(kRows);
        for (;;) {
          version++;
          for (int64_t i = 0; i < kRows; i++) ids[size_t(i)] = i, fill(i, version, &vectors[size_t(i) * kDim]);
          must(gyr_index_upsert(index, ids.data(), vectors.data(), kRows, nullptr, &err_));
          // One more id tells the version.
          int64_t tell = 1'000'000 + version;
          must(gyr_index_upsert(index, &tell, vectors.data(), 1, nullptr, &err_));
          must(gyr_index_save(index, path_.c_str(), &err_));
          reports.say(version);
          must(gyr_index_delete(index, &tell, 1, nullptr, &err_));
        }
      },
      [&]() -> int64_t {
        gyr_runtime* rt = runtime();
        gyr_index* index = nullptr;
        EXPECT_EQ(gyr_index_open(rt, path_.c_str(), &index, &err_), GYR_OK) << err_.message;
        if (!index) return -1;
        gyr_index_info info{};
        info.struct_size = sizeof info;
        EXPECT_EQ(gyr_index_get_info(index, &info, &err_), GYR_OK);
        EXPECT_EQ(info.count, uint64_t(kRows) + 1);
        // A vector whose distance is zero at one version only gives the version; all others must agree.
        std::vector<float> query(kDim);
        std::vector<int64_t> ids(kRows + 1);
        std::vector<float> scores(kRows + 1);
        uint32_t count = 0;
        gyr_search_args args{};
        args.struct_size = sizeof args;
        args.k = kRows + 1;
        args.queries = query.data();
        args.n = 1;
        args.out_ids = ids.data();
        args.out_scores = scores.data();
        args.out_counts = &count;
        EXPECT_EQ(gyr_index_search(index, &args, nullptr, &err_), GYR_OK) << err_.message;
        EXPECT_EQ(count, uint32_t(kRows) + 1);
        int64_t version = *std::max_element(ids.begin(), ids.end()) - 1'000'000;
        for (int64_t i = 0; i < kRows; i += 37) {
          fill(i, version, query.data());
          args.k = 1;
          EXPECT_EQ(gyr_index_search(index, &args, nullptr, &err_), GYR_OK);
          EXPECT_EQ(scores[0], 0) << "row " << i << " is not of version " << version;
        }
        gyr_index_destroy(index);
        gyr_runtime_destroy(rt);
        return HasFailure() ? -1 : version;
      });
}

using KillBundle = Kill;

std::string metadata_of(gyr_bundle* bundle) {
  uint64_t size = 0;
  gyr_error err = GYR_ERROR_INIT;
  gyr_bundle_describe(bundle, nullptr, 0, &size, &err);
  std::string text(size, '\0');
  if (gyr_bundle_describe(bundle, text.data(), size, &size, &err) != GYR_OK) return err.message;
  return text.substr(text.find("\"metadata\""));
}

// Upserts into the tables and the index of a served bundle, saves it, publishes what it saved, and answers from it.
TEST_F(KillBundle, SavesPublishesAndUpserts) {
  std::string base = folder_.file("base.gyr");
  world().save(base);
  auto check = [](Objects& o, int64_t version) {
    int64_t first = item_id(0), found[kItems];
    std::vector<int64_t> ids(kItems);
    for (int i = 0; i < kItems; i++) ids[size_t(i)] = first + i;
    gyr_keys keys = {sizeof keys, GYR_DTYPE_INT64, kItems, ids.data(), nullptr};
    gyr_table_column column{};
    column.struct_size = sizeof column;
    column.name = "world", column.dtype = GYR_DTYPE_INT64;
    column.values = found, column.values_capacity = kItems;
    o.must(gyr_table_get(o.items, &keys, 0, &column, 1, &o.err));
    bool same = std::all_of(found, found + kItems, [&](int64_t v) { return v == version; });
    Answer a({user_id(3), user_id(4)});
    o.must(gyr_bundle_recommend(o.bundle, &a.args, nullptr, &o.err));
    bool told = metadata_of(o.bundle).find("\"version\": " + std::to_string(version) + "\n") != std::string::npos;
    return same && told && a.counts[0] == 10;
  };
  loop(
      "bundle",
      [&](const Reports& reports, int64_t version) {
        Objects o(base);
        reports.say(version);
        for (;;) {
          o.set_version(++version);
          o.must(gyr_bundle_builder_save(o.builder, path_.c_str(), &o.err));
          reports.say(version);
          o.must(gyr_bundle_publish(o.bundle, path_.c_str(), GYR_PUBLISH_CARRY_ROWS, nullptr, &o.err));
          if (!check(o, version)) _exit(6);
        }
      },
      [&]() -> int64_t {
        Objects o(path_);
        std::string text = metadata_of(o.bundle);
        int64_t version = std::atoll(text.c_str() + text.find("\"version\":") + 10);
        EXPECT_TRUE(check(o, version)) << version << " in " << text;
        return HasFailure() ? -1 : version;
      });
}

}  // namespace
}  // namespace gyr::test
