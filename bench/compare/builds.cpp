// compare_builds hashed|dense ROWS LIBRARY...: several builds of libgyr.so in one process, each with a cache of the
// same rows, in turn: gathers of 1000 random rows and bags of 80. For changes of a few per cent on machines whose
// memory is not equally fast from one process to the next.
#include <dlfcn.h>

#include <cstring>

#include "common.h"

using namespace compare;

namespace {

constexpr uint32_t kDim = 64;
constexpr size_t kBatch = 1000, kBatches = 600, kBags = 12, kBag = 80;
constexpr int kRounds = 15;

template <class F>
F* symbol(void* library, const char* name) {
  auto* found = reinterpret_cast<F*>(dlsym(library, name));
  if (!found) say("%s", dlerror()), std::exit(1);
  return found;
}

struct Build {
  std::string path;
  gyr_cache* cache = nullptr;
  decltype(&gyr_cache_get) get;
  decltype(&gyr_cache_pool) pool;

  Build(const char* file, const RowSet& rows, bool dense) : path(file) {
    void* library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (!library) say("%s", dlerror()), std::exit(1);
    get = symbol<decltype(gyr_cache_get)>(library, "gyr_cache_get");
    pool = symbol<decltype(gyr_cache_pool)>(library, "gyr_cache_pool");
    auto* create_runtime = symbol<decltype(gyr_runtime_create)>(library, "gyr_runtime_create");
    auto* create = symbol<decltype(gyr_cache_create)>(library, "gyr_cache_create");
    auto* put = symbol<decltype(gyr_cache_put)>(library, "gyr_cache_put");
    Error err;
    gyr_runtime_options options{};
    options.struct_size = sizeof options;
    options.threads = 1;
    gyr_runtime* runtime = nullptr;
    must(create_runtime(&options, &runtime, &err), err);
    gyr_cache_options o{};
    o.struct_size = sizeof o;
    o.dim = rows.dim;
    o.keys = dense ? GYR_CACHE_DENSE : GYR_CACHE_HASHED;
    o.capacity = rows.n;
    must(create(runtime, &o, &cache, &err), err);
    constexpr uint64_t kPut = 4096;
    std::vector<int64_t> keys(kPut);
    std::vector<float> values(kPut * rows.dim);
    for (uint64_t i = 0; i < rows.n; i += kPut) {
      const uint64_t m = std::min(kPut, rows.n - i);
      for (uint64_t k = 0; k < m; k++) {
        keys[k] = dense ? int64_t(i + k) : RowSet::key(i + k);
        rows.fill(i + k, values.data() + k * rows.dim);
      }
      must(put(cache, keys.data(), values.data(), m, &err), err);
    }
  }
};

}  // namespace

int main(int argc, char** argv) {
  const bool dense = argc > 1 && std::strcmp(argv[1], "dense") == 0;
  const uint64_t n = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 0;
  if (argc < 4 || n == 0 || (!dense && std::strcmp(argv[1], "hashed") != 0))
    return say("usage: compare_builds hashed|dense ROWS LIBRARY..."), 2;
  const RowSet rows{n, kDim};
  std::vector<uint32_t> at(kBatch * kBatches);
  std::vector<int64_t> keys(at.size()), offsets(kBags + 1);
  gyr::Random random{7};
  for (size_t i = 0; i < at.size(); i++) {
    at[i] = uint32_t(random.below(n));
    keys[i] = dense ? int64_t(at[i]) : RowSet::key(at[i]);
  }
  for (size_t b = 0; b <= kBags; b++) offsets[b] = int64_t(b * kBag);
  std::vector<float> out(kBatch * kDim);
  std::vector<uint8_t> status(kBatch);
  std::vector<std::unique_ptr<Build>> builds;
  for (int i = 3; i < argc; i++) builds.push_back(std::make_unique<Build>(argv[i], rows, dense));
  pin(0);
  auto compare = [&](const char* what, size_t per_call, auto&& call) {
    std::vector<Contender> contenders;
    for (auto& build : builds)
      contenders.push_back({build->path, [&, b = build.get()](size_t i) { call(*b, &keys[i * kBatch]); }});
    std::vector<Contender*> all;
    for (auto& c : contenders) all.push_back(&c);
    race(all, kRounds, kBatches);
    for (auto& c : contenders)
      std::printf("%-7s %7.1f ns a row, best round %7.1f  %s\n", what, c.median() / double(per_call),
                  quantile(c.p50, 0) / double(per_call), c.name.c_str());
  };
  Error err;
  compare("gather", kBatch, [&](const Build& b, const int64_t* some) {
    must(b.get(b.cache, some, kBatch, out.data(), status.data(), &err), err);
  });
  compare("bags", kBags * kBag, [&](const Build& b, const int64_t* some) {
    must(b.pool(b.cache, some, offsets.data(), kBags, GYR_POOLING_SUM, out.data(), status.data(), &err), err);
  });
  return 0;
}
