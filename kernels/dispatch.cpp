// Which implementation runs: found once, then one pointer.
#include <atomic>
#include <cstring>

#include "kernels/kernels.h"

namespace gyr::kernels {
namespace {

const Ops* const* list(size_t* count) {
  static const Ops* const kList[] = {&ref()};
  *count = 1;
  return kList;
}

std::atomic<const Ops*> chosen{nullptr};

}  // namespace

const Ops* const* available(size_t* count) { return list(count); }

const Ops& best() {
  const Ops* ops = chosen.load(std::memory_order_acquire);
  if (ops != nullptr) return *ops;
  size_t count = 0;
  const Ops* const* all = list(&count);
  ops = all[count - 1];
  chosen.store(ops, std::memory_order_release);
  return *ops;
}

bool force(const char* name) {
  if (std::strcmp(name, "scalar") == 0) name = "ref";
  size_t count = 0;
  const Ops* const* all = list(&count);
  for (size_t i = 0; i < count; ++i) {
    if (std::strcmp(all[i]->name, name) != 0) continue;
    chosen.store(all[i], std::memory_order_release);
    return true;
  }
  return false;
}

}  // namespace gyr::kernels
