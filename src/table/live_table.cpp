#include "table/live_table.h"

#include "base/bytes.h"
#include "base/clock.h"

namespace gyr {

namespace {

Status not_live() {
  return fail(GYR_E_INVALID_STATE, "table",
              "the table does not live in a folder; gyr_table_open_live makes one that does");
}

}  // namespace

LiveTable::~LiveTable() {
  // In a forked child there is no thread to wait for, and what is queued is its parent's.
  if (!runtime_->check_process().ok()) {
    (void)log_.release();
    return;
  }
  log_.reset();
  lock_.unlock();  // children of fork() that live on have no use for it
}

// A change on its way into the log; finish() puts in what was done of it.
struct LiveTable::Appending {
  TableLog* log;
  std::unique_ptr<LogRecord> record;
  uint64_t done = 0, lsn = 0;

  void finish() noexcept {
    record->header.rows = uint32_t(done);
    if (done)
      lsn = log->append(std::move(record));
    else
      log->release(*record);
  }
};

Status LiveTable::upsert(TableImpl* table, const Batch& batch, Table::UpsertStats* stats, int64_t clock_us) {
  if (!log_ || batch.rows == 0) return table->apply(batch, stats, clock_us);
  GYR_ASSIGN(auto record, encode_upsert(batch));
  GYR_TRY(log_->reserve(*record));
  const int64_t clock = record->header.time_us = clock_us ? clock_us : realtime_us();
  Appending change{log_.get(), std::move(record)};
  // The rows that went in are safe before the caller hears, of a failure, too.
  auto flush = [&] {
    return change.lsn && options_.durability == GYR_DURABILITY_SYNC ? log_->flush(change.lsn) : Status();
  };
  Status applied;
  try {
    std::lock_guard order(order_);
    struct Finish {  // however apply() ends
      Appending* change;
      Table::UpsertStats *stats, done{};
      ~Finish() {
        change->done = done.rows;
        change->finish();
        if (!stats) return;
        stats->rows += done.rows;
        stats->applied += done.applied;
        stats->late += done.late;
        stats->stale += done.stale;
      }
    } finish{&change, stats};
    applied = table->apply(batch, &finish.done, clock);
  } catch (...) {
    (void)flush().ok();  // a log that failed says so at the next change
    throw;
  }
  GYR_TRY(flush());
  return applied;
}

Status LiveTable::remove(TableImpl* table, const Keys& keys, uint64_t* removed) {
  uint64_t tried = 0, lsn = 0;
  *removed = 0;
  if (!log_ || keys.count == 0) return table->apply_remove(keys, removed, &tried);
  GYR_ASSIGN(auto record, encode_delete(keys));
  GYR_TRY(log_->reserve(*record));
  {
    std::lock_guard order(order_);
    GYR_TRY(log_removal(table, keys, std::move(record), removed, &lsn));
  }
  return lsn && options_.durability == GYR_DURABILITY_SYNC ? log_->flush(lsn) : Status();
}

// The caller has the order, and room for the record.
Status LiveTable::log_removal(TableImpl* table, const Keys& keys, std::unique_ptr<LogRecord> record, uint64_t* removed,
                              uint64_t* lsn) {
  record->header.time_us = realtime_us();
  struct Finish {
    Appending change;
    uint64_t *removed, *lsn, tried = 0;
    ~Finish() {
      change.done = *removed ? tried : 0;  // nothing was there: nothing to remember
      change.finish();
      *lsn = change.lsn;
    }
  } finish{{log_.get(), std::move(record)}, removed, lsn};
  return table->apply_remove(keys, removed, &finish.tried);
}

// What goes is logged as removed: coming back, it would decide what a late change finds.
Status LiveTable::sweep(TableImpl* table, int64_t now_us, uint64_t max_rows, uint64_t* cursor, uint64_t* removed) {
  uint64_t lsn = 0, next = *cursor;
  *removed = 0;
  {
    std::lock_guard order(order_);  // nobody writes between looking and removing
    TableImpl::Over over;
    GYR_TRY(table->find_over(now_us, max_rows, &next, &over));
    if (over.keys.count > 0) {
      GYR_ASSIGN(auto record, encode_delete(over.keys));
      GYR_TRY(log_->reserve(*record, false));  // who waits for room may wait for the order
      GYR_TRY(log_removal(table, over.keys, std::move(record), removed, &lsn));
    }
    *cursor = next;
  }
  return lsn && options_.durability == GYR_DURABILITY_SYNC ? log_->flush(lsn) : Status();
}

Status LiveTable::flush() {
  if (log_) return log_->flush(log_->last_lsn());
  return fail(GYR_E_INVALID_STATE, "table", "the table keeps no log (durability none); gyr_table_checkpoint saves it");
}

// What is saved may hold changes made meanwhile: they are flushed before the snapshot takes its place, so that the log
// that follows it tells all of them again, which ends in the same rows.
Status LiveTable::checkpoint(const TableImpl& table, gyr_task* task) {
  std::lock_guard one(checkpoints_);
  GYR_TRY(check(task));
  auto position = [&] {
    std::lock_guard order(order_);
    return log_ ? log_->last_lsn() : recovered_lsn_;
  };
  uint64_t lsn = position();
  if (log_) GYR_TRY(log_->flush(lsn, true));
  GYR_TRY(save_snapshot(table, lsn, task));
  drop_segments(lsn);
  return {};
}

Status LiveTable::save_snapshot(const TableImpl& table, uint64_t lsn, gyr_task* task) {
  ContainerWriter file;
  GYR_TRY(table.save_in_order(&file, "table", task, true));
  ByteWriter log;
  log.put<uint64_t>(table_id_);
  log.put<uint64_t>(lsn);
  GYR_TRY(file.add("log", "TLG1", std::move(log.bytes())));
  if (log_) GYR_TRY(flush());
  GYR_TRY(check(task));
  GYR_TRY(file.save(path(kSnapshot)));
  snapshot_lsn_ = lsn;
  return {};
}

void LiveTable::drop_segments(uint64_t lsn) {
  if (log_) return log_->drop(lsn);
  for (;;) {
    uint64_t first;
    {
      std::lock_guard left(left_);
      if (segments_.empty() || segments_.front().last_lsn > lsn) return;
      first = segments_.front().first_lsn;
    }
    if (!remove_file(path(segment_name(first))).ok()) return;
    std::lock_guard left(left_);
    segments_.erase(segments_.begin());
  }
}

void LiveTable::info(LiveInfo* out) const {
  *out = {};
  out->durability = options_.durability;
  out->last_lsn = out->durable_lsn = recovered_lsn_;
  if (log_) {
    auto i = log_->info();
    out->last_lsn = i.last_lsn;
    out->durable_lsn = i.durable_lsn;
    out->bytes = i.bytes;
    out->segments = i.segments;
    out->poisoned = i.poisoned;
  } else {
    std::lock_guard left(left_);
    out->segments = segments_.size();
    for (auto& s : segments_) out->bytes += s.bytes;
  }
  out->snapshot_lsn = snapshot_lsn_;
}

void TableImpl::set_live(std::unique_ptr<LiveTable> live) { live_ = std::move(live); }

Status TableImpl::upsert(const Batch& batch, UpsertStats* stats, int64_t clock_us) {
  return live_ ? live_->upsert(this, batch, stats, clock_us) : apply(batch, stats, clock_us);
}

Status TableImpl::remove(const Keys& keys, uint64_t* removed) {
  GYR_TRY(check_keys(keys));
  uint64_t n = 0, tried = 0;
  GYR_TRY(live_ ? live_->remove(this, keys, &n) : apply_remove(keys, &n, &tried));
  if (removed) *removed = n;
  return {};
}

Status TableImpl::checkpoint(gyr_task* task) { return live_ ? live_->checkpoint(*this, task) : not_live(); }
Status TableImpl::flush() { return live_ ? live_->flush() : not_live(); }
Status TableImpl::live_info(LiveInfo* out) const {
  if (!live_) return not_live();
  live_->info(out);
  return {};
}

}  // namespace gyr
