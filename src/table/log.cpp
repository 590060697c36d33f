#include "table/log.h"

#include <chrono>
#include <cstring>

#include "base/clock.h"

namespace gyr {
namespace {

constexpr uint64_t kStage = 256 << 10;      // small records are copied together
constexpr uint64_t kWriteSoon = 512 << 10;  // queued bytes that are written without waiting for the next flush
constexpr auto kMemoryWait = std::chrono::milliseconds(1);
constexpr auto kIdle = std::chrono::milliseconds(100);  // without changes, before a mark says what is on disk
constexpr uint64_t kMemoryTries = 1000;                 // at the end, when nobody waits any more

void drop_records(LogRecord* first) {
  while (first) delete std::exchange(first, first->next);
}

}  // namespace

Result<std::unique_ptr<TableLog>> TableLog::start(Options options) {
  std::unique_ptr<TableLog> log(new TableLog(std::move(options)));
  log->last_lsn_ = log->durable_lsn_ = log->put_lsn_ = log->marked_lsn_ = log->options_.last_lsn;
  log->segments_ = log->options_.segments;
  log->staged_.resize(kStage);
  GYR_TRY(log->thread_.start(1, "gyr-log", [p = log.get()] { p->work(); }));
  return log;
}

TableLog::~TableLog() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  thread_.join();
  drop_records(first_);
}

Status TableLog::poisoned() const {
  const ErrorInfo* info = failure_.info();
  return fail_errno(info ? info->os_errno : 0, "table",
                    "the log could not be written (%.300s); nothing is written until the table is opened again",
                    failure_.message());
}

void TableLog::poison(Status why) {
  failure_ = std::move(why);
  failed_ = true;
}

Status TableLog::reserve(const LogRecord& record, bool wait) {
  std::unique_lock lock(mutex_);
  auto room = [&] {
    return failed_ || reserved_bytes_ == 0 || reserved_bytes_ + record.bytes() <= options_.queue_bytes;
  };
  while (wait && !room()) {
    waiting_++;
    wake_.notify_one();
    room_.wait(lock);
    waiting_--;
  }
  if (failed_) return poisoned();
  reserved_bytes_ += record.bytes();
  return {};
}

void TableLog::release(const LogRecord& record) noexcept {
  {
    std::lock_guard lock(mutex_);
    reserved_bytes_ -= record.bytes();
  }
  room_.notify_all();
}

uint64_t TableLog::append(std::unique_ptr<LogRecord> record) noexcept {
  int64_t now = monotonic_ns();
  bool wake;
  uint64_t lsn;
  {
    std::lock_guard lock(mutex_);
    bool idle = last_lsn_ == durable_lsn_;
    if (idle) oldest_ns_ = now;
    lsn = record->header.lsn = ++last_lsn_;
    uint64_t before = queued_bytes_;
    queued_bytes_ += record->bytes();
    wake = idle || (before < kWriteSoon && queued_bytes_ >= kWriteSoon);
    LogRecord* added = record.release();
    (last_ ? last_->next : first_) = added;
    last_ = added;
  }
  if (wake) wake_.notify_one();
  return lsn;
}

uint64_t TableLog::last_lsn() const {
  std::lock_guard lock(mutex_);
  return last_lsn_;
}

Status TableLog::flush(uint64_t lsn, bool end_segment) {
  std::unique_lock lock(mutex_);
  wanted_lsn_ = std::max(wanted_lsn_, lsn);
  end_segment_ |= end_segment;
  if (durable_lsn_ < lsn || end_segment) wake_.notify_one();
  const uint64_t without_memory = without_memory_;
  auto done = [&] { return durable_lsn_ >= lsn && !(end_segment && end_segment_); };
  done_.wait(lock, [&] { return failed_ || done() || without_memory_ != without_memory; });
  if (done() && !(end_segment && failed_)) return {};
  if (failed_) return poisoned();
  return fail(GYR_E_OUT_OF_MEMORY, "table", "no memory to write the log; it is tried again");
}

void TableLog::drop(uint64_t lsn) {
  for (;;) {
    uint64_t first;
    {
      std::lock_guard lock(mutex_);
      if (segments_.empty() || segments_.front().last_lsn > lsn) return;
      first = segments_.front().first_lsn;
    }
    if (!remove_file(path(first)).ok()) return;
    std::lock_guard lock(mutex_);
    segments_.erase(segments_.begin());
  }
}

TableLog::Info TableLog::info() const {
  std::lock_guard lock(mutex_);
  Info i{last_lsn_, durable_lsn_, segment_used_, segments_.size() + (segment_used_ > 0), failed_};
  for (auto& s : segments_) i.bytes += s.bytes;
  return i;
}

bool TableLog::due(int64_t now) const {
  if (failed_) return first_ != nullptr;
  return (durable_lsn_ < last_lsn_ && (wanted_lsn_ > durable_lsn_ || now >= oldest_ns_ + options_.flush_ns)) ||
         queued_bytes_ >= kWriteSoon || (waiting_ && first_) || end_segment_;
}

void TableLog::work() {
  std::unique_lock lock(mutex_);
  for (uint64_t tries = 0;;) {
    if (stop_ || due(monotonic_ns())) {
      bool last = stop_;
      uint64_t without_memory = without_memory_;
      write_group(lock);
      if (without_memory_ != without_memory) {
        if (last && ++tries == kMemoryTries) return;
        wake_.wait_for(lock, kMemoryWait);
      } else if (last && !first_) {
        return;
      }
    } else if (durable_lsn_ < last_lsn_ && !failed_) {
      wake_.wait_for(lock, std::chrono::nanoseconds(oldest_ns_ + options_.flush_ns - monotonic_ns()));
    } else if (used_ && marked_lsn_ < put_lsn_ && !failed_) {
      mark_when_idle(lock);
    } else {
      wake_.wait(lock);
    }
  }
}

// Everything is on disk. Without a record behind the last group, damage to it could not be told from a power cut.
void TableLog::mark_when_idle(std::unique_lock<std::mutex>& lock) {
  if (wake_.wait_for(lock, kIdle) != std::cv_status::timeout || stop_ || durable_lsn_ < last_lsn_ || end_segment_)
    return;
  if (used_ + sizeof(RecordHeader) > segment_limit_) {  // the segment's last one comes when it is closed
    marked_lsn_ = put_lsn_;
    return;
  }
  lock.unlock();
  Status marked = put_mark();
  lock.lock();
  if (!marked.ok()) poison(std::move(marked));
  segment_used_ = used_;
}

// Takes the queue and writes it, without the lock.
void TableLog::write_group(std::unique_lock<std::mutex>& lock) {
  const int64_t now = monotonic_ns();
  LogRecord *group = std::exchange(first_, nullptr), *end = std::exchange(last_, nullptr), *rest = group;
  const uint64_t through = last_lsn_, durable = durable_lsn_;
  const bool end_segment = end_segment_ || stop_;
  const bool sync = end_segment || options_.sync || wanted_lsn_ > durable_lsn_ || now >= oldest_ns_ + options_.flush_ns;
  Status written;
  bool complete = true;
  if (failed_) {
    rest = nullptr;
  } else {
    lock.unlock();
    try {
      written = write_records(&rest, durable, sync, end_segment);
    } catch (const std::bad_alloc&) {
      complete = false;
    }
    lock.lock();
  }
  if (!written.ok()) poison(std::move(written)), rest = nullptr;
  if (!failed_ && complete && sync) durable_lsn_ = through, oldest_ns_ = now;
  if (end_segment && (complete || failed_)) end_segment_ = false;
  segment_used_ = used_;
  without_memory_ += !complete;
  for (LogRecord* r = group; r != rest; r = r->next) queued_bytes_ -= r->bytes(), reserved_bytes_ -= r->bytes();
  if (rest) {  // back to the front of the queue
    end->next = first_;
    if (!first_) last_ = end;
    first_ = rest;
  }
  lock.unlock();
  while (group != rest) delete std::exchange(group, group->next);
  room_.notify_all();
  done_.notify_all();
  lock.lock();
}

// Moves *next on behind every record that is written, or in memory to be.
Status TableLog::write_records(LogRecord** next, uint64_t durable, bool sync, bool end_segment) {
  static constexpr uint8_t kZeros[8] = {};
  for (LogRecord*& r = *next; r; r = r->next) {
    if (used_ > kSegmentHeader && used_ + r->bytes() > segment_limit_) GYR_TRY(close_segment());
    if (used_ == 0) GYR_TRY(open_segment(r->header.lsn, r->bytes()));
    r->header.durable = durable;
    r->seal(options_.table_id);
    GYR_TRY(put(&r->header, sizeof r->header));
    GYR_TRY(put(r->payload.data(), r->payload.size()));
    GYR_TRY(put(kZeros, align_up(r->payload.size(), 8) - r->payload.size()));
    used_ += r->bytes();
    put_lsn_ = r->header.lsn;
  }
  GYR_TRY(write_staged());
  if (end_segment) return used_ ? close_segment() : Status();
  return sync && used_ ? segment_.sync_data() : Status();
}

// The name and the header are on disk before the first record is written.
Status TableLog::open_segment(uint64_t first_lsn, uint64_t room) {
  std::string name = path(first_lsn);
  GYR_ASSIGN(segment_, File::create_new(name, 0644));
  segment_first_ = first_lsn;
  segment_limit_ = std::max(options_.segment_bytes, kSegmentHeader + room);
  GYR_TRY(segment_.allocate(segment_limit_ + sizeof(RecordHeader)));  // and the last mark
  uint8_t header[kSegmentHeader];
  write_segment_header(options_.table_id, first_lsn, &header);
  GYR_TRY(segment_.write(header));
  GYR_TRY(segment_.sync());
  GYR_TRY(sync_folder(options_.folder, name));
  used_ = kSegmentHeader;
  return {};
}

// All of it on disk, cut to what is used.
Status TableLog::close_segment() {
  {
    std::lock_guard lock(mutex_);
    segments_.reserve(segments_.size() + 1);
  }
  GYR_TRY(write_staged());
  GYR_TRY(segment_.sync_data());
  GYR_TRY(put_mark());
  {
    std::lock_guard lock(mutex_);
    segments_.push_back({segment_first_, put_lsn_, used_});
  }
  (void)segment_.truncate(used_).ok();  // what is left of the space is no loss but of space
  (void)segment_.close().ok();          // and the bytes are on disk
  segment_ = File();
  used_ = 0;
  return {};
}

// Behind what is on disk: says so.
Status TableLog::put_mark() {
  const RecordHeader mark = make_mark(options_.table_id, put_lsn_);
  GYR_TRY(put(&mark, sizeof mark));
  GYR_TRY(write_staged());
  GYR_TRY(segment_.sync_data());
  used_ += sizeof mark;
  marked_lsn_ = put_lsn_;
  return {};
}

Status TableLog::put(const void* bytes, uint64_t size) {
  if (staged_size_ + size > staged_.size()) GYR_TRY(write_staged());
  if (size > staged_.size()) return segment_.write({static_cast<const uint8_t*>(bytes), size});
  if (size) std::memcpy(staged_.data() + staged_size_, bytes, size);
  staged_size_ += size;
  return {};
}

Status TableLog::write_staged() {
  uint64_t size = std::exchange(staged_size_, 0);
  return size ? segment_.write({staged_.data(), size}) : Status();
}

}  // namespace gyr
