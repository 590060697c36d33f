// Fails every allocation of every public function once. A scenario sets up what a function needs, calls it through
// Fault::call and checks the result; sweep() repeats it with the n-th allocation inside the call failing, for n = 0, 1,
// 2, ... until the call passes without having met a failure.
//
// GYR_SWEEP=full tries every n. Otherwise every n up to 200, and beyond by a prime step, so that at most about 100 more
// are tried; the step differs between modes and thread counts, so that together they cover more. Under AddressSanitizer,
// and with GYR_SWEEP=brief (for builds that count branches), 24 and 24.
#pragma once

#include <gtest/gtest.h>
#include <gyr/gyr.h>

#include <cstring>
#include <functional>
#include <string>
#include <tuple>
#include <vector>

#include "tests/fault/allocations.h"

namespace gyr::test {

class Fault {
 public:
  Fault(const char* function, int64_t n, allocations::Mode mode, uint32_t threads, bool hook)
      : function_(function), n_(n), mode_(mode), threads_(threads), hook_(hook) {}

  uint32_t threads() const { return threads_; }
  bool hook() const { return hook_; }  // only allocations through gyr_allocator fail
  bool met() const { return met_; }    // some allocation failed
  int64_t asked() const { return asked_; }

  // The call under test, which may be made twice: with the fault, and when that failed again without. `kept` are
  // out-parameters that a failed call must leave alone. Returns the faulty call's status.
  template <class Call, class... Out>
  gyr_status call(Call&& body, Out*... kept) {
    std::tuple<Snapshot<Out>...> before{Snapshot<Out>(kept)...};
    gyr_error err = GYR_ERROR_INIT;
    arm();
    gyr_status status = body(&err);
    disarm();
    if (status == GYR_OK) return status;
    check_failure(status, err);
    std::apply([](auto&... s) { (s.expect_same(), ...); }, before);
    if (between_) between_();
    gyr_error again = GYR_ERROR_INIT;
    gyr_status second = body(&again);
    EXPECT_EQ(second, GYR_OK) << "without a fault, after " << err.message << ": " << again.message;
    return status;
  }

  // A call that cannot fail.
  template <class Call>
  void run(Call&& body) {
    arm();
    body();
    disarm();
  }

  // The call also may fail with `status` (documented; say why where you allow it).
  void allow(gyr_status status) { allowed_.push_back(status); }
  // Looks at the object between the call that failed and the one that must succeed.
  void after_failure(std::function<void()> look) { between_ = std::move(look); }

 private:
  template <class T>
  struct Snapshot {
    const T* at;
    unsigned char bytes[sizeof(T)];
    explicit Snapshot(const T* p) : at(p) { std::memcpy(bytes, static_cast<const void*>(p), sizeof(T)); }
    void expect_same() const {
      EXPECT_EQ(std::memcmp(bytes, static_cast<const void*>(at), sizeof(T)), 0)
          << "a failed call wrote to an out-parameter";
    }
  };

  void arm();
  void disarm();
  void check_failure(gyr_status status, const gyr_error& err) const;

  const char* function_;
  int64_t n_;
  allocations::Mode mode_;
  uint32_t threads_;
  bool hook_, met_ = false;
  int64_t asked_ = 0;
  std::vector<gyr_status> allowed_;
  std::function<void()> between_;
};

using Scenario = void (*)(Fault&);

// The whole sweep of one scenario; `function` is what it covers, and whose contract has the answers.
void sweep(const char* function, Scenario scenario);

// Names of functions with a scenario.
std::vector<std::string>& covered();
struct Covers {
  explicit Covers(const char* function) { covered().push_back(function); }
};

}  // namespace gyr::test

// FAULT_SCENARIO(function) { ... f.call(...) ... } makes the test Fault.function; FAULT_VARIANT a further one of the
// same function.
#define FAULT_VARIANT(function, variant)                                                              \
  static void scenario_##function##_##variant(gyr::test::Fault& f);                                   \
  static const gyr::test::Covers covers_##function##_##variant(#function);                            \
  TEST(Fault, function##_##variant) { gyr::test::sweep(#function, scenario_##function##_##variant); } \
  static void scenario_##function##_##variant([[maybe_unused]] gyr::test::Fault& f)
#define FAULT_SCENARIO(function)                                              \
  static void scenario_##function(gyr::test::Fault& f);                       \
  static const gyr::test::Covers covers_##function(#function);                \
  TEST(Fault, function) { gyr::test::sweep(#function, scenario_##function); } \
  static void scenario_##function([[maybe_unused]] gyr::test::Fault& f)
