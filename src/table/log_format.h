// The bytes of a live table's log (docs/format.md, "Folders of live tables"): segments of records, and what is in a
// record. Everything read is checked before it is used.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/math.h"
#include "io/file.h"
#include "table/table.h"

namespace gyr {

// A mark is no change: it has the LSN of the record before, and says that this was on disk.
enum class LogType : uint8_t { kUpsert = 1, kDelete = 2, kMark = 3 };

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

RecordHeader make_mark(uint64_t table_id, uint64_t lsn);

// Looks at a segment's bytes, which it reads from a file piece by piece.
class SegmentView {
 public:
  explicit SegmentView(std::span<const uint8_t> bytes) : all_(bytes), size_(bytes.size()) {}
  SegmentView(const File* file, uint64_t size) : file_(file), size_(size) {}
  uint64_t size() const { return size_; }
  // Bytes [at, at + n), which must be there; valid until the next call.
  Status look(uint64_t at, uint64_t n, std::span<const uint8_t>* out);
  // Moves *at, a multiple of 8, on to where the next 8 bytes are that are not all zero; to the end when there are none.
  Status skip_zeros(uint64_t* at);

 private:
  static constexpr uint64_t kPiece = 256 << 10;
  std::span<const uint8_t> all_;
  const File* file_ = nullptr;
  uint64_t size_, begin_ = 0;
  std::vector<uint8_t> piece_;  // the file's bytes from begin_ on
};

struct SegmentRead {
  uint64_t last_lsn;  // first_lsn - 1 when there is no record
  uint64_t bytes;     // used; 0 when not even the header is whole
  bool marked;        // all of it is known to have been on disk
};
// Hands out the changes of a segment in order. The first record that is not whole ends the log, which may only be so in
// the last segment; CORRUPT when a later one proves that it had been on disk.
Status read_segment(SegmentView* view, uint64_t table_id, uint64_t first_lsn, bool last,
                    const std::function<Status(const RecordHeader&, std::span<const uint8_t>)>& use, SegmentRead* out);

}  // namespace gyr
