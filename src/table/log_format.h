// The bytes of a live table's log (docs/format.md, "Folders of live tables"): segments of records, and what is in a
// record. Everything read is checked before it is used.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/math.h"
#include "table/table.h"

namespace gyr {

enum class LogType : uint8_t { kUpsert = 1, kDelete = 2 };

struct RecordHeader {
  uint32_t size;  // of the payload as stored; zeros up to a multiple of 8 follow it
  LogType type;
  uint8_t codec;  // Codec
  uint16_t reserved;
  uint64_t lsn;
  uint64_t durable;  // the last LSN that was on disk for sure when this was written
  int64_t time_us;   // the wall clock's, when the change was made
  uint32_t rows;     // so many rows of the payload went in: fewer than there are when an upsert failed on its way
  uint32_t raw_size;
  uint64_t payload_hash;  // of the stored bytes
  uint64_t check;         // of what is before, and the table's number
};
static_assert(sizeof(RecordHeader) == 56);

// On its way to the log; header and payload.
struct LogRecord {
  LogRecord* next = nullptr;
  RecordHeader header{};
  std::vector<uint8_t> payload;

  uint64_t bytes() const { return sizeof(RecordHeader) + align_up(payload.size(), 8); }
  void seal(uint64_t table_id);  // fills in the check, when everything else is there
};

// OUT_OF_RANGE for more than 2 GB.
Result<std::unique_ptr<LogRecord>> encode_upsert(const Batch& batch);
Result<std::unique_ptr<LogRecord>> encode_delete(const Keys& keys);
// What is in a payload of either type, of the rows that went in; for deletes, one column of keys without a name.
Status decode_payload(const RecordHeader& header, std::span<const uint8_t> payload, Batch* out);

constexpr uint64_t kSegmentHeader = 64;
void write_segment_header(uint64_t table_id, uint64_t first_lsn, uint8_t (*out)[kSegmentHeader]);
std::string segment_name(uint64_t first_lsn);
bool parse_segment_name(const std::string& name, uint64_t* first_lsn);

struct SegmentRead {
  uint64_t last_lsn;  // first_lsn - 1 when there is no record
  uint64_t bytes;     // used; 0 when not even the header is whole
};
// Hands out the records of a segment in order. The first that is not whole ends the log, which may only be so in the
// last segment; CORRUPT when a later one proves that it had been on disk.
Status read_segment(std::span<const uint8_t> bytes, uint64_t table_id, uint64_t first_lsn, bool last,
                    const std::function<Status(const RecordHeader&, std::span<const uint8_t>)>& use, SegmentRead* out);

}  // namespace gyr
