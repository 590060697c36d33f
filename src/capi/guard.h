// The one place where failures become C: every exported function's body runs inside guard().
#pragma once

#include <gyr/base.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <new>
#include <stdexcept>
#include <string_view>

#include "base/error.h"
#include "base/host_thread.h"
#include "base/math.h"
#include "base/thread_storage.h"

namespace gyr::capi {

// Fills at most what the caller's struct has room for. Never allocates.
inline gyr_status report(gyr_error* err, gyr_status code, const ErrorInfo* info, const char* component,
                         const char* text) noexcept {
  if (!err || err->struct_size < offsetof(gyr_error, message) + 1) return code;
  uint32_t size = std::min<uint32_t>(err->struct_size, sizeof(gyr_error));
  err->code = code;
  err->os_errno = info ? info->os_errno : 0;
  err->flags = info ? info->flags : 0;
  std::snprintf(err->component, sizeof err->component, "%s", info ? info->component : component);
  std::snprintf(err->message, size - offsetof(gyr_error, message), "%s", info ? info->message : text);
  return code;
}

template <class Body>
gyr_status guard(gyr_error* err, const char* component, Body&& body) noexcept {
  HostThread borrowed;
  if (!have_thread_storage()) return report(err, GYR_E_OUT_OF_MEMORY, nullptr, component, "out of memory");
  try {
    Status s = body();
    if (s.ok()) return GYR_OK;
    return report(err, s.code(), s.info(), component, "out of memory while reporting another failure");
  } catch (const BudgetExceeded&) {
    return report(err, GYR_E_RESOURCE_EXHAUSTED, nullptr, component,
                  "the runtime's memory_budget would be exceeded; raise it or load less");
  } catch (const std::bad_alloc&) {
    return report(err, GYR_E_OUT_OF_MEMORY, nullptr, component, "out of memory");
  } catch (const std::length_error&) {
    return report(err, GYR_E_OUT_OF_RANGE, nullptr, component, "a count or size is larger than memory can be");
  } catch (const std::exception& e) {
    return report(err, GYR_E_INTERNAL, nullptr, component, e.what());
  } catch (...) {
    return report(err, GYR_E_INTERNAL, nullptr, component, "unknown exception");
  }
}

inline Status require(const void* pointer, const char* name) {
  if (pointer) return {};
  return fail(GYR_E_INVALID_ARGUMENT, "capi", "%s is NULL", name);
}

// An array of the caller's: there unless it is empty, and within what any memory could hold, or our offsets would wrap.
inline Status require_array(const void* array, const char* name, uint64_t n, uint64_t element_bytes) {
  if (n == 0) return {};
  GYR_TRY(require(array, name));
  uint64_t bytes;
  if (checked_mul(n, element_bytes, &bytes) && bytes <= kMostBytes) return {};
  return fail(GYR_E_OUT_OF_RANGE, "capi", "%s: %llu elements of %llu bytes are beyond any memory", name,
              (unsigned long long)n, (unsigned long long)element_bytes);
}

inline Status check_size(uint32_t size, const char* name, const char* type) {
  if (size >= 2 * sizeof(uint32_t) && size <= 65536) return {};
  return fail(GYR_E_INVALID_ARGUMENT, "capi", "%s: struct_size is %u; set it to sizeof(%s)", name, size, type);
}

// Reads an option struct of any version: copies what both sides know, refuses unknown non-zero bytes beyond it.
// `name` is what the caller knows it by: a parameter or a field.
template <class T>
Status read_struct(const T* in, const char* name, const char* type, T* out) {
  std::memset(static_cast<void*>(out), 0, sizeof(T));
  GYR_TRY(require(in, name));
  uint32_t size;  // elements of an array of another version may lie anywhere
  std::memcpy(&size, static_cast<const void*>(in), sizeof size);
  GYR_TRY(check_size(size, name, type));
  if (size > sizeof(T)) {
    auto* tail = reinterpret_cast<const unsigned char*>(in) + sizeof(T);
    for (uint32_t i = 0; i < size - sizeof(T); i++)
      if (tail[i])
        return fail(GYR_E_OPTIONS_TOO_NEW, "capi",
                    "%s: %s has a field at byte %zu that this library (%d.%d) does not know", name, type, sizeof(T) + i,
                    GYR_VERSION_MAJOR, GYR_VERSION_MINOR);
  }
  std::memcpy(static_cast<void*>(out), static_cast<const void*>(in), std::min<size_t>(size, sizeof(T)));
  out->struct_size = sizeof(T);
  if constexpr (requires { out->reserved; })
    if (out->reserved)
      return fail(GYR_E_OPTIONS_TOO_NEW, "capi", "%s: %s.reserved is %u, which means nothing to this library (%d.%d)",
                  name, type, out->reserved, GYR_VERSION_MAJOR, GYR_VERSION_MINOR);
  return {};
}

// Writes an info struct of any version: fills what the caller's has room for, zeroes a longer tail.
template <class T>
Status write_struct(const T& filled, const char* name, const char* type, T* out) {
  GYR_TRY(require(out, name));
  uint32_t size = out->struct_size;
  GYR_TRY(check_size(size, name, type));
  std::memcpy(static_cast<void*>(out), &filled, std::min<size_t>(size, sizeof(T)));
  if (size > sizeof(T)) std::memset(reinterpret_cast<char*>(out) + sizeof(T), 0, size - sizeof(T));
  out->struct_size = size;
  return {};
}

// Text into a caller's buffer by the size-then-fill convention.
inline Status write_text(std::string_view text, char* buffer, uint64_t capacity, uint64_t* size) {
  GYR_TRY(require(size, "size"));
  *size = text.size() + 1;
  if (!buffer) return {};
  if (capacity < text.size() + 1)
    return fail(GYR_E_RESOURCE_EXHAUSTED, "capi", "buffer holds %llu bytes, %zu are needed",
                (unsigned long long)capacity, text.size() + 1);
  std::memcpy(buffer, text.data(), text.size());
  buffer[text.size()] = 0;
  return {};
}

}  // namespace gyr::capi
