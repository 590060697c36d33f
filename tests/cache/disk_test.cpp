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
#include <functional>
#include <map>
#include <string_view>
#include <thread>

#include "base/random.h"
#include "cache/cache.h"
#include "tests/support/file_faults.h"
#include "tests/support/files.h"

namespace gyr {
namespace {

namespace fs = std::filesystem;

struct Folder {
  std::string path = ::testing::TempDir() + "gyr-disk-XXXXXX";
  Folder() {
    if (!mkdtemp(path.data())) ADD_FAILURE() << "no folder";
  }
  ~Folder() { fs::remove_all(path); }
  std::vector<std::string> files() const {
    std::vector<std::string> out;
    for (auto& e : fs::directory_iterator(path))
      if (e.path().extension() == ".seg") out.push_back(e.path());
    std::sort(out.begin(), out.end());
    return out;
  }
};

std::unique_ptr<DiskTier> open(const Folder& folder, uint32_t row_bytes, uint64_t segment_bytes) {
  auto made = DiskTier::open(std::pmr::get_default_resource(), folder.path, row_bytes, segment_bytes);
  EXPECT_TRUE(made.ok()) << made.status().message();
  return std::move(*made);
}

std::string row_of(int64_t key, int version, uint32_t bytes) {
  std::string row;
  for (uint32_t b = 0; b < bytes; b++) row.push_back(char(mix64(uint64_t(key * 31 + version)) >> (b % 8 * 8)));
  return row;
}
Status put(DiskTier* t, int64_t key, const std::string& row) {
  return t->put(&key, reinterpret_cast<const uint8_t*>(row.data()), 1);
}

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

size_t bytes_of(const Folder& folder) {
  size_t bytes = 0;
  for (auto& f : folder.files()) bytes += fs::file_size(f);
  return bytes;
}

// However often little is saved: few files, each with one descriptor, and every row is where it was.
TEST(DiskTier, SmallFilesAreMerged) {
  auto descriptors = [] {
    auto all = fs::directory_iterator("/proc/self/fd");
    return std::distance(fs::begin(all), fs::end(all));
  };
  constexpr uint32_t kBytes = 16;
  constexpr int64_t kSaves = 300;
  Folder folder;
  auto tier = open(folder, kBytes, 1 << 20);
  const auto before = descriptors();
  for (int64_t key = 0; key < kSaves; key++) {
    ASSERT_TRUE(put(tier.get(), key, row_of(key, 0, kBytes)).ok());
    ASSERT_TRUE(tier->flush().ok());
    ASSERT_LE(folder.files().size(), 12u) << key;
  }
  EXPECT_LE(descriptors() - before, 13);  // and io_uring's
  for (bool again : {false, true}) {
    if (again) tier = nullptr, tier = open(folder, kBytes, 1 << 20);
    EXPECT_EQ(tier->rows(), uint64_t(kSaves));
    for (int64_t key = 0; key < kSaves; key++) {
      std::string row(kBytes, 0);
      uint8_t found = 9;
      tier->fetch(&key, 1, reinterpret_cast<uint8_t*>(row.data()), &found);
      ASSERT_EQ(found, GYR_TIER_FOUND);
      EXPECT_EQ(row, row_of(key, 0, kBytes));
    }
  }
}

// Rows that were replaced or removed give their space back.
TEST(DiskTier, DeadRowsGiveTheirSpaceBack) {
  constexpr uint32_t kBytes = 256;
  Folder folder;
  auto tier = open(folder, kBytes, kBytes * 1000);
  for (int round = 0; round < 30; round++)
    for (int64_t key = 0; key < 1000; key++) ASSERT_TRUE(put(tier.get(), key, row_of(key, round, kBytes)).ok());
  ASSERT_TRUE(tier->flush().ok());
  EXPECT_LE(bytes_of(folder), 3u * 1000 * kBytes);
  for (int64_t key = 0; key < 1000; key++) {
    if (key % 10) {
      ASSERT_TRUE(tier->remove(&key, 1).ok());
    }
  }
  ASSERT_TRUE(tier->flush().ok());
  EXPECT_LE(bytes_of(folder), 100u * kBytes * 2 + 8192 + 900 * 8);
  for (int64_t key = 0; key < 1000; key++) ASSERT_TRUE(tier->remove(&key, 1).ok());
  ASSERT_TRUE(tier->flush().ok());
  EXPECT_EQ(folder.files().size(), 0u);
  tier = nullptr, tier = open(folder, kBytes, 1 << 20);
  EXPECT_EQ(tier->rows(), 0u);
}

// Its rows are in error, and not forgotten, and other files are merged all the same.
TEST(DiskTier, DamagedFilesAreNotMerged) {
  constexpr uint32_t kBytes = 256;
  Folder folder;
  auto tier = open(folder, kBytes, 1 << 20);
  auto save = [&](int64_t key) {
    ASSERT_TRUE(put(tier.get(), key, row_of(key, 0, kBytes)).ok());
    ASSERT_TRUE(tier->flush().ok());
  };
  save(0);
  tier = nullptr;  // and out of every cache of pages
  const std::string path = folder.files().at(0);
  auto bytes = test::slurp(path);
  bytes[PageLayout::kUnit + 20] ^= 1;
  test::spill(path, bytes);
  tier = open(folder, kBytes, 1 << 20);
  for (int64_t key = 1; key < 40; key++) save(key);
  EXPECT_LE(folder.files().size(), 10u);
  for (int64_t key = 0; key < 40; key++) {
    std::string row(kBytes, 0);
    uint8_t found = 9;
    tier->fetch(&key, 1, reinterpret_cast<uint8_t*>(row.data()), &found);
    EXPECT_EQ(found, key ? GYR_TIER_FOUND : GYR_TIER_ERROR) << key;
  }
  tier = nullptr, tier = open(folder, kBytes, 1 << 20);
  EXPECT_EQ(tier->rows(), 40u);
}

#ifdef GYR_FAULTS
struct Trouble final : FileWatch {
  std::function<int(const FileCall&)> errno_of;  // 0: none
  explicit Trouble(std::function<int(const FileCall&)> f) : errno_of(std::move(f)) { file_watch = this; }
  ~Trouble() override { file_watch = nullptr; }
  FileVerdict before(const FileCall& call) override {
    const int e = errno_of(call);
    return e ? FileVerdict{.perform = false, .limit = size_t(-1), .error = e} : FileVerdict{};
  }
  void after(const FileCall&, bool, ptrdiff_t) override {}
};
bool names(const char* path, const char* end) { return path && std::string_view(path).ends_with(end); }

// The list has its new name, and its folder cannot be synced: what it names must not become another file.
TEST(DiskTier, ANumberIsNeverUsedTwice) {
  for (int nth : {1, 2}) {  // the list of a write, and that of the merge after it
    Folder folder;
    auto tier = open(folder, 16, 1 << 20);
    auto save = [&](int64_t key) {
      EXPECT_TRUE(put(tier.get(), key, row_of(key, 0, 16)).ok());
      return tier->flush().ok();
    };
    for (int64_t key = 0; key < 3; key++) ASSERT_TRUE(save(key));
    int lists = 0;
    {
      Trouble trouble([&](const FileCall& c) {
        lists += c.op == FileOp::kRename && names(c.to, "rows.list");
        return c.op == FileOp::kSyncFolder && lists == nth ? EIO : 0;
      });
      EXPECT_EQ(save(3), nth == 2);
    }
    ASSERT_GE(lists, nth);
    bool written = false;
    {
      Trouble trouble([&](const FileCall& c) {
        const bool again =
            written && (c.op == FileOp::kWrite || c.op == FileOp::kCreate || c.op == FileOp::kCreateUnnamed);
        written |= (c.op == FileOp::kRename || c.op == FileOp::kLink) && names(c.to, ".seg");
        return again ? ENOSPC : 0;
      });
      EXPECT_FALSE(save(4));
      tier = nullptr;
    }
    EXPECT_TRUE(written);
    tier = open(folder, 16, 1 << 20);
    ASSERT_NE(tier, nullptr);
    EXPECT_GE(tier->rows(), nth == 2 ? 4u : 3u);
    ASSERT_TRUE(save(5));
    EXPECT_LE(folder.files().size(), 5u) << "what failed writes left is gone";
  }
}

// Two troubles: a call of one flush fails, and all from some call on of the next one.
TEST(DiskTier, FoldersOpenAfterTwoTroubles) {
  constexpr uint32_t kBytes = 64;
  int pairs = 0;
  bool met_first = true;
  for (int i = 0; met_first; i += 3) {
    bool met_second = true;
    for (int j = 0; met_second; j += 7) {
      met_first = met_second = false;
      Folder folder;
      auto tier = open(folder, kBytes, 1 << 20);
      std::map<int64_t, int> begun, saved;
      auto save = [&](int version) {
        for (int64_t k = version; k < version + 6; k++) {
          EXPECT_TRUE(put(tier.get(), k, row_of(k, version, kBytes)).ok());
          begun[k] = version;
        }
        if (tier->flush().ok()) saved = begun;
      };
      for (int version = 0; version < 3; version++) save(version);
      auto counted = [](const FileCall& c) { return c.op != FileOp::kUnlink && c.op != FileOp::kClose; };
      int at = 0;
      {
        Trouble trouble([&](const FileCall& c) {
          if (!counted(c) || at++ != i) return 0;
          met_first = true;
          return EIO;
        });
        save(3);
      }
      at = 0;
      {
        Trouble trouble([&](const FileCall& c) {
          if (!counted(c) || at++ < j) return 0;
          met_second = true;
          return ENOSPC;
        });
        save(4);
        tier = nullptr;
      }
      pairs++;
      auto made = DiskTier::open(std::pmr::get_default_resource(), folder.path, kBytes, 1 << 20);
      ASSERT_TRUE(made.ok()) << i << ", " << j << ": " << made.status().message();
      for (auto [key, version] : saved) {
        std::string row(kBytes, 0);
        uint8_t found = 9;
        (*made)->fetch(&key, 1, reinterpret_cast<uint8_t*>(row.data()), &found);
        ASSERT_EQ(found, GYR_TIER_FOUND) << i << ", " << j << ": " << key;
        bool any = false;
        for (int later = version; later <= 4; later++) any |= row == row_of(key, later, kBytes);
        ASSERT_TRUE(any) << i << ", " << j << ": " << key;
      }
    }
  }
  EXPECT_GE(pairs, 30);
}

// A page, or a file, that cannot be read any more: the others are merged, and somebody is told.
TEST(DiskTier, WhatCannotBeReadIsLeftOutOfMerging) {
  constexpr uint32_t kBytes = 256;
  for (bool gone : {false, true}) {
    Folder folder;
    auto tier = open(folder, kBytes, 1 << 20);
    tier->read_plainly();
    int told = 0;
    tier->on_left_alone([&](const std::string& path, const char*) { told += path == folder.files().at(0) || gone; });
    auto save = [&](int64_t key) {
      EXPECT_TRUE(put(tier.get(), key, row_of(key, 0, kBytes)).ok());
      EXPECT_TRUE(tier->flush().ok());
    };
    save(0);
    if (gone) fs::remove(folder.files().at(0));
    Trouble trouble([&](const FileCall& c) {
      return c.op == FileOp::kRead && names(c.path, "rows-00000000.seg") && c.size == 4096 ? EIO : 0;
    });
    for (int64_t key = 1; key < 100; key++) save(key);
    EXPECT_LE(folder.files().size(), 12u);
    EXPECT_EQ(told, 1);
    EXPECT_EQ(tier->rows(), 100u);
  }
}

// A reader that has a segment in its hands finds it damaged when it is gone already.
TEST(DiskTier, DamageOfAFileThatIsGoneIsNotAnothersDamage) {
  constexpr uint32_t kBytes = 256;
  Folder folder;
  auto tier = open(folder, kBytes, 1 << 20);
  ASSERT_TRUE(put(tier.get(), 0, row_of(0, 0, kBytes)).ok());
  tier = nullptr;
  const std::string path = folder.files().at(0);
  auto bytes = test::slurp(path);
  bytes[PageLayout::kUnit + 20] ^= 1;
  test::spill(path, bytes);
  tier = open(folder, kBytes, 1 << 20);
  tier->read_plainly();
  std::string row(kBytes, 0);
  uint8_t found = 9;
  int64_t key = 0;
  bool done = false;
  {
    Trouble trouble([&](const FileCall& c) {
      if (c.op != FileOp::kRead || done) return 0;
      done = true;  // the place is found, and nothing is read yet
      EXPECT_TRUE(put(tier.get(), 0, row_of(0, 1, kBytes)).ok());
      EXPECT_TRUE(tier->flush().ok());
      return 0;
    });
    tier->fetch(&key, 1, reinterpret_cast<uint8_t*>(row.data()), &found);
  }
  EXPECT_TRUE(done);
  EXPECT_EQ(found, GYR_TIER_ERROR);
  for (int64_t k = 1; k < 30; k++) {
    ASSERT_TRUE(put(tier.get(), k, row_of(k, 1, kBytes)).ok());
    ASSERT_TRUE(tier->flush().ok());
    for (int64_t j = 0; j <= k; j++) {
      tier->fetch(&j, 1, reinterpret_cast<uint8_t*>(row.data()), &found);
      ASSERT_EQ(found, GYR_TIER_FOUND) << j << " of " << k;
    }
  }
}

// However wasteful the files have become: a write adds its own, and merges into one.
TEST(DiskTier, OneWriteMergesOnce) {
  constexpr uint32_t kBytes = 256;
  Folder folder;
  auto tier = open(folder, kBytes, 8 << 20);
  int64_t end = 0;
  for (int64_t n = 1 << 10; n >= 1; n /= 4)  // of falling size: too few neighbours to be merged
    for (int i = 0; i < 2; i++) {
      for (int64_t key = end; key < end + n; key++) ASSERT_TRUE(put(tier.get(), key, row_of(key, 0, kBytes)).ok());
      end += n;
      ASSERT_TRUE(tier->flush().ok());
    }
  for (int64_t key = 0; key < end; key++) {
    if (key % 4) {
      ASSERT_TRUE(tier->remove(&key, 1).ok());
    }
  }
  int files = 0;
  Trouble count([&](const FileCall& c) {
    files += (c.op == FileOp::kRename || c.op == FileOp::kLink) && names(c.to, ".seg");
    return 0;
  });
  for (int i = 0; i < 12; i++) {
    files = 0;
    ASSERT_TRUE(put(tier.get(), -1 - i, row_of(0, 0, kBytes)).ok());
    ASSERT_TRUE(tier->flush().ok());
    EXPECT_LE(files, 2);
  }
  EXPECT_LE(bytes_of(folder), uint64_t(end) / 4 * kBytes * 2 + 20 * 8192) << "it is done in the end";
}
#endif

// Keys that come and go above a file that is too large to be merged.
TEST(DiskTier, RemovalsDoNotPileUp) {
  constexpr int64_t kRows = 20'000, kRound = 6000;
  Folder folder;
  auto tier = open(folder, 16, 1 << 20);
  for (int64_t k = 0; k < kRows; k++) ASSERT_TRUE(put(tier.get(), k, row_of(k, 0, 16)).ok());
  ASSERT_TRUE(tier->flush().ok());
  const size_t before = bytes_of(folder);
  for (int64_t round = 1; round <= 12; round++) {
    for (bool put_them : {true, false}) {
      for (int64_t k = round * 100'000; k < round * 100'000 + kRound; k++) {
        ASSERT_TRUE(put_them ? put(tier.get(), k, row_of(k, 0, 16)).ok() : tier->remove(&k, 1).ok());
      }
      ASSERT_TRUE(tier->flush().ok());
    }
    EXPECT_LE(bytes_of(folder), before + 3 * kRound * 8 + kRound * 32 + 65536) << round;
  }
  tier = nullptr, tier = open(folder, 16, 1 << 20);
  EXPECT_EQ(tier->rows(), uint64_t(kRows));
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
