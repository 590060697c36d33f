// Any text as a workflow graph: refused with a message, or a workflow that describes itself.
#include <cstdint>

#include "exec/runtime.h"
#include "workflow/workflow.h"

using namespace gyr;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::shared_ptr<Runtime> runtime = [] {
    gyr_runtime_options o{};
    o.struct_size = sizeof o;
    o.threads = 1;
    return std::move(*Runtime::create(o));
  }();
  auto w = Workflow::create(runtime, {reinterpret_cast<const char*>(data), size});
  if (!w.ok()) {
    if (!*w.status().message()) __builtin_trap();
    return 0;
  }
  if ((*w)->describe().empty()) __builtin_trap();
  return 0;
}
