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

// The rows stay readable where they are until the file has taken their place; when it cannot be written they stay, and
// the next try writes a whole new one.
Status DiskTier::write_tail() {
  GYR_TRY(note(try_write_tail()));
  // What cannot be merged now is as good as it was; the next write tries again.
  try {
    Status ignored = merge_segments();
    (void)ignored;
  } catch (const std::bad_alloc&) {
  }
  return {};
}

Status DiskTier::try_write_tail() {
  Source& t = tail();
  if (t.keys.empty() && t.removed.empty()) return {};
  if (next_number_ == UINT32_MAX)
    return fail(GYR_E_RESOURCE_EXHAUSTED, "cache",
                "'%s' has had as many files as it may have; save the cache and load "
                "it with a new folder",
                folder_.c_str());
  const std::string path = path_of(next_number_);
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
  GYR_TRY(Segment::write(path, layout_, t.keys, fill, removed));
  GYR_ASSIGN(Segment opened, Segment::open(path, layout_, &keys, &gone));
  auto segment = std::make_shared<const Segment>(std::move(opened));
  auto list = listed({});
  list.push_back({next_number_, segment->hash()});
  GYR_TRY(write_segment_list(folder_, list));
  std::unique_lock lock(mutex_);
  t.segment = std::move(segment);
  t.number = next_number_++;
  std::vector<int64_t>().swap(t.keys);
  std::vector<uint8_t>().swap(t.rows);
  t.removed.clear();
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

// Neighbours of which the older ones are no larger than the younger ones together are merged when there are some, as
// digits are carried: a row is written no more often than there are digits. So is what has more dead rows than live
// ones: each row that is written again makes room for another.
DiskTier::Run DiskTier::next_run() const {
  auto source = [&](size_t i) -> const Source& { return *sources_[order_[i]]; };
  const size_t files = order_.size() - 1;
  for (size_t end = files; end > 0; end--) {
    const Source& last = source(end - 1);
    if (last.damaged) continue;
    const bool oldest = end == 1, wasteful = last.segment->rows() > 0 && last.live <= last.segment->rows() / 2;
    const bool useless = oldest && last.live == 0;  // no older file has what it removes
    double sum = fill(last);
    size_t begin = end - 1;
    while (begin > 0 && !source(begin - 1).damaged && fill(source(begin - 1)) <= sum &&
           sum + fill(source(begin - 1)) <= 1)
      sum += fill(source(--begin));
    if (end - begin >= kMergedAtOnce || wasteful || useless) return {begin, end};
  }
  return {};
}

// What the live rows of a run are read from, in order, and the removals that older files need.
struct DiskTier::Merged {
  std::vector<uint32_t> sources;
  std::vector<int64_t> keys, removed;
  std::vector<Place> from;  // of each key
  uint32_t number = 0;
};

Status DiskTier::merge_segments() {
  for (;;) {
    const Run run = next_run();
    if (run.begin == run.end || next_number_ == UINT32_MAX) return {};
    GYR_TRY(merge(run));
  }
}

Status DiskTier::merge(Run run) {
  Merged merged;
  GYR_TRY(collect(run, &merged));
  merged.number = next_number_;
  auto list = listed(run);
  std::shared_ptr<const Segment> segment;
  if (!merged.keys.empty() || !merged.removed.empty()) {
    const std::string path = path_of(merged.number);
    Status written = Segment::write(
        path, layout_, merged.keys,
        [&](uint64_t first, uint64_t n, uint8_t* rows) { return read_rows(merged, first, n, rows); }, merged.removed);
    for (uint32_t s : merged.sources)
      if (sources_[s]->damaged) return {};  // to be left out from now on
    if (!written.ok()) return written;
    std::vector<int64_t> keys, removed;
    GYR_ASSIGN(Segment opened, Segment::open(path, layout_, &keys, &removed));
    segment = std::make_shared<const Segment>(std::move(opened));
    list.insert(list.begin() + ptrdiff_t(run.begin), {merged.number, segment->hash()});
  }
  {
    std::unique_lock lock(mutex_);
    sources_.reserve(sources_.size() + 1);
  }
  GYR_TRY(write_segment_list(folder_, list));
  next_number_++;
  take_over(run, merged, std::move(segment));
  drop(merged.sources);
  return {};
}

Status DiskTier::collect(Run run, Merged* merged) {
  merged->sources.assign(order_.begin() + ptrdiff_t(run.begin), order_.begin() + ptrdiff_t(run.end));
  for (uint32_t s : merged->sources) {
    std::vector<int64_t> keys, removed;
    GYR_ASSIGN([[maybe_unused]] Segment again, Segment::open(path_of(sources_[s]->number), layout_, &keys, &removed));
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
  return {};
}

// A damaged page keeps its source from being merged: its rows are in error, and not gone.
Status DiskTier::read_rows(const Merged& merged, uint64_t first, uint64_t n, uint8_t* rows) {
  std::vector<Wanted> wanted;
  for (uint64_t i = 0; i < n; i++) {
    const Place& p = merged.from[first + i];
    wanted.push_back({sources_[p.source]->segment, p.ordinal / layout_.rows_per_page, p.ordinal, size_t(i)});
  }
  std::vector<uint8_t> found(n);
  read_pages(&wanted, rows, found.data());
  for (uint64_t i = 0; i < n; i++) {
    if (found[i] == GYR_TIER_FOUND) continue;
    Source& source = *sources_[merged.from[first + i].source];
    {
      std::lock_guard lock(damaged_mutex_);
      source.damaged =
          damaged_.contains({source.segment.get(), merged.from[first + i].ordinal / layout_.rows_per_page});
    }
    return fail(GYR_E_IO, "cache", "'%s' cannot be read", source.segment->path().c_str());
  }
  return {};
}

// Readers find every row all the while: at its old place, then at its new one.
void DiskTier::take_over(Run run, const Merged& merged, std::shared_ptr<const Segment> segment) {
  uint32_t at = 0;
  const auto begin = order_.begin() + ptrdiff_t(run.begin), end = order_.begin() + ptrdiff_t(run.end);
  {
    std::unique_lock lock(mutex_);
    if (!segment) {
      order_.erase(begin, end);
      return;
    }
    auto source = std::make_unique<Source>();
    source->number = merged.number;
    source->segment = std::move(segment);
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
    const std::string path = path_of(sources_[s]->number);
    {
      std::lock_guard damaged(damaged_mutex_);
      const Segment* segment = sources_[s]->segment.get();
      std::erase_if(damaged_, [&](const auto& page) { return page.first == segment; });
    }
    {
      std::unique_lock lock(mutex_);
      sources_[s] = nullptr;
    }
    Status ignored = remove_file(path);  // a file that nobody lists goes when the folder is opened again
    (void)ignored;
  }
}

}  // namespace gyr
