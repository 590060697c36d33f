#include "cache/cache_file.h"

#include <algorithm>
#include <span>

#include "base/bytes.h"
#include "kernels/kernels.h"

namespace gyr {
namespace {

constexpr uint64_t kFilePointers = uint64_t(1) << 24, kFilePointersPerRow = 256;

std::string tiers_section(std::string_view name) { return std::string(name) + ".tiers"; }

// CCT1: which rows the tier holds, and how far each source has come.
Status read_tiers(const Container& file, const std::string& section, SavedCache* out) {
  if (!file.has(section)) return {};
  GYR_ASSIGN(std::vector<uint8_t> bytes, file.read(section, "CCT1"));
  ByteReader in(bytes, "cache tiers");
  uint64_t sources = 0;
  GYR_TRY(in.get_vector(&out->held));
  GYR_TRY(in.get(&sources));
  if ((!out->held.empty() && out->held.size() != out->keys.size()) || sources > kMostSources)
    return fail(GYR_E_CORRUPT, "cache", "saved cache: its tiers do not fit its rows");
  for (uint64_t i = 0; i < sources; i++) {
    std::string source;
    uint64_t offset = 0;
    GYR_TRY(in.get_string(&source));
    GYR_TRY(in.get(&offset));
    if (source.size() > kLongestSource || source.find('\0') != std::string::npos ||
        !out->offsets.emplace(std::move(source), offset).second)
      return fail(GYR_E_CORRUPT, "cache", "saved cache: source %llu is too long, or there twice",
                  (unsigned long long)i);
  }
  return in.finish();
}

}  // namespace

bool too_sparse_for_a_file(uint64_t capacity, uint64_t rows) {
  return capacity > kFilePointers && capacity / kFilePointersPerRow > rows;
}

Status write_cache(const SavedCache& cache, ContainerWriter* file, std::string_view name) {
  const auto& o = cache.options;
  if (too_sparse_for_a_file(o.capacity, cache.keys.size()))
    return fail(GYR_E_INVALID_STATE, "cache",
                "a dense cache of capacity %llu with %zu rows is too sparse to save (at most %llu places per row); "
                "use GYR_CACHE_HASHED",
                (unsigned long long)o.capacity, cache.keys.size(), (unsigned long long)kFilePointersPerRow);
  const bool floats = o.rows == GYR_CACHE_FLOAT32;
  ByteWriter out;
  out.put<uint32_t>(o.dim);
  out.put<uint32_t>(uint32_t(o.keys));
  out.put<uint32_t>(uint32_t(o.miss));
  out.put<uint32_t>(uint32_t(o.rows));
  out.put<uint64_t>(o.capacity);
  out.put_array(cache.default_row);
  out.put_array(cache.keys);
  if (floats)
    out.put_array(std::span(reinterpret_cast<const float*>(cache.rows.data()), cache.rows.size() / sizeof(float)));
  else
    out.put_array(cache.rows);
  GYR_TRY(file->add(name, floats ? "CCH1" : "CCH2", std::move(out.bytes())));
  if (cache.offsets.empty() && cache.held.empty()) return {};
  ByteWriter tiers;
  tiers.put_array(cache.held);
  tiers.put<uint64_t>(cache.offsets.size());
  for (auto& [source, offset] : cache.offsets) {
    tiers.put_string(source);
    tiers.put<uint64_t>(offset);
  }
  return file->add(tiers_section(name), "CCT1", std::move(tiers.bytes()));
}

Result<SavedCache> read_cache(const Container& file, std::string_view name) {
  bool floats = std::none_of(file.sections().begin(), file.sections().end(),
                             [&](auto& section) { return section.name == name && section.kind == "CCH2"; });
  GYR_ASSIGN(std::vector<uint8_t> bytes, file.read(name, floats ? "CCH1" : "CCH2"));
  ByteReader in(bytes, "cache");
  SavedCache cache;
  auto& o = cache.options;
  uint32_t kind = 0, miss = 0, type = 0;
  GYR_TRY(in.get(&o.dim));
  GYR_TRY(in.get(&kind));
  GYR_TRY(in.get(&miss));
  GYR_TRY(in.get(&type));
  GYR_TRY(in.get(&o.capacity));
  GYR_TRY(in.get_vector(&cache.default_row));
  GYR_TRY(in.get_vector(&cache.keys));
  if (floats) {
    std::span<const float> values;
    GYR_TRY(in.get_array(&values));
    auto* stored = reinterpret_cast<const uint8_t*>(values.data());
    cache.rows.assign(stored, stored + values.size_bytes());
  } else {
    GYR_TRY(in.get_vector(&cache.rows));
  }
  GYR_TRY(in.finish());
  o.keys = gyr_cache_keys(kind);
  o.miss = gyr_cache_miss(miss);
  o.rows = gyr_cache_rows(type);
  uint64_t expected;
  if (type > GYR_CACHE_INT8 || (type == GYR_CACHE_FLOAT32) != floats || cache.default_row.size() != o.dim ||
      !checked_mul(cache.keys.size(), kernels::stored_row_bytes(kernels::RowType(type), o.dim), &expected) ||
      cache.rows.size() != expected || (kind == GYR_CACHE_HASHED && o.capacity != cache.keys.size()) ||
      too_sparse_for_a_file(o.capacity, cache.keys.size()))
    return fail(GYR_E_CORRUPT, "cache", "saved cache \"%.*s\": sizes contradict each other", int(name.size()),
                name.data());
  GYR_TRY(read_tiers(file, tiers_section(name), &cache));
  return cache;
}

}  // namespace gyr
