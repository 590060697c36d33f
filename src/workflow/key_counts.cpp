#include "workflow/key_counts.h"

#include <cmath>

#include "workflow/elements.h"

namespace gyr::workflow {
namespace {

// A total beyond this cannot come from counting, and could overflow when merged.
constexpr uint64_t kMaxCount = uint64_t(1) << 56;

template <class Keys>
void count(Keys* keys, std::pmr::vector<uint64_t>* counts, typename Keys::Key key, uint64_t n) {
  size_t place = keys->insert(key, hash64(key));
  if (place == counts->size()) counts->push_back(0);
  (*counts)[place] += n;
}

}  // namespace

Status KeyCounts::observe(const Column& in) {
  int64_t n = in.leaves();
  if (size() + size_t(n) > kMaxKeys)
    return fail(GYR_E_RESOURCE_EXHAUSTED, "workflow", "a vocabulary can count at most %zu distinct values", kMaxKeys);
  for (int64_t i = 0; i < n; i++) {
    if (leaf_is_null(in, i)) continue;
    if (physical == Physical::kString)
      count(&strings, &counts, in.string(i), 1);
    else if (physical == Physical::kFloat)
      count(&ints, &counts, float_key(in.floats[size_t(i)]), 1);
    else
      count(&ints, &counts, in.ints[size_t(i)], 1);
  }
  return {};
}

void KeyCounts::prepare(const KeyCounts& other) {
  counts.reserve(counts.size() + other.counts.size());
  if (physical == Physical::kString)
    strings.reserve_for(other.strings);
  else
    ints.reserve_for(other.ints);
}

void KeyCounts::add(const KeyCounts& other) {
  for (size_t i = 0; i < other.size(); i++) {
    if (physical == Physical::kString)
      count(&strings, &counts, other.strings.key(i), other.counts[i]);
    else
      count(&ints, &counts, other.ints.key(i), other.counts[i]);
  }
}

bool KeyCounts::less(uint32_t a, uint32_t b) const {
  if (physical == Physical::kString) return strings.key(a) < strings.key(b);
  if (physical == Physical::kFloat) return std::bit_cast<double>(ints.key(a)) < std::bit_cast<double>(ints.key(b));
  return ints.key(a) < ints.key(b);
}

bool KeyCounts::push(int64_t key, uint64_t n) {
  if (ints.insert(key, hash64(key)) != counts.size()) return false;
  counts.push_back(n);
  return true;
}

bool KeyCounts::push(std::string_view key, uint64_t n) {
  if (strings.insert(key, hash64(key)) != counts.size()) return false;
  counts.push_back(n);
  return true;
}

bool KeyCounts::push(const KeyCounts& from, size_t i) {
  return physical == Physical::kString ? push(from.strings.key(i), from.counts[i])
                                       : push(from.ints.key(i), from.counts[i]);
}

void KeyCounts::write(ByteWriter* out) const {
  out->put<uint8_t>(uint8_t(physical));
  out->put_array(counts);
  if (physical == Physical::kString) {
    out->put_array(strings.ends());
    out->put_array(strings.chars());
  } else {
    out->put_array(ints.keys());
  }
}

Status KeyCounts::read(ByteReader* in) {
  auto corrupt = [](const char* what, size_t i) {
    return fail(GYR_E_CORRUPT, "workflow", "vocabulary: %s at entry %zu", what, i);
  };
  uint8_t type = 0;
  GYR_TRY(in->get(&type));
  if (type != uint8_t(physical)) return corrupt("type of the values differs from the graph's", 0);
  std::span<const uint64_t> n;
  GYR_TRY(in->get_array(&n));
  if (n.size() > kMaxKeys) return corrupt("too many values", n.size());
  std::span<const uint64_t> ends;
  std::span<const char> chars;
  std::span<const int64_t> keys;
  bool is_string = physical == Physical::kString;
  if (is_string) {
    GYR_TRY(in->get_array(&ends));
    GYR_TRY(in->get_array(&chars));
    strings.reserve(ends.size(), chars.size());
  } else {
    GYR_TRY(in->get_array(&keys));
    ints.reserve(keys.size());
  }
  if ((is_string ? ends.size() : keys.size()) != n.size())
    return corrupt("values and counts differ in number", n.size());
  counts.reserve(n.size());
  uint64_t begin = 0;
  for (size_t i = 0; i < n.size(); i++) {
    if (n[i] > kMaxCount) return corrupt("impossible count", i);
    if (is_string) {
      if (ends[i] < begin || ends[i] > chars.size()) return corrupt("bad string offset", i);
      if (!push(std::string_view(chars.data() + begin, size_t(ends[i] - begin)), n[i])) return corrupt("duplicate", i);
      begin = ends[i];
    } else {
      if (physical == Physical::kFloat && float_key(std::bit_cast<double>(keys[i])) != keys[i])
        return corrupt("negative zero", i);
      if (physical == Physical::kFloat && std::isnan(std::bit_cast<double>(keys[i]))) return corrupt("NaN", i);
      if (!push(keys[i], n[i])) return corrupt("duplicate", i);
    }
  }
  if (is_string && begin != chars.size()) return corrupt("unused bytes", n.size());
  return {};
}

}  // namespace gyr::workflow
