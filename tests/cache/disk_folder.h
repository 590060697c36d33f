// A folder for a disk tier, and rows for it.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "base/random.h"
#include "cache/disk_tier.h"
#include "tests/support/files.h"

namespace gyr {

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

inline std::unique_ptr<DiskTier> open(const Folder& folder, uint32_t row_bytes, uint64_t segment_bytes) {
  auto made = DiskTier::open(std::pmr::get_default_resource(), folder.path, row_bytes, segment_bytes);
  EXPECT_TRUE(made.ok()) << made.status().message();
  return std::move(*made);
}

inline std::string row_of(int64_t key, int version, uint32_t bytes) {
  std::string row;
  for (uint32_t b = 0; b < bytes; b++) row.push_back(char(mix64(uint64_t(key * 31 + version)) >> (b % 8 * 8)));
  return row;
}
inline Status put(DiskTier* t, int64_t key, const std::string& row) {
  return t->put(&key, reinterpret_cast<const uint8_t*>(row.data()), 1);
}

inline size_t bytes_of(const Folder& folder) {
  size_t bytes = 0;
  for (auto& f : folder.files()) bytes += fs::file_size(f);
  return bytes;
}

}  // namespace gyr
