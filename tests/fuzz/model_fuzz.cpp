// Any bytes as a saved model (section MDL1): refused, or a model that encodes, predicts and recommends.
#include "tests/fuzz/use_model.h"

using namespace gyr;
using namespace gyr::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto model = load_model(*section({data, data + size}, "MDL1"));
  if (!model.ok())
    refused_stored(model.status());
  else
    use_model(**model);
  return 0;
}
