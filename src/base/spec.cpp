#include "base/spec.h"

#include <algorithm>
#include <cinttypes>
#include <cmath>

#include "base/number.h"
#include "base/utf8.h"

namespace gyr {
namespace {

std::string shown(const Json& v) {
  std::string s = v.dump();
  if (s.size() <= 40) return s;
  s.resize(37);
  s.resize(utf8_prefix(s));
  return s + "...";
}

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); j++) row[j] = j;
  for (size_t i = 1; i <= a.size(); i++) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); j++) {
      size_t up = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = up;
    }
  }
  return row[b.size()];
}

}  // namespace

SpecReader::SpecReader(const Json& object, std::string path, const char* component)
    : object_(object), path_(std::move(path)), component_(component) {}

std::string SpecReader::path(const char* key) const { return path_.empty() ? key : path_ + "." + key; }

Status SpecReader::error(const char* key, const char* expected) const {
  return fail(GYR_E_INVALID_ARGUMENT, component_, "%s: %s", path(key).c_str(), expected);
}

Status SpecReader::type_error(const char* key, const char* expected, const Json& got) const {
  return fail(GYR_E_INVALID_ARGUMENT, component_, "%s: expected %s, got %s", path(key).c_str(), expected,
              shown(got).c_str());
}

Status SpecReader::unexpected(const char* key, const char* expected) const {
  return type_error(key, expected, *object_.find(key));
}

const Json* SpecReader::value(const char* key) {
  seen_.emplace_back(key);
  return object_.find(key);
}

Status SpecReader::string(const char* key, std::string* out) {
  const Json* v = value(key);
  if (!v) return {};
  if (!v->is_string()) return type_error(key, "a string", *v);
  *out = v->string();
  return {};
}

Status SpecReader::required_string(const char* key, std::string* out) {
  if (!has(key)) return error(key, "is required (a string)");
  return string(key, out);
}

Status SpecReader::integer(const char* key, int64_t min, int64_t max, int64_t* out) {
  const Json* v = value(key);
  if (!v) return {};
  char expected[80];
  std::snprintf(expected, sizeof expected, "an integer in %" PRId64 "..%" PRId64, min, max);
  if (!v->is_int64()) return type_error(key, expected, *v);
  int64_t n = v->int64();
  if (n < min || n > max) return type_error(key, expected, *v);
  *out = n;
  return {};
}

Status SpecReader::required_integer(const char* key, int64_t min, int64_t max, int64_t* out) {
  if (!has(key)) return error(key, "is required (an integer)");
  return integer(key, min, max, out);
}

Status SpecReader::number(const char* key, double min, double max, double* out) {
  const Json* v = value(key);
  if (!v) return {};
  char expected[100];
  std::snprintf(expected, sizeof expected, "a number in %s..%s", NumberText(min).c_str(), NumberText(max).c_str());
  if (!v->is_number()) return type_error(key, expected, *v);
  double d = v->number();
  if (!(d >= min && d <= max)) return type_error(key, expected, *v);
  *out = d;
  return {};
}

Status SpecReader::boolean(const char* key, bool* out) {
  const Json* v = value(key);
  if (!v) return {};
  if (!v->is_boolean()) return type_error(key, "true or false", *v);
  *out = v->boolean();
  return {};
}

Status SpecReader::strings(const char* key, std::vector<std::string>* out) {
  const Json* v = value(key);
  if (!v) return {};
  if (!v->is_array()) return type_error(key, "a list of strings", *v);
  out->clear();
  for (const Json& e : *v) {
    if (!e.is_string()) return type_error(key, "a list of strings", *v);
    out->push_back(e.string());
  }
  return {};
}

Status SpecReader::required_strings(const char* key, std::vector<std::string>* out) {
  if (!has(key)) return error(key, "is required (a list of strings)");
  GYR_TRY(strings(key, out));
  if (out->empty()) return error(key, "must not be empty");
  return {};
}

Status SpecReader::integers(const char* key, int64_t min, int64_t max, std::vector<int64_t>* out) {
  const Json* v = value(key);
  if (!v) return {};
  char expected[80];
  std::snprintf(expected, sizeof expected, "a list of integers in %" PRId64 "..%" PRId64, min, max);
  if (!v->is_array()) return type_error(key, expected, *v);
  out->clear();
  for (const Json& e : *v) {
    if (!e.is_int64()) return type_error(key, expected, *v);
    int64_t n = e.int64();
    if (n < min || n > max) return type_error(key, expected, e);
    out->push_back(n);
  }
  return {};
}

Status SpecReader::numbers(const char* key, std::vector<double>* out) {
  const Json* v = value(key);
  if (!v) return {};
  if (!v->is_array()) return type_error(key, "a list of numbers", *v);
  out->clear();
  for (const Json& e : *v) {
    if (!e.is_number()) return type_error(key, "a list of numbers", *v);
    out->push_back(e.number());
  }
  return {};
}

Status SpecReader::version(int64_t newest) {
  int64_t v = 0;
  GYR_TRY(required_integer("version", 1, INT64_MAX, &v));
  if (v <= newest) return {};
  return fail(GYR_E_FORMAT_TOO_NEW, component_,
              "%s: %" PRId64 " is newer than this library's %" PRId64 "; use a newer gyr", path("version").c_str(), v,
              newest);
}

Status SpecReader::choice(const char* key, std::vector<std::string_view> allowed, int* out) {
  const Json* v = value(key);
  if (!v) return {};
  std::string expected = "one of";
  for (size_t i = 0; i < allowed.size(); i++) {
    if (v->is_string() && v->string() == allowed[i]) {
      *out = int(i);
      return {};
    }
    expected += (i ? ", \"" : " \"") + std::string(allowed[i]) + "\"";
  }
  return type_error(key, expected.c_str(), *v);
}

Status SpecReader::finish() const {
  if (!object_.is_object())
    return fail(GYR_E_INVALID_ARGUMENT, component_, "%s: expected an object, got %s",
                path_.empty() ? "(top level)" : path_.c_str(), shown(object_).c_str());
  for (const auto& [key, unused] : object_.members()) {
    bool known = false;
    const std::string* nearest = nullptr;
    size_t best = SIZE_MAX;
    for (const std::string& s : seen_) {
      if (s == key) known = true;
      size_t d = edit_distance(s, key.substr(0, 64));
      // A slip of the hand leaves most letters in their places.
      if (d < best && d <= std::max<size_t>(1, std::max(s.size(), key.size()) / 3)) best = d, nearest = &s;
    }
    if (known) continue;
    std::string where = path(key.substr(0, 64).c_str());
    if (nearest)
      return fail(GYR_E_INVALID_ARGUMENT, component_, "%s: unknown key; did you mean \"%s\"?", where.c_str(),
                  nearest->c_str());
    std::string names;
    for (const std::string& s : seen_) names += (names.empty() ? "; known: " : ", ") + s;
    return fail(GYR_E_INVALID_ARGUMENT, component_, "%s: unknown key%.300s", where.c_str(), names.c_str());
  }
  return {};
}

}  // namespace gyr
