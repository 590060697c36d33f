#include "bundle/bundle.h"

#include <cinttypes>
#include <cstdarg>
#include <cstdio>
#include <span>
#include <utility>

#include "base/knobs.h"
#include "base/number.h"

namespace gyr {
namespace {

// How long a publish waits for calls in flight before it leaves the retired generation to later calls.
constexpr int64_t kPatience = 1'000'000'000;

[[gnu::format(printf, 2, 3)]] void print(std::string* out, const char* format, ...) {
  char line[256];
  va_list args;
  va_start(args, format);
  std::vsnprintf(line, sizeof line, format, args);
  va_end(args);
  *out += line;
}

void print_histogram(std::string* out, const char* name, const std::string& labels, const Histogram& h) {
  uint64_t total = 0;
  const char* comma = labels.empty() ? "" : ",";
  for (int b = 0; b < Histogram::kBuckets; b++) {
    if (!h.count(b)) continue;
    total += h.count(b);
    print(out, "%s_bucket{%s%sle=\"%s\"} %" PRIu64 "\n", name, labels.c_str(), comma,
          NumberText(double(Histogram::bound(b)) * 1e-9, 9).c_str(), total);
  }
  print(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, labels.c_str(), comma, total);
  print(out, "%s_sum{%s} %s\n", name, labels.c_str(), NumberText(double(h.sum_ns()) * 1e-9, 9).c_str());
  print(out, "%s_count{%s} %" PRIu64 "\n", name, labels.c_str(), total);
}

}  // namespace

WorkspacePool::~WorkspacePool() {
  for (auto& slot : slots_) delete slot.load();
}

std::unique_ptr<Workspace> WorkspacePool::take() {
  for (auto& slot : std::span(slots_).first(knobs::capacity(kSlots)))
    if (slot.load(std::memory_order_relaxed))
      if (Workspace* w = slot.exchange(nullptr, std::memory_order_acquire)) return std::unique_ptr<Workspace>(w);
  return std::make_unique<Workspace>();
}

void WorkspacePool::give(std::unique_ptr<Workspace> workspace) {
  for (auto& slot : std::span(slots_).first(knobs::capacity(kSlots))) {
    Workspace* empty = nullptr;
    if (slot.compare_exchange_strong(empty, workspace.get(), std::memory_order_release, std::memory_order_relaxed)) {
      workspace.release();
      return;
    }
  }
}

Result<std::shared_ptr<Bundle>> Bundle::open(std::shared_ptr<Runtime> runtime, const std::string& path) {
  GYR_ASSIGN(std::unique_ptr<Generation> first, Generation::open(runtime, path));
  std::shared_ptr<Bundle> bundle(new Bundle(std::move(runtime)));
  first->number = 1;
  bundle->current_ = first.release();
  return bundle;
}

Bundle::~Bundle() {
  delete current_.load();
  delete previous_;
}

Status Bundle::publish(const std::string& path, uint32_t flags, uint64_t* generation) {
  if (flags & ~uint32_t(GYR_PUBLISH_CARRY_ROWS))
    return fail(GYR_E_INVALID_ARGUMENT, "bundle", "flags: unknown bits 0x%x", flags);
  GYR_ASSIGN(std::unique_ptr<Generation> next, Generation::open(runtime_, path));
  Generation* gone;
  {
    std::lock_guard lock(publish_mutex_);
    Generation* old = current_.load();
    if (flags & GYR_PUBLISH_CARRY_ROWS) GYR_TRY(carry_live_rows(*old, next.get()));
    next->number = ++last_number_;
    if (generation) *generation = next->number;
    current_.store(next.release(), std::memory_order_release);
    publishes_.fetch_add(1, std::memory_order_relaxed);
    gone = std::exchange(previous_, old);
  }
  if (!gone) return {};
  epochs_.retire(
      gone, [](void* g, void*) { delete static_cast<Generation*>(g); }, nullptr);
  // A generation may be most of the memory, and freeing it takes a while: here rather than in somebody's request.
  epochs_.synchronize_for(kPatience);
  return {};
}

Status Bundle::rollback(uint64_t* generation) {
  epochs_.reclaim();
  std::lock_guard lock(publish_mutex_);
  if (!previous_) return fail(GYR_E_INVALID_STATE, "bundle", "there is no previous generation; publish comes first");
  Generation* back = previous_;
  previous_ = current_.load();
  current_.store(back, std::memory_order_release);
  if (generation) *generation = back->number;
  return {};
}

Status Bundle::recommend(gyr_recommend_args* args, Workspace* workspace, gyr_task* task) {
  std::unique_ptr<Workspace> own;
  if (!workspace) {
    own = workspaces_.take();
    workspace = own.get();
  }
  requests_.fetch_add(1, std::memory_order_relaxed);
  Status status;
  {
    auto guard = epochs_.enter();
    const Generation& g = *current_.load(std::memory_order_acquire);
    status = g.pipeline->run(args, workspace, task);
    args->generation = g.number;
  }
  if (own) workspaces_.give(std::move(own));
  if (status.ok())
    users_.fetch_add(args->users->count, std::memory_order_relaxed);
  else
    errors_.fetch_add(1, std::memory_order_relaxed);
  return status;
}

std::string Bundle::metrics() const {
  epochs_.reclaim();  // what calls longer than a publish waits for had kept
  std::string out;
  auto counter = [&](const char* name, const char* help, uint64_t value) {
    print(&out, "# HELP %s %s\n# TYPE %s counter\n%s %" PRIu64 "\n", name, help, name, name, value);
  };
  counter("gyr_requests_total", "Recommend calls.", requests_);
  counter("gyr_request_errors_total", "Recommend calls that failed.", errors_);
  counter("gyr_users_total", "Users answered.", users_);
  counter("gyr_publishes_total", "Generations published.", publishes_);
  with_generation([&](const Generation& g) {
    print(&out, "# HELP gyr_generation Serving generation.\n# TYPE gyr_generation gauge\ngyr_generation %" PRIu64 "\n",
          g.number);
    const auto& histograms = g.pipeline->histograms();
    const auto& names = g.pipeline->stage_names();
    out +=
        "# HELP gyr_stage_seconds Time per stage and call, of the serving generation.\n"
        "# TYPE gyr_stage_seconds histogram\n";
    for (size_t i = 0; i < names.size(); i++)
      print_histogram(&out, "gyr_stage_seconds", "stage=\"" + std::to_string(i) + ":" + names[i] + "\"", histograms[i]);
    out +=
        "# HELP gyr_request_seconds Time per call, of the serving generation.\n# TYPE gyr_request_seconds histogram\n";
    print_histogram(&out, "gyr_request_seconds", "", histograms.back());
  });
  return out;
}

}  // namespace gyr
