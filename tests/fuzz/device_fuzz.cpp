// First byte even: the rest as a device selection; odd: as the file of a backend plugin, whose note is read before any
// of its code may run.
#include <sys/mman.h>
#include <unistd.h>

#include "device/device.h"
#include "device/elf_note.h"
#include "tests/fuzz/common.h"

using namespace gyr;
using namespace gyr::fuzz;

namespace {

void select(std::string_view text) {
  auto s = parse_selector(text);
  if (!s.ok()) return refused(s.status());
  must(s->kind != Selector::kUuid || s->uuid.starts_with("GPU-") || s->uuid.starts_with("MIG-"),
       "a UUID names its kind");
}

void note(const uint8_t* data, size_t size) {
  static const int fd = memfd_create("plugin", 0);
  static const std::string path = "/proc/self/fd/" + std::to_string(fd);
  must(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == ssize_t(size), "a file in memory can be written");
  auto found = read_backend_note(path);
  if (!found.ok()) return refused(found.status());
  must(memchr(found->build, 0, sizeof found->build) && memchr(found->archs, 0, sizeof found->archs), "texts end");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  if (data[0] % 2)
    note(data + 1, size - 1);
  else
    select(text_of(data + 1, size - 1));
  return 0;
}
