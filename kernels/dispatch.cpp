// Which implementation runs: found once, then one pointer.
#include <atomic>
#include <cstring>

#include "base/knobs.h"
#include "kernels/cpu/cpu.h"

namespace gyr::kernels {
namespace {

struct List {
  const Ops* tables[1 + kMaxTables];
  size_t count;
};

const List& list() {
  static const List kList = [] {
    List list{};
    list.tables[0] = &ref();
    list.count = 1 + simd_tables(list.tables + 1);
    return list;
  }();
  return kList;
}

std::atomic<const Ops*> chosen{nullptr};

}  // namespace

const Ops* const* available(size_t* count) {
  *count = list().count;
  return list().tables;
}

const Ops& best() {
  const Ops* ops = chosen.load(std::memory_order_acquire);
  if (ops != nullptr) return *ops;
  // Threads racing here store the same pointer.
  ops = list().tables[list().count - 1];
  if (const char* wanted = knobs::simd(); wanted && force(wanted)) ops = chosen.load(std::memory_order_acquire);
  chosen.store(ops, std::memory_order_release);
  return *ops;
}

bool force(const char* name) {
  if (std::strcmp(name, "scalar") == 0) name = "ref";
  for (size_t i = 0; i < list().count; ++i) {
    if (std::strcmp(list().tables[i]->name, name) != 0) continue;
    chosen.store(list().tables[i], std::memory_order_release);
    return true;
  }
  return false;
}

}  // namespace gyr::kernels
