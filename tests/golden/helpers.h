// Small helpers around the public interface.
#pragma once

#include <gyr/gyr.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/support/rows.h"

namespace gyr::golden {

using test::Rows;

// Stops at the first failure: the generator and the test both have nothing to go on with.
inline void need(gyr_status status, const gyr_error& err, const char* what) {
  if (status == GYR_OK) return;
  std::fprintf(stderr, "%s: %s: %s\n", what, gyr_status_name(status), err.message);
  std::exit(1);
}

// Text by the size-then-fill convention.
template <class F>
std::string text(F&& call) {
  gyr_error err = GYR_ERROR_INIT;
  uint64_t size = 0;
  need(call(nullptr, uint64_t(0), &size, &err), err, "size of a text");
  std::string out(size, 0);
  need(call(out.data(), size, &size, &err), err, "text");
  out.resize(size - 1);
  return out;
}

}  // namespace gyr::golden
