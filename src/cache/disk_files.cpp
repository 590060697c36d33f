// The files of a disk tier: opening a folder, writing what waits, merging.
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>

#include "base/error.h"
#include "cache/disk_tier.h"

namespace gyr {
namespace {

constexpr size_t kNameSize = 17;                 // rows-0123abcd.seg
constexpr uint64_t kMergedBytes = 256ull << 20;  // what merging makes at most, unless what waits is more
constexpr uint64_t kListedBytes = 64;            // of memory, about, that merging takes of a row's key
constexpr size_t kPointAtOnce = 1024;            // while readers wait
constexpr size_t kMergedAtOnce = 4;              // files, at least
constexpr uint64_t kFewRemovals = 4096;          // are not worth a look at older files
constexpr uint32_t kLongestPause = 64;           // writes

}  // namespace

std::string DiskTier::path_of(uint32_t number) const {
  char name[32];
  std::snprintf(name, sizeof name, "/rows-%08x.seg", number);
  return folder_ + name;
}

uint32_t DiskTier::add_source(std::unique_ptr<Source> source) {
  auto free = std::find(sources_.begin(), sources_.end(), nullptr);
  if (free == sources_.end()) free = sources_.insert(free, nullptr);
  *free = std::move(source);
  return uint32_t(free - sources_.begin());
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
    // What a save that was cut short left; nobody else saves here.
    if (name.starts_with(".gyr-") && name.ends_with(".tmp")) GYR_TRY(remove_file(folder_ + "/" + name));
    uint32_t number = 0;
    if (name.size() != kNameSize) continue;
    std::from_chars(name.data() + 5, name.data() + 13, number, 16);
    if (path_of(number) == folder_ + "/" + name) numbers.push_back(number);
  }
  GYR_ASSIGN(auto listed, read_segment_list(folder_));
  if (!listed && !numbers.empty())
    return fail(GYR_E_CORRUPT, "cache", "'%s' is missing, which names the files of rows there are",
                segment_list_path(folder_).c_str());
  if (!listed) {
    // The folder may be new itself. Who may not read what is around it made it by other means.
    Status named = sync_folder(folder_of(folder_), folder_);
    if (!named.ok() && (!named.info() || named.info()->os_errno != EACCES)) return named;
    GYR_TRY(write_segment_list(folder_, {}));
    listed.emplace();
  }
  for (const ListedSegment& l : *listed) GYR_TRY(load_segment(l));
  for (const ListedSegment& l : *listed) std::erase(numbers, l.number);
  GYR_TRY(remove_unlisted(numbers));
  order_.push_back(add_source(std::make_unique<Source>()));
  return {};
}

// A later one is right about its keys.
Status DiskTier::load_segment(const ListedSegment& listed) {
  const std::string path = path_of(listed.number);
  std::vector<int64_t> keys, removed;
  auto opened = Segment::open(path, layout_, &keys, &removed);
  if (!opened.ok() && opened.status().code() == GYR_E_NOT_FOUND)
    return fail(GYR_E_CORRUPT, "cache", "'%s' is missing; '%s' names it", path.c_str(),
                segment_list_path(folder_).c_str());
  GYR_ASSIGN(Segment segment, std::move(opened));
  if (segment.hash() != listed.hash)
    return fail(GYR_E_CORRUPT, "cache", "'%s' is another file than the one that '%s' names", path.c_str(),
                segment_list_path(folder_).c_str());
  auto source = std::make_unique<Source>();
  source->segment = std::make_shared<Segment>(std::move(segment));
  source->number = listed.number;
  const uint32_t at = add_source(std::move(source));
  order_.push_back(at);
  for (size_t i = 0; i < keys.size(); i++) point(keys[i], {at, uint32_t(i)});
  for (int64_t key : removed) forget(key);
  next_number_ = std::max(next_number_, listed.number + 1);
  return {};
}

// What a crash left between two steps: nothing in them was acknowledged, or all of it is in others.
Status DiskTier::remove_unlisted(const std::vector<uint32_t>& numbers) {
  for (uint32_t number : numbers) GYR_TRY(remove_file(path_of(number)));
  return {};
}

// The tail has no file yet.
std::vector<ListedSegment> DiskTier::listed(Run without) const {
  std::vector<ListedSegment> out;
  for (size_t i = 0; i + 1 < order_.size(); i++) {
    if (i >= without.begin && i < without.end) continue;
    const Source& s = *sources_[order_[i]];
    out.push_back({s.number, s.segment->hash()});
  }
  return out;
}

// A number is used once, even if nothing comes of its file: the list on disk may name it all the same, when only the
// last step of writing the list failed.
uint32_t DiskTier::take_number() {
  abandoned_.push_back(next_number_);
  return next_number_++;
}

// From then on no list names what is left in abandoned_.
Status DiskTier::write_list(std::span<const ListedSegment> list) {
  GYR_TRY(write_segment_list(folder_, list));
  for (const ListedSegment& l : list) std::erase(abandoned_, l.number);
  return {};
}

// After a list has been written.
void DiskTier::remove_abandoned() {
  for (; !abandoned_.empty(); abandoned_.pop_back()) (void)!remove_file(path_of(abandoned_.back())).ok();
}

// The rows stay readable where they are until the file has taken their place; when it cannot be written they stay, and
// the next try writes a whole new one.
Status DiskTier::write_tail() {
  GYR_TRY(note(try_write_tail()));
  // What cannot be removed or merged now is as good as it was.
  bool merged = false;
  try {
    remove_abandoned();
    if (merges_paused_ > 0) return --merges_paused_, Status();
    merged = merge_segments().ok();
  } catch (const std::bad_alloc&) {
  }
  if (!merged) merges_paused_ = next_pause_;
  next_pause_ = merged ? 1 : std::min(next_pause_ * 2, kLongestPause);
  return {};
}

Status DiskTier::try_write_tail() {
  Source& t = tail();
  if (t.keys.empty() && t.removed.empty()) return {};
  if (next_number_ == UINT32_MAX)
    return fail(GYR_E_RESOURCE_EXHAUSTED, "cache",
                "'%s' has had as many files as it may have; save the cache and load it with a new folder",
                folder_.c_str());
  // A key that was put, removed, and so on: what is in `removed` is removed last.
  std::vector<int64_t> removed(t.removed.begin(), t.removed.end()), keys, gone;
  std::sort(removed.begin(), removed.end());
  auto next = std::make_unique<Source>();
  {
    std::unique_lock lock(mutex_);
    sources_.reserve(sources_.size() + 1);
    order_.reserve(order_.size() + 1);
  }
  auto fill = [&](uint64_t first, uint64_t n, uint8_t* rows) -> Status {
    std::memcpy(rows, &t.rows[first * layout_.row_bytes], n * layout_.row_bytes);
    return {};
  };
  const uint32_t number = take_number();
  const std::string path = path_of(number);
  GYR_TRY(Segment::write(path, layout_, t.keys, fill, removed));
  GYR_ASSIGN(Segment opened, Segment::open(path, layout_, &keys, &gone));
  auto segment = std::make_shared<const Segment>(std::move(opened));
  auto list = listed({});
  list.push_back({number, segment->hash()});
  GYR_TRY(write_list(list));
  Source was;  // freed when nobody waits
  std::unique_lock lock(mutex_);
  t.segment = std::move(segment);
  t.number = number;
  std::swap(t.keys, was.keys);
  std::swap(t.rows, was.rows);
  std::swap(t.removed, was.removed);
  order_.push_back(add_source(std::move(next)));
  return {};
}

// ---- merging ------------------------------------------------------------------------------------------------------

// How much of one file its live rows and removals would be.
double DiskTier::fill(const Source& source) const {
  const double rows = std::max(double(rows_in_memory_), double(kMergedBytes / (layout_.row_bytes + kListedBytes)));
  const double removals = std::max(double(removals_in_memory_), double(kMergedBytes / kListedBytes));
  return double(source.live) / rows + double(source.segment->removed()) / removals;
}

uint64_t DiskTier::rows_before(size_t file) const {
  uint64_t rows = 0;
  for (size_t i = 0; i < file; i++) rows += sources_[order_[i]]->segment->rows();
  return rows;
}

// The oldest file, when nothing in it counts: no older one has what it removes. It goes without anything being written.
DiskTier::Run DiskTier::free_run() const {
  if (order_.size() < 2) return {};
  const Source& oldest = *sources_[order_[0]];
  return {0, oldest.live == 0 && !oldest.left_alone};
}

// Neighbours of which the older ones are no larger than the younger ones together, when there are some: as digits are
// carried, so that a row is written no more often than there are digits.
DiskTier::Run DiskTier::small_run() const {
  auto source = [&](size_t i) -> const Source& { return *sources_[order_[i]]; };
  for (size_t end = order_.size() - 1; end > 0; end--) {
    if (source(end - 1).left_alone) continue;
    double sum = fill(source(end - 1));
    size_t begin = end - 1;
    while (begin > 0 && !source(begin - 1).left_alone && fill(source(begin - 1)) <= sum &&
           sum + fill(source(begin - 1)) <= 1)
      sum += fill(source(--begin));
    if (end - begin >= kMergedAtOnce) return {begin, end};
  }
  return {};
}

// A file with no more live rows than dead ones: each row that is written again makes room for another. Or one with so
// many removals that looking at older files' keys is worth it.
DiskTier::Run DiskTier::wasteful_run() const {
  uint64_t before = 0;
  for (size_t i = 0; i + 1 < order_.size(); i++) {
    const Source& s = *sources_[order_[i]];
    const uint64_t removed = s.segment->removed();
    const bool dead = s.segment->rows() > 0 && s.live <= s.segment->rows() / 2;
    const bool idle = !s.trimmed && removed >= kFewRemovals && removed >= before / 8;
    if ((dead || idle) && !s.left_alone) return {i, i + 1};
    before += s.segment->rows();
  }
  return {};
}

// What the live rows of a run are read from, in order, and the removals that older files need.
struct DiskTier::Merged {
  std::vector<uint32_t> sources;
  std::vector<int64_t> keys, removed;
  std::vector<Place> from;  // of each key
  bool trimmed = false;
};

// No more than one file is written: rows that are replaced in any order make all files wasteful at about one time.
Status DiskTier::merge_segments() {
  for (;;) {
    const Run free = free_run();
    Run run = free.end ? free : small_run();
    if (run.end == 0) run = wasteful_run();
    if (run.end == 0 || next_number_ == UINT32_MAX) return {};
    auto alone = [&] {
      return std::any_of(order_.begin() + ptrdiff_t(run.begin), order_.begin() + ptrdiff_t(run.end),
                         [&](uint32_t s) { return sources_[s]->left_alone; });
    };
    Status merged = merge(run);
    if (!merged.ok() && !alone()) return merged;
    if (merged.ok() && free.end == 0) return {};
  }
}

Status DiskTier::merge(Run run) {
  Merged merged;
  GYR_TRY(collect(run, &merged));
  auto list = listed(run);
  auto source = std::make_unique<Source>();
  if (!merged.keys.empty() || !merged.removed.empty()) {
    source->number = take_number();
    const std::string path = path_of(source->number);
    GYR_TRY(Segment::write(
        path, layout_, merged.keys,
        [&](uint64_t first, uint64_t n, uint8_t* rows) { return read_rows(merged, first, n, rows); }, merged.removed));
    std::vector<int64_t> keys, removed;
    GYR_ASSIGN(Segment opened, Segment::open(path, layout_, &keys, &removed));
    source->segment = std::make_shared<const Segment>(std::move(opened));
    source->trimmed = merged.trimmed;
    list.insert(list.begin() + ptrdiff_t(run.begin), {source->number, source->segment->hash()});
  }
  {
    std::unique_lock lock(mutex_);
    sources_.reserve(sources_.size() + 1);
  }
  abandoned_.reserve(abandoned_.size() + merged.sources.size());
  GYR_TRY(write_list(list));
  take_over(run, merged, std::move(source));
  drop(merged.sources);
  remove_abandoned();
  return {};
}

// Of a file that cannot be read; where the process is short of something the next try may do better.
void DiskTier::leave_alone(uint32_t source, const Status& why) {
  const int os = why.info() ? why.info()->os_errno : 0;
  if (os == EMFILE || os == ENFILE || os == ENOMEM) return;
  sources_[source]->left_alone = true;
  if (on_left_alone_) on_left_alone_(path_of(sources_[source]->number), why.message());
}

// Keeps the removals of keys that an older file has; all of them, for now, when one cannot be read.
void DiskTier::trim(Run run, Merged* merged) const {
  merged->trimmed = true;
  std::vector<uint8_t> needed(merged->removed.size());
  for (size_t i = 0; i < run.begin; i++) {
    std::vector<int64_t> keys, removed;
    auto older = Segment::open(path_of(sources_[order_[i]]->number), layout_, &keys, &removed);
    if (!older.ok()) return;
    for (int64_t key : keys) {
      auto at = std::lower_bound(merged->removed.begin(), merged->removed.end(), key);
      if (at != merged->removed.end() && *at == key) needed[size_t(at - merged->removed.begin())] = 1;
    }
  }
  size_t kept = 0;
  for (size_t i = 0; i < needed.size(); i++)
    if (needed[i]) merged->removed[kept++] = merged->removed[i];
  merged->removed.resize(kept);
}

Status DiskTier::collect(Run run, Merged* merged) {
  merged->sources.assign(order_.begin() + ptrdiff_t(run.begin), order_.begin() + ptrdiff_t(run.end));
  for (uint32_t s : merged->sources) {
    std::vector<int64_t> keys, removed;
    auto again = Segment::open(path_of(sources_[s]->number), layout_, &keys, &removed);
    if (!again.ok()) return leave_alone(s, again.status()), std::move(again.status());
    std::shared_lock lock(mutex_);
    for (size_t i = 0; i < keys.size(); i++) {
      const Place place{s, uint32_t(i)};
      if (place_of(keys[i]) != place) continue;
      merged->keys.push_back(keys[i]);
      merged->from.push_back(place);
    }
    if (run.begin == 0) continue;
    for (int64_t key : removed)
      if (!place_of(key)) merged->removed.push_back(key);
  }
  std::sort(merged->removed.begin(), merged->removed.end());
  merged->removed.erase(std::unique(merged->removed.begin(), merged->removed.end()), merged->removed.end());
  if (merged->removed.size() >= kFewRemovals && merged->removed.size() >= rows_before(run.begin) / 8) trim(run, merged);
  return {};
}

// A file with a page that cannot be read, or is damaged, stays: its rows are in error, and not gone.
Status DiskTier::read_rows(const Merged& merged, uint64_t first, uint64_t n, uint8_t* rows) {
  std::vector<Wanted> wanted;
  for (uint64_t i = 0; i < n; i++) {
    const Place& p = merged.from[first + i];
    const Source& source = *sources_[p.source];
    wanted.push_back({source.segment, source.number, p.ordinal / layout_.rows_per_page, p.ordinal, size_t(i)});
  }
  std::vector<uint8_t> found(n);
  read_pages(&wanted, rows, found.data());
  for (uint64_t i = 0; i < n; i++) {
    if (found[i] == GYR_TIER_FOUND) continue;
    const uint32_t source = merged.from[first + i].source;
    Status s = fail(GYR_E_IO, "cache", "'%s': a page cannot be read, or is damaged",
                    sources_[source]->segment->path().c_str());
    leave_alone(source, s);
    return s;
  }
  return {};
}

// Readers find every row all the while: at its old place, then at its new one.
void DiskTier::take_over(Run run, const Merged& merged, std::unique_ptr<Source> source) {
  uint32_t at = 0;
  const auto begin = order_.begin() + ptrdiff_t(run.begin), end = order_.begin() + ptrdiff_t(run.end);
  {
    std::unique_lock lock(mutex_);
    if (!source->segment) {
      order_.erase(begin, end);
      return;
    }
    at = add_source(std::move(source));
    *begin = at;
    order_.erase(begin + 1, end);
  }
  for (size_t first = 0; first < merged.keys.size(); first += kPointAtOnce) {
    std::unique_lock lock(mutex_);
    for (size_t i = first; i < std::min(first + kPointAtOnce, merged.keys.size()); i++)
      point(merged.keys[i], {at, uint32_t(i)});
  }
}

// Nothing leads there any more; who reads from one has it still.
void DiskTier::drop(const std::vector<uint32_t>& sources) {
  for (uint32_t s : sources) {
    std::unique_ptr<Source> gone;
    {
      std::unique_lock lock(mutex_);
      gone = std::move(sources_[s]);
    }
    abandoned_.push_back(gone->number);
    std::lock_guard lock(damaged_mutex_);
    std::erase_if(damaged_, [&](const auto& page) { return page.first == gone->number; });
  }
}

}  // namespace gyr
