// Any bytes as a saved cache: [kind][size of the rows' section, 4 bytes][CCH1 or CCH2][CCT1]. Refused, or a cache that
// holds what it says.
#include <cmath>
#include <cstring>

#include "cache/cache.h"
#include "tests/fuzz/common.h"

using namespace gyr;
using namespace gyr::fuzz;

namespace {

gyr_cache_info info_of(const Cache& cache) {
  gyr_cache_info info{};
  cache.fill_info(&info);
  return info;
}

// A tier that knows nothing, so that a limit may be set.
gyr_status nothing(uintptr_t, const int64_t*, uint64_t, void*, uint8_t*, int64_t) { return GYR_OK; }

void use(Cache* cache) {
  int64_t keys[] = {0, 1, -5, INT64_MAX};
  std::vector<float> out(size_t(4) * cache->dim());
  uint8_t status[4];
  expect_ok(cache->get(keys, 4, out.data(), status), "a cache can be read");
  for (float v : out) must(std::isfinite(v), "rows are numbers");
  uint64_t before = info_of(*cache).rows, removed = 0;
  std::vector<float> row(cache->dim(), 0.5f);
  if (cache->put(keys, row.data(), 1).ok()) {
    must(info_of(*cache).rows >= before, "a row more or the same");
    expect_ok(cache->remove(keys, 1, &removed), "a row can be removed");
    must(removed == 1, "the row was there");
  }
}

std::vector<uint8_t> bytes_of(const Cache& cache) {
  ContainerWriter writer;
  Status s = cache.save(&writer, "x");
  expect_ok(s, "an opened cache can be saved");
  auto bytes = writer.serialize();
  expect_ok(bytes.status(), "a container can be serialized");
  return std::move(*bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 5) return 0;
  uint32_t first = 0;
  std::memcpy(&first, data + 1, sizeof first);
  const uint8_t* rows = data + 5;
  size -= 5;
  if (first > size) first = uint32_t(size);
  ContainerWriter writer;
  expect_ok(writer.add("x", data[0] % 2 ? "CCH2" : "CCH1", {rows, rows + first}), "a section can be added");
  if (first < size) expect_ok(writer.add("x.tiers", "CCT1", {rows + first, rows + size}), "a section can be added");
  auto file = Container::parse(std::move(*writer.serialize()));
  auto cache = Cache::load(runtime(), **file, "x");
  if (!cache.ok()) {
    refused_stored(cache.status());
    return 0;
  }
  std::vector<uint8_t> once = bytes_of(**cache);
  auto again = Cache::load(runtime(), **Container::parse(once), "x");
  expect_ok(again.status(), "what was saved can be read");
  must(bytes_of(**again) == once, "saving what was saved gives the same bytes");
  use(cache->get());
  gyr_cache_tier below{};
  below.struct_size = sizeof below;
  below.fetch = nothing;
  gyr_cache_tiers tiers{};
  tiers.struct_size = sizeof tiers;
  tiers.below = &below;
  tiers.max_rows = 2;
  auto limited = Cache::load(runtime(), **file, "x", &tiers);
  if (!limited.ok()) {
    must(limited.status().code() == GYR_E_RESOURCE_EXHAUSTED, "it is only too large:", limited.status().message());
    return 0;
  }
  must(info_of(**limited).rows <= 2, "the limit holds");
  use(limited->get());
  return 0;
}
