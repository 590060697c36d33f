// A folder of the disk tier. First byte: bits 0-1 the size of a row, bit 2 checksums of header and keys are made right,
// bit 3 those of the pages too, bit 4 the bytes are a file as they are, bit 5 they are two files (then two bytes: the
// size of the first), bit 6 pages are read by io_uring where it is allowed. A file that is not given as it is: its 56
// bytes of header, 64 bytes of every page (the rest is zeros), and its keys. Refused, or a tier that holds what the
// files say, also after changes.
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <optional>

#include "base/hash.h"
#include "cache/disk_tier.h"
#include "tests/fuzz/common.h"
#include "tests/support/files.h"

using namespace gyr;
using namespace gyr::fuzz;

namespace {

constexpr uint32_t kRowBytes[] = {4, 24, 140, 5000};
constexpr size_t kHeader = 56, kPagePart = 64;
using Bytes = std::vector<uint8_t>;
// What the files say of a key; nullopt: its page is damaged.
using Model = std::map<int64_t, std::optional<Bytes>>;

template <class T>
T at(const Bytes& file, size_t where) {
  T value;
  std::memcpy(&value, &file[where], sizeof value);
  return value;
}
template <class T>
void set(Bytes* file, size_t where, T value) {
  std::memcpy(&(*file)[where], &value, sizeof value);
}

struct Work {
  std::string path = access("/dev/shm", W_OK) == 0 ? "/dev/shm/gyr-fuzz-XXXXXX" : "/tmp/gyr-fuzz-XXXXXX";
  Work() { must(mkdtemp(path.data()), "a folder can be made"); }
  ~Work() { std::filesystem::remove_all(path); }
};

Bytes expand(const uint8_t* data, size_t size, const PageLayout& layout, bool sums, bool page_sums) {
  Bytes header(PageLayout::kUnit);
  std::memcpy(header.data(), data, std::min(size, kHeader));
  const uint8_t* rest = data + std::min(size, kHeader);
  size_t left = size - std::min(size, kHeader);
  if (sums)
    std::memcpy(header.data(), "\x89GYRSEG1", 8), set(&header, 8, layout.row_bytes),
        set(&header, 12, layout.page_bytes);
  uint64_t rows = at<uint64_t>(header, 16) % 256, removed = at<uint64_t>(header, 24) % 256;
  if (sums) set(&header, 16, rows), set(&header, 24, removed);
  Bytes file = header;
  for (uint64_t p = 0; p < layout.pages(rows); p++) {
    Bytes page(layout.page_bytes);
    size_t n = std::min(left, kPagePart);
    std::memcpy(page.data(), rest, n);
    rest += n, left -= n;
    if (page_sums) set(&page, 8, p), set(&page, 0, hash64(&page[8], page.size() - 8));
    file.insert(file.end(), page.begin(), page.end());
  }
  const size_t keys = file.size();
  file.insert(file.end(), rest, rest + left);
  if (!sums) return file;
  file.resize(keys + (rows + removed) * 8);
  set(&file, 32, hash64(&file[keys], rows * 8));
  set(&file, 40, hash64(&file[keys + rows * 8], removed * 8));
  set(&file, 48, hash64(file.data(), 48));
  return file;
}

// Of a file that has been accepted.
void say(const Bytes& file, const PageLayout& layout, Model* model) {
  uint64_t rows = at<uint64_t>(file, 16), removed = at<uint64_t>(file, 24);
  size_t keys = layout.offset(layout.pages(rows));
  must(file.size() == keys + (rows + removed) * 8, "a file that is accepted has the size it says");
  for (uint64_t i = 0; i < rows; i++) {
    uint64_t number = i / layout.rows_per_page;
    const uint8_t* page = &file[layout.offset(number)];
    auto& row = (*model)[at<int64_t>(file, keys + i * 8)];
    row.reset();
    if (layout.sound(page, number)) row.emplace(layout.row(page, i), layout.row(page, i) + layout.row_bytes);
  }
  for (uint64_t i = 0; i < removed; i++) model->erase(at<int64_t>(file, keys + (rows + i) * 8));
}

void compare(DiskTier* tier, const Model& model, uint32_t row_bytes) {
  std::vector<int64_t> keys = {0, -1, INT64_MIN, INT64_MAX, 12345};
  for (auto& [key, row] : model) keys.push_back(key);
  Bytes rows(keys.size() * row_bytes), found(keys.size(), 9);
  tier->fetch(keys.data(), keys.size(), rows.data(), found.data());
  for (size_t i = 0; i < keys.size(); i++) {
    auto it = model.find(keys[i]);
    if (it == model.end())
      must(found[i] == GYR_TIER_ABSENT, "a key that no file has is absent");
    else if (!it->second)
      must(found[i] == GYR_TIER_ERROR, "a row of a damaged page is in error");
    else
      must(found[i] == GYR_TIER_FOUND && std::equal(it->second->begin(), it->second->end(), &rows[i * row_bytes]),
           "a row is what its file says");
  }
  must(tier->rows() == model.size(), "as many rows as keys");
}

void change(DiskTier* tier, Model* model, uint32_t row_bytes) {
  std::vector<int64_t> keys = {7, 8};
  if (!model->empty()) keys.push_back(model->begin()->first), keys.push_back(model->rbegin()->first);
  for (size_t i = 0; i < keys.size(); i++) {
    Bytes row(row_bytes, uint8_t(i + 1));
    expect_ok(tier->put(&keys[i], row.data(), 1), "a row can be put");
    (*model)[keys[i]] = row;
  }
  expect_ok(tier->remove(&keys[1], 1), "a row can be removed");
  model->erase(keys[1]);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) return 0;
  const uint8_t flags = data[0];
  const PageLayout layout(kRowBytes[flags % 4]);
  data++, size--;
  std::vector<std::pair<const uint8_t*, size_t>> parts;
  if (flags & 32) {
    size_t first = std::min<size_t>(data[0] | data[1] << 8, size - 2);
    parts = {{data + 2, first}, {data + 2 + first, size - 2 - first}};
  } else {
    parts = {{data, size}};
  }
  Work work;
  std::vector<Bytes> files;
  std::vector<ListedSegment> listed;
  for (auto [from, n] : parts) {
    files.push_back(flags & 16 ? Bytes(from, from + n) : expand(from, n, layout, flags & 4, flags & 8));
    std::string name = work.path + "/rows-0000000" + std::to_string(files.size()) + ".seg";
    test::spill(name, std::string(files.back().begin(), files.back().end()));
    listed.push_back({uint32_t(files.size()), files.back().size() < kHeader ? 0 : at<uint64_t>(files.back(), 48)});
  }
  expect_ok(write_segment_list(work.path, listed), "a list can be written");
  auto open = [&] {
    auto tier = DiskTier::open(std::pmr::get_default_resource(), work.path, layout.row_bytes, 3 * layout.row_bytes);
    if (tier.ok() && !(flags & 64)) (*tier)->read_plainly();
    return tier;
  };
  auto tier = open();
  if (!tier.ok()) {
    refused(tier.status());
    must(tier.status().code() == GYR_E_CORRUPT || tier.status().code() == GYR_E_INVALID_ARGUMENT,
         "a file is damaged, or of other rows:", tier.status().message());
    return 0;
  }
  Model model;
  for (auto& file : files) say(file, layout, &model);
  compare(tier->get(), model, layout.row_bytes);
  change(tier->get(), &model, layout.row_bytes);
  compare(tier->get(), model, layout.row_bytes);
  expect_ok((*tier)->flush(), "what waits can be written");
  tier->reset();  // a folder is one tier's
  tier = open();
  expect_ok(tier.status(), "what was written can be opened");
  compare(tier->get(), model, layout.row_bytes);
  return 0;
}
