// Bytes as a container, as they are (first byte even) or with their checksums put right (odd): refused, or read whole.
#include <cstring>

#include "base/hash.h"
#include "tests/fuzz/common.h"

using namespace gyr;
using namespace gyr::fuzz;

namespace {

template <class T>
T load(const std::vector<uint8_t>& b, size_t at) {
  T v;
  std::memcpy(&v, b.data() + at, sizeof v);
  return v;
}
void store(std::vector<uint8_t>* b, size_t at, uint64_t v) { std::memcpy(b->data() + at, &v, sizeof v); }

// Offsets of docs/format.md. What does not lie in the file stays wrong.
void repair(std::vector<uint8_t>* b) {
  if (b->size() < 64) return;
  uint64_t table = load<uint64_t>(*b, 32), count = load<uint32_t>(*b, 40);
  if (table <= b->size() && count <= (b->size() - table) / 256) {
    for (uint64_t entry = table; entry < table + count * 256; entry += 256) {
      uint64_t offset = load<uint64_t>(*b, entry + 216), stored = load<uint64_t>(*b, entry + 224);
      if (offset <= b->size() && stored <= b->size() - offset)
        store(b, entry + 240, hash64(b->data() + offset, stored));
    }
    store(b, 48, hash64(b->data() + table, count * 256));
  }
  store(b, 56, hash64(b->data(), 56));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::vector<uint8_t> bytes(data + 1, data + size);
  if (data[0] % 2) repair(&bytes);
  auto file = Container::parse(std::move(bytes));
  if (!file.ok()) {
    refused_stored(file.status());
    return 0;
  }
  ContainerWriter copy;
  for (const SectionInfo& s : (*file)->sections()) {
    must((*file)->has(s.name), "a listed section is there");
    auto payload = (*file)->read(s.name, s.kind);
    if (!payload.ok()) {
      refused_stored(payload.status());
      return 0;
    }
    must(payload->size() == s.size, "a section has its declared size");
    auto view = (*file)->view(s.name, s.kind);
    must(view.ok() == (s.codec == Codec::kRaw), "raw sections can be viewed in place");
    expect_ok(copy.add(s.name, s.kind, std::move(*payload), s.codec), "what was read can be written");
  }
  auto written = copy.serialize();
  expect_ok(written.status(), "what was read can be written");
  auto again = Container::parse(std::move(*written));
  expect_ok(again.status(), "what was written can be read");
  for (const SectionInfo& s : (*file)->sections())
    must(*(*again)->read(s.name, s.kind) == *(*file)->read(s.name, s.kind), "the copy holds the same bytes");
  return 0;
}
