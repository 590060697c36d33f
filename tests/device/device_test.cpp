#include "device/device.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <numeric>

#include "base/random.h"
#include "device/elf_note.h"
#include "device/nvml.h"

namespace gyr {
namespace {

std::string fakes(const char* variant) { return std::string(GYR_FAKES) + "/" + variant; }
std::string fake_nvml(const char* variant) { return fakes(variant) + "/libnvidia-ml.so.1"; }

std::shared_ptr<Runtime> make(gyr_runtime_options o = {.threads = 2}) {
  auto r = Runtime::create(o);
  EXPECT_TRUE(r.ok()) << r.status().message();
  return *r;
}

TEST(Selector, Parses) {
  EXPECT_EQ(parse_selector("auto")->kind, Selector::kAuto);
  EXPECT_EQ(parse_selector("cpu")->kind, Selector::kCpu);
  EXPECT_EQ(parse_selector("cuda:mig")->kind, Selector::kMig);
  EXPECT_EQ(parse_selector("cuda:17")->index, 17u);
  EXPECT_EQ(parse_selector("cuda:GPU-1b-2c")->uuid, "GPU-1b-2c");
  EXPECT_EQ(parse_selector("cuda:MIG-x")->uuid, "MIG-x");
  for (auto bad :
       {"", "CPU", "gpu", "cuda", "cuda:", "cuda:-1", "cuda:1x", "cuda:4294967296", "cuda:GPU-", "cuda:/x.so"})
    EXPECT_EQ(parse_selector(bad).status().code(), GYR_E_INVALID_ARGUMENT) << bad;
  EXPECT_FALSE(parse_selector("cuda:GPU-" + std::string(100, 'a')).ok());
}

TEST(Loader, EveryFailureHasAStateAndAReason) {
  auto rt = make();
  struct Case {
    const char* variant;
    BackendState state;
    const char* text;
  };
  for (auto& c :
       {Case{"none_at_all", BackendState::kNotFound, "not installed"},
        Case{"no_note", BackendState::kNotAPlugin, "note"}, Case{"note_abi", BackendState::kWrongAbi, "9.9"},
        Case{"table_abi", BackendState::kWrongAbi, "0.77"},
        Case{"no_symbol", BackendState::kNoEntry, GYR_BACKEND_ENTRY},
        Case{"refuses", BackendState::kRefused, "does not feel like it"},
        Case{"incomplete", BackendState::kRefused, "empty"}, Case{"old_driver", BackendState::kDriverTooOld, "99.1"},
        Case{"missing_dependency", BackendState::kDependencyMissing, "gyr_fake_symbol"}}) {
    BackendLoad load = load_backend(rt.get(), "cuda", 12040, fakes(c.variant));
    EXPECT_EQ(int(load.state), int(c.state)) << c.variant << ": " << load.reason;
    EXPECT_NE(load.reason.find(c.text), std::string::npos) << c.variant << ": " << load.reason;
    EXPECT_FALSE(load.backend);
  }
}

TEST(Loader, GoodPluginTalksToTheHost) {
  std::vector<std::string> lines;
  gyr_logger logger{.struct_size = sizeof(gyr_logger)};
  logger.fn = [](const gyr_log_record* r, uintptr_t user) {
    reinterpret_cast<std::vector<std::string>*>(user)->emplace_back(r->message.data, r->message.len);
  };
  logger.user = uintptr_t(&lines);
  auto rt = make({.threads = 2, .memory_budget = 10000, .logger = &logger});
  {
    BackendLoad load = load_backend(rt.get(), "cuda", 12040, fakes("good"));
    ASSERT_TRUE(load.backend) << load.reason;
    EXPECT_EQ(int(load.state), int(BackendState::kLoaded));
    const gyr_backend_api& api = load.backend->api();
    void *p = nullptr, *q = nullptr;
    gyr_backend_device* d = nullptr;
    gyr_runtime_info info;
    ASSERT_EQ(api.device_open(api.backend, 0, &d, nullptr), GYR_OK);
    ASSERT_EQ(api.alloc(d, 6000, &p, nullptr), GYR_OK);
    rt->fill_info(&info);
    EXPECT_EQ(info.memory_used, 6000u);
    EXPECT_EQ(api.alloc(d, 6000, &q, nullptr), GYR_E_OUT_OF_MEMORY);  // over the budget: NULL, no exception
    api.free(d, p, 6000);
    rt->fill_info(&info);
    EXPECT_EQ(info.memory_used, 0u);
    api.device_close(d);
  }
  ASSERT_FALSE(lines.empty());
  EXPECT_EQ(lines.back(), "shutdown");
}

TEST(Loader, DamagedFilesNeverCrash) {
  std::string folder = testing::TempDir() + "gyr-elf-XXXXXX";
  ASSERT_TRUE(mkdtemp(folder.data()));
  std::string path = folder + "/plugin.so";
  std::ifstream in(fakes("good") + "/libgyr-cuda.so.0.1", std::ios::binary);
  std::string good{std::istreambuf_iterator<char>(in), {}};
  ASSERT_GT(good.size(), 1000u);
  auto try_it = [&](const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
    return read_backend_note(path);
  };
  EXPECT_TRUE(try_it(good).ok());
  for (size_t size : {0, 1, 63, 64, 100, 500, 700}) EXPECT_FALSE(try_it(good.substr(0, size)).ok()) << size;
  for (size_t i = 0; i < 1024; i++) {  // ELF header, program headers, notes
    std::string bad = good;
    bad[i] = char(0xff);
    (void)try_it(bad);
  }
  std::filesystem::remove_all(folder);
}

TEST(Nvml, ListsGpusAndSlices) {
  NvmlReport r = read_nvml(fake_nvml("nvml_full").c_str());
  EXPECT_EQ(r.problem, "");
  EXPECT_EQ(r.cuda_driver, 12040u);
  ASSERT_EQ(r.devices.size(), 4u);
  EXPECT_EQ(r.devices[0].kind, GYR_DEVICE_GPU);
  EXPECT_STREQ(r.devices[0].selector, "cuda:GPU-aaaa");
  EXPECT_STREQ(r.devices[0].name, "Fake H200");
  EXPECT_STREQ(r.devices[0].pci_bus_id, "00000000:1B:00.0");
  EXPECT_EQ(r.devices[0].units, 132u);
  EXPECT_EQ(r.devices[0].total_bytes, 1000u);
  EXPECT_EQ(r.devices[0].free_bytes, 500u);
  EXPECT_EQ(r.devices[2].kind, GYR_DEVICE_MIG);
  EXPECT_STREQ(r.devices[2].selector, "cuda:MIG-cccc");
  EXPECT_STREQ(r.devices[2].pci_bus_id, "00000000:2B:00.0");  // its parent's
  EXPECT_EQ(r.devices[2].units, 16u);
  EXPECT_EQ(r.devices[3].total_bytes, 200u);
}

TEST(Nvml, OldBrokenAndMissingLibraries) {
  NvmlReport minimal = read_nvml(fake_nvml("nvml_minimal").c_str());
  ASSERT_EQ(minimal.devices.size(), 2u);
  EXPECT_STREQ(minimal.devices[1].selector, "cuda:1");  // no uuid known
  EXPECT_EQ(minimal.devices[1].numa_node, -1);
  EXPECT_EQ(minimal.devices[1].units, 0u);
  EXPECT_NE(read_nvml(fake_nvml("nvml_fails").c_str()).problem.find("Driver Not Loaded"), std::string::npos);
  EXPECT_NE(read_nvml(fake_nvml("nvml_empty").c_str()).problem.find("no GPU"), std::string::npos);
  EXPECT_NE(read_nvml("libgyr-no-such-library.so.1").problem.find("no NVIDIA driver"), std::string::npos);
  EXPECT_NE(read_nvml("libm.so.6").problem.find("lacks"), std::string::npos);
}

TEST(List, CpuFirstThenWhatNvmlSees) {
  auto none = list_devices({"libgyr-no-such-library.so.1", ""});
  ASSERT_EQ(none.size(), 1u);
  EXPECT_EQ(none[0].kind, GYR_DEVICE_CPU);
  EXPECT_STREQ(none[0].selector, "cpu");
  EXPECT_STRNE(none[0].name, "");
  EXPECT_GT(none[0].total_bytes, 0u);
  EXPECT_GE(none[0].units, 1u);
  EXPECT_EQ(none[0].usable, 1u);

  std::string nvml = fake_nvml("nvml_full");
  auto with = list_devices({nvml.c_str(), fakes("good")});
  ASSERT_EQ(with.size(), 5u);
  EXPECT_EQ(with[1].usable, 1u);
  EXPECT_EQ(with[2].usable, 0u);
  EXPECT_NE(std::string(with[2].reason).find("MIG"), std::string::npos);
  EXPECT_EQ(with[3].usable, 1u);
  auto without = list_devices({nvml.c_str(), fakes("none_at_all")});
  EXPECT_EQ(without[1].usable, 0u);
  EXPECT_NE(std::string(without[1].reason).find("not installed"), std::string::npos);
}

TEST(Select, CpuAutoAndNamed) {
  auto rt = make();
  ASSERT_TRUE(select_device(*rt, nullptr).ok());
  gyr_runtime_info info;
  rt->fill_info(&info);
  EXPECT_STREQ(info.device, "cpu");
  EXPECT_STREQ(info.device_reason, "");
  ASSERT_NE(rt->device(), nullptr);
  EXPECT_STREQ(static_cast<Device*>(rt->device())->api().name, "cpu");

  DeviceSources none{"libgyr-no-such-library.so.1", fakes("none_at_all")};
  auto automatic = make();
  ASSERT_TRUE(select_device(*automatic, "auto", none).ok());
  automatic->fill_info(&info);
  EXPECT_STREQ(info.device, "cpu");
  EXPECT_NE(std::string(info.device_reason).find("not installed"), std::string::npos) << info.device_reason;
  for (auto named : {"cuda:0", "cuda:mig", "cuda:GPU-x", "cuda:MIG-x"}) {
    Status s = select_device(*make(), named, none);
    EXPECT_EQ(s.code(), GYR_E_BACKEND_UNAVAILABLE);
    EXPECT_NE(std::string(s.message()).find("not installed"), std::string::npos) << s.message();
    EXPECT_NE(std::string(s.message()).find("no NVIDIA driver"), std::string::npos) << s.message();
  }
  EXPECT_EQ(select_device(*make(), "gpu", none).code(), GYR_E_INVALID_ARGUMENT);
}

TEST(Select, PluginDevices) {
  std::string nvml = fake_nvml("nvml_full");
  DeviceSources sources{nvml.c_str(), fakes("good")};
  auto chosen = [&](const char* selector, uint64_t need = 0) -> std::string {
    auto rt = make();
    Status s = select_device(*rt, selector, sources, need);
    if (!s.ok()) return s.message();
    gyr_runtime_info info;
    rt->fill_info(&info);
    return info.device;
  };
  EXPECT_EQ(chosen("auto"), "cuda:GPU-fake-0");
  EXPECT_EQ(chosen("cuda:1"), "cuda:MIG-fake-1");
  EXPECT_EQ(chosen("cuda:mig"), "cuda:MIG-fake-1");
  EXPECT_EQ(chosen("cuda:GPU-fake-0"), "cuda:GPU-fake-0");
  EXPECT_NE(chosen("cuda:mig", 5000).find("is not there"), std::string::npos);
  EXPECT_NE(chosen("cuda:7").find("sees: cuda:GPU-fake-0, cuda:MIG-fake-1"), std::string::npos) << chosen("cuda:7");

  auto first = make(), second = make();
  ASSERT_TRUE(select_device(*first, "cuda:0", sources).ok());
  Status taken = select_device(*second, "cuda:1", sources);
  EXPECT_EQ(taken.code(), GYR_E_BACKEND_UNAVAILABLE);
  EXPECT_STREQ(taken.message(), "the fake device is taken");
}

// The CPU backend against the definitions in backend.h, computed in double.
class CpuBackend : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(select_device(*rt_, "cpu").ok());
    device_ = static_cast<Device*>(rt_->device());
  }
  std::vector<float> values(size_t n) {
    std::vector<float> v(n);
    for (auto& x : v) x = float(random_.normal());
    return v;
  }
  const gyr_backend_api& api() { return device_->api(); }
  std::shared_ptr<Runtime> rt_ = make({.threads = 3});
  Device* device_ = nullptr;
  Random random_{7};
  gyr_error err_ = GYR_ERROR_INIT;
};

TEST_F(CpuBackend, TopK) {
  for (uint32_t l2 : {0u, 1u})
    for (size_t n : {0, 1, 5, 511, 1300})
      for (size_t k : {1, 4, 600}) {
        constexpr size_t kDim = 7, kStride = 9, kQueries = 3;
        auto rows = values(n * kStride + 1), queries = values(kQueries * kDim);
        for (size_t i = 0; i + 1 < n; i += 2)  // ties
          std::copy_n(&rows[i * kStride], kDim, &rows[(i + 1) * kStride]);
        if (n > 4) rows[4 * kStride] = NAN;
        std::vector<uint32_t> out(kQueries * k);
        std::vector<float> scores(kQueries * k);
        gyr_op_topk op{sizeof op,   l2,         kQueries,     n, kDim, kStride, k, queries.data(),
                       rows.data(), out.data(), scores.data()};
        ASSERT_EQ(api().topk(device_->handle(), &op, &err_), GYR_OK);
        for (size_t q = 0; q < kQueries; q++) {
          std::vector<std::pair<double, uint32_t>> expected;
          for (size_t i = 0; i < n; i++) {
            double score = 0;
            for (size_t d = 0; d < kDim; d++) {
              double a = queries[q * kDim + d], b = rows[i * kStride + d];
              score += l2 ? -(a - b) * (a - b) : a * b;
            }
            if (!std::isnan(score)) expected.push_back({-score, uint32_t(i)});
          }
          std::sort(expected.begin(), expected.end());
          for (size_t j = 0; j < k; j++) {
            if (j >= expected.size()) {
              EXPECT_EQ(out[q * k + j], UINT32_MAX);
              EXPECT_TRUE(std::isnan(scores[q * k + j]));
              continue;
            }
            EXPECT_NEAR(scores[q * k + j], -expected[j].first, 1e-4);
            // Equal scores come in row order; nearly equal ones may swap by rounding.
            double mine = 0;
            for (auto& e : expected)
              if (e.second == out[q * k + j]) mine = e.first;
            EXPECT_NEAR(mine, expected[j].first, 1e-4);
            bool tie = j > 0 && scores[q * k + j] == scores[q * k + j - 1];
            EXPECT_TRUE(!tie || out[q * k + j] > out[q * k + j - 1]);
          }
        }
      }
  gyr_op_topk bad{.struct_size = sizeof bad, .n_queries = 1, .n_rows = 1, .dim = 4, .stride = 3, .k = 1};
  EXPECT_EQ(api().topk(device_->handle(), &bad, &err_), GYR_E_INVALID_ARGUMENT);
  EXPECT_NE(std::string(err_.message).find("stride"), std::string::npos);
}

TEST_F(CpuBackend, EmbedPool) {
  constexpr size_t kRows = 20, kDim = 5;
  auto table = values(kRows * kDim);
  std::vector<uint32_t> rows{3, 3, 19, 0, 7};
  std::vector<uint64_t> offsets{0, 2, 2, 5};
  auto weights = values(rows.size());
  for (uint32_t mean : {0u, 1u})
    for (const float* w : {static_cast<const float*>(nullptr), static_cast<const float*>(weights.data())}) {
      std::vector<float> out(3 * kDim, 99);
      gyr_op_embed_pool op{sizeof op, mean, 3, kRows, kDim, table.data(), rows.data(), offsets.data(), w, out.data()};
      ASSERT_EQ(api().embed_pool(device_->handle(), &op, &err_), GYR_OK);
      for (size_t b = 0; b < 3; b++)
        for (size_t d = 0; d < kDim; d++) {
          double sum = 0;
          uint64_t n = offsets[b + 1] - offsets[b];
          for (uint64_t i = offsets[b]; i < offsets[b + 1]; i++) sum += (w ? w[i] : 1.0) * table[rows[i] * kDim + d];
          EXPECT_NEAR(out[b * kDim + d], mean && n ? sum / double(n) : sum, 1e-5);
        }
    }
  rows[2] = kRows;
  std::vector<float> out(3 * kDim, 99);
  gyr_op_embed_pool op{sizeof op, 0, 3, kRows, kDim, table.data(), rows.data(), offsets.data(), nullptr, out.data()};
  EXPECT_EQ(api().embed_pool(device_->handle(), &op, &err_), GYR_E_OUT_OF_RANGE);
  EXPECT_EQ(out[0], 99);  // refused before anything was written
}

TEST_F(CpuBackend, Dense) {
  for (auto [m, k, n] : {std::array<size_t, 3>{1, 1, 1}, {3, 17, 33}, {130, 8, 64}, {0, 4, 4}}) {
    auto x = values(m * k), w = values(k * n), bias = values(n);
    gyr_backend_weights* weights = nullptr;
    ASSERT_EQ(api().dense_prepare(device_->handle(), w.data(), k, n, &weights, &err_), GYR_OK);
    for (uint32_t activation = 0; activation < 4; activation++) {
      std::vector<float> y(m * n);
      gyr_op_dense op{sizeof op, activation, m, k, n, weights, x.data(), bias.data(), y.data()};
      ASSERT_EQ(api().dense(device_->handle(), &op, &err_), GYR_OK);
      for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
          double v = bias[j];
          for (size_t d = 0; d < k; d++) v += double(x[i * k + d]) * w[d * n + j];
          double want = activation == 0   ? v
                        : activation == 1 ? std::max(v, 0.0)
                        : activation == 2 ? 1 / (1 + std::exp(-v))
                                          : std::tanh(v);
          EXPECT_NEAR(y[i * n + j], want, 1e-4);
        }
    }
    gyr_op_dense bad{sizeof bad, 4, m, k, n, weights, x.data(), nullptr, nullptr};
    EXPECT_EQ(api().dense(device_->handle(), &bad, &err_), GYR_E_INVALID_ARGUMENT);
    api().dense_release(device_->handle(), weights);
  }
  gyr_backend_weights* none = nullptr;
  EXPECT_EQ(api().dense_prepare(device_->handle(), nullptr, 1ull << 40, 1ull << 40, &none, &err_), GYR_E_OUT_OF_RANGE);
  gyr_runtime_info info;
  rt_->fill_info(&info);
  EXPECT_EQ(info.memory_used, 0u);
}

}  // namespace
}  // namespace gyr
