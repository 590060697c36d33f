// Runs stored inputs through one target, without libFuzzer: fuzz_replay TARGET FOLDER... A crash is a failed test; the
// last name printed is the input's.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "fuzz_targets.h"  // generated: F(name) for every target

#define F(name) extern "C" int fuzz_##name(const uint8_t* data, size_t size);
GYR_FUZZ_TARGETS
#undef F

namespace {

using Target = int (*)(const uint8_t*, size_t);

Target find(const char* name) {
#define F(target) \
  if (!std::strcmp(name, #target)) return fuzz_##target;
  GYR_FUZZ_TARGETS
#undef F
  return nullptr;
}

// As long as libFuzzer allows one input (tools/fuzz.sh).
constexpr double kMostSeconds = 10;

bool run(Target target, const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::vector<char> bytes{std::istreambuf_iterator<char>(in), {}};
  std::printf("%s\n", path.c_str());
  std::fflush(stdout);
  auto start = std::chrono::steady_clock::now();
  // A block of the exact size: a sanitizer sees the byte behind it.
  std::vector<uint8_t> input(bytes.begin(), bytes.end());
  input.shrink_to_fit();
  target(input.data(), input.size());
  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (seconds <= kMostSeconds) return true;
  std::printf("took %.1f s, at most %.0f are allowed\n", seconds, kMostSeconds);
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  Target target = argc > 2 ? find(argv[1]) : nullptr;
  if (!target) {
    std::fprintf(stderr, "usage: fuzz_replay TARGET FOLDER...\n");
    return 2;
  }
  bool good = true;
  size_t inputs = 0;
  for (int i = 2; i < argc; i++)
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) {
      good &= run(target, entry.path());
      inputs++;
    }
  std::printf("%zu inputs\n", inputs);
  return good && inputs ? 0 : 1;
}
