#include "device/loader.h"

#include <dlfcn.h>
#include <stdlib.h>

#include <cstdio>
#include <cstring>
#include <functional>

#include "base/clock.h"
#include "device/elf_note.h"

namespace gyr {

namespace {

// The host's services. `host` is the Runtime.
Runtime* runtime_of(void* host) { return static_cast<Runtime*>(host); }

void host_log(void* host, int32_t level, const char* component, const char* message) {
  runtime_of(host)->log(level, component ? component : "backend", "%s", message ? message : "");
}

void* host_alloc(void* host, uint64_t size, uint64_t align) {
  try {
    return runtime_of(host)->memory()->allocate(size, align);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

void host_free(void* host, void* p, uint64_t size, uint64_t align) {
  if (p) runtime_of(host)->memory()->deallocate(p, size, align);
}

void host_set_error(gyr_error* err, gyr_status code, const char* component, const char* text) {
  if (!err || err->struct_size < sizeof *err) return;
  err->code = code;
  err->os_errno = 0;
  err->flags = GYR_ERROR_DEVICE;
  std::snprintf(err->component, sizeof err->component, "%s", component ? component : "backend");
  std::snprintf(err->message, sizeof err->message, "%s", text ? text : "");
}

void host_parallel_for(void* host, uint64_t n, void (*body)(void*, uint64_t), void* ctx) {
  runtime_of(host)->parallel_for(n, [=](uint64_t i) { body(ctx, i); });
}

std::string library_folder() {
  Dl_info info;
  if (!dladdr(reinterpret_cast<void*>(&host_log), &info) || !info.dli_fname) return "";
  std::string path = info.dli_fname;
  size_t slash = path.find_last_of('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

std::vector<std::string> places(const std::string& folder) {
  if (!folder.empty()) return {folder};
  std::vector<std::string> found;
  // A relative or missing folder would mean the current one, which is never searched.
  if (std::string here = library_folder(); !here.empty() && here[0] == '/') {
    found.push_back(here + "/gyr");
    found.push_back(here);
  }
  if (const char* extra = secure_getenv("GYR_BACKEND_DIR"); extra && extra[0] == '/') found.push_back(extra);
  return found;
}

template <class... Args>
std::string format(const char* pattern, Args... args) {
  char text[512];
  std::snprintf(text, sizeof text, pattern, args...);
  return text;
}

// Every operation must be there: the core never checks again.
bool complete(const gyr_backend_api& a) {
  return a.name && a.device_count && a.device_info && a.device_open && a.device_close && a.alloc && a.free &&
         a.copy_in && a.copy_out && a.dense_prepare && a.dense_release && a.topk && a.embed_pool && a.dense &&
         a.shutdown;
}

bool same_abi(uint32_t major, uint32_t minor) {
  return major == GYR_BACKEND_ABI_MAJOR && minor == GYR_BACKEND_ABI_MINOR;
}

}  // namespace

Backend::Backend(Runtime* runtime, std::string path) : path_(std::move(path)) {
  host_.struct_size = sizeof host_;
  host_.abi_major = GYR_BACKEND_ABI_MAJOR;
  host_.abi_minor = GYR_BACKEND_ABI_MINOR;
  host_.host = runtime;
  host_.log = host_log;
  host_.alloc = host_alloc;
  host_.free = host_free;
  host_.set_error = host_set_error;
  host_.clock_ns = monotonic_ns;
  host_.parallel_for = host_parallel_for;
}

Backend::~Backend() {
  if (api_.shutdown) api_.shutdown(api_.backend);
}

Status Backend::enter(gyr_backend_entry entry, BackendState* state) {
  gyr_backend_api filled{};
  filled.struct_size = sizeof filled;
  filled.abi_major = GYR_BACKEND_ABI_MAJOR;
  filled.abi_minor = GYR_BACKEND_ABI_MINOR;
  gyr_error err = GYR_ERROR_INIT;
  *state = BackendState::kRefused;
  if (gyr_status code = entry(&host_, &filled, &err); code != GYR_OK)
    return fail(code == GYR_E_OUT_OF_MEMORY ? code : GYR_E_BACKEND_UNAVAILABLE, "device",
                "'%s' refused to start: %s (%s)", path_.c_str(), err.message, gyr_status_name(code));
  if (!same_abi(filled.abi_major, filled.abi_minor)) {
    *state = BackendState::kWrongAbi;
    return fail(GYR_E_BACKEND_UNAVAILABLE, "device", "'%s' speaks backend interface %u.%u, this library %s",
                path_.c_str(), filled.abi_major, filled.abi_minor, GYR_BACKEND_ABI_TEXT);
  }
  if (filled.struct_size != sizeof filled || !complete(filled))
    return fail(GYR_E_BACKEND_UNAVAILABLE, "device", "'%s' left operations of its table empty", path_.c_str());
  api_ = filled;
  *state = BackendState::kLoaded;
  return {};
}

BackendFile find_backend(const std::string& name, uint32_t cuda_driver, const std::string& folder) {
  BackendFile best;
  std::string searched;
  for (auto& place : places(folder)) {
    std::string path = place + "/libgyr-" + name + ".so." + GYR_BACKEND_ABI_TEXT;
    searched += (searched.empty() ? "" : ", ") + path;
    auto note = read_backend_note(path);
    if (!note.ok()) {
      bool absent = note.status().code() == GYR_E_NOT_FOUND;
      if (!absent && best.state == BackendState::kNotFound)
        best = {BackendState::kNotAPlugin, path, note.status().message(), {}};
      continue;
    }
    BackendFile found{BackendState::kLoaded, path, "", *note};
    if (!same_abi(note->abi_major, note->abi_minor)) {
      found.state = BackendState::kWrongAbi;
      found.reason =
          format("'%s' was built for backend interface %u.%u, this library has %s; install matching versions",
                 path.c_str(), note->abi_major, note->abi_minor, GYR_BACKEND_ABI_TEXT);
    } else if (cuda_driver && note->min_driver > cuda_driver) {
      found.state = BackendState::kDriverTooOld;
      found.reason =
          format("'%s' needs a driver for CUDA %u.%u, this one is for %u.%u; update the driver", path.c_str(),
                 note->min_driver / 1000, note->min_driver % 1000 / 10, cuda_driver / 1000, cuda_driver % 1000 / 10);
    }
    if (found.state == BackendState::kLoaded) return found;
    if (best.state == BackendState::kNotFound) best = found;
  }
  if (best.state == BackendState::kNotFound)
    best.reason = "the " + name + " plugin is not installed (looked for " + searched + ")";
  return best;
}

BackendLoad load_backend(Runtime* runtime, const std::string& name, uint32_t cuda_driver, const std::string& folder) {
  BackendFile file = find_backend(name, cuda_driver, folder);
  BackendLoad load{file.state, file.reason, nullptr};
  if (file.state != BackendState::kLoaded) return load;
  void* lib = dlopen(file.path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (!lib) {
    const char* why = dlerror();
    load.state = BackendState::kDependencyMissing;
    load.reason = why ? why : "dlopen failed";
    return load;
  }
  auto entry = reinterpret_cast<gyr_backend_entry>(dlsym(lib, GYR_BACKEND_ENTRY));
  if (!entry) {
    load.state = BackendState::kNoEntry;
    load.reason = "'" + file.path + "' does not export " GYR_BACKEND_ENTRY;
    return load;
  }
  auto backend = std::make_shared<Backend>(runtime, file.path);
  Status status = backend->enter(entry, &load.state);
  if (!status.ok()) {
    load.reason = status.message();
    return load;
  }
  load.backend = std::move(backend);
  runtime->log(GYR_LOG_INFO, "device", "loaded %s (%s)", file.path.c_str(), file.note.build);
  return load;
}

}  // namespace gyr
