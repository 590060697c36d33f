// A monitor under everything at once: nothing that was counted is lost.
#include "tests/stress/rows.h"

namespace gyr::stress {
namespace {

TEST(MonitorStress, CountsAddUp) {
  Error setup;
  gyr_runtime* runtime = make_runtime(1);
  gyr_monitor* monitor = nullptr;
  const char* options = R"({"features":[{"name":"x","kind":"numeric"},{"name":"g","kind":"categorical"}],
    "window":50,"label_delay_seconds":1,"pending_capacity":500})";
  MUST_OK(setup, gyr_monitor_create(runtime, options, &monitor, &setup));
  auto features = [](Worker& w, size_t n) {
    std::vector<double> x;
    std::vector<std::string> g;
    for (size_t i = 0; i < n; i++) x.push_back(double(w.below(1000))), g.push_back("g" + std::to_string(w.below(5)));
    Rows rows;
    return rows.doubles("x", x).strings("g", g).stream();
  };
  {
    Worker w{0, std::mt19937_64(1)};
    ArrowArrayStream rows = features(w, 200);
    MUST_OK(setup, gyr_monitor_set_baseline(monitor, &rows, &setup));
  }
  constexpr int kCounters = 4;
  std::atomic<uint64_t> counted[kCounters] = {}, served{0}, joined{0}, refused{0}, request{1};
  std::atomic<int64_t> clock{1'000'000};

  Hammer hammer;
  hammer.operation(8, [&](Worker& w) {
    size_t c = w.below(kCounters);
    uint64_t delta = w.below(10);
    Error err;
    MUST_OK(err, CALL(gyr_monitor_count)(monitor, ("c" + std::to_string(c)).c_str(), delta, &err));
    counted[c] += delta;
  });
  hammer.operation(8, [&](Worker& w) {  // a request of 3 items and outcomes for some of them, some of them twice
    uint64_t id = request++;
    int64_t items[] = {1, 2, 3}, now = clock += int64_t(w.below(3000));
    float scores[] = {0.9f, 0.5f, float(w.below(100)) / 100};
    Error err;
    MUST_OK(err, CALL(gyr_monitor_served)(monitor, id, items, scores, 3, now, &err));
    served += 3;
    for (int64_t item : {1, 2, 2, 77}) {
      gyr_status s = CALL(gyr_monitor_label)(monitor, id, item, uint32_t(w.below(2)), now, &err);
      MUST(s == GYR_OK || s == GYR_E_NOT_FOUND) << err.message;
      (s == GYR_OK ? joined : refused)++;
    }
  });
  hammer.operation(3, [&](Worker& w) {
    ArrowArrayStream rows = features(w, 1 + w.below(30));
    Error err;
    gyr_status s = CALL(gyr_monitor_observe)(monitor, &rows, &err);
    MUST(s == GYR_OK || s == GYR_E_INVALID_STATE) << err.message;  // the baseline was replaced meanwhile
    release(&rows);
  });
  hammer.operation(1, [&](Worker& w) {
    ArrowArrayStream rows = features(w, 100);
    Error err;
    MUST_OK(err, CALL(gyr_monitor_set_baseline)(monitor, &rows, &err));
    release(&rows);
  });
  auto report = [&](int64_t now) {
    return text_of([&](char* b, uint64_t c, uint64_t* s, gyr_error* e) {
      return CALL(gyr_monitor_report)(monitor, now, b, c, s, e);
    });
  };
  hammer.operation(2, [&](Worker&) {
    std::string text = report(clock);
    MUST(number_in(text, "served") % 3 == 0 && text.back() == '}') << text;
  });
  hammer.operation(1, [&](Worker& w) {
    gyr_monitor* other = nullptr;
    Error err;
    MUST_OK(err, CALL(gyr_monitor_create)(runtime, options, &other, &err));
    ArrowArrayStream rows = features(w, 10);
    MUST_OK(err, gyr_monitor_set_baseline(other, &rows, &err));
    CALL(gyr_monitor_destroy)(other);
  });
  hammer.run();

  std::string text = report(clock + 10'000'000);  // past every delay: nothing is pending
  for (size_t c = 0; c < kCounters; c++)
    EXPECT_EQ(number_in(text, "c" + std::to_string(c)), int64_t(counted[c])) << text;
  EXPECT_EQ(number_in(text, "served"), int64_t(served));
  EXPECT_EQ(number_in(text, "pending"), 0);
  EXPECT_EQ(number_in(text, "joined") + number_in(text, "repeated"), int64_t(joined));
  EXPECT_EQ(number_in(text, "late") + number_in(text, "unknown"), int64_t(refused));
  EXPECT_EQ(number_in(text, "served"),
            number_in(text, "joined") + number_in(text, "assumed_negative") + number_in(text, "dropped"))
      << text;
  gyr_runtime_destroy(runtime);
  gyr_monitor_destroy(monitor);
}

}  // namespace
}  // namespace gyr::stress
