#include "table/history.h"

#include <algorithm>
#include <bit>

#include "base/math.h"

namespace gyr {
namespace {

constexpr uint64_t kMostBlock = uint64_t(1) << 30;  // rows of one entity

// Before the versions.
uint64_t index_bytes(size_t groups, uint64_t versions, bool same_sizes) {
  return align_up(groups * 8 + 10 + versions * 2 + (same_sizes ? 0 : (versions + 1) * 4), 8);
}
bool no_ranges(const std::vector<RowFormat>& formats) {
  return std::none_of(formats.begin(), formats.end(), [](auto& f) { return f.has_ranges; });
}

template <class T>
void put(uint8_t* at, T v) {
  std::memcpy(at, &v, sizeof v);
}

}  // namespace

uint64_t History::Versions::row_bytes(uint32_t group, uint32_t i) const {
  return history_->same_sizes_ ? history_->formats_[group].fixed_size : uint64_t(place(i + 1) - place(i)) * 8 - 8;
}

const uint8_t* History::Versions::in_force(uint32_t group, int64_t i, int64_t time, bool known) const {
  int64_t first = begin(group), n = i - first + 1;
  if (n > 0 && event(group, uint32_t(i)) > time) {  // shares the step of the time
    while (n > 0) {
      bool of_time = event(group, uint32_t(first + n / 2)) <= time;
      first = of_time ? first + n / 2 + 1 : first;
      n = of_time ? n - n / 2 - 1 : n / 2;
    }
    i = first - 1;
  }
  for (; i >= int64_t(begin(group)); i--)
    if (const uint8_t* version = at(group, uint32_t(i)); !known || created(version) <= time) return version;
  return nullptr;
}

std::vector<RowFormat> History::formats_of(const TableSchema& schema) {
  std::vector<RowFormat> formats;
  for (uint32_t g = 0; g < schema.groups.size(); g++) {
    std::vector<Field> fields;
    for (size_t c = 0; c < schema.columns.size(); c++)
      if (schema.group_of[c] == g) fields.push_back(schema.columns[c]);
    formats.emplace_back(fields);
  }
  return formats;
}

// Of a block, the index is fetched ahead: up to so much.
constexpr uint64_t kMostAhead = 512;

History::History(std::pmr::memory_resource* memory, const TableSchema& schema, KeyedRows::Hash hash)
    : schema_(schema),
      formats_(formats_of(schema)),
      same_sizes_(no_ranges(formats_)),
      index_ahead_(uint32_t(std::min(index_bytes(formats_.size(), schema.versions, same_sizes_), kMostAhead))),
      // Lookups of ints do not touch the blocks.
      store_(memory, schema.key.dtype == GYR_DTYPE_STRING
                         ? KeyedRows::Options{.keys = KeyedRows::KeyKind::kBytes, .prefetch_bytes = 64, .hash = hash}
                         : KeyedRows::Options{.prefetch_bytes = 0, .hash = hash}) {
  std::vector<size_t> columns(formats_.size());
  for (uint32_t g : schema.group_of) places_.push_back(columns[g]++);
}

void History::prefetch(const KeyRef* keys, size_t n) const {
  const bool bytes = schema_.key.dtype == GYR_DTYPE_STRING;
  store_.prefetch(keys, n, bytes);
  if (bytes || n < 2) return;
  auto guard = store_.read();
  for (size_t i = 0; i < n; i++)
    if (const uint8_t* block = store_.find(keys[i])) prefetch(block);
}

// The entity's entries with the new ones in their places. Returns how many there were.
uint64_t History::arrange(const uint8_t* block, const News& news, Draft* draft) const {
  const size_t groups = formats_.size();
  auto& entries = draft->entries;
  entries.clear();
  draft->ends.assign(groups, 0);
  draft->fresh.assign(groups, {});
  draft->outcome = {};
  for (uint32_t g = 0; g < groups; g++) {
    const size_t begin = entries.size();
    if (block) {
      Versions old = open(block);
      for (uint32_t i = old.begin(g); i < old.end(g); i++)
        entries.push_back({old.event(g, i), created(old.at(g, i)), row(old.at(g, i)), old.row_bytes(g, i)});
    }
    if (news.take >> g & 1) arrange(g, news, begin, draft);
    draft->ends[g] = uint32_t(entries.size());
  }
  uint64_t total = 0;
  for (auto& e : entries) total += e.bytes;
  draft->outcome.too_large |= total > kMostBlock;
  return block ? open(block).count() : 0;
}

// Puts the new version among its group's; the oldest beyond the limits are left out.
void History::arrange(uint32_t group, const News& news, size_t begin, Draft* draft) const {
  auto& entries = draft->entries;
  const int64_t t = news.times[group];
  auto sooner = [](const Entry& a, const Entry& b) {
    return a.event != b.event ? a.event < b.event : a.created < b.created;
  };
  Entry fresh{t, news.created, nullptr, 0};
  auto at = std::upper_bound(entries.begin() + ptrdiff_t(begin), entries.end(), fresh, sooner);
  Entry* before = at != entries.begin() + ptrdiff_t(begin) ? &*(at - 1) : nullptr;
  // What had expired by then is gone, as in upserts.
  const uint8_t* old = before && !expired_by(before->event, schema_.groups[group].ttl_us, t) ? before->row : nullptr;
  fresh.bytes = formats_[group].size({old, news.from[group], news.row});
  draft->fresh[group] = {old, fresh.bytes};
  draft->outcome.too_large |= fresh.bytes > RowFormat::kMaxRow;
  if (before && before->event == t && before->created == news.created)
    *before = fresh;
  else
    entries.insert(at, fresh);
  trim(&entries, begin);
  auto is_new = [](const Entry& e) { return !e.row; };
  if (std::any_of(entries.begin() + ptrdiff_t(begin), entries.end(), is_new)) draft->outcome.kept |= 1u << group;
  if (is_new(entries.back())) draft->outcome.newest |= 1u << group;
}

// Too many go, oldest first; then what no read of the last `history_us` before the newest would find.
void History::trim(std::vector<Entry>* entries, size_t begin) const {
  size_t drop = 0, n = entries->size() - begin;
  const Entry* e = entries->data() + begin;
  if (n > schema_.versions) drop = n - schema_.versions;
  int64_t horizon;
  if (schema_.history_us && !__builtin_sub_overflow(e[n - 1].event, schema_.history_us, &horizon)) {
    size_t in_force = n;  // the first version of those in force at the horizon
    while (in_force > 0 && e[in_force - 1].event > horizon) in_force--;
    while (in_force > 1 && e[in_force - 2].event == e[in_force - 1].event) in_force--;
    if (in_force > 0) drop = std::max(drop, in_force - 1);
  }
  entries->erase(entries->begin() + ptrdiff_t(begin), entries->begin() + ptrdiff_t(begin + drop));
}

// Blocks grow by doubling, with room that the next block of the entity does without: a block of each size in between
// would leave as many free ones behind when all entities grow together. A full ring has no room to spare.
uint64_t History::block_bytes(const TableSchema& schema, bool same_sizes, uint64_t versions, uint64_t row_bytes) {
  const uint64_t groups = schema.groups.size();
  uint64_t room = std::max(versions, std::min(std::bit_ceil(versions), schema.versions * groups));
  uint64_t rows = versions ? row_bytes / versions * room : 0;
  return index_bytes(groups, room, same_sizes) + room * 8 + align_up(std::max(rows, row_bytes), 8);
}

KeyedRows::NewRow History::write(const KeyRef& key, const News& news, const Draft& draft) {
  const size_t groups = formats_.size();
  const uint64_t n = draft.entries.size();
  uint64_t at = index_bytes(groups, n, same_sizes_), rows = 0;
  for (auto& e : draft.entries) rows += e.bytes;
  auto made = store_.make_row(key, block_bytes(schema_, same_sizes_, n, rows));
  std::memset(made.payload, 0, at);
  int64_t oldest = INT64_MAX, newest = INT64_MIN;
  for (auto& e : draft.entries) oldest = std::min(oldest, e.event), newest = std::max(newest, e.event);
  uint16_t shift = 0;
  while ((uint64_t(newest) - uint64_t(oldest)) >> shift > UINT16_MAX) shift++;
  put(made.payload + groups * 8, oldest);
  put(made.payload + groups * 8 + 8, shift);
  uint8_t *steps = made.payload + groups * 8 + 10, *places = steps + n * 2;
  for (uint32_t g = 0, i = 0; g < groups; g++) {
    put(made.payload + size_t(g) * 8, draft.ends[g]);
    put(made.payload + size_t(g) * 8 + 4, uint32_t(at / 8));
    for (; i < draft.ends[g]; i++) {
      const Entry& e = draft.entries[i];
      put(steps + size_t(i) * 2, uint16_t((uint64_t(e.event) - uint64_t(oldest)) >> shift));
      if (!same_sizes_) put(places + size_t(i) * 4, uint32_t(at / 8));
      put(made.payload + at, e.created);
      if (e.row)
        std::memcpy(made.payload + at + 8, e.row, e.bytes);
      else
        formats_[g].write({draft.fresh[g].old, news.from[g], news.row}, &e.event, made.payload + at + 8, e.bytes);
      at += 8 + e.bytes;
    }
  }
  if (!same_sizes_) put(places + n * 4, uint32_t(at / 8));
  return made;
}

void History::erase(const KeyRef& key) {
  uint64_t gone = 0;
  store_.erase_if(key, [&](const uint8_t* block) {
    if (block) gone = open(block).count();
    return true;
  });
  versions_.fetch_sub(gone, std::memory_order_relaxed);
}

}  // namespace gyr
