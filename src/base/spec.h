// JSON specs, read with errors that name the path ("stages[2].k: expected 1..65536, got 0").
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace gyr {

// One object of a spec. Every key must be read or declared: finish() refuses unknown ones, naming the nearest known.
class SpecReader {
 public:
  SpecReader(const Json& object, std::string path, const char* component);

  // Readers leave *out alone when the key is absent; the required_ forms fail instead.
  Status string(const char* key, std::string* out);
  Status required_string(const char* key, std::string* out);
  Status integer(const char* key, int64_t min, int64_t max, int64_t* out);
  Status required_integer(const char* key, int64_t min, int64_t max, int64_t* out);
  Status number(const char* key, double min, double max, double* out);
  Status boolean(const char* key, bool* out);
  Status strings(const char* key, std::vector<std::string>* out);
  Status required_strings(const char* key, std::vector<std::string>* out);
  Status integers(const char* key, int64_t min, int64_t max, std::vector<int64_t>* out);
  Status numbers(const char* key, std::vector<double>* out);
  // The key "version", required: FORMAT_TOO_NEW beyond the newest that is known.
  Status version(int64_t newest);
  // One of the allowed words; *out is its position.
  Status choice(const char* key, std::vector<std::string_view> allowed, int* out);
  // Raw value (marks the key as read), or nullptr.
  const Json* value(const char* key);

  bool has(const char* key) const { return object_.contains(key); }
  std::string path(const char* key) const;  // "ops[3].columns"
  Status error(const char* key, const char* expected) const;
  // "expected ..., got ..." of a key that is there.
  Status unexpected(const char* key, const char* expected) const;
  // Refuses keys nobody read.
  Status finish() const;

 private:
  Status type_error(const char* key, const char* expected, const Json& got) const;
  const Json& object_;
  std::string path_;
  const char* component_;
  std::vector<std::string> seen_;
};

}  // namespace gyr
