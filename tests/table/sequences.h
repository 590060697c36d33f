// Random sequences of operations on a table and on a model of it, with the clock in the test's hand. A sequence that
// fails is shrunk to the shortest one that still does, and printed. GYR_SEQUENCES: how many instead of the usual.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include "base/random.h"
#include "table/table.h"

namespace gyr {

constexpr int64_t kSecond = 1'000'000, kKeys = 40;

struct Op {
  enum Kind { kUpsert, kDelete, kGet, kScan, kReopen, kTick, kAsOf, kSweep } kind;
  int64_t key, time, value;
  int columns;  // bits: which of a, s, l an upsert brings; 3 more: which of them are null

  std::string text() const {
    static const char* const names[] = {"upsert", "delete", "get", "scan", "reopen", "tick", "as of", "sweep"};
    std::ostringstream out;
    out << names[kind] << " key " << key << " time " << time << " value " << value << " columns " << columns;
    return out.str();
  }
};

inline std::string text_of(int64_t v) { return std::string(size_t(v % 23), 'x') + std::to_string(v); }
inline std::vector<double> list_of(int64_t v) { return std::vector<double>(size_t(v % 5), double(v)); }

inline std::vector<Op> random_ops(uint64_t seed) {
  Random random{seed};
  std::vector<Op> ops(20 + random.below(300));
  int64_t keys = int64_t(1 + random.below(kKeys));
  for (Op& op : ops) {
    uint64_t pick = random.below(100);
    op.kind = pick < 55   ? Op::kUpsert
              : pick < 70 ? Op::kDelete
              : pick < 88 ? Op::kGet
              : pick < 90 ? Op::kScan
              : pick < 91 ? Op::kReopen
              : pick < 92 ? Op::kSweep
              : pick < 95 ? Op::kAsOf
                          : Op::kTick;
    op.key = int64_t(random.below(uint64_t(keys)));
    op.time = op.kind == Op::kTick ? int64_t(random.below(60)) * kSecond : (int64_t(random.below(140)) - 120) * kSecond;
    op.value = int64_t(random.below(1'000'000));
    op.columns = int(random.below(64));
  }
  return ops;
}

// What is wrong after a sequence, and where; empty = nothing.
using RunSequence = std::function<std::string(const std::vector<Op>&)>;

// Leaves out ever smaller stretches as long as something still fails.
inline std::vector<Op> shrink(const RunSequence& run, std::vector<Op> ops) {
  for (size_t step = ops.size() / 2; step > 0; step /= 2)
    for (size_t at = 0; at + step <= ops.size();) {
      std::vector<Op> fewer = ops;
      fewer.erase(fewer.begin() + ptrdiff_t(at), fewer.begin() + ptrdiff_t(at + step));
      if (run(fewer).empty())
        at += step;
      else
        ops = fewer;
    }
  return ops;
}

inline void follow_the_model(const RunSequence& run) {
  const char* text = std::getenv("GYR_SEQUENCES");
  uint64_t sequences = text ? std::strtoull(text, nullptr, 10) : 300;
  for (uint64_t seed = 0; seed < sequences; seed++) {
    std::vector<Op> ops = random_ops(seed);
    if (run(ops).empty()) continue;
    ops = shrink(run, ops);
    std::ostringstream story;
    for (auto& op : ops) story << "\n  " << op.text();
    FAIL() << "seed " << seed << ", after shrinking " << run(ops) << story.str();
  }
}

// A world takes operations one by one (run) and can be looked through (check_all).
template <class World>
std::string run_in(World&& world, const std::vector<Op>& ops) {
  for (size_t i = 0; i < ops.size(); i++)
    if (std::string wrong = world.run(ops[i]); !wrong.empty()) return std::to_string(i) + ": " + wrong;
  return world.check_all(kKeys + 1);
}

// Calls f(keys); string keys are names of as many letters as the number says.
template <class F>
Status with_keys(bool strings, const std::vector<int64_t>& ids, F&& f) {
  std::vector<std::string> names;
  std::vector<gyr_str> views;
  for (int64_t id : ids) names.emplace_back(size_t(id), 'k');
  for (auto& n : names) views.push_back({n.data(), n.size()});
  Keys keys{strings ? GYR_DTYPE_STRING : GYR_DTYPE_INT64, strings ? nullptr : ids.data(),
            strings ? views.data() : nullptr, ids.size()};
  return f(keys);
}
inline void push_key(bool strings, int64_t id, Column* out) {
  strings ? out->push_string(std::string(size_t(id), 'k')) : out->push_int(id);
}

// Removes everything expired in steps of three rows; how many went, or -1.
inline int64_t sweep_all(Table* table, int64_t now) {
  int64_t n = 0;
  for (uint64_t cursor = 0; cursor != UINT64_MAX;) {
    uint64_t removed = 0;
    if (!table->sweep(now, 3, &cursor, &removed).ok()) return -1;
    n += int64_t(removed);
  }
  return n;
}

}  // namespace gyr
