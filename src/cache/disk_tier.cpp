#include "cache/disk_tier.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>

#include "base/error.h"

namespace gyr {
namespace {

constexpr uint32_t kMostSources = 1u << 20;
constexpr uint64_t kRemovalBytes = 64;  // of memory, about, of a removal that waits
constexpr size_t kNameSize = 17;        // rows-0123abcd.seg

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
  Status s = flush();
  if (!s.ok() && on_loss_) on_loss_(tail().keys.size() + tail().removed.size(), s.message());
  if (lock_.fd() >= 0) lock_.unlock();  // children of fork() that live on have no use for it
}

Result<std::unique_ptr<DiskTier>> DiskTier::open(std::pmr::memory_resource* memory, const std::string& folder,
                                                 uint32_t row_bytes, uint64_t segment_bytes) {
  std::unique_ptr<DiskTier> made(new DiskTier(memory, folder, row_bytes, segment_bytes));
  GYR_TRY(made->load());
  return made;
}

std::string DiskTier::path_of(uint32_t source) const {
  char name[32];
  std::snprintf(name, sizeof name, "/rows-%08x.seg", source);
  return folder_ + name;
}

void DiskTier::set_place(int64_t key, Place place) {
  KeyRef ref = index_.key(&key);
  index_.upsert(ref, [&](const uint8_t*) {
    auto fresh = index_.make_row(ref, sizeof place);
    std::memcpy(fresh.payload, &place, sizeof place);
    return fresh;
  });
}

Status DiskTier::load() {
  GYR_TRY(make_folder(folder_));
  auto lock = File::lock(folder_ + "/lock");
  if (!lock.ok() && lock.status().code() == GYR_E_BUSY)
    return fail(GYR_E_BUSY, "cache",
                "'%s' belongs to another cache, here or in another process; destroy that one first", folder_.c_str());
  GYR_ASSIGN(lock_, std::move(lock));
  GYR_ASSIGN(std::vector<std::string> names, list_folder(folder_));
  std::vector<uint32_t> numbers;
  for (auto& name : names) {
    uint32_t number = 0;
    if (name.size() != kNameSize) continue;
    std::from_chars(name.data() + 5, name.data() + 13, number, 16);
    if (path_of(number) == folder_ + "/" + name) numbers.push_back(number);
  }
  std::sort(numbers.begin(), numbers.end());
  if (!numbers.empty() && numbers.back() >= kMostSources)
    return fail(GYR_E_CORRUPT, "cache", "'%s' is beyond what this library writes", path_of(numbers.back()).c_str());
  for (uint32_t number : numbers) {  // a later one is right about its keys
    while (sources_.size() < number) sources_.push_back(std::make_unique<Source>());
    auto source = std::make_unique<Source>();
    std::vector<int64_t> keys, removed;
    GYR_ASSIGN(Segment segment, Segment::open(path_of(number), layout_, &keys, &removed));
    source->segment = std::make_unique<Segment>(std::move(segment));
    for (size_t i = 0; i < keys.size(); i++) set_place(keys[i], {number, uint32_t(i)});
    for (int64_t key : removed) index_.erase(index_.key(&key));
    sources_.push_back(std::move(source));
  }
  // The folder may be new itself. Who may not read what is around it made it by other means.
  Status named = numbers.empty() ? sync_folder(folder_of(folder_), folder_) : Status();
  if (!named.ok() && (!named.info() || named.info()->os_errno != EACCES)) return named;
  sources_.push_back(std::make_unique<Source>());
  return {};
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
          wanted.push_back({source.segment.get(), place.ordinal / layout_.rows_per_page, place.ordinal, i});
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
    if (!damaged_.contains({w.segment, w.page})) return false;
    found[w.i] = GYR_TIER_ERROR;
    return true;
  });
}

void DiskTier::is_damaged(const Wanted& wanted) {
  try {
    std::lock_guard lock(damaged_mutex_);
    if (!damaged_.insert({wanted.segment, wanted.page}).second) return;
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
    return a.segment != b.segment ? a.segment < b.segment : a.page < b.page;
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
    Place place{uint32_t(sources_.size() - 1), uint32_t(t.keys.size())};
    bool again = false;
    {
      auto guard = index_.read();
      if (const uint8_t* old = index_.find(index_.key(&keys[i]))) {
        Place was;
        std::memcpy(&was, old, sizeof was);
        again = was.source == place.source;
        if (again) std::memcpy(&t.rows[size_t(was.ordinal) * layout_.row_bytes], row, layout_.row_bytes);
      }
    }
    if (again) continue;
    t.rows.insert(t.rows.end(), row, row + layout_.row_bytes);
    try {
      t.keys.push_back(keys[i]);
      set_place(keys[i], place);
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
    tail().removed.insert(keys[i]);
    index_.erase(index_.key(&keys[i]));
  }
  return {};
}

// Under writers_. The rows stay readable where they are until the file has taken their place; when it cannot be written
// they stay, and the next try writes a whole new one.
Status DiskTier::write_tail() { return note(try_write_tail()); }

Status DiskTier::try_write_tail() {
  Source& t = tail();
  if (t.keys.empty() && t.removed.empty()) return {};
  if (sources_.size() >= kMostSources)
    return fail(GYR_E_RESOURCE_EXHAUSTED, "cache", "'%s' has as many files as it may have", folder_.c_str());
  const std::string path = path_of(uint32_t(sources_.size() - 1));
  // A key that was put, removed, and so on: what is in `removed` is removed last.
  std::vector<int64_t> removed(t.removed.begin(), t.removed.end()), keys, gone;
  std::sort(removed.begin(), removed.end());
  auto next = std::make_unique<Source>();
  {
    std::unique_lock lock(mutex_);
    sources_.reserve(sources_.size() + 1);
  }
  Status written = Segment::write(path, layout_, t.keys, t.rows, removed);
  if (!written.ok()) return written;
  auto opened = Segment::open(path, layout_, &keys, &gone);
  if (!opened.ok()) return std::move(opened.status());
  auto segment = std::make_unique<Segment>(std::move(*opened));
  std::unique_lock lock(mutex_);
  t.segment = std::move(segment);
  std::vector<int64_t>().swap(t.keys);
  std::vector<uint8_t>().swap(t.rows);
  t.removed.clear();
  sources_.push_back(std::move(next));
  return {};
}

Status DiskTier::flush() {
  std::lock_guard writing(writers_);
  return sources_.empty() ? Status() : write_tail();
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
