// Removing what has expired, and how much memory a table will need.
#include <bit>

#include "base/clock.h"
#include "base/math.h"
#include "table/live_table.h"

namespace gyr {

// A row goes when none of its groups can be read any more, neither now nor, with a history, as of a time within the
// history's seconds. A history without a bound in time keeps everything.
bool TableImpl::is_over(const uint8_t* row, int64_t now_us) const {
  if (history_ && !schema_.history_us) return false;
  for (uint32_t g = 0; g < schema_.groups.size(); g++) {
    int64_t event = format_.event_time(row, g), since;
    if (schema_.has_views() && event == RowFormat::kNever) continue;
    if (__builtin_add_overflow(event, schema_.history_us, &since)) return false;
    if (!expired_by(since, schema_.groups[g].ttl_us, now_us)) return false;
  }
  return true;
}

Status TableImpl::find_over(int64_t now_us, uint64_t max_rows, uint64_t* cursor, Over* out) const {
  auto scratch = scratch_.lend();
  std::vector<size_t> ends;
  {
    auto guard = store_.read();
    store_.scan(cursor, max_rows, &scratch->stored);
    for (auto& s : scratch->stored) {  // bytes are copied: rows may be freed while we wait for their locks
      if (!is_over(s.payload, now_us)) continue;
      if (schema_.key.dtype == GYR_DTYPE_STRING)
        out->bytes += s.key_text(), ends.push_back(out->bytes.size());
      else
        out->ints.push_back(s.key_int());
    }
  }
  for (size_t i = 0, begin = 0; i < ends.size(); begin = ends[i++])
    out->strings.push_back({out->bytes.data() + begin, ends[i] - begin});
  out->keys = {schema_.key.dtype, out->ints.data(), out->strings.data(), out->ints.size() + out->strings.size()};
  return {};
}

Status TableImpl::sweep(int64_t now_us, uint64_t max_rows, uint64_t* cursor, uint64_t* removed) {
  const int64_t now = now_us == 0 ? realtime_us() : now_us;
  uint64_t n = 0;
  if (live_ && live_->keeps_log()) {
    GYR_TRY(live_->sweep(this, now, max_rows, cursor, &n));
  } else {
    Over over;
    GYR_TRY(find_over(now, max_rows, cursor, &over));
    for (uint64_t i = 0; i < over.keys.count; i++) {
      const KeyRef key = key_of(over.keys, i);
      n += store_.erase_if(key, [&](const uint8_t* row) {  // unless it was written meanwhile
        if (!row || !is_over(row, now)) return false;
        if (history_) history_->erase(key);
        return true;
      });
    }
  }
  if (removed) *removed = n;
  return {};
}

Result<uint64_t> Table::estimate(std::string_view schema_json, uint64_t rows, uint64_t variable_bytes,
                                 uint64_t versions) {
  GYR_ASSIGN(TableSchema schema, TableSchema::parse(schema_json));
  if (rows > kMostBytes || variable_bytes > kMostBytes)
    return fail(GYR_E_OUT_OF_RANGE, "table", "no memory holds %llu rows of %llu bytes", (unsigned long long)rows,
                (unsigned long long)variable_bytes);
  if (versions > schema.versions)
    return fail(GYR_E_INVALID_ARGUMENT, "table", "versions is %llu, the schema keeps %u", (unsigned long long)versions,
                schema.versions);
  const RowFormat format(schema.columns, schema.group_of);
  const bool byte_keys = schema.key.dtype == GYR_DTYPE_STRING, spread = format.has_ranges || byte_keys;
  const uint64_t key = byte_keys ? 8 : 0;  // a key's size, rounded up with it
  uint64_t total = KeyedRows::estimate(rows, format.fixed_size + variable_bytes + (spread ? 4 : 0) + key, spread);
  if (schema.versions) {
    // A version has one group's columns; which one nobody knows.
    uint64_t fixed = 0;
    for (auto& f : History::formats_of(schema)) fixed += f.fixed_size;
    uint64_t rows_bytes = versions * ((fixed + variable_bytes) / schema.groups.size());
    uint64_t block = History::block_bytes(schema, !format.has_ranges, std::max<uint64_t>(versions, 1), rows_bytes);
    auto add = [&](uint64_t bytes) { total = bytes > UINT64_MAX - total ? UINT64_MAX : total + bytes; };
    add(KeyedRows::estimate(rows, block + key, spread));
    // Histories that grow side by side leave the blocks behind that were too small for them.
    for (uint64_t n = 1; n < std::bit_ceil(versions); n *= 2) {
      uint64_t left = History::block_bytes(schema, !format.has_ranges, n, rows_bytes / versions * n) + key, blocks;
      if (left > RowArena::kLargest) break;  // those go back
      add(__builtin_mul_overflow(rows, RowArena::block_bytes_of(left, spread), &blocks) ? UINT64_MAX : blocks);
    }
  }
  return total;
}

}  // namespace gyr
