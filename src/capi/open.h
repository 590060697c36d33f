// gyr_*_open of what has a file of its own.
#pragma once

#include "capi/guard.h"
#include "capi/handles.h"
#include "io/container.h"

namespace gyr::capi {

template <class Component, class H>
Status open_handle(gyr_runtime* runtime, const char* path, Container::Access access, const char* section, H** out) {
  GYR_TRY(enter(runtime, "runtime"));
  GYR_TRY(require(path, "path"));
  GYR_TRY(require(out, "out"));
  GYR_ASSIGN(std::shared_ptr<const Container> file, Container::open(path, access));
  auto made = Component::load(runtime->runtime, *file, section);
  if (!made.ok()) return std::move(made.status()).in_file(path);
  *out = make_handle<H>(runtime->runtime, std::move(*made));
  return {};
}

}  // namespace gyr::capi
