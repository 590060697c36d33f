#include "cache/read_through.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <new>
#include <thread>

#include "base/clock.h"

namespace gyr {
namespace {

constexpr size_t kMostQueued = 256;  // fetches that wait for a thread; more are not begun
constexpr size_t kPiece = 1024;      // rows that are stored under one holding of the lock
constexpr std::chrono::microseconds kLetIn(50);
constexpr int64_t kProbeNs = 1'000'000;  // what a tier that is tried again has at least

// Until a monotonic time, as condition variables take it.
std::chrono::steady_clock::time_point until(int64_t ns) {
  return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(ns));
}

}  // namespace

ReadThrough::ReadThrough(const Options& o, Cache cache)
    : tier_(o.tier),
      why_(o.why),
      row_bytes_(o.row_bytes),
      failures_(o.failures),
      retry_ns_(o.retry_ns),
      cache_(std::move(cache)) {}

Result<std::unique_ptr<ReadThrough>> ReadThrough::start(const Options& options, Cache cache) {
  std::unique_ptr<ReadThrough> made(new ReadThrough(options, std::move(cache)));
  GYR_TRY(made->threads_.start(options.threads, "gyr-tier", [self = made.get()] { self->work(); }));
  return made;
}

ReadThrough::~ReadThrough() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  threads_.join();
  if (owned_ && tier_.close) tier_.close(tier_.user);
}

bool ReadThrough::down() const {
  auto lock = lock_soon();
  return down_;
}

// Under the lock: where every key is being fetched, by others or by `mine`. False when there is no room for more.
bool ReadThrough::join(const int64_t* keys, size_t n, bool here, const std::shared_ptr<Flight>& mine,
                       std::vector<Place>* places) {
  try {
    for (size_t i = 0; i < n; i++) {
      auto [it, fresh] = flying_.try_emplace(keys[i], Place{mine, mine->keys.size()});
      if (!fresh && it->second.flight->stale[it->second.at]) {  // what it brings may be older than what was written
        it->second = {mine, mine->keys.size()};
        fresh = true;
      }
      (*places)[i] = it->second;
      if (fresh) mine->keys.push_back(keys[i]);
    }
    if (here || mine->keys.empty()) return true;
    if (queue_.size() < kMostQueued) {
      queue_.push_back(mine);
      return true;
    }
  } catch (...) {
    landed(*mine);
    throw;
  }
  landed(*mine);
  return false;
}

// Under the lock: nobody joins it any more.
void ReadThrough::landed(const Flight& flight) {
  for (int64_t key : flight.keys)
    if (auto it = flying_.find(key); it != flying_.end() && it->second.flight.get() == &flight) flying_.erase(it);
}

void ReadThrough::fetch(const int64_t* keys, size_t n, int64_t deadline_ns, bool keep_all, uint8_t* states,
                        uint8_t* rows) {
  const bool here = deadline_ns == kForever;
  auto mine = std::make_shared<Flight>();
  mine->keys.reserve(n);
  mine->rows.resize(n * row_bytes_);
  mine->states.assign(n, kAbsent);
  mine->stale.assign(n, false);
  mine->deadline_ns = deadline_ns;
  mine->keep_all = keep_all;
  std::vector<Place> places(n);
  const int64_t began_ns = here || deadline_ns == 0 ? 0 : monotonic_ns();
  auto lock = lock_soon();
  if (down_) return void(std::fill_n(states, n, uint8_t(kError)));
  if (!join(keys, n, here, mine, &places)) {
    for (Place& p : places)
      if (p.flight == mine) p.flight = nullptr;
  } else if (!mine->keys.empty()) {
    mine->inside = here;
    lock.unlock();
    if (here)
      run(mine);
    else
      wake_.notify_one();
    lock = lock_soon();
  }
  for (size_t i = 0; i < n; i++) {
    const Place& p = places[i];
    states[i] = kLate;
    if (!p.flight) continue;
    auto done = [&] { return p.flight->done; };
    if (here)
      done_.wait(lock, done);
    else if (deadline_ns > 0 && !done_.wait_until(lock, until(deadline_ns), done))
      note_in_vain(*p.flight, began_ns);
    if (!p.flight->done) continue;
    states[i] = p.flight->states[p.at];
    if (states[i] == kFound) std::memcpy(rows + i * row_bytes_, &p.flight->rows[p.at * row_bytes_], row_bytes_);
  }
}

void ReadThrough::run(const std::shared_ptr<Flight>& flight) {
  const bool limited = flight->deadline_ns != kForever && flight->deadline_ns > 0;
  const int64_t left = limited ? flight->deadline_ns - monotonic_ns() : 0;
  gyr_status status = tier_.fetch(tier_.user, flight->keys.data(), flight->keys.size(), flight->rows.data(),
                                  flight->states.data(), limited ? std::max<int64_t>(left, 1) : 0);
  for (size_t i = 0; i < flight->keys.size(); i++) {
    uint8_t& state = flight->states[i];
    if (status != GYR_OK || state > kError) state = kError;
    if (state == kFound && !cache_.sound(&flight->rows[i * row_bytes_])) state = kError;
  }
  finish(flight.get(), status, limited && left <= 0);
}

// too_late: the tier was given no time, so that failing says nothing about it.
void ReadThrough::finish(Flight* flight, gyr_status status, bool too_late) {
  auto lock = lock_soon();
  if (status == GYR_OK || !too_late) note(status, flight->keys[0]);
  const size_t n = flight->keys.size();
  for (size_t i = 0, end; i < n; i = end) {  // stretches that may stay
    auto stays = [&](size_t at) { return flight->states[at] == kFound && !flight->stale[at]; };
    for (end = i + 1; end < n && stays(end) == stays(i);) end++;
    if (!stays(i)) continue;
    try {
      cache_.keep(&flight->keys[i], &flight->rows[i * row_bytes_], end - i, flight->keep_all);
    } catch (const std::bad_alloc&) {  // they are answered all the same
    }
  }
  landed(*flight);
  flight->done = true;
  done_.notify_all();
}

// Under the lock: the tier is not asked.
void ReadThrough::give_up(Flight* flight) {
  std::fill(flight->states.begin(), flight->states.end(), uint8_t(kError));
  landed(*flight);
  flight->done = true;
  done_.notify_all();
}

// Under the lock: a wait for the tier, or for a thread that the tier does not give back, ended by its deadline. Waits
// that overlap are one failure.
void ReadThrough::note_in_vain(const Flight& flight, int64_t began_ns) {
  if (down_ || began_ns < in_vain_at_ns_ || !(flight.inside || inside_ == threads_.size())) return;
  in_vain_at_ns_ = monotonic_ns();
  note(GYR_E_DEADLINE, flight.keys[0]);
}

// Under the lock: how a callback went.
void ReadThrough::note(gyr_status status, int64_t key) {
  if (status == GYR_OK) {
    failed_ = 0;
    down_ = false;
    return;
  }
  if (++failed_ < failures_ && !down_) return;
  down_ = true;
  probe_key_ = key;
  probe_at_ns_ = monotonic_ns() + retry_ns_;
  wake_.notify_one();
}

void ReadThrough::work() {
  std::unique_lock lock(mutex_);
  std::vector<uint8_t> row;
  while (!stop_) {
    if (!queue_.empty()) {
      std::shared_ptr<Flight> next = std::move(queue_.front());
      queue_.pop_front();
      if (down_) {
        give_up(next.get());
        continue;
      }
      next->inside = true;
      inside_++;
      lock.unlock();
      run(next);
      next.reset();
      lock = lock_soon();
      inside_--;
    } else if (!down_ || probing_) {
      wake_.wait(lock);
    } else if (monotonic_ns() < probe_at_ns_) {
      wake_.wait_until(lock, until(probe_at_ns_));
    } else {
      probing_ = true;
      int64_t key = probe_key_;
      lock.unlock();
      uint8_t found = 0;
      gyr_status status = GYR_E_OUT_OF_MEMORY;
      try {
        row.resize(row_bytes_);
        status = tier_.fetch(tier_.user, &key, 1, row.data(), &found, std::max(retry_ns_, kProbeNs));
      } catch (const std::bad_alloc&) {
      }
      lock.lock();
      probing_ = false;
      note(status, key);
    }
  }
}

// For whoever may not wait until a write has ended: it lets them in between its pieces.
std::unique_lock<std::mutex> ReadThrough::lock_soon() const {
  waiting_++;
  std::unique_lock lock(mutex_);
  waiting_--;
  return lock;
}

// Calls some(first, m) for pieces of n, each under the lock.
template <class Some>
void ReadThrough::in_pieces(size_t n, Some&& some) {
  for (size_t first = 0; first < n; first += kPiece) {
    if (first > 0 && waiting_ > 0) std::this_thread::sleep_for(kLetIn);  // the lock would be taken again at once
    std::lock_guard lock(mutex_);
    some(first, std::min(kPiece, n - first));
  }
}

void ReadThrough::writing(std::span<const int64_t> keys) {
  size_t noted = 0;
  try {
    in_pieces(keys.size(), [&](size_t first, size_t m) {
      for (; noted < first + m; noted++) {
        Writers& w = writing_[keys[noted]];
        if (++w.now > 1) w.mixed = true;
      }
    });
  } catch (...) {
    not_writing(keys.first(noted));
    throw;
  }
}

void ReadThrough::not_writing(std::span<const int64_t> keys) {
  in_pieces(keys.size(), [&](size_t first, size_t m) {
    for (int64_t key : keys.subspan(first, m))
      if (auto it = writing_.find(key); --it->second.now == 0) writing_.erase(it);
  });
}

// Under the lock. What is being fetched may be older than what was just written.
void ReadThrough::written(std::span<const int64_t> keys, std::vector<bool>* mixed) {
  for (size_t i = 0; i < keys.size(); i++) {
    if (auto it = flying_.find(keys[i]); it != flying_.end()) it->second.flight->stale[it->second.at] = true;
    auto it = writing_.find(keys[i]);
    (*mixed)[i] = it != writing_.end() && it->second.mixed;
  }
}

Status ReadThrough::write(const int64_t* keys, const uint8_t* rows, size_t n, const Store& store) {
  const bool asked = rows ? tier_.put != nullptr : tier_.remove != nullptr;
  const std::span<const int64_t> all(keys, n);
  // One key twice in one call is one write.
  std::vector<int64_t> distinct;
  if (asked) {
    distinct.assign(keys, keys + n);
    std::sort(distinct.begin(), distinct.end());
    distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
    writing(distinct);
  }
  // A key counts as being written until all are stored: who writes it meanwhile knows that the orders may differ.
  struct Done {
    ReadThrough* self;
    const std::vector<int64_t>* keys;
    ~Done() { self->not_writing(*keys); }
  } done{this, &distinct};
  std::vector<bool> mixed(std::min(n, kPiece));
  gyr_status status = GYR_OK;
  if (asked && n) status = rows ? tier_.put(tier_.user, keys, rows, n) : tier_.remove(tier_.user, keys, n);
  Status stored;
  in_pieces(n, [&](size_t first, size_t m) {
    written(all.subspan(first, m), &mixed);
    if (status != GYR_OK || !stored.ok()) return;  // the tier may have some of the rows
    try {
      stored = store(first, m, mixed);
    } catch (...) {
      for (first += m; first < n; first += m) written(all.subspan(first, m = std::min(kPiece, n - first)), &mixed);
      throw;
    }
  });
  return status == GYR_OK ? std::move(stored) : refused(rows ? "put" : "remove", n, status);
}

Status ReadThrough::refused(const char* what, size_t n, gyr_status status) const {
  if (!why_) {
    Status s =
        fail(GYR_E_CALLBACK, "cache", "the tier's %s of %zu rows answered %d; the cache is as before", what, n, status);
    return std::move(s).with_flags(GYR_ERROR_FROM_CALLBACK);
  }
  if (status == GYR_E_OUT_OF_MEMORY) throw std::bad_alloc();
  return why_();
}

}  // namespace gyr
