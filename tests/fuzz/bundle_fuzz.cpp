// A bundle by its parts: a manifest, then "\n@section <name> <kind>\n" and the payload, again and again. They become a
// container with right checksums, so that mutations reach the readers: refused, or a bundle that recommends.
#include "tests/fuzz/use_bundle.h"

using namespace gyr;
using namespace gyr::fuzz;

namespace {

constexpr std::string_view kMark = "\n@section ";

void add(std::string_view part, ContainerWriter* out) {
  size_t space = part.find(' '), line = part.find('\n');
  if (space == part.npos || line == part.npos || space > line) return;
  std::string_view payload = part.substr(line + 1);
  // A section that cannot be written cannot be read either.
  (void)out->add(part.substr(0, space), part.substr(space + 1, line - space - 1), {payload.begin(), payload.end()});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view rest = text_of(data, size);
  ContainerWriter writer;
  size_t end = std::min(rest.find(kMark), rest.size());
  expect_ok(writer.add("manifest", "BND1", {rest.begin(), rest.begin() + int64_t(end)}), "a manifest can be added");
  while (end < rest.size()) {
    rest.remove_prefix(end + kMark.size());
    end = std::min(rest.find(kMark), rest.size());
    add(rest.substr(0, end), &writer);
  }
  auto bytes = writer.serialize();
  expect_ok(bytes.status(), "a container can be serialized");
  auto file = Container::parse(std::move(*bytes));
  expect_ok(file.status(), "a written container can be read");
  auto generation = Generation::read(runtime(), **file, "bundle");
  if (!generation.ok())
    refused_stored(generation.status());
  else
    use_bundle(**generation);
  return 0;
}
