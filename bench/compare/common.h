// What the side-by-side programs share: timed rounds, key sets, JSON lines, the peers' interfaces.
#pragma once

#include <gyr/gyr.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/hash.h"
#include "base/random.h"

namespace compare {

// One figure. `better`: "lower" or "higher".
inline void emit(const char* name, const char* metric, double mine, const char* peer, double theirs,
                 const char* better) {
  std::printf(
      "{\"case\": \"%s\", \"metric\": \"%s\", \"gyr\": %.6g, \"peer\": \"%s\", \"peer_value\": %.6g, \"better\": "
      "\"%s\"}\n",
      name, metric, mine, peer, theirs, better);
  std::fflush(stdout);
}

template <class... A>
void say(const char* format, A... a) {
  std::fprintf(stderr, format, a...);
  std::fputc('\n', stderr);
}

inline double quantile(std::vector<double> v, double q) {
  if (v.empty()) return 0;
  size_t at = std::min(v.size() - 1, size_t(q * double(v.size())));
  std::nth_element(v.begin(), v.begin() + ptrdiff_t(at), v.end());
  return v[at];
}

// What is measured: run(batch number) does one call.
struct Contender {
  std::string name;
  std::function<void(size_t)> run;
  double seconds = 0.12;             // of one round
  std::vector<double> p50{}, p99{};  // nanoseconds per call, one value per round
  double median(double q = 0.5) const { return quantile(q < 0.9 ? p50 : p99, 0.5); }
};

// Rounds of every contender in turn, so that a noisy neighbour hits all of them; the median call of a round and the
// median of the rounds leave preempted calls out.
inline void race(std::vector<Contender*> contenders, int rounds, size_t batches) {
  std::vector<double> times;
  size_t next = 0;
  for (int round = 0; round < rounds; round++) {
    for (Contender* c : contenders) {
      times.clear();
      int64_t start = gyr::monotonic_ns(), before = start, after;
      do {
        c->run(next++ % batches);
        after = gyr::monotonic_ns();
        times.push_back(double(after - before));
        before = after;
      } while (times.size() < 5 || after - start < int64_t(c->seconds * 1e9));
      c->p50.push_back(quantile(times, 0.50));
      c->p99.push_back(quantile(times, 0.99));
    }
  }
}

void pin(int cpu);  // this thread, -1 = anywhere
std::string environment(const char* name, const char* otherwise);
// In $GYR_BENCH_FOLDER (default /var/tmp), for gyr's files and its peers' alike; empty when none can be made.
std::string new_folder();

inline void must(gyr_status status, const gyr_error& error) {
  if (status == GYR_OK) return;
  say("gyr: %s", error.message);
  std::exit(1);
}
struct Error : gyr_error {
  Error() : gyr_error GYR_ERROR_INIT {}
};
inline gyr_runtime* make_runtime() {
  gyr_runtime_options o{};
  o.struct_size = sizeof o;
  o.threads = 1;
  gyr_runtime* runtime = nullptr;
  Error err;
  must(gyr_runtime_create(&o, &runtime, &err), err);
  return runtime;
}

// n rows of dim floats: row i has key key(i) and says i in its values.
struct RowSet {
  uint64_t n;
  uint32_t dim;
  static int64_t key(uint64_t i) { return int64_t(gyr::mix64(i)); }
  void fill(uint64_t i, float* row) const {
    for (uint32_t d = 0; d < dim; d++) row[d] = float(i & 0xfffff) + float(d);
  }
};

// A store of such rows by key; gather() copies n rows and must find them all.
class RowPeer {
 public:
  virtual ~RowPeer() = default;
  virtual void gather(const int64_t* keys, size_t n, float* out) = 0;
};

// Null, after one line that says why, when the peer is not there.
std::unique_ptr<RowPeer> make_absl(const RowSet& rows, const float* array);  // array: row i at i * dim, kept outside
std::unique_ptr<RowPeer> make_nve(const RowSet& rows);  // the host table of NVIDIA's nv-embedding-cache
std::unique_ptr<RowPeer> make_redis(const RowSet& rows);
std::unique_ptr<RowPeer> make_rocksdb(const RowSet& rows, bool cold);  // cold: next to nothing in its cache

// 20 fields of n entities in Redis hashes, read by one HMGET per entity in one pipeline.
class FieldPeer {
 public:
  virtual ~FieldPeer() = default;
  virtual void get(const int64_t* keys, size_t n) = 0;  // parses every value
};
std::unique_ptr<FieldPeer> make_redis_fields(uint64_t n, uint32_t fields);

}  // namespace compare
