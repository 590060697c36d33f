#include "device/elf_note.h"

#include <elf.h>

#include <cstring>
#include <vector>

#include "base/math.h"
#include "io/file.h"

namespace gyr {

namespace {

constexpr uint64_t kMaxNotes = 1 << 20;
constexpr uint32_t kMaxSegments = 256;

// Walks one note segment: {name size, description size, type}, name, description, each padded to 4 bytes.
bool find_note(std::span<const uint8_t> bytes, gyr_backend_note* out) {
  while (bytes.size() >= sizeof(Elf64_Nhdr)) {
    Elf64_Nhdr head;
    std::memcpy(&head, bytes.data(), sizeof head);
    uint64_t name_end = sizeof head + align_up(head.n_namesz, 4);
    uint64_t end = name_end + align_up(head.n_descsz, 4);
    if (end > bytes.size()) return false;
    if (head.n_namesz == 4 && std::memcmp(bytes.data() + sizeof head, "gyr", 4) == 0 &&
        head.n_type == GYR_BACKEND_NOTE_TYPE && head.n_descsz >= sizeof *out) {
      std::memcpy(out, bytes.data() + name_end, sizeof *out);
      out->build[sizeof out->build - 1] = 0;
      out->archs[sizeof out->archs - 1] = 0;
      return true;
    }
    bytes = bytes.subspan(end);
  }
  return false;
}

template <class T>
Status read_struct_at(const File& file, uint64_t offset, T* out) {
  return file.read_at(offset, {reinterpret_cast<uint8_t*>(out), sizeof *out});
}

}  // namespace

Result<gyr_backend_note> read_backend_note(const std::string& path) {
  GYR_ASSIGN(File file, File::open_read(path));
  GYR_ASSIGN(uint64_t size, file.size());
  Elf64_Ehdr elf;
  GYR_TRY(read_struct_at(file, 0, &elf));
  if (std::memcmp(elf.e_ident, ELFMAG, SELFMAG) != 0 || elf.e_ident[EI_CLASS] != ELFCLASS64 ||
      elf.e_ident[EI_DATA] != ELFDATA2LSB || elf.e_phentsize != sizeof(Elf64_Phdr) || elf.e_phnum > kMaxSegments)
    return fail(GYR_E_CORRUPT, "device", "'%s' is not a 64-bit shared library", path.c_str());
  for (uint32_t i = 0; i < elf.e_phnum; i++) {
    uint64_t at;
    if (!checked_add(elf.e_phoff, i * sizeof(Elf64_Phdr), &at) || at > size)
      return fail(GYR_E_CORRUPT, "device", "'%s': program headers are outside the file", path.c_str());
    Elf64_Phdr segment;
    GYR_TRY(read_struct_at(file, at, &segment));
    if (segment.p_type != PT_NOTE) continue;
    if (segment.p_filesz > kMaxNotes || segment.p_offset > size || segment.p_filesz > size - segment.p_offset)
      return fail(GYR_E_CORRUPT, "device", "'%s': a note segment is outside the file", path.c_str());
    std::vector<uint8_t> bytes(segment.p_filesz);
    GYR_TRY(file.read_at(segment.p_offset, bytes));
    gyr_backend_note note;
    if (find_note(bytes, &note)) return note;
  }
  return fail(GYR_E_CORRUPT, "device", "'%s' carries no gyr backend note; it is not a gyr plugin", path.c_str());
}

}  // namespace gyr
