#include "tests/fault/sweep.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "tests/fault/world.h"
#include "tests/support/contract.h"

namespace gyr::test {
namespace {

bool asked_for(const char* what) {
  const char* how = std::getenv("GYR_SWEEP");
  return how && std::string(how) == what;
}

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kSlow = true;
#else
constexpr bool kSlow = false;
#endif

// How many of the first allocations, and about how many of the others.
int64_t dense() { return kSlow || asked_for("brief") ? 24 : 200; }
int64_t sparse() { return kSlow || asked_for("brief") ? 24 : 100; }

int64_t next_prime(int64_t n) {
  for (;; n++) {
    bool prime = n > 1;
    for (int64_t d = 2; prime && d * d <= n; d++) prime = n % d != 0;
    if (prime) return n;
  }
}

// Where the sweep is, for whoever looks at a crash.
char position[160] = "";

void say_position(int signal) {
  ssize_t ignored = write(STDERR_FILENO, position, std::strlen(position));
  (void)ignored;
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

struct Setting {
  allocations::Mode mode;
  uint32_t threads;
  bool hook;
};

struct Swept {
  const char* function;
  Scenario scenario;
};

// One run of the scenario; true while there was an allocation to fail.
bool run(const Swept& swept, int64_t n, const Setting& s, int64_t* asked = nullptr) {
  std::snprintf(position, sizeof position, "sweep: allocation %lld fails %s, %u thread(s)%s\n", (long long)n,
                s.mode == allocations::Mode::kOnce ? "once" : "for ever", s.threads, s.hook ? ", host allocator" : "");
  SCOPED_TRACE(position);
  Fault f(swept.function, n, s.mode, s.threads, s.hook);
  swept.scenario(f);
  if (asked) *asked = f.asked();
  return f.met();
}

// What may leak: blocks of memory and file descriptors (the lowest free one tells).
struct Level {
  int64_t blocks = allocations::live();
  int descriptor = -1;
  Level() {
    descriptor = dup(STDERR_FILENO);
    close(descriptor);
  }
};

// A leak leaks again; a cache that filled or emptied once does not.
void expect_no_leak(const Swept& swept, int64_t n, const Setting& s, Level* level) {
  Level now;
  int64_t grown = now.blocks - level->blocks;
  for (int again = 0; grown > 0 && again < 4; again++) {
    int64_t before = allocations::live();
    run(swept, n, s);
    grown = allocations::live() - before;
  }
  EXPECT_LE(grown, 0) << "blocks leaked by each run: " << position;
  EXPECT_EQ(now.descriptor, level->descriptor) << "a file descriptor is left open: " << position;
  *level = Level();
}

void sweep_one(const Swept& swept, const Setting& s, int64_t offset) {
  int64_t asked = 0;
  for (int i = 0; i < 2; i++) run(swept, allocations::kNever, s, &asked);  // fills caches
  if (::testing::Test::HasFailure()) return;
  int64_t step = asked_for("full") || asked <= dense() ? 1 : next_prime((asked - dense()) / sparse() + 1 + offset);
  Level level;
  for (int64_t n = 0;; n += n < dense() ? 1 : step) {
    bool met = run(swept, n, s);
    expect_no_leak(swept, n, s, &level);
    if (::testing::Test::HasFailure()) return;
    if (!met && n >= asked) return;
  }
}

}  // namespace

std::vector<std::string>& covered() {
  static std::vector<std::string> names;
  return names;
}

void Fault::arm() {
  if (hook_)
    arm_hook(n_, mode_);
  else
    allocations::arm(n_, mode_);
}

void Fault::disarm() {
  asked_ = hook_ ? disarm_hook() : allocations::passed();
  met_ = (hook_ ? hook_failed() : allocations::failed()) > 0;
  allocations::disarm();
}

void Fault::check_failure(gyr_status status, const gyr_error& err) const {
  bool expected = status == GYR_E_OUT_OF_MEMORY || std::count(allowed_.begin(), allowed_.end(), status) > 0;
  EXPECT_TRUE(expected) << gyr_status_name(status) << ": " << err.message;
  expect_in_contract(function_, status);
  EXPECT_TRUE(met_) << "failed without a fault: " << err.message;
  EXPECT_EQ(err.code, status);
  EXPECT_STRNE(err.message, "");
  EXPECT_STRNE(err.component, "");
}

void sweep(const char* function, Scenario scenario) {
  for (int s : {SIGSEGV, SIGABRT, SIGBUS, SIGFPE}) std::signal(s, say_position);
  int64_t offset = 0;
  for (bool hook : {false, true})
    for (uint32_t threads : {1u, 3u})
      for (auto mode : {allocations::Mode::kOnce, allocations::Mode::kForever}) {
        sweep_one({function, scenario}, {mode, threads, hook}, offset++);
        if (::testing::Test::HasFailure()) return;
      }
  World::close_all();
}

}  // namespace gyr::test
