// Uses a generation: recommends to known and unknown users, describes and saves itself.
#pragma once

#include <cmath>

#include "bundle/generation.h"
#include "tests/fuzz/common.h"

namespace gyr::fuzz {

struct Answer {
  static constexpr uint32_t kUsers = 4, kMost = 5;
  int64_t ids[kUsers * kMost];
  float scores[kUsers * kMost];
  uint32_t counts[kUsers];
  bool same_as(const Answer& other) const {
    return !std::memcmp(ids, other.ids, sizeof ids) && !std::memcmp(scores, other.scores, sizeof scores) &&
           !std::memcmp(counts, other.counts, sizeof counts);
  }
};

inline Status recommend(const Pipeline& pipeline, Answer* out) {
  int64_t ints[Answer::kUsers] = {0, 3, 5, -77};
  gyr_str strings[Answer::kUsers] = {{"0", 1}, {"ann", 3}, {"", 0}, {"item3", 5}};
  Workspace workspace;
  Status s;
  // Which type of key the graph wants is nothing it tells: the other one is refused.
  for (gyr_dtype dtype : {GYR_DTYPE_INT64, GYR_DTYPE_STRING}) {
    gyr_keys users{sizeof users, dtype, Answer::kUsers, ints, strings};
    gyr_stage_trace trace[8]{};
    trace[0].struct_size = sizeof trace[0];
    gyr_recommend_args args{};
    args.struct_size = sizeof args;
    args.k = Answer::kMost;
    args.users = &users;
    args.now_us = 1'000'000'000'000;
    args.seed = 7;
    args.out_ids = out->ids;
    args.out_scores = out->scores;
    args.out_counts = out->counts;
    args.trace = trace;
    args.trace_capacity = 8;
    for (int warm = 0; warm < 2; warm++) {
      s = pipeline.run(&args, &workspace, nullptr);
      if (!s.ok()) break;
    }
    if (s.ok()) break;
  }
  if (!s.ok()) return s;
  for (uint32_t u = 0; u < Answer::kUsers; u++) {
    must(out->counts[u] <= Answer::kMost, "no more results than there is room for");
    for (uint32_t i = out->counts[u]; i < Answer::kMost; i++)
      must(out->ids[u * Answer::kMost + i] == -1 && std::isnan(out->scores[u * Answer::kMost + i]),
           "nothing stands beyond a user's results");
  }
  return s;
}

inline std::vector<uint8_t> written(const Generation& g) {
  ContainerWriter writer;
  expect_ok(Generation::write(g.components, g.pipeline_json, g.metadata, &writer), "a generation can be saved");
  auto bytes = writer.serialize();
  expect_ok(bytes.status(), "a container can be serialized");
  return std::move(*bytes);
}

inline void use_bundle(const Generation& g) {
  must(!g.describe().dump().empty(), "a generation describes itself");
  Answer before, after;
  Status s = recommend(*g.pipeline, &before);
  check(s);
  std::vector<uint8_t> bytes = written(g);
  auto file = Container::parse(bytes);
  expect_ok(file.status(), "what was saved can be read");
  auto again = Generation::read(runtime(), **file, "again");
  expect_ok(again.status(), "what was saved can be opened");
  must(written(**again) == bytes, "saving what was saved gives the same bytes");
  Status t = recommend(*(*again)->pipeline, &after);
  must(s.ok() == t.ok(), "the same bundle answers again:", t.message());
  if (s.ok()) must(before.same_as(after), "the same bundle gives the same answers");
}

}  // namespace gyr::fuzz
