// The disk tier: what is put is found, also after reopening; damage stays where it is; both ways of reading.
#include "cache/disk_tier.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include "base/random.h"
#include "cache/cache.h"
#include "tests/cache/disk_folder.h"
#include "tests/support/file_faults.h"
#include "tests/support/files.h"

namespace gyr {
namespace {

// Random puts, removals, flushes and reopenings against a map.
TEST(DiskTier, FollowsAModel) {
  for (uint32_t bytes : {1u, 12u, 256u, 4080u, 4081u, 9000u}) {
    Folder folder;
    auto tier = open(folder, bytes, bytes * 50);
    std::map<int64_t, std::string> model;
    Random random{bytes};
    for (int step = 0; step < 1500; step++) {
      auto key = int64_t(random.below(300));
      switch (random.below(12)) {
        case 0:
          ASSERT_TRUE(tier->remove(&key, 1).ok());
          model.erase(key);
          break;
        case 1:
          if (step % 20 == 0) tier = nullptr, tier = open(folder, bytes, bytes * 50);
          break;
        case 2:
          if (step % 7 == 0) {
            ASSERT_TRUE(tier->flush().ok());
          }
          break;
        default:
          model[key] = row_of(key, step, bytes);
          ASSERT_TRUE(put(tier.get(), key, model[key]).ok());
      }
      if (step % 300 != 299) continue;
      for (bool plain : {false, true}) {
        if (plain) tier->read_plainly();
        std::vector<int64_t> keys;
        for (int i = 0; i < 700; i++) keys.push_back(int64_t(random.below(320)));
        std::vector<uint8_t> rows(keys.size() * bytes), found(keys.size(), 9);
        tier->fetch(keys.data(), keys.size(), rows.data(), found.data());
        for (size_t i = 0; i < keys.size(); i++) {
          ASSERT_EQ(found[i], model.count(keys[i]) ? GYR_TIER_FOUND : GYR_TIER_ABSENT) << keys[i];
          if (found[i]) {
            ASSERT_EQ(std::memcmp(&rows[i * bytes], model[keys[i]].data(), bytes), 0) << keys[i];
          }
        }
      }
      EXPECT_EQ(tier->rows(), model.size());
    }
  }
}

// Whether this machine allows io_uring or not, the test says which way was tried.
TEST(DiskTier, ReadsManyPagesAtOnce) {
  auto reader = PageReader::make(4096);
  std::printf("io_uring: %s\n", reader->uring() ? "yes" : "not allowed here, pread");
  EXPECT_FALSE(PageReader::make(4096, false)->uring());
  Folder folder;
  std::string path = folder.path + "/pages";
  std::ofstream out(path, std::ios::binary);
  for (int p = 0; p < 1000; p++) out << std::string(4096, char(p % 251));
  out << "short";
  out.close();
  auto direct = File::open_direct(path), plain = File::open_read(path);
  for (const File* file : {direct.ok() ? &*direct : nullptr, &*plain}) {
    if (!file) continue;
    std::vector<PageRead> reads;
    for (size_t i = 0; i < 3000; i++) reads.push_back({file, i * 7 % 1000 * 4096, 4096});
    reads.push_back({file, 1000 * 4096, 4096});  // ends before
    reads.push_back({file, 5000 * 4096, 4096});  // beyond
    std::vector<int> seen(reads.size(), 0);
    reader->read(reads.data(), reads.size(), [&](size_t i, const uint8_t* page) {
      seen[i]++;
      EXPECT_EQ(page != nullptr, i < 3000) << i;
      if (page) {
        EXPECT_EQ(page[4095], i * 7 % 1000 % 251);
      }
    });
    EXPECT_EQ(seen, std::vector<int>(reads.size(), 1));
  }
}

// A flipped bit anywhere in the rows: that page's rows are in error, the others are served.
TEST(DiskTier, DamagedPagesAreErrorsOfTheirRows) {
  constexpr uint32_t kBytes = 256;
  Folder folder;
  {
    auto tier = open(folder, kBytes, 1 << 20);
    for (int64_t key = 0; key < 300; key++) ASSERT_TRUE(put(tier.get(), key, row_of(key, 0, kBytes)).ok());
  }
  std::string path = folder.files().at(0);
  const uint64_t page = 5, per_page = PageLayout(kBytes).rows_per_page;
  int fd = ::open(path.c_str(), O_RDWR);
  char byte;
  off_t at = off_t(PageLayout(kBytes).offset(page)) + 1000;
  ASSERT_EQ(pread(fd, &byte, 1, at), 1);
  byte ^= 1;
  ASSERT_EQ(pwrite(fd, &byte, 1, at), 1);
  fsync(fd);
  close(fd);
  auto tier = open(folder, kBytes, 1 << 20);
  std::vector<int64_t> keys;
  for (int64_t key = 0; key < 300; key++) keys.push_back(key);
  std::vector<uint8_t> rows(300 * kBytes), found(300);
  tier->fetch(keys.data(), 300, rows.data(), found.data());
  size_t errors = 0;
  for (size_t i = 0; i < 300; i++) {
    EXPECT_EQ(found[i], i / per_page == page ? GYR_TIER_ERROR : GYR_TIER_FOUND) << i;
    errors += found[i] == GYR_TIER_ERROR;
    if (found[i] == GYR_TIER_FOUND) {
      EXPECT_EQ(std::memcmp(&rows[i * kBytes], row_of(int64_t(i), 0, kBytes).data(), kBytes), 0);
    }
  }
  EXPECT_EQ(errors, per_page);
}

// Every other damage is seen when the folder is opened.
TEST(DiskTier, DamagedFilesAreRefused) {
  Folder folder;
  {
    auto tier = open(folder, 256, 1 << 20);
    for (int64_t key = 0; key < 20; key++) ASSERT_TRUE(put(tier.get(), key, row_of(key, 0, 256)).ok());
    int64_t gone = 3;
    ASSERT_TRUE(tier->remove(&gone, 1).ok());
  }
  std::string path = folder.files().at(0);
  std::ifstream in(path, std::ios::binary);
  const std::string good((std::istreambuf_iterator<char>(in)), {});
  auto code = [&](const std::string& bytes, uint32_t row_bytes = 256) {
    std::ofstream(path, std::ios::binary) << bytes;
    return DiskTier::open(std::pmr::get_default_resource(), folder.path, row_bytes, 1 << 20).status().code();
  };
  EXPECT_EQ(code(good), GYR_OK);
  EXPECT_EQ(code(good, 128), GYR_E_INVALID_ARGUMENT);
  for (size_t at : {size_t(0), size_t(8), size_t(12), size_t(17), size_t(25), size_t(33), size_t(50), good.size() - 1,
                    good.size() - 9}) {
    std::string bad = good;
    bad[at] = char(bad[at] ^ 4);
    EXPECT_EQ(code(bad), GYR_E_CORRUPT) << at;
  }
  for (size_t size : {size_t(0), size_t(100), size_t(4096), good.size() - 1})
    EXPECT_EQ(code(good.substr(0, size)), GYR_E_CORRUPT);
  EXPECT_EQ(code(good + "x"), GYR_E_CORRUPT);
  EXPECT_EQ(code(good), GYR_OK);
}

#ifdef GYR_FAULTS
// Every step of writing a file fails: what waits stays, is read, and is written once that works again.
TEST(DiskTier, AFullDiskIsOvercome) {
  constexpr uint32_t kBytes = 256;
  for (auto trouble : {test::Trouble::kError, test::Trouble::kNoSpace, test::Trouble::kTorn}) {
    int failed = 0;
    for (int64_t nth = 0;; nth++) {
      Folder folder;
      auto tier = open(folder, kBytes, 1 << 20);
      for (int64_t key = 0; key < 20; key++) ASSERT_TRUE(put(tier.get(), key, row_of(key, 0, kBytes)).ok());
      ASSERT_TRUE(tier->flush().ok());
      for (int64_t key = 10; key < 30; key++) ASSERT_TRUE(put(tier.get(), key, row_of(key, 1, kBytes)).ok());
      bool met = false;
      Status flushed;
      {
        test::Disturber disturber(trouble, nth, true);
        flushed = tier->flush();
        met = disturber.met();
        EXPECT_EQ(tier->flush().ok(), flushed.ok());
      }
      if (flushed.ok() && !met) break;
      if (!flushed.ok()) {
        failed++;
        EXPECT_EQ(flushed.code(), GYR_E_IO) << flushed.message();
        Status why = tier->failure();
        ASSERT_NE(why.info(), nullptr);
        EXPECT_NE(why.info()->os_errno, 0);
        EXPECT_NE(std::string(why.message()).find(folder.path), std::string::npos) << why.message();
      }
      for (bool again : {false, true}) {
        if (again) {
          ASSERT_TRUE(put(tier.get(), 29, row_of(29, 1, kBytes)).ok());
          ASSERT_TRUE(tier->flush().ok());
          tier = nullptr, tier = open(folder, kBytes, 1 << 20);
        }
        std::vector<int64_t> keys;
        for (int64_t key = 0; key < 30; key++) keys.push_back(key);
        std::vector<uint8_t> rows(30 * kBytes), found(30);
        tier->fetch(keys.data(), 30, rows.data(), found.data());
        for (int64_t key = 0; key < 30; key++) {
          ASSERT_EQ(found[size_t(key)], GYR_TIER_FOUND) << key;
          EXPECT_EQ(std::memcmp(&rows[size_t(key) * kBytes], row_of(key, key >= 10, kBytes).data(), kBytes), 0) << key;
        }
      }
    }
    EXPECT_GE(failed, 2) << test::name(trouble);
  }
}

TEST(DiskTier, WhatIsLostInTheEndIsTold) {
  Folder folder;
  auto tier = open(folder, 16, 1 << 20);
  for (int64_t key = 0; key < 7; key++) ASSERT_TRUE(put(tier.get(), key, row_of(key, 0, 16)).ok());
  size_t lost = 0;
  std::string reason;
  tier->on_loss([&](size_t rows, const char* why) { lost = rows, reason = why; });
  test::Disturber disturber(test::Trouble::kNoSpace, 0, true);
  tier = nullptr;
  EXPECT_EQ(lost, 7u);
  EXPECT_NE(reason.find(folder.path), std::string::npos) << reason;
}

// The name of a new folder is on disk before anything is put in it.
TEST(DiskTier, ANewFolderIsSynced) {
  struct Watch final : FileWatch {
    std::vector<std::string> synced;
    FileVerdict before(const FileCall& call) override {
      if (call.op == FileOp::kSyncFolder) synced.push_back(call.path);
      return {};
    }
    void after(const FileCall&, bool, ptrdiff_t) override {}
    Watch() { file_watch = this; }
    ~Watch() override { file_watch = nullptr; }
  } watch;
  Folder folder;
  ASSERT_TRUE(DiskTier::open(std::pmr::get_default_resource(), folder.path + "/new", 16, 1 << 20).ok());
  ASSERT_FALSE(watch.synced.empty());
  EXPECT_EQ(watch.synced[0], folder.path);
}

TEST(DiskTier, ReadsThatFailAreErrorsOfTheirRows) {
  constexpr uint32_t kBytes = 256;
  Folder folder;
  {
    auto tier = open(folder, kBytes, 1 << 20);
    for (int64_t key = 0; key < 100; key++) ASSERT_TRUE(put(tier.get(), key, row_of(key, 0, kBytes)).ok());
  }
  auto tier = open(folder, kBytes, 1 << 20);
  std::vector<int64_t> keys;
  for (int64_t key = 0; key < 100; key++) keys.push_back(key);
  std::vector<uint8_t> rows(100 * kBytes), found(100);
  for (auto trouble : {test::Trouble::kError, test::Trouble::kEnd, test::Trouble::kShort, test::Trouble::kInterrupt}) {
    {
      test::Disturber disturber(trouble, 3);
      tier->fetch(keys.data(), 100, rows.data(), found.data());
      EXPECT_TRUE(disturber.met());
    }
    auto errors = size_t(std::count(found.begin(), found.end(), GYR_TIER_ERROR));
    EXPECT_EQ(errors, test::harmless(trouble) ? 0 : PageLayout(kBytes).rows_per_page) << test::name(trouble);
  }
}
#endif

TEST(DiskTier, ReadersAndAWriter) {
  constexpr uint32_t kBytes = 64;
  Folder folder;
  auto tier = open(folder, kBytes, kBytes * 100);
  for (int64_t key = 0; key < 500; key++) ASSERT_TRUE(put(tier.get(), key, row_of(key, 0, kBytes)).ok());
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> wrong{0};
  auto reader = [&] {
    std::vector<int64_t> keys(500);
    for (size_t i = 0; i < 500; i++) keys[i] = int64_t(i);
    std::vector<uint8_t> rows(500 * kBytes), found(500);
    while (!stop) {
      tier->fetch(keys.data(), 500, rows.data(), found.data());
      for (size_t i = 0; i < 500; i++) {
        auto is = [&](int version) {
          return std::memcmp(&rows[i * kBytes], row_of(int64_t(i), version, kBytes).data(), kBytes) == 0;
        };
        wrong += found[i] != GYR_TIER_FOUND || !(is(0) || is(1));
      }
    }
  };
  std::thread a(reader), b(reader);
  for (int round = 0; round < 6; round++)
    for (int64_t key = 0; key < 500; key++) ASSERT_TRUE(put(tier.get(), key, row_of(key, round % 2, kBytes)).ok());
  stop = true;
  a.join(), b.join();
  EXPECT_EQ(wrong, 0u);
}

// Removals wait in memory, too, and no longer than rows do; those of keys that are not there need not be remembered.
TEST(DiskTier, RemovalsAreWrittenWithoutRows) {
  Folder folder;
  auto tier = open(folder, 16, 64 * 10);
  for (int64_t key = 0; key < 35; key++) ASSERT_TRUE(tier->remove(&key, 1).ok());
  ASSERT_TRUE(tier->flush().ok());
  EXPECT_EQ(folder.files().size(), 0u);
  for (int64_t key = 0; key < 40; key++) ASSERT_TRUE(put(tier.get(), key, row_of(key, 0, 16)).ok());
  ASSERT_TRUE(tier->flush().ok());
  const auto list = test::slurp(folder.path + "/rows.list");
  for (int64_t key = 0; key < 11; key++) ASSERT_TRUE(tier->remove(&key, 1).ok());
  EXPECT_NE(test::slurp(folder.path + "/rows.list"), list) << "ten removals are written before the next one";
  tier = nullptr, tier = open(folder, 16, 64 * 10);
  EXPECT_EQ(tier->rows(), 29u);
}

TEST(DiskTier, FilesThatAreMissingOrForeignAreNoticed) {
  Folder folder, other;
  for (auto* f : {&folder, &other}) {
    auto tier = open(*f, 16, 1 << 20);
    for (int64_t key = 0; key < 10; key++)
      ASSERT_TRUE(put(tier.get(), key * (f == &folder ? 1 : 2), row_of(key, 0, 16)).ok());
  }
  const std::string path = folder.files().at(0), list = folder.path + "/rows.list";
  auto refused = [&](const std::string& named) {
    auto opened = DiskTier::open(std::pmr::get_default_resource(), folder.path, 16, 1 << 20);
    const Status& s = opened.status();
    EXPECT_EQ(s.code(), GYR_E_CORRUPT);
    EXPECT_NE(std::string(s.message()).find(named), std::string::npos) << s.message();
  };
  const auto good = test::slurp(path), named = test::slurp(list);
  fs::remove(path);
  refused(path);
  test::spill(path, test::slurp(other.files().at(0)));
  refused(path);
  test::spill(path, good);
  fs::remove(list);
  refused(list);
  for (size_t at = 0; at < named.size(); at++) {
    auto bad = named;
    bad[at] ^= 16;
    test::spill(list, bad);
    refused(list);
    test::spill(list, named.substr(0, at));
    refused(list);
  }
  ASSERT_TRUE(write_segment_list(folder.path, std::vector<ListedSegment>{{UINT32_MAX, 0}}).ok());
  refused(list);
  test::spill(list, named);
  // What no list names goes, and so does what a save that was cut short left.
  test::spill(folder.path + "/rows-00000077.seg", good);
  test::spill(folder.path + "/.gyr-0123456789abcdef.tmp", good);
  auto tier = open(folder, 16, 1 << 20);
  EXPECT_EQ(tier->rows(), 10u);
  EXPECT_EQ(folder.files(), std::vector<std::string>{path});
  EXPECT_FALSE(fs::exists(folder.path + "/.gyr-0123456789abcdef.tmp"));
}

// Two caches would write files of the same names.
TEST(DiskTier, AFolderBelongsToOneCacheAtATime) {
  Folder folder;
  auto tier = open(folder, 16, 1 << 20);
  auto second = DiskTier::open(std::pmr::get_default_resource(), folder.path, 16, 1 << 20);
  EXPECT_EQ(second.status().code(), GYR_E_BUSY);
  EXPECT_NE(std::string(second.status().message()).find(folder.path), std::string::npos) << second.status().message();
  ASSERT_TRUE(put(tier.get(), 1, row_of(1, 0, 16)).ok());
  pid_t child = fork();  // it has the descriptor, too
  if (child == 0) {
    pause();
    _exit(0);
  }
  tier = nullptr;
  tier = open(folder, 16, 1 << 20);
  EXPECT_EQ(tier->rows(), 1u);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
}

// Below a cache, through its options: more rows than memory may hold, saved, destroyed, opened again.
TEST(DiskTier, BelowACache) {
  Folder folder;
  std::string rows_in = folder.path + "/rows";
  gyr_runtime_options r{};
  r.struct_size = sizeof r;
  r.threads = 1;
  auto runtime = *Runtime::create(r);
  gyr_cache_tiers tiers{};
  tiers.struct_size = sizeof tiers;
  tiers.folder = rows_in.c_str();
  tiers.segment_bytes = 10'000;
  tiers.max_rows = 200;
  gyr_cache_options o{};
  o.struct_size = sizeof o;
  o.dim = 16;
  o.tiers = &tiers;
  for (gyr_cache_rows kind : {GYR_CACHE_FLOAT32, GYR_CACHE_FLOAT16}) {
    fs::remove_all(rows_in);
    o.rows = kind;
    std::vector<int64_t> keys(3000);
    std::vector<float> rows(3000 * 16), out(rows.size());
    std::vector<uint8_t> status(3000);
    for (size_t i = 0; i < keys.size(); i++) keys[i] = int64_t(i) * 3;
    for (size_t i = 0; i < rows.size(); i++) rows[i] = float(i % 1999);
    for (bool again : {false, true}) {
      auto cache = Cache::create(runtime, o);
      ASSERT_TRUE(cache.ok()) << cache.status().message();
      if (!again) {
        ASSERT_TRUE((*cache)->put(keys.data(), rows.data(), keys.size()).ok());
      }
      ASSERT_TRUE((*cache)->get(keys.data(), keys.size(), out.data(), status.data()).ok());
      EXPECT_EQ(out, rows);
      EXPECT_EQ(status, std::vector<uint8_t>(3000, GYR_VALUE_PRESENT));
      gyr_cache_info info{};
      (*cache)->fill_info(&info);
      EXPECT_EQ(info.rows, 200u);
      if (!again) continue;
      ASSERT_TRUE((*cache)->remove(keys.data(), 1500, nullptr).ok());
      ASSERT_TRUE((*cache)->get(keys.data(), keys.size(), out.data(), status.data()).ok());
      for (size_t i = 0; i < 3000; i++) EXPECT_EQ(status[i], i < 1500 ? GYR_VALUE_MISSING : GYR_VALUE_PRESENT);
    }
  }
  gyr_cache_tier below{};
  tiers.below = &below;
  EXPECT_EQ(Cache::create(runtime, o).status().code(), GYR_E_INVALID_ARGUMENT);
  tiers.below = nullptr;
  tiers.folder = "";
  EXPECT_EQ(Cache::create(runtime, o).status().code(), GYR_E_INVALID_ARGUMENT);
  tiers.folder = "/proc/nothing/here";
  EXPECT_EQ(Cache::create(runtime, o).status().code(), GYR_E_IO);
}

}  // namespace
}  // namespace gyr
