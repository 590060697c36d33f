#include "cache/disk_tier.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace gyr {
namespace {

constexpr uint64_t kRemovalBytes = 64;  // of memory, about, of a removal that waits

KeyedRows::Options index_options() {
  KeyedRows::Options o;
  o.row_bytes = 8;
  o.prefetch_bytes = 8;
  return o;
}

}  // namespace

DiskTier::DiskTier(std::pmr::memory_resource* memory, std::string folder, uint32_t row_bytes, uint64_t segment_bytes)
    : folder_(std::move(folder)),
      layout_(row_bytes),
      rows_in_memory_(size_t(std::clamp<uint64_t>(segment_bytes / row_bytes, 1, UINT32_MAX / 2))),
      removals_in_memory_(size_t(std::max<uint64_t>(segment_bytes / kRemovalBytes, 1))),
      index_(memory, index_options()) {}

DiskTier::~DiskTier() {
  try {
    Status s = flush();
    if (!s.ok() && on_loss_) on_loss_(tail().keys.size() + tail().removed.size(), s.message());
  } catch (const std::bad_alloc&) {
    if (on_loss_) on_loss_(tail().keys.size() + tail().removed.size(), "out of memory");
  }
  if (lock_.fd() >= 0) lock_.unlock();  // children of fork() that live on have no use for it
}

Result<std::unique_ptr<DiskTier>> DiskTier::open(std::pmr::memory_resource* memory, const std::string& folder,
                                                 uint32_t row_bytes, uint64_t segment_bytes) {
  std::unique_ptr<DiskTier> made(new DiskTier(memory, folder, row_bytes, segment_bytes));
  GYR_TRY(made->load());
  return made;
}

std::optional<DiskTier::Place> DiskTier::place_of(int64_t key) const {
  auto guard = index_.read();
  const uint8_t* at = index_.find(index_.key(&key));
  if (!at) return std::nullopt;
  Place place;
  std::memcpy(&place, at, sizeof place);
  return place;
}

// A place is overwritten where it lies, which needs no memory: readers of the index have mutex_.
void DiskTier::point(int64_t key, Place place) {
  const KeyRef ref = index_.key(&key);
  {
    auto guard = index_.read();
    if (auto* at = const_cast<uint8_t*>(index_.find(ref))) {
      Place was;
      std::memcpy(&was, at, sizeof was);
      std::memcpy(at, &place, sizeof place);
      sources_[was.source]->live--;
      sources_[place.source]->live++;
      return;
    }
  }
  index_.upsert(ref, [&](const uint8_t*) {
    auto fresh = index_.make_row(ref, sizeof place);
    std::memcpy(fresh.payload, &place, sizeof place);
    return fresh;
  });
  sources_[place.source]->live++;
}

void DiskTier::forget(int64_t key) {
  const auto place = place_of(key);
  if (!place) return;
  index_.erase(index_.key(&key));
  sources_[place->source]->live--;
}

void DiskTier::fetch(const int64_t* keys, size_t n, uint8_t* rows, uint8_t* found) {
  std::vector<Wanted> wanted;
  {
    std::shared_lock lock(mutex_);
    auto guard = index_.read();
    index_.find(keys, n, [&](size_t first, size_t m, const uint8_t* const* places) {
      for (size_t k = 0; k < m; k++) {
        size_t i = first + k;
        found[i] = GYR_TIER_ABSENT;
        if (!places[k]) continue;
        Place place;
        std::memcpy(&place, places[k], sizeof place);
        const Source& source = *sources_[place.source];
        if (source.segment) {
          wanted.push_back({source.segment, source.number, place.ordinal / layout_.rows_per_page, place.ordinal, i});
          continue;
        }
        std::memcpy(rows + i * layout_.row_bytes, &source.rows[size_t(place.ordinal) * layout_.row_bytes],
                    layout_.row_bytes);
        found[i] = GYR_TIER_FOUND;
      }
    });
  }
  if (!wanted.empty()) read_pages(&wanted, rows, found);
}

std::unique_ptr<PageReader> DiskTier::take_reader() {
  if (uring_) {
    std::lock_guard lock(readers_mutex_);
    if (!readers_.empty()) {
      auto reader = std::move(readers_.back());
      readers_.pop_back();
      return reader;
    }
  }
  return PageReader::make(layout_.page_bytes, uring_);
}

void DiskTier::leave_out_damaged(std::vector<Wanted>* wanted, uint8_t* found) {
  std::lock_guard lock(damaged_mutex_);
  if (damaged_.empty()) return;
  std::erase_if(*wanted, [&](const Wanted& w) {
    if (!damaged_.contains({w.number, w.page})) return false;
    found[w.i] = GYR_TIER_ERROR;
    return true;
  });
}

void DiskTier::is_damaged(const Wanted& wanted) {
  try {
    std::lock_guard lock(damaged_mutex_);
    if (!damaged_.insert({wanted.number, wanted.page}).second) return;
  } catch (const std::bad_alloc&) {
    return;  // found out again next time
  }
  if (on_damage_) on_damage_(wanted.segment->path(), wanted.page);
}

// Every page once, however many of its rows are wanted.
void DiskTier::read_pages(std::vector<Wanted>* wanted, uint8_t* rows, uint8_t* found) {
  leave_out_damaged(wanted, found);
  if (wanted->empty()) return;
  std::sort(wanted->begin(), wanted->end(), [](const Wanted& a, const Wanted& b) {
    return a.number != b.number ? a.number < b.number : a.page < b.page;
  });
  std::vector<PageRead> reads;
  std::vector<size_t> begins;
  for (size_t i = 0; i < wanted->size(); i++) {
    const Wanted& w = (*wanted)[i];
    if (i > 0 && w.same_page((*wanted)[i - 1])) continue;
    reads.push_back({&w.segment->file(), layout_.offset(w.page), layout_.page_bytes});
    begins.push_back(i);
  }
  begins.push_back(wanted->size());
  auto reader = take_reader();
  reader->read(reads.data(), reads.size(), [&](size_t r, const uint8_t* page) {
    take_page(&(*wanted)[begins[r]], wanted->data() + begins[r + 1], page, rows, found);
  });
  if (!uring_) return;
  std::lock_guard lock(readers_mutex_);
  readers_.push_back(std::move(reader));
}

void DiskTier::take_page(const Wanted* first, const Wanted* end, const uint8_t* page, uint8_t* rows, uint8_t* found) {
  bool sound = page && layout_.sound(page, first->page);
  if (page && !sound) is_damaged(*first);
  for (const Wanted* w = first; w != end; w++) {
    found[w->i] = sound ? GYR_TIER_FOUND : GYR_TIER_ERROR;
    if (sound) std::memcpy(rows + w->i * layout_.row_bytes, layout_.row(page, w->ordinal), layout_.row_bytes);
  }
}

Status DiskTier::note(Status status) {
  if (status.ok()) return status;
  std::lock_guard lock(failure_mutex_);
  failure_ = fail_errno(status.info() ? status.info()->os_errno : 0, "cache", "%s; the next write tries again",
                        status.message());
  return status;
}

Status DiskTier::failure() const {
  std::lock_guard lock(failure_mutex_);
  const ErrorInfo* info = failure_.info();
  return fail_errno(info ? info->os_errno : 0, "cache", "%s; the cache is as before", failure_.message());
}

// Under writers_.
bool DiskTier::tail_is_full() {
  return tail().keys.size() >= rows_in_memory_ || tail().removed.size() >= removals_in_memory_;
}

bool DiskTier::waiting(std::vector<int64_t>* keys, std::vector<uint8_t>* rows) {
  std::lock_guard writing(writers_);
  *keys = tail().keys;
  *rows = tail().rows;
  return tail().removed.empty();
}

Status DiskTier::put(const int64_t* keys, const uint8_t* rows, size_t n) {
  std::lock_guard writing(writers_);
  for (size_t i = 0; i < n; i++) {
    if (tail_is_full()) GYR_TRY(write_tail());
    const uint8_t* row = rows + i * layout_.row_bytes;
    std::unique_lock lock(mutex_);
    Source& t = tail();
    const Place place{order_.back(), uint32_t(t.keys.size())};
    if (auto was = place_of(keys[i]); was && was->source == place.source) {
      std::memcpy(&t.rows[size_t(was->ordinal) * layout_.row_bytes], row, layout_.row_bytes);
      continue;
    }
    t.rows.insert(t.rows.end(), row, row + layout_.row_bytes);
    try {
      t.keys.push_back(keys[i]);
      point(keys[i], place);
    } catch (...) {
      t.keys.resize(place.ordinal);
      t.rows.resize(size_t(place.ordinal) * layout_.row_bytes);
      throw;
    }
    t.removed.erase(keys[i]);
  }
  return {};
}

Status DiskTier::remove(const int64_t* keys, size_t n) {
  std::lock_guard writing(writers_);
  for (size_t i = 0; i < n; i++) {
    if (tail_is_full()) GYR_TRY(write_tail());
    std::unique_lock lock(mutex_);
    if (!place_of(keys[i])) continue;  // no file has it, or a removal is above it
    tail().removed.insert(keys[i]);
    forget(keys[i]);
  }
  return {};
}

Status DiskTier::flush() {
  std::lock_guard writing(writers_);
  return order_.empty() ? Status() : write_tail();
}

gyr_cache_tier DiskTier::callbacks() {
  gyr_cache_tier t{};
  t.struct_size = sizeof t;
  t.user = reinterpret_cast<uintptr_t>(this);
  t.fetch = [](uintptr_t user, const int64_t* keys, uint64_t n, void* rows, uint8_t* found, int64_t) -> gyr_status {
    try {
      reinterpret_cast<DiskTier*>(user)->fetch(keys, n, static_cast<uint8_t*>(rows), found);
      return GYR_OK;
    } catch (const std::bad_alloc&) {
      return GYR_E_OUT_OF_MEMORY;
    }
  };
  t.put = [](uintptr_t user, const int64_t* keys, const void* rows, uint64_t n) -> gyr_status {
    try {
      return reinterpret_cast<DiskTier*>(user)->put(keys, static_cast<const uint8_t*>(rows), n).code();
    } catch (const std::bad_alloc&) {
      return GYR_E_OUT_OF_MEMORY;
    }
  };
  t.remove = [](uintptr_t user, const int64_t* keys, uint64_t n) -> gyr_status {
    try {
      return reinterpret_cast<DiskTier*>(user)->remove(keys, n).code();
    } catch (const std::bad_alloc&) {
      return GYR_E_OUT_OF_MEMORY;
    }
  };
  return t;
}

}  // namespace gyr
