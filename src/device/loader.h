// Finds, checks and loads backend plugins. Nothing here throws a failure away: each one is a state and a reason.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "device/backend.h"
#include "exec/runtime.h"

namespace gyr {

enum class BackendState {
  kLoaded,
  kNotFound,           // no file in any of the places
  kNotAPlugin,         // a file without our note
  kWrongAbi,           // built for another version of the tables
  kDriverTooOld,       // the note asks for a newer driver
  kDependencyMissing,  // dlopen failed; the reason has its text
  kNoEntry,            // the symbol is missing
  kRefused,            // the entry call failed or filled the table badly
};

// A loaded backend, shut down when the last user is gone. Its code stays mapped for good: unloading GPU libraries under
// a running host is not safe.
class Backend {
 public:
  Backend(Runtime* runtime, std::string path);
  ~Backend();
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  // The handshake. On failure `state` and the status say why.
  Status enter(gyr_backend_entry entry, BackendState* state);

  const gyr_backend_api& api() const { return api_; }
  const std::string& path() const { return path_; }

 private:
  gyr_host_api host_{};
  gyr_backend_api api_{};
  std::string path_;
};

struct BackendLoad {
  BackendState state = BackendState::kNotFound;
  std::string reason;  // empty when loaded
  std::shared_ptr<Backend> backend;
};

// A plugin's file, found and checked without running its code.
struct BackendFile {
  BackendState state = BackendState::kNotFound;  // kLoaded: fit to be loaded
  std::string path, reason;
  gyr_backend_note note{};
};

// Places, in order: `folder` when given (tests), <library's folder>/gyr, <library's folder>, $GYR_BACKEND_DIR (ignored
// in set-uid programs). Never the current folder, never a path from an option string. `cuda_driver` 0 = not known.
BackendFile find_backend(const std::string& name, uint32_t cuda_driver = 0, const std::string& folder = "");
// `runtime` must outlive the backend; it normally owns it.
BackendLoad load_backend(Runtime* runtime, const std::string& name, uint32_t cuda_driver = 0,
                         const std::string& folder = "");

// The CPU backend's entry: the same handshake, inside the library.
gyr_status cpu_backend_entry(const gyr_host_api* host, gyr_backend_api* out, gyr_error* err);

}  // namespace gyr
