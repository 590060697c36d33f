// Reference for candidates kept in order.
#include <algorithm>
#include <functional>

#include "kernels/ref/ref.h"

namespace gyr::kernels::reference {

void insert_ranked(int64_t* list, size_t most, const int64_t* keys, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    int64_t* place = std::upper_bound(list, list + most, keys[i], std::greater<>());
    if (place == list + most) continue;
    std::copy_backward(place, list + most - 1, list + most);
    *place = keys[i];
  }
}

}  // namespace gyr::kernels::reference
