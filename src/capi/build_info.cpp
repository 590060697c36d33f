#include <gyr/base.h>

#include <cstdio>
#include <mutex>

#include "base/thread_storage.h"
#include "device/backend.h"
#include "exec/simd.h"
#include "io/container.h"
#include "kernels/kernels.h"

namespace {

char text[1024];
std::once_flag once;

void fill() {
  size_t count = 0;
  auto levels = gyr::kernels::available(&count);
  char names[512] = "";
  size_t at = 0;
  for (size_t i = 0; i < count && at < sizeof names; i++)
    at += size_t(std::snprintf(names + at, sizeof names - at, "%s\"%s\"", i ? ", " : "", levels[i]->name));
  std::snprintf(text, sizeof text,
                "{\"version\": \"%d.%d.%d\", \"compiler\": \"%s\", \"simd\": \"%s\", \"simd_available\": [%s], "
                "\"file_format\": \"%u.%u\", \"backend_abi\": \"%s\"}",
                GYR_VERSION_MAJOR, GYR_VERSION_MINOR, GYR_VERSION_PATCH,
#ifdef __clang__
                "clang " __clang_version__,
#else
                "gcc " __VERSION__,
#endif
                gyr::simd_level(), names, gyr::kContainerMajor, gyr::kContainerMinor, GYR_BACKEND_ABI_TEXT);
}

}  // namespace

extern "C" {

GYR_API const char* gyr_build_info(void) noexcept {
  if (!gyr::have_thread_storage()) return "{}";
  try {
    std::call_once(once, fill);
  } catch (...) {
    return "{}";
  }
  return text;
}

}  // extern "C"
