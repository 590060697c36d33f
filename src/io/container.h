// The container: one file of named, checksummed, 64-byte aligned sections. Layout: docs/format.md.
//   64-byte header: magic, major/minor version, flags, file size, section table offset/count, XXH3 of the header
//   sections, each 64-byte aligned, raw or lz4
//   section table: name, kind, codec, offset, stored size, size, XXH3 of the stored bytes
// A bundle, a saved workflow, table, index or model are all this file with different sections.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace gyr {

// Version written; every major up to it is read back to the oldest one named in docs/format.md.
constexpr uint16_t kContainerMajor = 1, kContainerMinor = 0;

enum class Codec : uint32_t { kRaw = 0, kLz4 = 1 };

class ContainerWriter {
 public:
  // kind: a four-letter word naming the payload's layout and version, e.g. "WFL1". Names are unique.
  Status add(std::string_view name, std::string_view kind, std::vector<uint8_t> bytes, Codec codec = Codec::kRaw);
  // Writes to a temporary file in the same folder, fsyncs, renames, fsyncs the folder. On failure the old file stays
  // and the temporary one is gone.
  Status save(const std::string& path) const;
  // The same bytes in memory (fuzzing, tests).
  Result<std::vector<uint8_t>> serialize() const;

 private:
  struct Section {
    std::string name, kind;
    Codec codec;
    std::vector<uint8_t> stored;
    uint64_t size;
  };
  std::vector<Section> sections_;
};

struct SectionInfo {
  std::string name, kind;
  Codec codec;
  uint64_t stored_size, size;
};

// Opened read-only. Raw sections are views into the mapping (or into the read copy); lz4 ones are decompressed on read.
// Shared so that components that keep views keep the file alive.
class Container : public std::enable_shared_from_this<Container> {
 public:
  enum class Access { kMap, kRead };
  // Checks header, table, bounds, overlaps and every checksum before returning.
  static Result<std::shared_ptr<const Container>> open(const std::string& path, Access access = Access::kMap);
  static Result<std::shared_ptr<const Container>> parse(std::span<const uint8_t> bytes);

  virtual ~Container() = default;
  const std::vector<SectionInfo>& sections() const { return infos_; }
  bool has(std::string_view name) const;
  bool has(std::string_view name, std::string_view kind) const;
  // CORRUPT when absent or when the kind differs. Raw: zero copy. lz4: use read().
  Result<std::span<const uint8_t>> view(std::string_view name, std::string_view kind) const;
  // Lets the holder write to what view() gave; the file stays as it is, and so do other processes' views.
  virtual Status allow_writes() const = 0;
  // A copy, decompressed when needed.
  Result<std::vector<uint8_t>> read(std::string_view name, std::string_view kind) const;

 protected:
  std::vector<SectionInfo> infos_;
  std::vector<uint64_t> offsets_;
  std::span<const uint8_t> bytes_;
};

}  // namespace gyr
