// Prints the cost of a Categorify lookup; the bound is loose on purpose, it only catches accidents.
#include "base/clock.h"
#include "tests/support/knobs.h"
#include "tests/workflow/common.h"

namespace gyr::testing {
namespace {

TEST(Speed, CategorifyLookup) {
  GYR_SKIP_UNDER("GYR_TEST_HASH");  // too many keys for one chain
  Random random(1);
  Table vocab, rows;
  Ints ids, batch_ids;
  Strings names, batch_names;
  for (int64_t i = 0; i < 100000; i++) ids.push_back(i * 7919), names.push_back("user_" + std::to_string(i * 7919));
  for (int i = 0; i < 10000; i++) {
    size_t k = random.below(ids.size());
    batch_ids.push_back(ids[k]), batch_names.push_back(names[k]);
  }
  vocab.ints("i", ids).strings("s", names);
  rows.ints("i", batch_ids).strings("s", batch_names);
  auto w = fitted(vocab.batch, R"({"op":"Categorify","columns":["i","s"]})");
  auto scratch = w->make_scratch();
  for (const char* name : {"i", "s"}) {
    auto plan = std::move(*w->plan(columns_of(rows.batch), {name}));
    Batch out;
    double best = 1e9;
    for (int i = 0; i < 30; i++) {
      int64_t start = monotonic_ns();
      ASSERT_TRUE(w->run(*plan, rows.batch, scratch.get(), &out, nullptr).ok());
      best = std::min(best, double(monotonic_ns() - start) / 10000);
    }
    RecordProperty(name, std::to_string(best));
    std::printf("Categorify %s vocabulary of 100k, batch of 10k: %.1f ns per value\n",
                *name == 'i' ? "int64" : "string", best);
    EXPECT_LT(best, 5000);
  }
}

}  // namespace
}  // namespace gyr::testing
