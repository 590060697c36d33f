#include "cache/content.h"

#include <atomic>
#include <cmath>
#include <cstring>
#include <mutex>
#include <numeric>
#include <unordered_map>
#include <unordered_set>

#include "base/clock.h"
#include "base/knobs.h"
#include "base/math.h"
#include "cache/disk_tier.h"
#include "cache/kept_rows.h"
#include "cache/read_through.h"
#include "cache/shape.h"
#include "cache/stored_row.h"
#include "exec/task.h"

namespace gyr {
namespace {

using kernels::RowType;
using State = ReadThrough::State;

constexpr uint64_t kSegmentBytes = uint64_t(16) << 20;
constexpr size_t kChunk = 1024;  // rows that warm-up asks the tier for at once

template <class Rows>
class ContentOf final : public CacheContent {
 public:
  ContentOf(std::shared_ptr<Runtime> runtime, const CacheShape& shape)
      : CacheContent(shape.options.dim),
        runtime_(std::move(runtime)),
        options_(shape.options),
        tiers_(shape.tiers),
        type_(shape.type),
        row_bytes_(shape.row_bytes),
        default_row_(dim_, 0.0f),
        kept_(make_eviction(shape), runtime_->memory(), row_bytes_,
              Rows::kMarks ? shape.expected() : options_.capacity) {
    options_.tiers = nullptr;
    if (options_.miss != GYR_CACHE_MISS_DEFAULT) return;
    default_stored_.resize(row_bytes_);
    store_row(type_, options_.default_row, dim_, default_stored_.data());
    options_.default_row = nullptr;
    const void* stored = default_stored_.data();
    kernels::ref().unpack_rows(type_, &stored, 1, dim_, nullptr, default_row_.data());
  }
  ~ContentOf() override {
    if (!tier_ || runtime_->check_process().ok()) return;
    ReadThrough::abandon(std::move(tier_));  // a forked child: the threads are not there, and the files are not its own
    (void)disk_.release();
  }

  Status start_tier() {
    if constexpr (Rows::kMarks) {
      if (tiers_.below || tiers_.folder) return start_given_tier();
    }
    return {};
  }
  void own_tier() override {
    if (tier_) tier_->own();
  }

  void get_here(const int64_t* keys, size_t n, float* out, uint8_t* status, Misses* misses) const override {
    uint64_t hits = 0;
    auto guard = kept_.read();
    const auto& ops = kernels::best();
    const void* rows[kRows];
    for (size_t begin = 0; begin < n; begin += kRows) {
      const size_t m = std::min(kRows, n - begin);
      find_rows(keys + begin, m, rows);
      auto* found = reinterpret_cast<const uint8_t* const*>(rows);
      size_t here = mark(found, m, status ? status + begin : nullptr);
      hits += here;
      ops.unpack_rows(type_, rows, m, dim_, default_row_.data(), out + begin * dim_);
      for (size_t i = 0; tier_ && here < m && i < m; i++)
        if (!found[i] && may_exist(keys[begin + i])) misses->push_back(begin + i);
    }
    count(hits, n);
  }

  void get_below(const int64_t* keys, size_t n, const Misses& misses, float* out, uint8_t* status) const override {
    Fetched fetched = fetch(keys, n, misses);
    for (size_t i = 0; i < misses.size(); i++) {
      const void* row = fetched.row(i);
      if (row) kernels::best().unpack_rows(type_, &row, 1, dim_, nullptr, out + misses[i] * dim_);
      if (status) status[misses[i]] = value_of(fetched.state(i));
    }
  }

  void pool_here(const BagsIn& in, float* out, uint8_t* status, bool* missed) const override {
    uint64_t hits = 0;
    auto guard = kept_.read();
    Bags bags(in, type_, dim_, standard(), out);
    const void* rows[kRows];
    for (size_t begin = 0; begin < in.size(); begin += kRows) {
      const size_t m = std::min(kRows, in.size() - begin);
      find_rows(in.keys + begin, m, rows);
      auto* found = reinterpret_cast<const uint8_t* const*>(rows);
      hits += mark(found, m, status ? status + begin : nullptr);
      bags.add(begin, m, found);
    }
    bags.finish();
    count(hits, in.size());
    *missed = tier_ && hits < in.size();
  }

  // Once more, with copies of the rows: what was here may be gone when the others have come.
  void pool_below(const BagsIn& in, float* out, uint8_t* status) const override {
    const size_t n = in.size();
    std::vector<uint8_t> copies(n * row_bytes_);
    std::vector<const uint8_t*> rows(n, nullptr);
    Misses misses;
    {
      auto guard = kept_.read();
      kept_.rows().find(in.keys, n, [&](size_t first, size_t m, const uint8_t* const* found) {
        for (size_t i = 0; i < m; i++) {
          uint8_t* to = &copies[(first + i) * row_bytes_];
          if (found[i])
            rows[first + i] = static_cast<uint8_t*>(std::memcpy(to, found[i], row_bytes_));
          else if (may_exist(in.keys[first + i]))
            misses.push_back(first + i);
        }
        if (status) mark(found, m, status + first);
      });
    }
    Fetched fetched = fetch(in.keys, n, misses);
    for (size_t i = 0; i < misses.size(); i++) {
      rows[misses[i]] = fetched.row(i);
      if (status) status[misses[i]] = value_of(fetched.state(i));
    }
    Bags bags(in, type_, dim_, standard(), out);
    for (size_t first = 0; first < n; first += Bags::kMost)
      bags.add(first, std::min(Bags::kMost, n - first), rows.data() + first);
    bags.finish();
  }

  Status put(const int64_t* keys, const float* rows, uint64_t n) override {
    uint64_t values;
    if (!checked_mul(n, dim_, &values)) return fail(GYR_E_INVALID_ARGUMENT, "cache", "n x dim overflows");
    GYR_TRY(check_keys(keys, n, "keys"));
    GYR_TRY(check_values(rows, values, dim_, type_, "rows"));
    auto write = [&](size_t i, uint8_t* to) { store_row(type_, rows + i * dim_, dim_, to); };
    if constexpr (Rows::kMarks) {
      if (tier_) return put_below(keys, n, write);
    }
    return kept_.store(keys, n, false, nullptr, write);
  }

  Status remove(const int64_t* keys, uint64_t n, uint64_t* removed) override {
    GYR_TRY(check_keys(keys, n, "keys"));
    uint64_t count = 0;
    auto erase = [&](size_t first, size_t m, const std::vector<bool>&) -> Status {
      count += kept_.remove(keys + first, m);
      return {};
    };
    GYR_TRY(tier_ ? tier_->write(keys, nullptr, n, erase) : erase(0, n, {}));
    if (removed) *removed = count;
    return {};
  }

  Status apply(const gyr_cache_delta& d, uint32_t* applied) override {
    std::string_view source = d.source;
    if (source.size() > kLongestSource)
      return fail(GYR_E_OUT_OF_RANGE, "cache", "delta.source has %zu bytes; expected at most %zu", source.size(),
                  kLongestSource);
    std::lock_guard one(apply_mutex_);
    auto last = offsets_.find(source);
    if (last != offsets_.end() && d.offset <= last->second) {
      if (applied) *applied = 0;
      return {};
    }
    if (last == offsets_.end() && offsets_.size() >= kMostSources)
      return fail(GYR_E_OUT_OF_RANGE, "cache", "delta.source: there are %zu sources already", kMostSources);
    std::map<std::string, uint64_t, std::less<>>::node_type node;
    if (last == offsets_.end()) {  // the place for the offset, while a lack of memory changes nothing yet
      std::map<std::string, uint64_t, std::less<>> fresh;
      fresh.emplace(source, 0);
      node = fresh.extract(fresh.begin());
    }
    GYR_TRY(check_keys(d.removed, d.n_removed, "delta.removed"));
    GYR_TRY(put(d.keys, d.rows, d.n));
    GYR_TRY(remove(d.removed, d.n_removed, nullptr));
    std::lock_guard lock(offsets_mutex_);
    auto& offset = node ? offsets_.insert(std::move(node)).position->second : last->second;
    offset = d.offset;
    if (applied) *applied = 1;
    return {};
  }

  Status last_offset(std::string_view source, uint64_t* offset) const override {
    std::lock_guard lock(offsets_mutex_);
    auto it = offsets_.find(source);
    if (it == offsets_.end())
      return fail(GYR_E_NOT_FOUND, "cache", "nothing of source \"%.*s\" was applied", int(source.size()),
                  source.data());
    *offset = it->second;
    return {};
  }

  Status warm(const int64_t* keys, uint64_t n, uint64_t* loaded, gyr_task* task) override {
    if (!tier_) return fail(GYR_E_INVALID_STATE, "cache", "the cache has no tier to warm it from");
    GYR_TRY(check_keys(keys, n, "keys"));
    set_phase(task, "warm", n);
    uint64_t came = 0;
    for (uint64_t first = 0; first < n && !kept_.full(); first += kChunk) {
      GYR_TRY(gyr::check(task));
      uint64_t m = std::min<uint64_t>(kChunk, n - first);
      GYR_TRY(warm_some(keys + first, m, &came));
      advance(task, m);
    }
    if (loaded) *loaded = came;
    return {};
  }

  void fill_info(gyr_cache_info* info) const override {
    info->dim = dim_;
    const Eviction* eviction = kept_.eviction();
    info->rows = kept_.size();
    info->bytes = kept_.rows().bytes() + (eviction ? eviction->bytes() : 0);
    info->hits = hits_.load(std::memory_order_relaxed);
    info->misses = misses_.load(std::memory_order_relaxed);
    info->evicted = kept_.evicted();
    info->fetched = fetched_.load(std::memory_order_relaxed);
    info->late = late_.load(std::memory_order_relaxed);
    info->failed = failed_.load(std::memory_order_relaxed);
    info->pinned = eviction ? kept_.pinned() : info->rows;
    if (eviction && eviction->most_rows() != UINT64_MAX) info->max_rows = eviction->most_rows();
    info->tier_down = tier_ && tier_->down();
  }

  Status save(ContainerWriter* file, std::string_view name) const override {
    SavedCache saved;
    {  // before the rows: what is applied meanwhile may be saved without its offset, never the other way round
      std::lock_guard lock(offsets_mutex_);
      saved.offsets = offsets_;
    }
    Status flushed = disk_ ? disk_->flush() : Status();
    saved.options = options_;
    saved.default_row = default_row_;
    std::vector<uint8_t> marks;
    std::vector<CachedRow> found;
    for (uint64_t cursor = 0; cursor != KeyedRows::kScanEnd;) {
      auto guard = kept_.read();
      found.clear();
      kept_.rows().scan(&cursor, knobs::capacity(4096), &found);
      for (auto& [key, row, mark] : found) {
        saved.keys.push_back(key);
        saved.rows.insert(saved.rows.end(), row, row + row_bytes_);
        marks.push_back(mark);
      }
    }
    if (!flushed.ok() && !rescue(&saved, &marks)) return flushed;
    if (!dense()) saved.options.capacity = saved.keys.size();
    if (kept_.eviction()) order_by_warmth(marks, &saved);
    return write_cache(saved, file, name);
  }

  // What a file said, into a new content. With a limit the first rows, and all that no tier holds.
  Status fill(SavedCache saved) {
    GYR_TRY(check_keys(saved.keys.data(), saved.keys.size(), "keys"));
    for (size_t i = 0; i < saved.keys.size(); i++)
      if (!is_sound(type_, &saved.rows[i * row_bytes_], dim_))
        return fail(GYR_E_CORRUPT, "cache", "row %zu has values that are NaN or infinite", i);
    auto held = [&](size_t i) { return tier_ && !saved.held.empty() && saved.held[i] == 1; };
    uint64_t room = kept_.eviction() ? kept_.eviction()->most_rows() : UINT64_MAX, pinned = 0;
    for (size_t i = 0; i < saved.keys.size(); i++) pinned += !held(i);
    if (pinned > room)
      return fail(GYR_E_RESOURCE_EXHAUSTED, "cache", "%llu rows that no tier holds, and room for %llu",
                  (unsigned long long)pinned, (unsigned long long)room);
    room -= pinned;
    uint64_t loaded = 0;
    for (size_t i = 0; i < saved.keys.size(); i++) {
      bool below = held(i);
      if (below && room == 0) continue;
      room -= below;
      loaded++;
      auto write = [&](size_t, uint8_t* to) { std::memcpy(to, &saved.rows[i * row_bytes_], row_bytes_); };
      GYR_TRY(kept_.store(&saved.keys[i], 1, below, nullptr, write));
    }
    if (kept_.size() != loaded) return fail(GYR_E_CORRUPT, "cache", "keys repeat");
    offsets_ = std::move(saved.offsets);
    return {};
  }

 private:
  // Where the rows are; the first of them are on their way. Kernels ask for the others while they work on these: so the
  // copying, too, goes on while memory is waited for.
  static constexpr size_t kRows = Bags::kMost;
  void find_rows(const int64_t* keys, size_t n, const void** rows) const {
    kept_.find(keys, n, [&](size_t first, size_t m, const uint8_t* const* found) {
      for (size_t i = 0; i < m; i++) {
        rows[first + i] = found[i];
        if (first + i < kernels::kRowsAhead && found[i]) kernels::ask_for_row(found[i], row_bytes_);
      }
    });
  }

  Status start_given_tier() {
    if (tiers_.folder) {
      uint64_t waiting = tiers_.segment_bytes ? tiers_.segment_bytes : kSegmentBytes;
      GYR_ASSIGN(disk_, DiskTier::open(runtime_->memory(), tiers_.folder, row_bytes_, waiting));
      disk_->on_loss([this](size_t rows, const char* why) {
        runtime_->log(GYR_LOG_ERROR, "cache", "%zu rows and removals are lost with the cache: %s", rows, why);
      });
      disk_->on_left_alone([this](const std::string& path, const char* why) {
        runtime_->log(GYR_LOG_WARN, "cache", "'%s' is left out of merging until the folder is opened again: %s",
                      path.c_str(), why);
      });
      disk_->on_damage([this](const std::string& path, uint64_t page) {
        runtime_->log(GYR_LOG_ERROR, "cache",
                      "'%s': page %llu is damaged; its rows are in error until they are written again", path.c_str(),
                      (unsigned long long)page);
      });
    }
    ReadThrough::Options o{disk_ ? disk_->callbacks() : *tiers_.below,
                           disk_ ? [disk = disk_.get()] { return disk->failure(); } : std::function<Status()>(),
                           row_bytes_,
                           tiers_.failures ? tiers_.failures : 5,
                           tiers_.retry_ns ? int64_t(tiers_.retry_ns) : 1'000'000'000,
                           tiers_.wait == GYR_CACHE_WAIT ? 1u : 2u};
    tiers_.folder = nullptr;
    tiers_.below = nullptr;
    auto keep = [this](const int64_t* keys, const uint8_t* rows, size_t n, bool all) {
      kept_.keep(keys, rows, n, row_bytes_, all);
    };
    auto sound = [this](const uint8_t* row) { return is_sound(type_, row, dim_); };
    GYR_ASSIGN(tier_, ReadThrough::start(o, {keep, sound}));
    return {};
  }

  // Into the tier and into memory.
  template <class Write>
  Status put_below(const int64_t* keys, uint64_t n, Write&& write) {
    const bool held = tier_->takes_rows();
    std::unique_lock whole(batches_, std::defer_lock);
    if (!held) whole.lock();  // nobody takes the room between the pieces that it goes in
    GYR_TRY(kept_.check_room(keys, n, held));
    std::vector<uint8_t> stored(held ? n * row_bytes_ + 1 : 1);
    for (size_t i = 0; held && i < n; i++) write(i, &stored[i * row_bytes_]);
    return tier_->write(keys, stored.data(), n, [&](size_t first, size_t m, const std::vector<bool>& mixed) {
      return kept_.store(keys + first, m, held, &mixed, [&](size_t i, uint8_t* to) { write(first + i, to); });
    });
  }

  // Rows out of the tier for the misses of one call.
  struct Fetched {
    std::vector<size_t> at;  // per miss: which of the keys asked for
    std::vector<uint8_t> states, rows;
    size_t row_bytes;
    State state(size_t i) const { return State(states[at[i]]); }
    const uint8_t* row(size_t i) const { return state(i) == State::kFound ? &rows[at[i] * row_bytes] : nullptr; }
  };

  std::unique_ptr<Eviction> make_eviction(const CacheShape& shape) const {
    if (shape.unlimited()) return nullptr;
    uint64_t about = shape.most_rows == UINT64_MAX ? std::max<uint64_t>(shape.expected(), 65536) : shape.most_rows;
    return std::make_unique<Eviction>(runtime_->memory(), shape.tiers, shape.most_rows, about);
  }

  bool dense() const { return options_.keys == GYR_CACHE_DENSE; }
  // Keys that a dense cache cannot have are missing at once.
  bool may_exist(int64_t key) const { return !dense() || uint64_t(key) < options_.capacity; }

  Status check_keys(const int64_t* keys, uint64_t n, const char* what) const {
    for (uint64_t i = 0; dense() && i < n; i++)
      if (!may_exist(keys[i]))
        return fail(GYR_E_OUT_OF_RANGE, "cache", "%s[%llu] is %lld; a dense cache of capacity %llu has rows 0..%llu",
                    what, (unsigned long long)i, (long long)keys[i], (unsigned long long)options_.capacity,
                    (unsigned long long)options_.capacity - 1);
    return {};
  }

  // Distinct misses, in the order of their keys.
  Fetched fetch(const int64_t* keys, size_t n, const Misses& misses) const {
    std::vector<size_t> order(misses.size());
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return keys[misses[a]] < keys[misses[b]]; });
    std::vector<int64_t> wanted;
    Fetched out;
    out.at.resize(misses.size());
    out.row_bytes = row_bytes_;
    for (size_t i : order) {
      int64_t key = keys[misses[i]];
      if (wanted.empty() || wanted.back() != key) wanted.push_back(key), kept_.eviction()->missed(hash64(key));
      out.at[i] = wanted.size() - 1;
    }
    out.states.resize(wanted.size());
    out.rows.resize(wanted.size() * row_bytes_);
    if (wanted.empty()) return out;
    tier_->fetch(wanted.data(), wanted.size(), deadline(keys, n, wanted.size()), false, out.states.data(),
                 out.rows.data());
    note(out.states);
    return out;
  }

  void note(const std::vector<uint8_t>& states) const {
    auto add = [&](std::atomic<uint64_t>& to, State state) {
      to.fetch_add(uint64_t(std::count(states.begin(), states.end(), state)), std::memory_order_relaxed);
    };
    add(fetched_, State::kFound);
    add(late_, State::kLate);
    add(failed_, State::kError);
  }

  int64_t deadline(const int64_t* keys, size_t n, size_t missing) const {
    if (tiers_.wait == GYR_CACHE_WAIT) return ReadThrough::kForever;
    if (tiers_.wait == GYR_CACHE_DEADLINE)
      return monotonic_ns() +
             int64_t(std::min<uint64_t>(tiers_.timeout_ns ? tiers_.timeout_ns : 1'000'000, INT64_MAX / 2));
    if (tiers_.wait_below <= 0) return 0;
    std::vector<int64_t> all(keys, keys + n);
    std::sort(all.begin(), all.end());
    auto distinct = size_t(std::unique(all.begin(), all.end()) - all.begin());
    return float(distinct - missing) / float(distinct) < tiers_.wait_below ? ReadThrough::kForever : 0;
  }

  Status warm_some(const int64_t* keys, uint64_t n, uint64_t* came) {
    std::vector<int64_t> wanted;
    {
      auto guard = kept_.read();
      std::unordered_set<int64_t> seen;
      kept_.rows().find(keys, n, [&](size_t first, size_t m, const uint8_t* const* found) {
        for (size_t i = 0; i < m; i++)
          if (!found[i] && seen.insert(keys[first + i]).second) wanted.push_back(keys[first + i]);
      });
    }
    uint64_t most = kept_.eviction()->most_rows();
    wanted.resize(std::min<uint64_t>(wanted.size(), most - std::min(most, kept_.size())));
    if (wanted.empty()) return {};
    std::vector<uint8_t> states(wanted.size()), rows(wanted.size() * row_bytes_);
    tier_->fetch(wanted.data(), wanted.size(), ReadThrough::kForever, true, states.data(), rows.data());
    note(states);
    *came += uint64_t(std::count(states.begin(), states.end(), State::kFound));
    if (std::count(states.begin(), states.end(), State::kError) < ptrdiff_t(states.size())) return {};
    return fail(GYR_E_CALLBACK, "cache", "the tier failed for all of %zu keys", states.size());
  }

  // The folder cannot be written: the file gets the rows that wait for it, as rows that no tier holds.
  bool rescue(SavedCache* saved, std::vector<uint8_t>* marks) const {
    std::vector<int64_t> keys;
    std::vector<uint8_t> rows;
    if (!disk_->waiting(&keys, &rows)) return false;
    std::unordered_map<int64_t, size_t> at;
    for (size_t i = 0; i < saved->keys.size(); i++) at.emplace(saved->keys[i], i);
    for (size_t i = 0; i < keys.size(); i++) {
      auto [it, fresh] = at.try_emplace(keys[i], saved->keys.size());
      if (fresh) {
        saved->keys.push_back(keys[i]);
        saved->rows.resize(saved->rows.size() + row_bytes_);
        marks->push_back(0);
      }
      std::memcpy(&saved->rows[it->second * row_bytes_], &rows[i * row_bytes_], row_bytes_);
      (*marks)[it->second] &= uint8_t(~Eviction::kHeld);
    }
    runtime_->log(GYR_LOG_WARN, "cache", "saved with %zu rows that the folder could not take: %s", keys.size(),
                  disk_->failure().message());
    return true;
  }

  void order_by_warmth(const std::vector<uint8_t>& marks, SavedCache* saved) const {
    const Eviction& eviction = *kept_.eviction();
    std::vector<uint32_t> warmth(marks.size());  // once: what is warm changes while others read
    std::transform(marks.begin(), marks.end(), warmth.begin(), [&](uint8_t mark) { return eviction.warmth(mark); });
    std::vector<size_t> order(marks.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return warmth[a] > warmth[b]; });
    SavedCache sorted;
    sorted.options = saved->options;
    sorted.default_row = std::move(saved->default_row);
    sorted.offsets = std::move(saved->offsets);
    sorted.rows.reserve(saved->rows.size());
    for (size_t i : order) {
      sorted.keys.push_back(saved->keys[i]);
      auto* row = &saved->rows[i * row_bytes_];
      sorted.rows.insert(sorted.rows.end(), row, row + row_bytes_);
      if (tier_) sorted.held.push_back((marks[i] & Eviction::kHeld) != 0);
    }
    *saved = std::move(sorted);
  }

  // Writes the statuses; returns the number of rows found.
  size_t mark(const uint8_t* const* found, size_t n, uint8_t* status) const {
    size_t hits = 0;
    for (size_t i = 0; i < n; i++) hits += found[i] != nullptr;
    for (size_t i = 0; status && i < n; i++) status[i] = found[i] ? uint8_t(GYR_VALUE_PRESENT) : missing();
    return hits;
  }
  uint8_t missing() const { return options_.miss == GYR_CACHE_MISS_DEFAULT ? GYR_VALUE_DEFAULT : GYR_VALUE_MISSING; }
  uint8_t value_of(State state) const {
    switch (state) {
      case State::kFound:
        return GYR_VALUE_PRESENT;
      case State::kLate:
        return GYR_VALUE_DEADLINE;
      case State::kError:
        return GYR_VALUE_ERROR;
      default:
        return missing();
    }
  }
  const uint8_t* standard() const { return default_stored_.empty() ? nullptr : default_stored_.data(); }

  void count(uint64_t hits, uint64_t n) const {
    if (hits) hits_.fetch_add(hits, std::memory_order_relaxed);
    if (n > hits) misses_.fetch_add(n - hits, std::memory_order_relaxed);
  }

  const std::shared_ptr<Runtime> runtime_;
  gyr_cache_options options_;  // without pointers
  gyr_cache_tiers tiers_;      // likewise, once the tier has started
  const RowType type_;
  const uint32_t row_bytes_;
  std::vector<float> default_row_;       // zeros when missing rows read as zeros
  std::vector<uint8_t> default_stored_;  // the default row as rows are stored; empty without one
  KeptRows<Rows> kept_;

  std::mutex batches_;  // of rows that the tier does not take
  std::mutex apply_mutex_;
  mutable std::mutex offsets_mutex_;
  std::map<std::string, uint64_t, std::less<>> offsets_;

  alignas(64) mutable std::atomic<uint64_t> hits_{0};
  mutable std::atomic<uint64_t> misses_{0}, fetched_{0}, late_{0}, failed_{0};
  std::unique_ptr<DiskTier> disk_;     // with a folder: what tier_ asks
  std::unique_ptr<ReadThrough> tier_;  // last: its threads end before the rest goes
};

template <class Rows>
Result<std::shared_ptr<CacheContent>> make(std::shared_ptr<Runtime> runtime, const CacheShape& shape,
                                           SavedCache* saved) {
  auto content = std::make_shared<ContentOf<Rows>>(std::move(runtime), shape);
  GYR_TRY(content->start_tier());
  if (saved) GYR_TRY(content->fill(std::move(*saved)));
  return std::shared_ptr<CacheContent>(std::move(content));
}

Result<std::shared_ptr<CacheContent>> make(std::shared_ptr<Runtime> runtime, const CacheShape& shape,
                                           SavedCache* saved) {
  // Of limited rows most places would stay empty.
  return shape.options.keys == GYR_CACHE_DENSE && shape.unlimited()
             ? make<DenseRows>(std::move(runtime), shape, saved)
             : make<HashedRows>(std::move(runtime), shape, saved);
}

}  // namespace

Result<std::shared_ptr<CacheContent>> CacheContent::create(std::shared_ptr<Runtime> runtime,
                                                           const gyr_cache_options& options) {
  GYR_ASSIGN(CacheShape shape, CacheShape::of(options));
  return make(std::move(runtime), shape, nullptr);
}

Result<std::shared_ptr<CacheContent>> CacheContent::restore(std::shared_ptr<Runtime> runtime, SavedCache saved,
                                                            const gyr_cache_tiers* tiers) {
  gyr_cache_options o = saved.options;
  o.default_row = saved.default_row.data();
  auto shape = CacheShape::of(o);  // what the file says, and then what the caller says
  if (!shape.ok()) return std::move(shape.status()).in_file("saved cache");
  if (tiers) GYR_TRY(shape->set_tiers(*tiers));
  auto made = make(std::move(runtime), *shape, &saved);
  if (!made.ok()) return std::move(made.status()).in_file("saved cache");
  return made;
}

}  // namespace gyr
