#include "device/device.h"

#include <strings.h>
#include <sys/sysinfo.h>

#include <charconv>
#include <cstdio>
#include <cstring>

#include "device/nvml.h"
#include "exec/cpus.h"
#include "io/file.h"

namespace gyr {

Result<Selector> parse_selector(std::string_view text) {
  Selector s;
  if (text == "cpu") return s;
  if (text == "auto") return Selector{Selector::kAuto};
  if (text == "cuda:mig") return Selector{Selector::kMig};
  if (text.starts_with("cuda:GPU-") || text.starts_with("cuda:MIG-")) {
    s.kind = Selector::kUuid;
    s.uuid = text.substr(5);
    if (s.uuid.size() > 4 && s.uuid.size() < sizeof(gyr_device_info::uuid)) return s;
  } else if (text.starts_with("cuda:")) {
    s.kind = Selector::kIndex;
    auto [end, error] = std::from_chars(text.data() + 5, text.data() + text.size(), s.index);
    if (error == std::errc() && end == text.data() + text.size() && text.size() > 5) return s;
  }
  return fail(GYR_E_INVALID_ARGUMENT, "device",
              "device '%.*s': expected auto, cpu, cuda:<number>, cuda:GPU-<uuid>, cuda:MIG-<uuid> or cuda:mig",
              int(std::min<size_t>(text.size(), 80)), text.data());
}

namespace {

Status backend_error(const gyr_error& err, gyr_status code) {
  return fail(code == GYR_E_OUT_OF_MEMORY ? code : GYR_E_BACKEND_UNAVAILABLE, "device", "%s",
              err.message[0] ? err.message : gyr_status_name(code));
}

Result<std::shared_ptr<Device>> open_device(std::shared_ptr<Backend> backend, uint32_t ordinal,
                                            const gyr_device_info& info) {
  auto device = std::make_shared<Device>(std::move(backend), info);  // before there is something to close
  const gyr_backend_api& api = device->api();
  gyr_error err = GYR_ERROR_INIT;
  if (gyr_status code = api.device_open(api.backend, ordinal, device->out(), &err); code != GYR_OK)
    return backend_error(err, code);
  return device;
}

// Which of the backend's devices the selector means; -1 when none does.
int choose(const Selector& s, const std::vector<gyr_device_info>& devices, uint64_t need_bytes) {
  int best = -1;
  for (int i = 0; i < int(devices.size()); i++) {
    const gyr_device_info& d = devices[size_t(i)];
    if (s.kind == Selector::kAuto && best < 0) best = i;
    if (s.kind == Selector::kIndex && uint32_t(i) == s.index) best = i;
    if (s.kind == Selector::kUuid && strcasecmp(d.uuid, s.uuid.c_str()) == 0) best = i;
    if (s.kind == Selector::kMig && d.kind == GYR_DEVICE_MIG && d.free_bytes >= need_bytes &&
        (best < 0 || d.total_bytes < devices[size_t(best)].total_bytes))
      best = i;
  }
  return best;
}

Result<std::shared_ptr<Device>> open_cuda(Runtime& runtime, const Selector& s, const char* text,
                                          const DeviceSources& sources, uint64_t need_bytes) {
  // The driver is looked at first: without one the plugin's own failure would be harder to read.
  NvmlReport nvml = read_nvml(sources.nvml);
  BackendLoad load = load_backend(&runtime, "cuda", nvml.cuda_driver, sources.plugin_folder);
  if (!load.backend) {
    std::string reason = load.reason + (nvml.problem.empty() ? "" : "; " + nvml.problem);
    return fail(GYR_E_BACKEND_UNAVAILABLE, "device", "device '%s': %s", text, reason.c_str());
  }
  const gyr_backend_api& api = load.backend->api();
  gyr_error err = GYR_ERROR_INIT;
  uint32_t count = 0;
  if (gyr_status code = api.device_count(api.backend, &count, &err); code != GYR_OK) return backend_error(err, code);
  std::vector<gyr_device_info> devices(count);
  for (uint32_t i = 0; i < count; i++) {
    devices[i].struct_size = sizeof devices[i];
    if (gyr_status code = api.device_info(api.backend, i, &devices[i], &err); code != GYR_OK)
      return backend_error(err, code);
  }
  int at = choose(s, devices, need_bytes);
  if (at >= 0) return open_device(load.backend, uint32_t(at), devices[size_t(at)]);
  std::string there;
  for (auto& d : devices) there += (there.empty() ? "" : ", ") + std::string(d.selector);
  return fail(GYR_E_BACKEND_UNAVAILABLE, "device", "device '%s' is not there; the %s backend sees: %s", text, api.name,
              there.empty() ? "nothing" : there.c_str());
}

Result<std::shared_ptr<Device>> open_cpu(Runtime& runtime) {
  auto backend = std::make_shared<Backend>(&runtime, "cpu");
  BackendState state;
  GYR_TRY(backend->enter(cpu_backend_entry, &state));
  return open_device(backend, 0, describe_cpu());
}

// "model name : AMD EPYC ..." of the first CPU.
void cpu_name(char* out, size_t size) {
  auto text = read_text("/proc/cpuinfo", 8192);
  size_t at = text.ok() ? text->find("model name") : std::string::npos;
  at = at == std::string::npos ? at : text->find(": ", at);
  if (at == std::string::npos) {
    std::snprintf(out, size, "CPU");
    return;
  }
  std::string name = text->substr(at + 2, text->find('\n', at) - at - 2);
  std::snprintf(out, size, "%s", name.c_str());
}

}  // namespace

Status select_device(Runtime& runtime, const char* selector, const DeviceSources& sources, uint64_t need_bytes) {
  const char* text = selector ? selector : "cpu";
  GYR_ASSIGN(Selector s, parse_selector(text));
  std::string reason;
  if (s.kind != Selector::kCpu) {
    auto opened = open_cuda(runtime, s, text, sources, need_bytes);
    if (opened.ok()) {
      std::string name = (*opened)->info().selector;
      runtime.set_device(std::move(name), "", std::move(*opened));
      return {};
    }
    if (s.kind != Selector::kAuto || opened.status().code() == GYR_E_OUT_OF_MEMORY) return std::move(opened.status());
    reason = opened.status().message();
    runtime.log(GYR_LOG_INFO, "device", "using the CPU: %s", reason.c_str());
  }
  GYR_ASSIGN(auto cpu, open_cpu(runtime));
  runtime.set_device("cpu", std::move(reason), std::move(cpu));
  return {};
}

gyr_device_info describe_cpu() {
  gyr_device_info d{};
  d.struct_size = sizeof d;
  d.kind = GYR_DEVICE_CPU;
  std::snprintf(d.selector, sizeof d.selector, "cpu");
  cpu_name(d.name, sizeof d.name);
  struct sysinfo info;
  if (sysinfo(&info) == 0) {
    d.total_bytes = uint64_t(info.totalram) * info.mem_unit;
    d.free_bytes = uint64_t(info.freeram) * info.mem_unit;
  }
  Topology topology = read_topology(affinity_cpus());
  d.units = topology.cores;
  d.numa_node = topology.numa_nodes == 1 ? 0 : -1;  // the CPU entry spans all nodes
  d.usable = 1;
  return d;
}

std::vector<gyr_device_info> list_devices(const DeviceSources& sources) {
  std::vector<gyr_device_info> devices{describe_cpu()};
  NvmlReport nvml = read_nvml(sources.nvml);
  if (nvml.devices.empty()) return devices;
  BackendFile plugin = find_backend("cuda", nvml.cuda_driver, sources.plugin_folder);
  for (size_t i = 0; i < nvml.devices.size(); i++) {
    gyr_device_info& d = nvml.devices[i];
    // A GPU cut into slices does not take work itself.
    bool cut = d.kind == GYR_DEVICE_GPU && i + 1 < nvml.devices.size() && nvml.devices[i + 1].kind == GYR_DEVICE_MIG;
    d.usable = plugin.state == BackendState::kLoaded && !cut;
    if (cut)
      std::snprintf(d.reason, sizeof d.reason, "MIG mode is on; use one of its slices");
    else if (!d.usable)
      std::snprintf(d.reason, sizeof d.reason, "%s", plugin.reason.c_str());
    devices.push_back(d);
  }
  return devices;
}

}  // namespace gyr
