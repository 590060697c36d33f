// Any bytes as a saved workflow (section WFL1): refused, or a workflow that works and saves what it is.
#include "tests/fuzz/use_workflow.h"

using namespace gyr;
using namespace gyr::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto w = load_workflow(*section({data, data + size}, "WFL1"));
  if (!w.ok())
    refused_stored(w.status());
  else
    use_workflow(w->get());
  return 0;
}
