#include "cache/segment.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <tuple>

#include "base/hash.h"
#include "base/math.h"

namespace gyr {
namespace {

constexpr uint64_t kWriteBytes = 1 << 20;
constexpr char kMagic[8] = {'\x89', 'G', 'Y', 'R', 'S', 'E', 'G', '1'};

struct Header {
  char magic[8];
  uint32_t row_bytes, page_bytes;
  uint64_t rows, removed;
  uint64_t keys_hash, removed_hash;
  uint64_t hash;  // of what is before
};

uint64_t page_hash(const uint8_t* page, uint32_t bytes) { return hash64(page + 8, bytes - 8); }
uint64_t hash_of(std::span<const int64_t> keys) { return hash64(keys.data(), keys.size_bytes()); }
std::span<const uint8_t> bytes_of(std::span<const int64_t> keys) {
  return {reinterpret_cast<const uint8_t*>(keys.data()), keys.size_bytes()};
}

}  // namespace

bool PageLayout::sound(const uint8_t* page, uint64_t number) const {
  uint64_t hash, written;
  std::memcpy(&hash, page, sizeof hash);
  std::memcpy(&written, page + 8, sizeof written);
  return written == number && hash == page_hash(page, page_bytes);
}

void PageLayout::write(uint64_t number, std::span<const uint8_t> rows, uint64_t nth, uint8_t* page) const {
  const uint64_t full = uint64_t(rows_per_page) * row_bytes, begin = nth * full;
  std::memcpy(page + 8, &number, sizeof number);
  std::memcpy(page + kHead, &rows[begin], std::min<uint64_t>(full, rows.size() - begin));
  const uint64_t hash = page_hash(page, page_bytes);
  std::memcpy(page, &hash, sizeof hash);
}

Status Segment::write(const std::string& path, const PageLayout& layout, std::span<const int64_t> keys,
                      const Fill& fill, std::span<const int64_t> removed) {
  Header h{};
  std::memcpy(h.magic, kMagic, sizeof kMagic);
  h.row_bytes = layout.row_bytes;
  h.page_bytes = layout.page_bytes;
  h.rows = keys.size();
  h.removed = removed.size();
  h.keys_hash = hash_of(keys);
  h.removed_hash = hash_of(removed);
  h.hash = hash64(&h, offsetof(Header, hash));
  return atomic_save(path, [&](File* file) -> Status {
    std::vector<uint8_t> pages(PageLayout::kUnit), rows;
    std::memcpy(pages.data(), &h, sizeof h);
    GYR_TRY(file->write(pages));
    const uint64_t at_once = std::max<uint64_t>(kWriteBytes / layout.page_bytes, 1);
    for (uint64_t first = 0, total = layout.pages(keys.size()); first < total; first += at_once) {
      const uint64_t n = std::min(at_once, total - first), row = first * layout.rows_per_page;
      const uint64_t n_rows = std::min(n * layout.rows_per_page, keys.size() - row);
      rows.resize(n_rows * layout.row_bytes);
      GYR_TRY(fill(row, n_rows, rows.data()));
      pages.assign(n * layout.page_bytes, 0);
      for (uint64_t p = 0; p < n; p++) layout.write(first + p, rows, p, &pages[p * layout.page_bytes]);
      GYR_TRY(file->write(pages));
    }
    GYR_TRY(file->write(bytes_of(keys)));
    return file->write(bytes_of(removed));
  });
}

Result<Segment> Segment::open(const std::string& path, const PageLayout& layout, std::vector<int64_t>* keys,
                              std::vector<int64_t>* removed) {
  Segment s;
  s.path_ = path;
  GYR_ASSIGN(s.file_, File::open_read(path));
  GYR_ASSIGN(uint64_t size, s.file_.size());
  Header h;
  if (size < PageLayout::kUnit) return fail(GYR_E_CORRUPT, "cache", "'%s' is no file of rows: too short", path.c_str());
  GYR_TRY(s.file_.read_at(0, {reinterpret_cast<uint8_t*>(&h), sizeof h}));
  if (std::memcmp(h.magic, kMagic, sizeof kMagic) != 0 || h.hash != hash64(&h, offsetof(Header, hash)))
    return fail(GYR_E_CORRUPT, "cache", "'%s' is no file of rows, or its header is damaged", path.c_str());
  if (h.row_bytes != layout.row_bytes || h.page_bytes != layout.page_bytes)
    return fail(GYR_E_INVALID_ARGUMENT, "cache", "'%s' has rows of %u bytes, the cache of %u; they must be of one kind",
                path.c_str(), h.row_bytes, layout.row_bytes);
  uint64_t most = size / sizeof(int64_t), end = 0;
  if (h.rows <= most && h.removed <= most)
    end = layout.offset(layout.pages(h.rows)) + (h.rows + h.removed) * sizeof(int64_t);
  if (end != size) return fail(GYR_E_CORRUPT, "cache", "'%s': its size does not fit its header", path.c_str());
  uint64_t at = layout.offset(layout.pages(h.rows));
  for (auto [list, n, hash] : {std::tuple{keys, h.rows, h.keys_hash}, {removed, h.removed, h.removed_hash}}) {
    list->resize(n);
    GYR_TRY(s.file_.read_at(at, {reinterpret_cast<uint8_t*>(list->data()), n * sizeof(int64_t)}));
    at += n * sizeof(int64_t);
    if (hash_of(*list) != hash) return fail(GYR_E_CORRUPT, "cache", "'%s': its keys are damaged", path.c_str());
  }
  s.rows_ = h.rows;
  s.removed_ = h.removed;
  s.hash_ = h.hash;
  auto direct = File::open_direct(path);
  if (!direct.ok()) return s;
  s.direct_ = std::move(*direct);
  s.file_ = File();  // one descriptor per file
  return s;
}

}  // namespace gyr
