#include "table/log_format.h"

#include <lz4.h>

#include <algorithm>

#include "base/bytes.h"
#include "base/hash.h"
#include "table/table_impl.h"

namespace gyr {
namespace {

constexpr uint8_t kMagic[8] = {0x89, 'G', 'Y', 'L', '\r', '\n', 0x1a, '\n'};
constexpr uint16_t kMajor = 2, kMinor = 0;
constexpr uint64_t kCompressFrom = 4096;
constexpr uint64_t kMaxPayload = LZ4_MAX_INPUT_SIZE;
constexpr uint64_t kMaxLz4Ratio = 255;
constexpr const char *kPrefix = "log-", *kSuffix = ".gyrlog";

struct SegmentHeader {
  uint8_t magic[8];
  uint16_t major, minor;
  uint32_t size;
  uint64_t table_id, first_lsn;
  uint64_t reserved[3];
  uint64_t hash;  // of the 56 bytes before
};
static_assert(sizeof(SegmentHeader) == kSegmentHeader);

template <class... Args>
Status corrupt(const char* format, Args... args) {
  return fail(GYR_E_CORRUPT, "table", format, args...);
}

uint64_t check_of(const RecordHeader& h, uint64_t table_id) {
  uint8_t all[sizeof h];
  std::memcpy(all, &h, offsetof(RecordHeader, check));
  std::memcpy(all + offsetof(RecordHeader, check), &table_id, sizeof table_id);
  return hash64(all, sizeof all);
}

// Packs what is worth it; hashes what is stored.
Result<std::unique_ptr<LogRecord>> finish_record(LogType type, uint64_t rows, std::vector<uint8_t> raw) {
  if (raw.size() > kMaxPayload)
    return fail(GYR_E_OUT_OF_RANGE, "table", "%zu bytes in one batch are too many for the log; use smaller batches",
                raw.size());
  auto record = std::make_unique<LogRecord>();
  RecordHeader& h = record->header;
  h.type = type;
  h.rows = uint32_t(rows);
  h.raw_size = uint32_t(raw.size());
  record->payload = std::move(raw);
  if (h.raw_size >= kCompressFrom) {
    std::vector<uint8_t> packed(size_t(LZ4_compressBound(int(h.raw_size))));
    int size = LZ4_compress_default(reinterpret_cast<const char*>(record->payload.data()),
                                    reinterpret_cast<char*>(packed.data()), int(h.raw_size), int(packed.size()));
    if (size > 0 && uint32_t(size) < h.raw_size) {
      h.codec = uint8_t(Codec::kLz4);
      record->payload = std::vector<uint8_t>(packed.begin(), packed.begin() + size);  // the queue counts what it holds
    }
  }
  h.size = uint32_t(record->payload.size());
  h.payload_hash = hash64(record->payload.data(), record->payload.size());
  return record;
}

void put_column(std::string_view name, const Column& column, ByteWriter* out) {
  out->put<uint32_t>(uint32_t(column.dtype));
  out->put<uint32_t>(column.is_list);
  out->put_string(name);
  encode_column(column, out);
  out->bytes().resize(align_up(out->bytes().size(), 8));
}

// About as many as put_column() will make of all columns, or a few more.
size_t encoded_bytes(const Batch& batch) {
  size_t n = 16;
  for (size_t c = 0; c < batch.columns.size(); c++) {
    const Column& v = batch.columns[c];
    n += 128 + batch.names[c].size() + v.leaf_valid.size() + v.list_valid.size() + v.chars.size();
    n += 8 * (v.ints.size() + v.floats.size() + v.char_offsets.size() + v.list_offsets.size());
  }
  return n;
}

Status get_column(ByteReader* in, int64_t rows, Batch* out) {
  uint32_t dtype = 0, is_list = 0;
  std::string name;
  GYR_TRY(in->get(&dtype));
  GYR_TRY(in->get(&is_list));
  GYR_TRY(in->get_string(&name));
  if (dtype > INT32_MAX || std::string_view(dtype_name(gyr_dtype(dtype))) == "unknown" || is_list > 1)
    return corrupt("a logged column \"%.100s\" is of type %u", name.c_str(), dtype);
  Field field{name, gyr_dtype(dtype), is_list != 0};
  Column& column = out->add(std::move(name), field.dtype, field.is_list);
  GYR_TRY(decode_column(in, field, rows, &column));
  for (uint8_t pad = 0; in->left() % 8 != 0;) {
    GYR_TRY(in->get(&pad));
    if (pad != 0) return corrupt("the padding of a logged column is not zero");
  }
  return {};
}

bool all_zero(std::span<const uint8_t> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](uint8_t b) { return b == 0; });
}

bool plausible(const RecordHeader& h) {
  if (h.codec > uint8_t(Codec::kLz4) || h.reserved || h.lsn == 0) return false;
  if (h.type == LogType::kMark) return h.durable == h.lsn && h.size == 0;
  return (h.type == LogType::kUpsert || h.type == LogType::kDelete) && h.durable < h.lsn;
}

struct Found {
  bool whole = false;  // all of it is there, and its check says so
  RecordHeader h;
  std::span<const uint8_t> payload;
  uint64_t bytes = 0;
};

// What record stands at `at`. A payload is not looked at before its header is known to be one.
Status find_record(SegmentView* view, uint64_t at, uint64_t table_id, Found* out) {
  RecordHeader& h = out->h;
  out->whole = false;
  if (view->size() - at < sizeof h) return {};
  std::span<const uint8_t> bytes;
  GYR_TRY(view->look(at, sizeof h, &bytes));
  std::memcpy(&h, bytes.data(), sizeof h);
  const uint64_t room = view->size() - at - sizeof h, padded = align_up(uint64_t(h.size), 8);
  if (!plausible(h) || padded > room || check_of(h, table_id) != h.check) return {};
  GYR_TRY(view->look(at + sizeof h, padded, &bytes));
  out->payload = bytes.first(h.size);
  out->bytes = sizeof h + padded;
  out->whole = all_zero(bytes.subspan(h.size)) && hash64(bytes.data(), h.size) == h.payload_hash;
  return {};
}

// What whole records behind a gap say: the last LSN that had been on disk, and the last one that is there. 0 = there
// are none.
struct Behind {
  uint64_t durable = 0, lsn = 0;
  bool any() const { return lsn != 0; }
};
Status look_behind(SegmentView* view, uint64_t at, uint64_t table_id, Behind* out) {
  Found found;
  for (;;) {
    GYR_TRY(view->skip_zeros(&at));
    if (at >= view->size()) return {};
    GYR_TRY(find_record(view, at, table_id, &found));
    if (found.whole) out->durable = std::max(out->durable, found.h.durable), out->lsn = found.h.lsn;
    at += found.whole ? found.bytes : 8;
  }
}

Status check_segment(SegmentView* view, uint64_t table_id, uint64_t first_lsn, bool* whole) {
  SegmentHeader h;
  *whole = false;
  if (view->size() < sizeof h) return {};
  std::span<const uint8_t> bytes;
  GYR_TRY(view->look(0, sizeof h, &bytes));
  std::memcpy(&h, bytes.data(), sizeof h);
  if (std::memcmp(h.magic, kMagic, sizeof kMagic) != 0) return {};
  if (h.major > kMajor)
    return fail(GYR_E_FORMAT_TOO_NEW, "table", "log format %u.%u, this library reads up to %u; use a newer gyr",
                h.major, h.minor, kMajor);
  if (hash64(&h, offsetof(SegmentHeader, hash)) != h.hash || h.size != sizeof h) return {};
  if (h.table_id != table_id) return corrupt("the log is another table's; restore the folder from one copy");
  if (h.first_lsn != first_lsn)
    return corrupt("the log begins with change %llu, its name says %llu", (unsigned long long)h.first_lsn,
                   (unsigned long long)first_lsn);
  *whole = true;
  return {};
}

// The first `rows` rows of a column.
void cut(Column* c, int64_t rows) {
  int64_t leaves = rows;
  if (c->is_list) {
    c->list_offsets.resize(size_t(rows) + 1);
    if (!c->list_valid.empty()) c->list_valid.resize(size_t(rows));
    leaves = c->list_offsets.back();
  }
  if (!c->leaf_valid.empty()) c->leaf_valid.resize(size_t(leaves));
  switch (c->physical()) {
    case Physical::kInt:
      return c->ints.resize(size_t(leaves));
    case Physical::kFloat:
      return c->floats.resize(size_t(leaves));
    case Physical::kString:
      c->char_offsets.resize(size_t(leaves) + 1);
      return c->chars.resize(size_t(c->char_offsets.back()));
  }
}

}  // namespace

void LogRecord::seal(uint64_t table_id) { header.check = check_of(header, table_id); }

Result<std::unique_ptr<LogRecord>> encode_upsert(const Batch& batch) {
  ByteWriter out;
  out.bytes().reserve(encoded_bytes(batch));
  out.put<uint64_t>(uint64_t(batch.rows));
  out.put<uint64_t>(batch.columns.size());
  for (size_t c = 0; c < batch.columns.size(); c++) put_column(batch.names[c], batch.columns[c], &out);
  return finish_record(LogType::kUpsert, uint64_t(batch.rows), std::move(out.bytes()));
}

Result<std::unique_ptr<LogRecord>> encode_delete(const Keys& keys) {
  Column column;
  column.reset(keys.dtype, false);
  for (uint64_t i = 0; i < keys.count; i++) {
    if (keys.dtype == GYR_DTYPE_STRING)
      column.push_string(keys.strings[i].len ? std::string_view(keys.strings[i].data, keys.strings[i].len)
                                             : std::string_view());
    else
      column.push_int(keys.ints[i]);
  }
  ByteWriter out;
  out.put<uint64_t>(keys.count);
  out.put<uint64_t>(1);
  put_column("", column, &out);
  return finish_record(LogType::kDelete, keys.count, std::move(out.bytes()));
}

Status decode_payload(const RecordHeader& h, std::span<const uint8_t> payload, Batch* out) {
  std::vector<uint8_t> unpacked;
  if (h.codec == uint8_t(Codec::kLz4)) {
    if (h.raw_size > kMaxPayload || payload.size() > kMaxPayload || h.raw_size / kMaxLz4Ratio > payload.size())
      return corrupt("%u bytes cannot come out of %zu lz4 bytes", h.raw_size, payload.size());
    unpacked.resize(h.raw_size);
    int size = LZ4_decompress_safe(reinterpret_cast<const char*>(payload.data()),
                                   reinterpret_cast<char*>(unpacked.data()), int(payload.size()), int(h.raw_size));
    if (size < 0 || uint32_t(size) != h.raw_size) return corrupt("lz4 bytes do not decompress to %u", h.raw_size);
    payload = unpacked;
  }
  ByteReader in(payload, "a logged change");
  uint64_t rows = 0, columns = 0;
  GYR_TRY(in.get(&rows));
  GYR_TRY(in.get(&columns));
  // A key takes a byte at least.
  if (rows > payload.size() || columns > payload.size() || h.rows > rows ||
      (h.type == LogType::kDelete && columns != 1))
    return corrupt("a logged change of %llu rows and %llu columns, %u in", (unsigned long long)rows,
                   (unsigned long long)columns, h.rows);
  *out = {};
  out->rows = int64_t(rows);
  for (uint64_t c = 0; c < columns; c++) GYR_TRY(get_column(&in, out->rows, out));
  GYR_TRY(in.finish());
  if (h.rows == rows) return {};
  for (Column& c : out->columns) cut(&c, h.rows);
  out->rows = h.rows;
  return {};
}

void write_segment_header(uint64_t table_id, uint64_t first_lsn, uint8_t (*out)[kSegmentHeader]) {
  SegmentHeader h{};
  std::memcpy(h.magic, kMagic, sizeof kMagic);
  h.major = kMajor;
  h.minor = kMinor;
  h.size = sizeof h;
  h.table_id = table_id;
  h.first_lsn = first_lsn;
  h.hash = hash64(&h, offsetof(SegmentHeader, hash));
  std::memcpy(*out, &h, sizeof h);
}

std::string segment_name(uint64_t first_lsn) {
  char name[40];
  std::snprintf(name, sizeof name, "%s%016llx%s", kPrefix, (unsigned long long)first_lsn, kSuffix);
  return name;
}

bool parse_segment_name(const std::string& name, uint64_t* first_lsn) {
  if (name.size() != segment_name(0).size() || !name.starts_with(kPrefix)) return false;
  uint64_t value = 0;
  for (char c : name.substr(4, 16)) {
    bool digit = c >= '0' && c <= '9', letter = c >= 'a' && c <= 'f';
    if (!digit && !letter) return false;
    value = value << 4 | uint64_t(digit ? c - '0' : c - 'a' + 10);
  }
  *first_lsn = value;
  return value != 0 && name == segment_name(value);
}

RecordHeader make_mark(uint64_t table_id, uint64_t lsn) {
  LogRecord mark;
  mark.header.type = LogType::kMark;
  mark.header.lsn = mark.header.durable = lsn;
  mark.header.payload_hash = hash64(nullptr, 0);
  mark.seal(table_id);
  return mark.header;
}

Status SegmentView::look(uint64_t at, uint64_t n, std::span<const uint8_t>* out) {
  if (!file_) {
    *out = all_.subspan(at, n);
    return {};
  }
  if (at < begin_ || at + n > begin_ + piece_.size()) {
    const uint64_t want = std::max(n, std::min(kPiece, size_ - at));
    if (piece_.capacity() > 4 * std::max(want, kPiece)) std::vector<uint8_t>().swap(piece_);
    piece_.clear();  // what a failed read leaves is not to be found
    begin_ = at;
    std::vector<uint8_t> piece(std::move(piece_));
    piece.resize(want);
    GYR_TRY(file_->read_at(at, piece));
    piece_ = std::move(piece);
  }
  *out = std::span<const uint8_t>(piece_).subspan(at - begin_, n);
  return {};
}

Status SegmentView::skip_zeros(uint64_t* at) {
  while (*at < size_) {
    if (file_ && *at >= begin_ + piece_.size()) {  // reserved and never written: nothing to read
      GYR_ASSIGN(uint64_t data, file_->next_data(*at));
      *at = std::max(*at, data & ~uint64_t(7));
      if (*at >= size_) break;
    }
    std::span<const uint8_t> bytes;
    GYR_TRY(look(*at, std::min(kPiece, size_ - *at), &bytes));
    while (!bytes.empty()) {
      const auto word = bytes.first(std::min<size_t>(8, bytes.size()));
      if (!all_zero(word)) return {};
      *at += word.size();
      bytes = bytes.subspan(word.size());
    }
  }
  *at = size_;
  return {};
}

Status read_segment(SegmentView* view, uint64_t table_id, uint64_t first_lsn, bool last,
                    const std::function<Status(const RecordHeader&, std::span<const uint8_t>)>& use, SegmentRead* out) {
  *out = {first_lsn - 1, 0, false};
  bool whole = false;
  GYR_TRY(check_segment(view, table_id, first_lsn, &whole));
  if (!whole) {
    Behind behind;
    GYR_TRY(look_behind(view, 0, table_id, &behind));
    // The header is on disk before the first record is written.
    if (last && !behind.any()) return {};
    return corrupt(
        "the header, bytes 0 to %llu, is damaged, of a log with changes %llu to %llu and perhaps more; "
        "nothing was removed; restore the folder from a good copy",
        (unsigned long long)kSegmentHeader, (unsigned long long)first_lsn,
        (unsigned long long)std::max(first_lsn, behind.lsn));
  }
  out->bytes = kSegmentHeader;
  for (Found found;;) {
    GYR_TRY(find_record(view, out->bytes, table_id, &found));
    if (!found.whole) break;
    const RecordHeader& h = found.h;
    out->marked = h.type == LogType::kMark;
    const uint64_t expected = out->last_lsn + !out->marked;
    if (h.lsn != expected)
      return corrupt("%s %llu stands at byte %llu where %llu should; restore the folder from a good copy",
                     out->marked ? "the mark of change" : "change", (unsigned long long)h.lsn,
                     (unsigned long long)out->bytes, (unsigned long long)expected);
    if (!out->marked) GYR_TRY(use(h, found.payload));
    out->last_lsn = h.lsn;
    out->bytes += found.bytes;
  }
  uint64_t at = out->bytes;
  Behind behind;
  GYR_TRY(view->skip_zeros(&at));
  if (at < view->size()) {
    out->marked = false;
    GYR_TRY(look_behind(view, at, table_id, &behind));
  }
  const uint64_t lost = out->last_lsn + 1;
  if (last ? behind.durable < lost : at >= view->size()) return {};  // a power cut tears the last one alone
  return corrupt(
      "change %llu, at byte %llu, is damaged, and it had been on disk, as changes up to %llu had; nothing was "
      "removed; restore the folder from a good copy",
      (unsigned long long)lost, (unsigned long long)out->bytes, (unsigned long long)std::max(lost, behind.durable));
}

}  // namespace gyr
