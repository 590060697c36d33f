// The device a runtime computes on, and the list of what there is.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "device/loader.h"

namespace gyr {

// One opened device of one backend. Runtime::device() points to it.
class Device {
 public:
  // Not open yet: device_open fills out().
  Device(std::shared_ptr<Backend> backend, const gyr_device_info& info) : backend_(std::move(backend)), info_(info) {}
  ~Device() {
    if (handle_) api().device_close(handle_);
  }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  const gyr_backend_api& api() const { return backend_->api(); }
  gyr_backend_device* handle() const { return handle_; }
  gyr_backend_device** out() { return &handle_; }
  const gyr_device_info& info() const { return info_; }

 private:
  std::shared_ptr<Backend> backend_;
  gyr_backend_device* handle_ = nullptr;
  gyr_device_info info_;
};

struct Selector {
  enum Kind { kAuto, kCpu, kIndex, kUuid, kMig } kind = kCpu;
  uint32_t index = 0;
  std::string uuid;  // "GPU-..." or "MIG-..."
};
// "auto", "cpu", "cuda:0", "cuda:GPU-<uuid>", "cuda:MIG-<uuid>", "cuda:mig".
Result<Selector> parse_selector(std::string_view text);

// Where the pieces come from; tests point them at their own.
struct DeviceSources {
  const char* nvml = "libnvidia-ml.so.1";
  std::string plugin_folder;  // empty = the usual places
};

// Chooses, opens and gives the device to the runtime. "auto" takes the CPU when nothing else works, and says why;
// anything named fails with BACKEND_UNAVAILABLE. `selector` null = "cpu". "cuda:mig" takes the smallest slice with at
// least `need_bytes` free.
Status select_device(Runtime& runtime, const char* selector, const DeviceSources& sources = {},
                     uint64_t need_bytes = 0);

// CPU first, then what NVML reports. Runs no plugin code: `usable` says that a fitting plugin is installed.
std::vector<gyr_device_info> list_devices(const DeviceSources& sources = {});
gyr_device_info describe_cpu();

}  // namespace gyr
