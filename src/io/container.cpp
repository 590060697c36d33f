#include "io/container.h"

#include <lz4.h>

#include <algorithm>
#include <cstring>

#include "base/hash.h"
#include "base/knobs.h"
#include "base/math.h"
#include "io/file.h"

namespace gyr {

namespace {

constexpr uint8_t kMagic[8] = {0x89, 'G', 'Y', 'R', '\r', '\n', 0x1a, '\n'};
constexpr uint16_t kMajor = kContainerMajor, kMinor = kContainerMinor, kOldestMajor = 1;
constexpr uint32_t kKnownIncompat = 0;
constexpr uint64_t kAlign = 64;
constexpr uint32_t kMaxSections = 1 << 16;
constexpr uint64_t kMaxName = 207;
// An LZ4 block cannot grow by more than this factor, so a larger declared size is a lie.
constexpr uint64_t kMaxLz4Ratio = 255;

struct Header {
  uint8_t magic[8];
  uint16_t major, minor;
  uint32_t header_size;
  uint32_t compat, incompat;  // unknown compat bits are ignored, unknown incompat bits refuse the file
  uint64_t file_size;
  uint64_t table_offset;
  uint32_t count;
  uint32_t writer;  // gyr_version() of the writing library, for humans
  uint64_t table_hash;
  uint64_t header_hash;  // of the 56 bytes before it
};
static_assert(sizeof(Header) == 64 && offsetof(Header, header_hash) == 56);

struct Entry {
  char name[kMaxName + 1];  // padded with NULs, at least one
  char kind[4];
  uint32_t codec;
  uint64_t offset, stored_size, size;
  uint64_t hash;  // of the stored bytes
  uint64_t reserved;
};
static_assert(sizeof(Entry) == 256);

bool all_zero(std::span<const uint8_t> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](uint8_t b) { return b == 0; });
}

bool printable(std::string_view s) {
  return std::all_of(s.begin(), s.end(), [](char c) { return uint8_t(c) >= 0x20 && c != 0x7f; });
}

template <class... Args>
Status corrupt(const char* format, Args... args) {
  return fail(GYR_E_CORRUPT, "io", format, args...);
}

Status check_header(std::span<const uint8_t> bytes, Header* h) {
  if (bytes.size() < sizeof(Header)) return corrupt("%zu bytes are too few for a gyr file", bytes.size());
  std::memcpy(h, bytes.data(), sizeof(Header));
  if (std::memcmp(h->magic, kMagic, sizeof kMagic) != 0) return corrupt("not a gyr file (wrong magic)");
  if (h->major > kMajor)
    return fail(GYR_E_FORMAT_TOO_NEW, "io", "file format %u.%u, this library reads up to %u; use a newer gyr", h->major,
                h->minor, kMajor);
  if (h->major < kOldestMajor)
    return fail(GYR_E_FORMAT_TOO_OLD, "io", "file format %u.%u, this library reads %u and later; rewrite the file",
                h->major, h->minor, kOldestMajor);
  if (hash64(h, offsetof(Header, header_hash)) != h->header_hash) return corrupt("header checksum differs");
  if (h->incompat & ~kKnownIncompat)
    return fail(GYR_E_FORMAT_TOO_NEW, "io", "file needs features 0x%x that this library does not know; use a newer gyr",
                h->incompat & ~kKnownIncompat);
  if (h->header_size != sizeof(Header)) return corrupt("header size %u, expected 64", h->header_size);
  if (h->file_size != bytes.size())
    return corrupt("file has %zu bytes, its header says %llu", bytes.size(), (unsigned long long)h->file_size);
  if (h->count > kMaxSections) return corrupt("%u sections, at most %u are allowed", h->count, kMaxSections);
  uint64_t table_size = uint64_t(h->count) * sizeof(Entry);
  if (h->table_offset < sizeof(Header) || h->table_offset % kAlign || h->table_offset > bytes.size() ||
      bytes.size() - h->table_offset != table_size)
    return corrupt("section table at byte %llu does not end the file", (unsigned long long)h->table_offset);
  if (hash64(bytes.data() + h->table_offset, table_size) != h->table_hash)
    return corrupt("section table checksum differs");
  return {};
}

// `end` is where the previous section ended and becomes where this one does. Sections follow each other without holes,
// so overlaps cannot be written down.
Status check_entry(const Entry& e, std::span<const uint8_t> bytes, uint64_t table_offset, uint32_t i, uint64_t* end) {
  size_t length = strnlen(e.name, sizeof e.name);
  if (length == 0 || length > kMaxName || !printable({e.name, length}) ||
      !all_zero({reinterpret_cast<const uint8_t*>(e.name) + length, sizeof e.name - length}))
    return corrupt("section %u: bad name", i);
  if (!printable({e.kind, 4})) return corrupt("section '%s': bad kind", e.name);
  if (e.codec > uint32_t(Codec::kLz4))
    return fail(GYR_E_FORMAT_TOO_NEW, "io", "section '%s': unknown codec %u; use a newer gyr", e.name, e.codec);
  if (e.reserved) return corrupt("section '%s': reserved bytes are not zero", e.name);
  uint64_t begin = align_up(*end, kAlign);
  if (e.offset != begin || begin > table_offset || e.stored_size > table_offset - begin)
    return corrupt("section '%s': bytes %llu + %llu are outside its place", e.name, (unsigned long long)e.offset,
                   (unsigned long long)e.stored_size);
  if (e.codec == uint32_t(Codec::kRaw) && e.size != e.stored_size)
    return corrupt("section '%s': raw size %llu differs from stored size %llu", e.name, (unsigned long long)e.size,
                   (unsigned long long)e.stored_size);
  if (e.codec == uint32_t(Codec::kLz4) &&
      (e.size > LZ4_MAX_INPUT_SIZE || e.stored_size > LZ4_MAX_INPUT_SIZE || e.size / kMaxLz4Ratio > e.stored_size))
    return corrupt("section '%s': %llu bytes cannot come out of %llu lz4 bytes", e.name, (unsigned long long)e.size,
                   (unsigned long long)e.stored_size);
  if (!all_zero(bytes.subspan(*end, begin - *end)))
    return corrupt("section '%s': padding before it is not zero", e.name);
  if (hash64(bytes.data() + begin, e.stored_size) != e.hash) return corrupt("section '%s': checksum differs", e.name);
  *end = begin + e.stored_size;
  return {};
}

// As the sections of a mapped file are.
class AlignedBytes {
 public:
  std::span<uint8_t> make(uint64_t size) {
    data_.reset(static_cast<uint8_t*>(::operator new(size, std::align_val_t(kAlign))));
    return {data_.get(), size};
  }

 private:
  struct Free {
    void operator()(uint8_t* p) const { ::operator delete(p, std::align_val_t(kAlign)); }
  };
  std::unique_ptr<uint8_t, Free> data_;
};

class OpenContainer final : public Container {
 public:
  Mapping mapping;
  AlignedBytes copy;

  Status allow_writes() const override { return mapping.allow_writes(); }

  Status check(std::span<const uint8_t> bytes) {
    bytes_ = bytes;
    Header h;
    GYR_TRY(check_header(bytes, &h));
    uint64_t end = sizeof(Header);
    std::vector<std::string_view> names;
    for (uint32_t i = 0; i < h.count; i++) {
      Entry e;
      std::memcpy(&e, bytes.data() + h.table_offset + i * sizeof(Entry), sizeof e);
      GYR_TRY(check_entry(e, bytes, h.table_offset, i, &end));
      infos_.push_back({e.name, std::string(e.kind, 4), Codec(e.codec), e.stored_size, e.size});
      offsets_.push_back(e.offset);
    }
    if (align_up(end, kAlign) != h.table_offset || !all_zero(bytes.subspan(end, h.table_offset - end)))
      return corrupt("unexpected bytes between the last section and the section table");
    for (auto& info : infos_) names.push_back(info.name);
    std::sort(names.begin(), names.end());
    auto twice = std::adjacent_find(names.begin(), names.end());
    if (twice != names.end()) return corrupt("section '%s' occurs twice", twice->data());
    return {};
  }
};

// Where everything goes: the header, the table, and the parts in file order.
struct Layout {
  Header header{};
  std::vector<Entry> table;
  std::vector<std::span<const uint8_t>> parts;
};

constexpr uint8_t kZeros[kAlign] = {};

void pad(std::vector<std::span<const uint8_t>>* parts, uint64_t* at) {
  uint64_t next = align_up(*at, kAlign);
  if (next != *at) parts->push_back({kZeros, next - *at});
  *at = next;
}

}  // namespace

Status ContainerWriter::add(std::string_view name, std::string_view kind, std::vector<uint8_t> bytes, Codec codec) {
  if (name.empty() || name.size() > kMaxName || !printable(name))
    return fail(GYR_E_INVALID_ARGUMENT, "io", "section name '%.*s': expected 1..%d printable bytes", int(name.size()),
                name.data(), int(kMaxName));
  if (kind.size() != 4 || !printable(kind))
    return fail(GYR_E_INVALID_ARGUMENT, "io", "section '%.*s': kind '%.*s' is not a four-letter word", int(name.size()),
                name.data(), int(kind.size()), kind.data());
  for (auto& s : sections_)
    if (s.name == name)
      return fail(GYR_E_ALREADY_EXISTS, "io", "section '%.*s' was added before", int(name.size()), name.data());
  if (sections_.size() == kMaxSections)
    return fail(GYR_E_RESOURCE_EXHAUSTED, "io", "a file holds at most %u sections", kMaxSections);

  Section section{std::string(name), std::string(kind), Codec::kRaw, {}, bytes.size()};
  if (codec == Codec::kLz4 && !bytes.empty() && bytes.size() <= LZ4_MAX_INPUT_SIZE) {
    std::vector<uint8_t> packed(size_t(LZ4_compressBound(int(bytes.size()))));
    int size = LZ4_compress_default(reinterpret_cast<const char*>(bytes.data()), reinterpret_cast<char*>(packed.data()),
                                    int(bytes.size()), int(packed.size()));
    // Kept only where it pays: below 7/8 of the raw size.
    if (size > 0 && uint64_t(size) < bytes.size() - bytes.size() / 8) {
      packed.resize(size_t(size));
      packed.shrink_to_fit();
      section.codec = Codec::kLz4;
      bytes = std::move(packed);
    }
  }
  section.stored = std::move(bytes);
  sections_.push_back(std::move(section));
  return {};
}

static Layout lay_out(const auto& sections) {
  Layout layout;
  uint64_t at = sizeof(Header);
  layout.parts.push_back({});  // the header, once its place is final
  for (auto& s : sections) {
    pad(&layout.parts, &at);
    Entry e{};
    std::memcpy(e.name, s.name.data(), s.name.size());
    std::memcpy(e.kind, s.kind.data(), 4);
    e.codec = uint32_t(s.codec);
    e.offset = at;
    e.stored_size = s.stored.size();
    e.size = s.size;
    e.hash = hash64(s.stored.data(), s.stored.size());
    layout.table.push_back(e);
    layout.parts.push_back(s.stored);
    at += s.stored.size();
  }
  pad(&layout.parts, &at);
  Header& h = layout.header;
  std::memcpy(h.magic, kMagic, sizeof kMagic);
  h.major = kMajor;
  h.minor = kMinor;
  h.header_size = sizeof(Header);
  h.table_offset = at;
  h.count = uint32_t(layout.table.size());
  h.file_size = at + layout.table.size() * sizeof(Entry);
  h.writer = GYR_VERSION_MAJOR * 10000 + GYR_VERSION_MINOR * 100 + GYR_VERSION_PATCH;
  h.table_hash = hash64(layout.table.data(), layout.table.size() * sizeof(Entry));
  h.header_hash = hash64(&h, offsetof(Header, header_hash));
  layout.parts.push_back({reinterpret_cast<const uint8_t*>(layout.table.data()), layout.table.size() * sizeof(Entry)});
  return layout;
}

Status ContainerWriter::save(const std::string& path) const {
  Layout layout = lay_out(sections_);
  layout.parts[0] = {reinterpret_cast<const uint8_t*>(&layout.header), sizeof(Header)};
  return atomic_save(path, layout.parts);
}

Result<std::vector<uint8_t>> ContainerWriter::serialize() const {
  Layout layout = lay_out(sections_);
  layout.parts[0] = {reinterpret_cast<const uint8_t*>(&layout.header), sizeof(Header)};
  std::vector<uint8_t> out;
  out.reserve(layout.header.file_size);
  for (auto part : layout.parts) out.insert(out.end(), part.begin(), part.end());
  return out;
}

Result<std::shared_ptr<const Container>> Container::open(const std::string& path, Access access) {
  GYR_ASSIGN(File file, File::open_read(path));
  GYR_ASSIGN(uint64_t size, file.size());
  auto container = std::make_shared<OpenContainer>();
  std::span<const uint8_t> bytes;
  if (access == Access::kMap && knobs::mapping()) {
    GYR_ASSIGN(container->mapping, Mapping::map(file, size));
    bytes = container->mapping.bytes();
  } else {
    const auto copy = container->copy.make(size);
    GYR_TRY(file.read_at(0, copy));
    bytes = copy;
  }
  Status checked = container->check(bytes);
  if (!checked.ok()) return std::move(checked).at(path.c_str());
  return std::shared_ptr<const Container>(std::move(container));
}

Result<std::shared_ptr<const Container>> Container::parse(std::span<const uint8_t> bytes) {
  auto container = std::make_shared<OpenContainer>();
  const auto copy = container->copy.make(bytes.size());
  std::copy(bytes.begin(), bytes.end(), copy.begin());
  GYR_TRY(container->check(copy));
  return std::shared_ptr<const Container>(std::move(container));
}

// Index of the section, checked for its kind; count when absent.
static Result<size_t> find(const std::vector<SectionInfo>& infos, std::string_view name, std::string_view kind) {
  for (size_t i = 0; i < infos.size(); i++) {
    if (infos[i].name != name) continue;
    const std::string& found = infos[i].kind;
    // A kind is three letters and the layout's digit.
    bool newer = found.size() == kind.size() && found.compare(0, 3, kind.substr(0, 3)) == 0 && found > kind;
    if (newer)
      return fail(GYR_E_FORMAT_TOO_NEW, "io",
                  "section '%s' is of kind '%s', this library reads '%.*s'; use a newer gyr", infos[i].name.c_str(),
                  found.c_str(), int(kind.size()), kind.data());
    if (found != kind)
      return fail(GYR_E_CORRUPT, "io", "section '%s' is of kind '%s', expected '%.*s'", infos[i].name.c_str(),
                  found.c_str(), int(kind.size()), kind.data());
    return i;
  }
  // Not NOT_FOUND: a caller may take that for "no such file" and write a new one over this.
  return fail(GYR_E_CORRUPT, "io", "no section '%.*s' in the file; it holds something else", int(name.size()),
              name.data());
}

bool Container::has(std::string_view name) const {
  return std::any_of(infos_.begin(), infos_.end(), [&](auto& info) { return info.name == name; });
}

bool Container::has(std::string_view name, std::string_view kind) const {
  return std::any_of(infos_.begin(), infos_.end(), [&](auto& info) { return info.name == name && info.kind == kind; });
}

Result<std::span<const uint8_t>> Container::view(std::string_view name, std::string_view kind) const {
  GYR_ASSIGN(size_t i, find(infos_, name, kind));
  if (infos_[i].codec != Codec::kRaw)
    return fail(GYR_E_UNSUPPORTED, "io", "section '%s' is compressed and cannot be viewed in place",
                infos_[i].name.c_str());
  return bytes_.subspan(offsets_[i], infos_[i].stored_size);
}

Result<std::vector<uint8_t>> Container::read(std::string_view name, std::string_view kind) const {
  GYR_ASSIGN(size_t i, find(infos_, name, kind));
  const SectionInfo& info = infos_[i];
  auto stored = bytes_.subspan(offsets_[i], info.stored_size);
  if (info.codec == Codec::kRaw) return std::vector<uint8_t>(stored.begin(), stored.end());
  std::vector<uint8_t> out(info.size);
  int size = LZ4_decompress_safe(reinterpret_cast<const char*>(stored.data()), reinterpret_cast<char*>(out.data()),
                                 int(stored.size()), int(out.size()));
  if (size < 0 || uint64_t(size) != info.size)
    return fail(GYR_E_CORRUPT, "io", "section '%s': lz4 bytes do not decompress to %llu bytes", info.name.c_str(),
                (unsigned long long)info.size);
  return out;
}

}  // namespace gyr
