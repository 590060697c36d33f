// Threads that call the C interface at random until the time is up. GYR_STRESS_SECONDS: per hammer, default 1.
// GYR_STRESS_SEED: which calls, printed when one fails. GYR_STRESS_THREADS: default 6.
//
// Inside an operation, functions are called through CALL(), so that coverage_test.cpp sees what several threads called;
// and a hammer fails when one of its calls was made by one thread only.
#pragma once

#include <gtest/gtest.h>
#include <gyr/gyr.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace gyr::stress {

struct Site {
  const char* name;
  std::atomic<uint64_t> workers{0};  // a bit per worker of the present hammer
  bool shared = false;               // several workers of one hammer called it
  Site* next;
  explicit Site(const char* n) : name(n), next(first) { first = this; }
  static inline Site* first = nullptr;
};

inline thread_local int worker_number = 0;

template <size_t N>
struct Name {
  char text[N];
  consteval Name(const char (&s)[N]) { std::copy_n(s, N, text); }  // NOLINT(google-explicit-constructor)
};
template <Name kName>
struct Called {
  static inline Site site{kName.text};
  static void note() { site.workers.fetch_or(uint64_t(1) << worker_number, std::memory_order_relaxed); }
};
#define CALL(function) (::gyr::stress::Called<#function>::note(), function)

// A failed expectation of any thread: shown, and the end of the hammer.
class Complaint {
 public:
  Complaint(const char* file, int line) : file_(file), line_(line) {}
  ~Complaint() {
    if (count.fetch_add(1) < 10) ADD_FAILURE_AT(file_, line_) << text_.str();
  }
  template <class T>
  Complaint& operator<<(const T& what) {
    text_ << what;
    return *this;
  }
  static inline std::atomic<int> count{0};

 private:
  const char* file_;
  int line_;
  std::ostringstream text_;
};
#define MUST(condition)                                                \
  for (bool must_fails = !(condition); must_fails; must_fails = false) \
  ::gyr::stress::Complaint(__FILE__, __LINE__) << #condition << " does not hold. "

struct Error : gyr_error {
  Error() : gyr_error GYR_ERROR_INIT {}
};
// MUST_OK(err, call(..., &err))
#define MUST_OK(err, ...)                                                       \
  for (gyr_status must_ok = (__VA_ARGS__); must_ok != GYR_OK; must_ok = GYR_OK) \
  ::gyr::stress::Complaint(__FILE__, __LINE__)                                  \
      << #__VA_ARGS__ << ": " << gyr_status_name(must_ok) << ", " << (err).message << " "

inline uint64_t setting(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text && *text ? std::strtoull(text, nullptr, 10) : otherwise;
}

inline std::string temp_path(const std::string& name) {
  return ::testing::TempDir() + "gyr_stress_" + std::to_string(getpid()) + "_" + name;
}

struct Worker {
  int number;
  std::mt19937_64 random;
  bool first_lap = false;  // several go rare ways at first, however few laps a slow machine makes, and some do not
  uint64_t below(uint64_t n) { return random() % n; }
  bool one_in(uint64_t n) { return below(n) == 0 ? true : first_lap && number % 3 != 2; }
  std::string path(const char* name) const { return temp_path(std::to_string(number) + name); }
};

class Hammer {
 public:
  using Operation = std::function<void(Worker&)>;
  const int threads = int(std::clamp<uint64_t>(setting("GYR_STRESS_THREADS", 6), 2, 64));

  // `weight`: how often among the others. Slow calls get 1.
  void operation(int weight, Operation body) {
    for (int i = 0; i < weight; i++) draw_.push_back(operations_.size());
    operations_.push_back(std::move(body));
  }

  // Every worker calls every operation once, beginning at different ones, and then at random.
  void run() {
    uint64_t seed = setting("GYR_STRESS_SEED", std::random_device()());
    SCOPED_TRACE("GYR_STRESS_SEED=" + std::to_string(seed));
    for (Site* s = Site::first; s; s = s->next) s->workers = 0;
    Complaint::count = 0;
    const char* seconds = std::getenv("GYR_STRESS_SECONDS");
    auto end = std::chrono::steady_clock::now() +
               std::chrono::milliseconds(int64_t(1000 * (seconds ? std::strtod(seconds, nullptr) : 1)));
    std::vector<std::thread> all;
    std::atomic<int> waiting{threads};
    for (int t = 0; t < threads; t++)
      all.emplace_back([&, t] {
        worker_number = t;
        Worker worker{t, std::mt19937_64(seed * 1000 + uint64_t(t)), true};
        waiting--;
        while (waiting > 0) std::this_thread::yield();  // all at once
        for (size_t i = 0; i < operations_.size() && Complaint::count == 0; i++)
          operations_[(i + size_t(t)) % operations_.size()](worker);
        worker.first_lap = false;
        while (Complaint::count == 0 && std::chrono::steady_clock::now() < end)
          operations_[draw_[worker.below(draw_.size())]](worker);
      });
    for (auto& t : all) t.join();
    if (Complaint::count > 0) {
      ADD_FAILURE() << "stopped";
      return;
    }
    for (Site* s = Site::first; s; s = s->next) {
      uint64_t workers = s->workers;
      s->shared |= (workers & (workers - 1)) != 0;
      EXPECT_TRUE((workers & (workers - 1)) || workers == 0) << s->name << " was called from one thread only";
    }
  }

 private:
  std::vector<Operation> operations_;
  std::vector<size_t> draw_;
};

}  // namespace gyr::stress
