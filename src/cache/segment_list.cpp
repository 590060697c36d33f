#include "cache/segment_list.h"

#include <cstring>
#include <set>

#include "base/hash.h"
#include "io/file.h"

namespace gyr {
namespace {

constexpr char kMagic[8] = {'\x89', 'G', 'Y', 'R', 'L', 'S', 'T', '1'};

struct Entry {
  uint32_t number, zero;
  uint64_t hash;
};

}  // namespace

std::string segment_list_path(const std::string& folder) { return folder + "/rows.list"; }

Status write_segment_list(const std::string& folder, std::span<const ListedSegment> segments) {
  std::vector<uint8_t> bytes(16 + segments.size() * sizeof(Entry) + 8);
  const uint64_t count = segments.size();
  std::memcpy(bytes.data(), kMagic, 8);
  std::memcpy(&bytes[8], &count, 8);
  for (size_t i = 0; i < segments.size(); i++) {
    const Entry e{segments[i].number, 0, segments[i].hash};
    std::memcpy(&bytes[16 + i * sizeof e], &e, sizeof e);
  }
  const uint64_t hash = hash64(bytes.data(), bytes.size() - 8);
  std::memcpy(&bytes[bytes.size() - 8], &hash, 8);
  const std::span<const uint8_t> parts[] = {bytes};
  return atomic_save(segment_list_path(folder), parts);
}

Result<std::optional<std::vector<ListedSegment>>> read_segment_list(const std::string& folder) {
  const std::string path = segment_list_path(folder);
  auto damaged = [&](const char* what) {
    return fail(GYR_E_CORRUPT, "cache", "'%s' is no list of files of rows, or damaged: %s", path.c_str(), what);
  };
  auto file = File::open_read(path);
  if (!file.ok() && file.status().code() == GYR_E_NOT_FOUND) return std::optional<std::vector<ListedSegment>>();
  if (!file.ok()) return std::move(file.status());
  GYR_ASSIGN(const uint64_t size, file->size());
  // No folder has more files than numbers.
  if (size < 24 || (size - 24) % sizeof(Entry) != 0 || (size - 24) / sizeof(Entry) > UINT32_MAX)
    return damaged("its size");
  std::vector<uint8_t> bytes(size);
  GYR_TRY(file->read_at(0, bytes));
  uint64_t count, hash;
  std::memcpy(&count, &bytes[8], 8);
  std::memcpy(&hash, &bytes[size - 8], 8);
  if (std::memcmp(bytes.data(), kMagic, 8) != 0 || hash != hash64(bytes.data(), size - 8))
    return damaged("its checksum");
  if (count != (size - 24) / sizeof(Entry)) return damaged("its count");
  std::vector<ListedSegment> segments;
  std::set<uint32_t> seen;
  for (uint64_t i = 0; i < count; i++) {
    Entry e;
    std::memcpy(&e, &bytes[16 + i * sizeof e], sizeof e);
    if (!seen.insert(e.number).second) return damaged("a file named twice");
    if (e.number == UINT32_MAX) return damaged("a number beyond what this library writes");
    segments.push_back({e.number, e.hash});
  }
  return std::optional(std::move(segments));
}

}  // namespace gyr
