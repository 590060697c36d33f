// A tier in memory that does what a test tells it: slow, failing, talking nonsense. Rows are made by the key unless
// they were put.
#pragma once

#include <gyr/cache.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

namespace gyr::test {

struct FakeTier {
  explicit FakeTier(uint32_t dim) : dim(dim) {}

  const uint32_t dim;
  int64_t keys = INT64_MAX;      // keys 0..keys-1 exist from the start
  std::atomic<int> delay_us{0};  // of every fetch
  std::atomic<int> fetch_status{0}, write_status{0}, remove_status{0};
  std::atomic<uint8_t> says{GYR_TIER_FOUND};  // of a row that exists
  std::atomic<bool> poison{false};            // rows with a NaN
  std::function<void()> in_fetch, after_put;  // called inside
  std::atomic<uint64_t> fetches{0}, fetched{0}, puts{0}, removes{0}, closed{0};
  std::atomic<int> inside{0};

  std::mutex mutex;
  std::map<int64_t, std::vector<float>> rows;
  std::set<int64_t> removed;
  std::map<int64_t, int> times;   // fetched
  std::vector<int64_t> timeouts;  // of the fetches, as they began

  static float value(int64_t key, uint32_t d) { return float(key % 100000) + float(d) / 128; }

  gyr_cache_tier vtable(bool writes = false) {
    gyr_cache_tier t{};
    t.struct_size = sizeof t;
    t.user = reinterpret_cast<uintptr_t>(this);
    t.fetch = fetch;
    if (writes) t.put = put, t.remove = remove;
    t.close = [](uintptr_t user) { self(user)->closed++; };
    return t;
  }
  bool wait_until_inside(int n) {
    for (int i = 0; i < 5000 && inside < n; i++) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return inside >= n;
  }

 private:
  static FakeTier* self(uintptr_t user) { return reinterpret_cast<FakeTier*>(user); }

  static gyr_status fetch(uintptr_t user, const int64_t* ids, uint64_t n, void* out, uint8_t* found,
                          int64_t timeout_ns) {
    FakeTier& t = *self(user);
    {
      std::lock_guard lock(t.mutex);
      t.timeouts.push_back(timeout_ns);
    }
    t.inside++;
    t.fetches++;
    if (t.delay_us > 0) std::this_thread::sleep_for(std::chrono::microseconds(t.delay_us));
    if (t.in_fetch) t.in_fetch();
    {
      std::lock_guard lock(t.mutex);
      for (uint64_t i = 0; i < n; i++) {
        auto* row = static_cast<float*>(out) + i * t.dim;
        t.times[ids[i]]++;
        t.fetched++;
        auto put = t.rows.find(ids[i]);
        if (put != t.rows.end())
          std::memcpy(row, put->second.data(), t.dim * sizeof(float));
        else if (ids[i] >= 0 && ids[i] < t.keys && !t.removed.count(ids[i]))
          for (uint32_t d = 0; d < t.dim; d++) row[d] = value(ids[i], d);
        else
          continue;
        if (t.poison) row[t.dim - 1] = __builtin_nanf("");
        found[i] = t.says;
      }
    }
    t.inside--;
    return t.fetch_status;
  }
  static gyr_status put(uintptr_t user, const int64_t* ids, const void* in, uint64_t n) {
    FakeTier& t = *self(user);
    t.puts++;
    if (t.write_status) return t.write_status;
    {
      std::lock_guard lock(t.mutex);
      for (uint64_t i = 0; i < n; i++) {
        auto* row = static_cast<const float*>(in) + i * t.dim;
        t.rows[ids[i]].assign(row, row + t.dim);
        t.removed.erase(ids[i]);
      }
    }
    if (t.after_put) t.after_put();
    return GYR_OK;
  }
  static gyr_status remove(uintptr_t user, const int64_t* ids, uint64_t n) {
    FakeTier& t = *self(user);
    t.removes++;
    if (t.write_status || t.remove_status) return GYR_E_IO;
    std::lock_guard lock(t.mutex);
    for (uint64_t i = 0; i < n; i++) t.rows.erase(ids[i]), t.removed.insert(ids[i]);
    return GYR_OK;
  }
};

}  // namespace gyr::test
