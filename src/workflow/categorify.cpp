// Categorify: ids to dense codes. Layout as NVTabular 23.06 and later: 0 pad, 1 null, 2 .. 2+nb-1 out of vocabulary,
// then the vocabulary by count descending, value ascending (NVTabular leaves ties open).
// https://nvidia-merlin.github.io/NVTabular/stable/api/ops/categorify.html
#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <numeric>

#include "workflow/elements.h"
#include "workflow/key_counts.h"
#include "workflow/op.h"

namespace gyr::workflow {
namespace {

constexpr int64_t kNull = 1, kFirstBucket = 2;

struct Counts : Partial {
  Counts(Physical type, std::pmr::memory_resource* memory) : values(type, memory) {}
  KeyCounts values;
};
struct Vocabulary : Learned {
  Vocabulary(Physical type, std::pmr::memory_resource* memory) : values(type, memory) {}
  KeyCounts values;  // in code order
};

struct Settings {
  int64_t threshold = 0, max_size = 0, buckets = 1;
};

// A block of hashes first, so that the table's cache lines are on their way when the probing starts.
template <class Keys, class Get>
void encode(const Keys& keys, uint64_t buckets, int64_t n, int64_t* out, Get get) {
  constexpr int64_t kBlock = 32;
  uint64_t hash[kBlock];
  int64_t first = kFirstBucket + int64_t(buckets);
  const int64_t block = int64_t(knobs::capacity(kBlock));
  for (int64_t base = 0; base < n; base += block) {
    int64_t m = std::min(block, n - base);
    for (int64_t i = 0; i < m; i++) {
      hash[i] = hash64(get(base + i));
      keys.prefetch(hash[i]);
    }
    for (int64_t i = 0; i < m; i++) {
      int64_t place = keys.find(get(base + i), hash[i]);
      out[base + i] = place >= 0 ? first + place : kFirstBucket + (buckets == 1 ? 0 : int64_t(hash[i] % buckets));
    }
  }
}

class Categorify final : public Op {
 public:
  Categorify(gyr_dtype dtype, Settings settings) : dtype_(dtype), settings_(settings) {}
  void give(std::shared_ptr<const Vocabulary> vocabulary) { given_ = std::move(vocabulary); }

  Status run(const Learned* learned, const Column& in, Column* out) const override {
    const KeyCounts& values = vocabulary(learned).values;
    out->reset(GYR_DTYPE_INT64, in.is_list);
    // A null list is an empty one: codes have no nulls.
    if (in.is_list) out->list_offsets.assign(in.list_offsets.begin(), in.list_offsets.end());
    int64_t n = in.leaves();
    out->ints.resize(size_t(n));
    int64_t* to = out->ints.data();
    uint64_t buckets = uint64_t(settings_.buckets);
    switch (in.physical()) {
      case Physical::kString:
        encode(values.strings, buckets, n, to, [&](int64_t i) { return in.string(i); });
        break;
      case Physical::kInt:
        encode(values.ints, buckets, n, to, [&](int64_t i) { return in.ints[size_t(i)]; });
        break;
      case Physical::kFloat:
        encode(values.ints, buckets, n, to, [&](int64_t i) { return float_key(in.floats[size_t(i)]); });
        break;
    }
    if (!in.leaf_valid.empty() || in.physical() == Physical::kFloat)
      for (int64_t i = 0; i < n; i++)
        if (leaf_is_null(in, i)) to[i] = kNull;
    return {};
  }

  bool learns() const override { return !given_; }
  std::shared_ptr<const Learned> given() const override { return given_; }
  std::unique_ptr<Partial> start(std::pmr::memory_resource* memory) const override {
    return std::make_unique<Counts>(physical(), memory);
  }
  Status observe(const Column& in, Partial* to) const override { return counts(*to).values.observe(in); }
  Status prepare(Partial* into, const Partial& other) const override {
    KeyCounts& values = counts(*into).values;
    const KeyCounts& more = static_cast<const Counts&>(other).values;
    if (values.size() + more.size() > kMaxKeys)
      return fail(GYR_E_RESOURCE_EXHAUSTED, "workflow", "a vocabulary can count at most %zu distinct values", kMaxKeys);
    values.prepare(more);
    return {};
  }
  void add(Partial* into, const Partial& other) const override {
    counts(*into).values.add(static_cast<const Counts&>(other).values);
  }

  Result<std::shared_ptr<const Learned>> finish(const Partial& partial,
                                                std::pmr::memory_resource* memory) const override {
    const KeyCounts& all = static_cast<const Counts&>(partial).values;
    std::pmr::vector<uint32_t> order(memory);
    order.reserve(all.size());
    for (size_t i = 0; i < all.size(); i++)
      if (all.counts[i] >= uint64_t(settings_.threshold)) order.push_back(uint32_t(i));
    auto before = [&](uint32_t a, uint32_t b) {
      return all.counts[a] != all.counts[b] ? all.counts[a] > all.counts[b] : all.less(a, b);
    };
    if (order.size() > room()) {
      std::nth_element(order.begin(), order.begin() + ptrdiff_t(room()), order.end(), before);
      order.resize(room());
    }
    std::sort(order.begin(), order.end(), before);
    auto made = std::make_shared<Vocabulary>(physical(), memory);
    if (physical() == Physical::kString)
      made->values.strings.reserve(order.size(), 0);
    else
      made->values.ints.reserve(order.size());
    made->values.counts.reserve(order.size());
    for (uint32_t i : order) made->values.push(all, i);
    return std::shared_ptr<const Learned>(std::move(made));
  }

  void write(const Partial& p, ByteWriter* out) const override { static_cast<const Counts&>(p).values.write(out); }
  void write(const Learned& l, ByteWriter* out) const override { static_cast<const Vocabulary&>(l).values.write(out); }
  Result<std::unique_ptr<Partial>> read_partial(ByteReader* in, std::pmr::memory_resource* memory) const override {
    auto made = std::make_unique<Counts>(physical(), memory);
    GYR_TRY(made->values.read(in));
    for (uint64_t n : made->values.counts)
      if (n == 0) return fail(GYR_E_CORRUPT, "workflow", "vocabulary: a value counted zero times");
    return std::unique_ptr<Partial>(std::move(made));
  }
  Result<std::shared_ptr<const Learned>> read_learned(ByteReader* in,
                                                      std::pmr::memory_resource* memory) const override {
    auto made = std::make_shared<Vocabulary>(physical(), memory);
    GYR_TRY(made->values.read(in));
    const KeyCounts& v = made->values;
    if (v.size() > room())
      return fail(GYR_E_CORRUPT, "workflow", "vocabulary: %zu values, max_size leaves room for %zu", v.size(), room());
    for (size_t i = 0; i < v.size(); i++) {
      if (v.counts[i] == 0 || v.counts[i] < uint64_t(settings_.threshold))
        return fail(GYR_E_CORRUPT, "workflow", "vocabulary: entry %zu is below freq_threshold", i);
      if (i &&
          (v.counts[i - 1] < v.counts[i] || (v.counts[i - 1] == v.counts[i] && !v.less(uint32_t(i - 1), uint32_t(i)))))
        return fail(GYR_E_CORRUPT, "workflow", "vocabulary: entry %zu is out of order", i);
    }
    return std::shared_ptr<const Learned>(std::move(made));
  }

  int64_t cardinality(const Learned* learned) const override {
    return kFirstBucket + settings_.buckets + (learned ? int64_t(vocabulary(learned).values.size()) : 0);
  }
  Json statistics(const Learned& learned) const override {
    const KeyCounts& v = static_cast<const Vocabulary&>(learned).values;
    uint64_t total = std::accumulate(v.counts.begin(), v.counts.end(), uint64_t(0));
    return {{"vocabulary", v.size()}, {"observed", total}, {"num_buckets", settings_.buckets}};
  }
  Status decode(const Learned* learned, int64_t code, gyr_value* out) const override {
    int64_t size = cardinality(learned);
    if (code < 0 || code >= size)
      return fail(GYR_E_OUT_OF_RANGE, "workflow", "code %" PRId64 " is not in 0..%" PRId64, code, size - 1);
    gyr_value value = {};
    int64_t place = code - kFirstBucket - settings_.buckets;
    if (place >= 0) {
      const KeyCounts& v = vocabulary(learned).values;
      value.dtype = dtype_;
      if (physical() == Physical::kString) {
        std::string_view s = v.strings.key(size_t(place));
        value.s = {s.data(), s.size()};
      } else if (physical() == Physical::kFloat) {
        value.f = std::bit_cast<double>(v.ints.key(size_t(place)));
      } else {
        value.i = v.ints.key(size_t(place));
      }
    }
    *out = value;
    return {};
  }

 private:
  static Counts& counts(Partial& p) { return static_cast<Counts&>(p); }
  const Vocabulary& vocabulary(const Learned* learned) const { return static_cast<const Vocabulary&>(*learned); }
  Physical physical() const { return physical_of(dtype_); }
  size_t room() const {
    return settings_.max_size ? size_t(settings_.max_size - kFirstBucket - settings_.buckets) : kMaxKeys;
  }

  gyr_dtype dtype_;
  Settings settings_;
  std::shared_ptr<const Vocabulary> given_;
};

Status bad(const OpContext& c, const char* key, const char* text, const std::string& column) {
  return fail(GYR_E_INVALID_ARGUMENT, "workflow", "%s: %s (column \"%s\")", c.spec->path(key).c_str(), text,
              column.c_str());
}

// Which columns learn together: groups of positions.
Status read_groups(OpContext& c, std::vector<std::vector<int>>* groups) {
  size_t n = c.in->size();
  bool joint = false;
  GYR_TRY(c.spec->boolean("joint", &joint));
  std::vector<bool> grouped(n);
  if (const Json* v = c.spec->value("groups")) {
    const char* expected = "expected a list of lists of column names";
    if (joint) return c.spec->error("groups", "contradicts \"joint\": true, which makes one group of all columns");
    if (!v->is_array()) return c.spec->error("groups", expected);
    for (const Json& names : *v) {
      if (!names.is_array() || names.empty()) return c.spec->error("groups", expected);
      std::vector<int>& group = groups->emplace_back();
      for (const Json& name : names) {
        if (!name.is_string()) return c.spec->error("groups", expected);
        const std::string& s = name.string();
        size_t i = 0;
        while (i < n && (*c.in)[i].name != s) i++;
        if (i == n) return bad(c, "groups", "not among this op's columns", s);
        if (grouped[i]) return bad(c, "groups", "named in two groups", s);
        grouped[i] = true;
        group.push_back(int(i));
      }
    }
  }
  if (joint) {
    std::vector<int>& all = groups->emplace_back(n);
    std::iota(all.begin(), all.end(), 0);
    return {};
  }
  for (size_t i = 0; i < n; i++)
    if (!grouped[i]) groups->push_back({int(i)});
  return {};
}

Result<std::shared_ptr<const Vocabulary>> read_vocabulary(const OpContext& c, const Json& list, Physical type,
                                                          const std::string& column) {
  if (!list.is_array()) return bad(c, "vocabs", "expected a list of values", column);
  auto made = std::make_shared<Vocabulary>(type, c.memory);
  for (const Json& v : list) {
    bool added;
    if (type == Physical::kString) {
      if (!v.is_string()) return bad(c, "vocabs", "expected strings", column);
      added = made->values.push(v.string(), 0);
    } else if (type == Physical::kFloat) {
      if (!v.is_number()) return bad(c, "vocabs", "expected numbers", column);
      added = made->values.push(float_key(v.number()), 0);
    } else {
      if (!v.is_int64()) return bad(c, "vocabs", "expected integers", column);
      added = made->values.push(v.int64(), 0);
    }
    if (!added) return bad(c, "vocabs", "a value appears twice", column);
  }
  return std::shared_ptr<const Vocabulary>(std::move(made));
}

Status read_settings(const OpContext& c, const std::vector<int>& group, const std::vector<int64_t>& threshold,
                     const std::vector<int64_t>& max_size, const std::vector<int64_t>& buckets, Settings* out) {
  size_t first = size_t(group[0]);
  *out = {threshold[first], max_size[first], buckets[first]};
  for (int i : group) {
    const ColumnSchema& column = (*c.in)[size_t(i)];
    size_t k = size_t(i);
    if (physical_of(column.dtype) != physical_of((*c.in)[first].dtype))
      return bad(c, "columns", "a joint group needs one type of values", column.name);
    if (threshold[k] != out->threshold) return bad(c, "freq_threshold", "differs inside a joint group", column.name);
    if (max_size[k] != out->max_size) return bad(c, "max_size", "differs inside a joint group", column.name);
    if (buckets[k] != out->buckets) return bad(c, "num_buckets", "differs inside a joint group", column.name);
  }
  const std::string& name = (*c.in)[first].name;
  if (out->threshold && out->max_size) return bad(c, "max_size", "cannot be used together with freq_threshold", name);
  if (out->max_size && out->max_size < out->buckets + kFirstBucket)
    return bad(c, "max_size", "must be at least num_buckets + 2", name);
  return {};
}

}  // namespace

Status make_categorify(OpContext& c) {
  std::vector<std::vector<int>> groups;
  std::vector<int64_t> threshold, max_size, buckets;
  constexpr int64_t kMost = (int64_t(1) << 31) - 1;
  GYR_TRY(read_groups(c, &groups));
  GYR_TRY(per_column(c, "freq_threshold", 0, int64_t(1) << 53, 0, &threshold));
  GYR_TRY(per_column(c, "max_size", 0, kMost, 0, &max_size));
  GYR_TRY(per_column(c, "num_buckets", 1, kMost, 1, &buckets));
  const Json* vocabs = c.spec->value("vocabs");
  if (vocabs && !vocabs->is_object()) return c.spec->error("vocabs", "expected an object {column: [values]}");
  size_t vocabs_used = 0;

  for (const std::vector<int>& group : groups) {
    Settings settings;
    GYR_TRY(read_settings(c, group, threshold, max_size, buckets, &settings));
    gyr_dtype dtype = (*c.in)[size_t(group[0])].dtype;
    OpUnit unit;
    std::string domain;
    std::shared_ptr<const Vocabulary> given;
    for (int i : group) {
      const ColumnSchema& in = (*c.in)[size_t(i)];
      if (in.dtype != dtype) dtype = physical_of(dtype) == Physical::kFloat ? GYR_DTYPE_FLOAT64 : GYR_DTYPE_INT64;
      domain += (domain.empty() ? "" : "_") + (*c.names)[size_t(i)];
      const Json* list = vocabs ? vocabs->find(in.name) : nullptr;
      if (!list) continue;
      if (given) return bad(c, "vocabs", "a joint group takes one vocabulary, under any of its columns", in.name);
      if (settings.threshold || settings.max_size)
        return bad(c, "vocabs", "cannot be used together with freq_threshold or max_size", in.name);
      GYR_ASSIGN(given, read_vocabulary(c, *list, physical_of(in.dtype), in.name));
      vocabs_used++;
    }
    auto op = std::make_unique<Categorify>(dtype, settings);
    if (given) op->give(std::move(given));
    for (int i : group) {
      unit.columns.push_back(i);
      ColumnSchema& out = unit.out.emplace_back(derive((*c.in)[size_t(i)], GYR_DTYPE_INT64, kTagCategorical));
      if (group.size() > 1) out.domain = domain;
    }
    unit.op = std::move(op);
    c.units->push_back(std::move(unit));
  }
  if (vocabs && vocabs_used != vocabs->size())
    return c.spec->error("vocabs", "names a column that is not among this op's columns");
  return {};
}

}  // namespace gyr::workflow
