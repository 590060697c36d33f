// Merging of a disk tier's files: few of them, no more than the live rows need, and nothing lost on the way.
#include <cerrno>
#include <cstring>
#include <functional>
#include <map>
#include <string_view>

#include "tests/cache/disk_folder.h"
#include "tests/support/file_faults.h"

namespace gyr {
namespace {

// However often little is saved: few files, each with one descriptor, and every row is where it was.
TEST(DiskMerge, SmallFilesAreMerged) {
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
TEST(DiskMerge, DeadRowsGiveTheirSpaceBack) {
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
TEST(DiskMerge, DamagedFilesAreNotMerged) {
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
TEST(DiskMerge, ANumberIsNeverUsedTwice) {
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
TEST(DiskMerge, FoldersOpenAfterTwoTroubles) {
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
TEST(DiskMerge, WhatCannotBeReadIsLeftOutOfMerging) {
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
TEST(DiskMerge, DamageOfAFileThatIsGoneIsNotAnothersDamage) {
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
TEST(DiskMerge, OneWriteMergesOnce) {
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
TEST(DiskMerge, RemovalsDoNotPileUp) {
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

}  // namespace
}  // namespace gyr
