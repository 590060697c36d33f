#include <gyr/gyr.h>

#include <cstdio>
#include <cstring>
#include <string>

#include "base/hash.h"

extern "C" {

GYR_API const char* gyr_status_name(gyr_status status) noexcept {
  static constexpr const char* kNames[] = {
      "GYR_OK",
      "GYR_E_INVALID_ARGUMENT",
      "GYR_E_INVALID_HANDLE",
      "GYR_E_INVALID_STATE",
      "GYR_E_OUT_OF_RANGE",
      "GYR_E_NOT_FOUND",
      "GYR_E_ALREADY_EXISTS",
      "GYR_E_UNSUPPORTED",
      "GYR_E_OPTIONS_TOO_NEW",
      "GYR_E_OUT_OF_MEMORY",
      "GYR_E_RESOURCE_EXHAUSTED",
      "GYR_E_BUSY",
      "GYR_E_CANCELLED",
      "GYR_E_DEADLINE",
      "GYR_E_IO",
      "GYR_E_CORRUPT",
      "GYR_E_FORMAT_TOO_NEW",
      "GYR_E_FORMAT_TOO_OLD",
      "GYR_E_BACKEND_UNAVAILABLE",
      "GYR_E_DEVICE",
      "GYR_E_DEVICE_LOST",
      "GYR_E_FORKED",
      "GYR_E_CALLBACK",
      "GYR_E_INTERNAL",
  };
  if (status < 0 || size_t(status) >= std::size(kNames)) return "GYR_E_UNKNOWN";
  return kNames[status];
}

GYR_API uint32_t gyr_version(void) noexcept {
  return GYR_VERSION_MAJOR * 10000 + GYR_VERSION_MINOR * 100 + GYR_VERSION_PATCH;
}

GYR_API uint64_t gyr_hash64(const void* data, uint64_t size) noexcept {
  return data || size == 0 ? gyr::hash64(data ? data : "", size) : 0;
}

GYR_API uint64_t gyr_struct_size(const char* name) noexcept {
  if (!name) return 0;
#define GYR_SIZE_OF(type) \
  if (std::strcmp(name, #type) == 0) return sizeof(type)
  GYR_SIZE_OF(gyr_error);
  GYR_SIZE_OF(gyr_str);
  GYR_SIZE_OF(gyr_allocator);
  GYR_SIZE_OF(gyr_log_record);
  GYR_SIZE_OF(gyr_logger);
  GYR_SIZE_OF(gyr_executor);
  GYR_SIZE_OF(gyr_runtime_options);
  GYR_SIZE_OF(gyr_runtime_info);
  GYR_SIZE_OF(gyr_task_progress);
  GYR_SIZE_OF(gyr_device_info);
  GYR_SIZE_OF(gyr_keys);
  GYR_SIZE_OF(gyr_value);
  GYR_SIZE_OF(gyr_upsert_stats);
  GYR_SIZE_OF(gyr_table_column);
  GYR_SIZE_OF(gyr_table_log_options);
  GYR_SIZE_OF(gyr_table_log_info);
  GYR_SIZE_OF(gyr_as_of_options);
  GYR_SIZE_OF(gyr_get_column);
  GYR_SIZE_OF(gyr_get_destination);
  GYR_SIZE_OF(gyr_table_info);
  GYR_SIZE_OF(gyr_cache_tier);
  GYR_SIZE_OF(gyr_cache_tiers);
  GYR_SIZE_OF(gyr_cache_options);
  GYR_SIZE_OF(gyr_cache_delta);
  GYR_SIZE_OF(gyr_cache_info);
  GYR_SIZE_OF(gyr_index_options);
  GYR_SIZE_OF(gyr_search_args);
  GYR_SIZE_OF(gyr_index_filter_options);
  GYR_SIZE_OF(gyr_index_filter_info);
  GYR_SIZE_OF(gyr_evaluate_args);
  GYR_SIZE_OF(gyr_search_quality);
  GYR_SIZE_OF(gyr_index_info);
  GYR_SIZE_OF(gyr_ranking_args);
  GYR_SIZE_OF(gyr_ranking_metrics);
  GYR_SIZE_OF(gyr_stage_trace);
  GYR_SIZE_OF(gyr_recommend_args);
#undef GYR_SIZE_OF
  return 0;
}

}  // extern "C"
