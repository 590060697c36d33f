// Any bytes as a container: refused or read, never a crash.
#include <cstdint>

#include "io/container.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto file = gyr::Container::parse(std::vector<uint8_t>(data, data + size));
  if (!file.ok()) return 0;
  for (const auto& section : (*file)->sections()) {
    auto bytes = (*file)->read(section.name, section.kind);
    if (bytes.ok() && bytes->size() != section.size) __builtin_trap();
  }
  return 0;
}
