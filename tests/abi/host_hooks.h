// A runtime's options with each of the host's hooks set.
#pragma once

#include <gyr/gyr.h>

#include <cstdlib>

inline void* hook_alloc(uintptr_t, uint64_t size, uint64_t align) {
  return std::aligned_alloc(align, (size + align - 1) / align * align);
}
inline void hook_free(uintptr_t, void* p, uint64_t, uint64_t) { std::free(p); }
// `user` counts the records of another size.
inline void hook_log(const gyr_log_record* record, uintptr_t user) {
  if (record->struct_size != sizeof *record) ++*reinterpret_cast<int*>(user);
}
inline void hook_run(uintptr_t, uint64_t n, void (*body)(void*, uint64_t), void* ctx) {
  for (uint64_t i = 0; i < n; i++) body(ctx, i);
}

struct HostHooks {
  int wrong_records = 0;
  gyr_allocator allocator{sizeof allocator, 0, hook_alloc, hook_free, 0, nullptr};
  gyr_logger logger{sizeof logger, GYR_LOG_DEBUG, hook_log, reinterpret_cast<uintptr_t>(&wrong_records), nullptr};
  gyr_executor executor{sizeof executor, 2, hook_run, 0, nullptr};
  gyr_runtime_options options{};

  HostHooks() {
    options.struct_size = sizeof options;
    options.allocator = &allocator;
    options.logger = &logger;
    options.executor = &executor;
  }
  HostHooks(const HostHooks&) = delete;
};
