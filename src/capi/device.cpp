#include <gyr/device.h>

#include "capi/guard.h"
#include "device/device.h"

using gyr::Status;
using namespace gyr::capi;

extern "C" {

GYR_API gyr_status gyr_device_list(gyr_device_info* out, uint64_t capacity, uint64_t* count, gyr_error* err) noexcept {
  return guard(err, "device", [&]() -> Status {
    GYR_TRY(require(count, "count"));
    auto devices = gyr::list_devices();
    uint64_t fill = out ? std::min<uint64_t>(capacity, devices.size()) : 0;
    if (fill) {
      // All entries have the size of the first: the caller's array is of one type.
      uint32_t size = out[0].struct_size;
      GYR_TRY(check_size(size, "out[0]", "gyr_device_info"));
      auto* bytes = reinterpret_cast<char*>(out);
      for (uint64_t i = 0; i < fill; i++) {
        auto* entry = reinterpret_cast<gyr_device_info*>(bytes + i * size);
        entry->struct_size = size;
        GYR_TRY(write_struct(devices[i], "out", "gyr_device_info", entry));
      }
    }
    *count = devices.size();
    return {};
  });
}

}  // extern "C"
