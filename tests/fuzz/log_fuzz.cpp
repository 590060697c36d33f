// First byte: bit 0, whether the bytes are the log's last segment; bit 1, whether they are one record's payload instead
// (then bit 2: of a delete, bit 3: lz4). A segment is of table 7 and begins with change 1. What a log tells is applied
// to a table, twice where it is whole: telling it again changes nothing.
#include "table/log_format.h"
#include "table/table_impl.h"
#include "tests/fuzz/use_table.h"

using namespace gyr;
using namespace gyr::fuzz;

namespace {

constexpr const char* kSchema = R"({"name":"t","key":"id","event_time":"ts","ttl_seconds":3,"columns":[
  {"name":"a","dtype":"int8"},{"name":"f","dtype":"float32"},{"name":"s","dtype":"string"},
  {"name":"l","dtype":"string","list":true}]})";

std::shared_ptr<Table> make_table() { return *Table::create(runtime(), kSchema); }

// As recovery does; a refusal of the table's is one of the file here.
Status apply(Table* table, const RecordHeader& h, std::span<const uint8_t> payload) {
  Batch batch;
  GYR_TRY(decode_payload(h, payload, &batch));
  must(batch.rows == int64_t(h.rows), "as many rows as went in");
  for (auto& c : batch.columns) check_column(c), must(c.rows() == batch.rows, "all columns have the rows");
  if (h.type == LogType::kUpsert) return table->upsert(batch, nullptr).in_file("log");
  if (batch.columns[0].dtype != GYR_DTYPE_INT64 || batch.columns[0].is_list) return {};
  Keys keys{GYR_DTYPE_INT64, batch.columns[0].ints.data(), nullptr, uint64_t(batch.rows)};
  return table->remove(keys, nullptr);
}

void use_payload(uint8_t flags, std::span<const uint8_t> bytes) {
  if (bytes.size() < 8) return;
  RecordHeader h{};
  std::memcpy(&h.rows, bytes.data(), 4);
  std::memcpy(&h.raw_size, bytes.data() + 4, 4);
  h.type = flags & 4 ? LogType::kDelete : LogType::kUpsert;
  h.codec = flags & 8 ? uint8_t(Codec::kLz4) : uint8_t(Codec::kRaw);
  std::vector<uint8_t> aligned(bytes.begin() + 8, bytes.end());
  Batch batch;
  Status s = decode_payload(h, aligned, &batch);
  if (!s.ok()) return refused_stored(s);
  auto table = make_table();
  Status applied = apply(table.get(), h, aligned);
  if (!applied.ok()) refused_stored(applied);
  use_table(table.get());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::vector<uint8_t> bytes(data + 1, data + size);
  if (data[0] & 2) {
    use_payload(data[0], bytes);
    return 0;
  }
  auto table = make_table();
  uint64_t next = 1;
  SegmentRead end{};
  SegmentView view(bytes);
  Status s = read_segment(
      &view, 7, 1, data[0] & 1,
      [&](const RecordHeader& h, std::span<const uint8_t> payload) {
        must(h.lsn == next++, "changes come in order");
        must(payload.data() >= bytes.data() && payload.data() + payload.size() <= bytes.data() + bytes.size(),
             "a payload is in the segment");
        return apply(table.get(), h, payload);
      },
      &end);
  if (!s.ok()) {
    refused_stored(s);
    return 0;
  }
  must(end.last_lsn + 1 == next && end.bytes <= bytes.size(), "the end is where the last record ends");
  use_table(table.get());
  return 0;
}
