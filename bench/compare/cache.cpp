// compare_cache [case ...]: the embedding cache against its peers, each case by name; none = all. Driven through the
// C interface with status bytes on. JSON lines to stdout, the rest to stderr; bench/areas/cache.py runs it.
// GYR_BENCH_ROWS: rows instead of 10 million.
#include <sys/mman.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <set>

#include "common.h"

using namespace compare;

namespace {

constexpr uint32_t kDim = 64;
constexpr size_t kBatch = 1000, kBatches = 2000, kBag = 80;
constexpr int kRounds = 9;

std::set<std::string> wanted;
bool wants(const char* name) { return wanted.empty() || wanted.count(name); }

// Random row numbers, and their keys, for kBatches calls.
struct Requests {
  std::vector<uint32_t> at;
  std::vector<int64_t> keys;
  Requests(uint64_t n, bool hashed) : at(kBatch * kBatches), keys(at.size()) {
    gyr::Random random{7};
    for (size_t i = 0; i < at.size(); i++) {
      at[i] = uint32_t(random.below(n));
      keys[i] = hashed ? RowSet::key(at[i]) : int64_t(at[i]);
    }
  }
};

// The rows as one array in huge pages: what the machine can do when the row number is known.
class Array {
 public:
  explicit Array(const RowSet& rows) : bytes_((rows.n * rows.dim * sizeof(float) + kHuge - 1) / kHuge * kHuge) {
    void* p = mmap(nullptr, bytes_ + kHuge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) say("out of memory"), std::exit(1);
    base_ = static_cast<char*>(p);
    data = reinterpret_cast<float*>((uintptr_t(p) + kHuge - 1) / kHuge * kHuge);
    madvise(data, bytes_, MADV_HUGEPAGE);
    for (uint64_t i = 0; i < rows.n; i++) rows.fill(i, data + i * rows.dim);
  }
  ~Array() { munmap(base_, bytes_ + kHuge); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  float* data;

 private:
  static constexpr size_t kHuge = size_t(2) << 20;
  size_t bytes_;
  char* base_;
};

// Gather by known row numbers: prefetched 32 rows ahead (the best of 8, 16, 32, 64 here), copied out.
void gather_known(const float* rows, const uint32_t* at, size_t n, float* out) {
  constexpr size_t kAhead = 32;
  for (size_t i = 0; i < n; i++) {
    if (i + kAhead < n)
      for (size_t b = 0; b < kDim; b += 16) __builtin_prefetch(rows + size_t(at[i + kAhead]) * kDim + b);
    std::memcpy(out + i * kDim, rows + size_t(at[i]) * kDim, kDim * sizeof(float));
  }
}

// Sum of consecutive rows: the sequential read bandwidth of one core.
__attribute__((target_clones("avx512f", "avx2", "default"))) void sum_rows(const float* rows, size_t n, float* out) {
  float sum[kDim] = {};
  for (size_t i = 0; i < n; i++)
    for (size_t d = 0; d < kDim; d++) sum[d] += rows[i * kDim + d];
  std::memcpy(out, sum, sizeof sum);
}

// The same for rows picked by number: what a store without any index could do.
__attribute__((target_clones("avx512f", "avx2", "default"))) void sum_known(const float* rows, const uint32_t* at,
                                                                            size_t n, float* out) {
  float sum[kDim] = {};
  for (size_t i = 0; i < n; i++)
    for (size_t d = 0; d < kDim; d++) sum[d] += rows[size_t(at[i]) * kDim + d];
  std::memcpy(out, sum, sizeof sum);
}

gyr_cache* make_cache(gyr_runtime* runtime, const RowSet& rows, gyr_cache_keys kind,
                      const gyr_cache_tiers* tiers = nullptr) {
  gyr_cache_options o{};
  o.struct_size = sizeof o;
  o.dim = rows.dim;
  o.keys = kind;
  o.capacity = rows.n;
  o.tiers = tiers;
  gyr_cache* cache = nullptr;
  Error err;
  must(gyr_cache_create(runtime, &o, &cache, &err), err);
  constexpr uint64_t kPut = 4096;
  std::vector<int64_t> keys(kPut);
  std::vector<float> values(kPut * rows.dim);
  for (uint64_t i = 0; i < rows.n; i += kPut) {
    uint64_t m = std::min(kPut, rows.n - i);
    for (uint64_t k = 0; k < m; k++) {
      keys[k] = kind == GYR_CACHE_DENSE ? int64_t(i + k) : RowSet::key(i + k);
      rows.fill(i + k, values.data() + k * rows.dim);
    }
    must(gyr_cache_put(cache, keys.data(), values.data(), m, &err), err);
  }
  return cache;
}

double bytes_per_row(gyr_cache* cache) {
  gyr_cache_info info{};
  info.struct_size = sizeof info;
  Error err;
  must(gyr_cache_get_info(cache, &info, &err), err);
  return double(info.bytes) / double(info.rows);
}

// Every row asked for must come back as itself, before anything is timed.
void verify(const RowSet& rows, const Requests& requests, const std::function<void(size_t, float*)>& gather,
            const char* who) {
  std::vector<float> out(kBatch * kDim), row(kDim);
  for (size_t b = 0; b < 20; b++) {
    gather(b, out.data());
    for (size_t i = 0; i < kBatch; i++) {
      rows.fill(requests.at[b * kBatch + i], row.data());
      if (std::memcmp(row.data(), &out[i * kDim], kDim * sizeof(float)) != 0) {
        say("%s returns a wrong row", who);
        std::exit(1);
      }
    }
  }
}

void hashed(gyr_runtime* runtime, const RowSet& rows) {
  constexpr const char* kCase = "gather_hashed_10M_b1000_uniform";
  if (!wants(kCase) && !wants("bytes_per_row_256")) return;
  gyr_cache* cache = make_cache(runtime, rows, GYR_CACHE_HASHED);
  emit("bytes_per_row_256", "bytes", bytes_per_row(cache), "payload", kDim * 4, "lower");
  if (!wants(kCase)) return gyr_cache_destroy(cache);
  Requests requests(rows.n, true);
  std::vector<float> out(kBatch * kDim);
  std::vector<uint8_t> status(kBatch);
  Error err;
  auto ours = [&](size_t b, float* to) {
    must(gyr_cache_get(cache, &requests.keys[b * kBatch], kBatch, to, status.data(), &err), err);
    for (uint8_t s : status)
      if (s != GYR_VALUE_PRESENT) say("gyr lost a row"), std::exit(1);
  };
  verify(rows, requests, ours, "gyr");
  auto against = [&](const char* name, std::vector<Contender*> others) {
    Contender gyr{"gyr", [&](size_t b) { ours(b, out.data()); }};
    others.push_back(&gyr);
    race(others, kRounds, kBatches);
    for (Contender* c : others)
      if (c != &gyr) emit(kCase, "ns_per_row", gyr.median() / kBatch, c->name.c_str(), c->median() / kBatch, "lower");
    say("%s: done against %s", kCase, name);
  };
  {
    Array array(rows);
    Contender limit{"limit", [&](size_t b) { gather_known(array.data, &requests.at[b * kBatch], kBatch, out.data()); }};
    std::vector<Contender*> others{&limit};
    auto absl = make_absl(rows, array.data);
    Contender loop{"absl", [&](size_t b) { absl->gather(&requests.keys[b * kBatch], kBatch, out.data()); }};
    if (absl) others.push_back(&loop);
    auto table = make_nve(rows);
    auto from_table = [&](size_t b, float* to) { table->gather(&requests.keys[b * kBatch], kBatch, to); };
    Contender nve{"nve", [&](size_t b) { from_table(b, out.data()); }};
    if (table) verify(rows, requests, from_table, "nve"), others.push_back(&nve);
    against("the limit and the peers in the process", others);
  }
  auto peer = [&](const char* name, std::unique_ptr<RowPeer> engine) {
    if (!engine) return;
    auto gather = [&](size_t b, float* to) { engine->gather(&requests.keys[b * kBatch], kBatch, to); };
    verify(rows, requests, gather, name);
    Contender c{name, [&](size_t b) { gather(b, out.data()); }, 0.3};
    against(name, {&c});
  };
  if (environment("GYR_BENCH_PEERS", "all") == "all") {
    peer("redis_mget", make_redis(rows));
    peer("rocksdb", make_rocksdb(rows, false));
  }
  gyr_cache_destroy(cache);
}

void dense(gyr_runtime* runtime, const RowSet& rows) {
  bool gather = wants("gather_dense_10M_b1000"), bags = wants("bag80_dense");
  if (!gather && !bags) return;
  gyr_cache* cache = make_cache(runtime, rows, GYR_CACHE_DENSE);
  Requests requests(rows.n, false);
  Array array(rows);
  std::vector<float> out(kBatch * kDim);
  std::vector<uint8_t> status(kBatch * 4);
  Error err;
  if (gather) {
    auto ours = [&](size_t b, float* to) {
      must(gyr_cache_get(cache, &requests.keys[b * kBatch], kBatch, to, status.data(), &err), err);
    };
    verify(rows, requests, ours, "gyr");
    Contender gyr{"gyr", [&](size_t b) { ours(b, out.data()); }};
    Contender limit{"limit", [&](size_t b) { gather_known(array.data, &requests.at[b * kBatch], kBatch, out.data()); }};
    race({&gyr, &limit}, kRounds, kBatches);
    emit("gather_dense_10M_b1000", "ns_per_row", gyr.median() / kBatch, "limit", limit.median() / kBatch, "lower");
  }
  if (bags) {  // 12 bags of 80 random rows a call; the limit reads as many consecutive rows
    constexpr size_t kBags = 12, kRowsPerCall = kBags * kBag;
    std::vector<int64_t> offsets(kBags + 1);
    for (size_t b = 0; b <= kBags; b++) offsets[b] = int64_t(b * kBag);
    size_t calls = requests.keys.size() / kRowsPerCall;
    auto ours = [&](size_t b) {
      must(gyr_cache_pool(cache, &requests.keys[b * kRowsPerCall], offsets.data(), kBags, GYR_POOLING_SUM, out.data(),
                          status.data(), &err),
           err);
    };
    ours(0);
    for (size_t d = 0; d < kDim; d++) {
      double sum = 0;
      for (size_t i = 0; i < kBag; i++) sum += array.data[size_t(requests.at[i]) * kDim + d];
      if (std::abs(sum - out[d]) > 1e-4 * sum) say("gyr pools wrongly"), std::exit(1);
    }
    Contender gyr{"gyr", ours};
    size_t stretches = rows.n / kRowsPerCall;
    Contender limit{"limit", [&](size_t b) {
                      sum_rows(array.data + (b * 7919 % stretches) * kRowsPerCall * kDim, kRowsPerCall, out.data());
                    }};
    Contender known{"known_rows", [&](size_t b) {
                      for (size_t bag = 0; bag < kBags; bag++)
                        sum_known(array.data, &requests.at[b * kRowsPerCall + bag * kBag], kBag, &out[bag * kDim]);
                    }};
    race({&gyr, &limit, &known}, kRounds, calls);
    for (Contender* c : {&limit, &known})
      emit("bag80_dense", "ns_per_row", gyr.median() / kRowsPerCall, c->name.c_str(), c->median() / kRowsPerCall,
           "lower");
  }
  gyr_cache_destroy(cache);
}

// Rows that lie on disk: random batches of 100, each asked for once or twice in all, past every cache. Memory keeps 0.1
// % of the rows. Against RocksDB with direct reads, 64 MiB of block cache and no checksums; ours are checked.
void cold(gyr_runtime* runtime, const RowSet& all) {
  constexpr const char* kCase = "cold_rows_b100";
  if (!wants(kCase)) return;
  constexpr size_t kCold = 100;
  RowSet rows{std::min<uint64_t>(all.n, 4'000'000), all.dim};
  std::string folder = new_folder();
  if (folder.empty()) return say("%s: no folder; skipped", kCase);
  std::string inside = folder + "/rows";
  gyr_cache_tiers tiers{};
  tiers.struct_size = sizeof tiers;
  tiers.folder = inside.c_str();
  tiers.segment_bytes = uint64_t(256) << 20;
  tiers.max_rows = rows.n / 1000;
  tiers.admit_count = 3;
  gyr_cache* cache = make_cache(runtime, rows, GYR_CACHE_HASHED, &tiers);
  Error err;
  must(gyr_cache_save(cache, (folder + "/cache.gyr").c_str(), &err), err);  // what waits in memory goes to its file
  Requests requests(rows.n, true);
  std::vector<float> out(kBatch * kDim);
  std::vector<uint8_t> status(kCold);
  auto ours = [&](size_t b, float* to) {
    must(gyr_cache_get(cache, &requests.keys[b * kCold], kCold, to, status.data(), &err), err);
    for (uint8_t s : status)
      if (s != GYR_VALUE_PRESENT) say("gyr lost a row"), std::exit(1);
  };
  const size_t calls = requests.keys.size() / kCold;
  Contender gyr{"gyr", [&](size_t b) { ours(b, out.data()); }, 0.5};
  if (auto engine = make_rocksdb(rows, true)) {
    Contender rocks{"rocksdb_direct", [&](size_t b) { engine->gather(&requests.keys[b * kCold], kCold, out.data()); },
                    0.5};
    race({&gyr, &rocks}, kRounds, calls);
    emit(kCase, "ns_per_row", gyr.median() / kCold, "rocksdb_direct", rocks.median() / kCold, "lower");
  }
  gyr_cache_destroy(cache);
  std::filesystem::remove_all(folder);
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; i++) wanted.insert(argv[i]);
  RowSet rows{std::strtoull(environment("GYR_BENCH_ROWS", "10000000").c_str(), nullptr, 10), kDim};
  pin(0);
  gyr_runtime* runtime = make_runtime();
  hashed(runtime, rows);
  dense(runtime, rows);
  cold(runtime, rows);
  gyr_runtime_destroy(runtime);
  return 0;
}
