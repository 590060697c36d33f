#include "base/json.h"

#include <cinttypes>
#include <cmath>

namespace gyr {
namespace {

constexpr int kMaxDepth = 32;

std::string shown(const Json& v) {
  std::string s = v.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (s.size() > 40) s = s.substr(0, 37) + "...";
  return s;
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

Result<Json> parse_json(std::string_view text, const char* component) {
  // The parser recurses per nesting level, so hostile depth is refused before it can meet the host's stack.
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); i++) {
    char c = text[i];
    if (in_string) {
      if (c == '\\')
        i++;
      else if (c == '"')
        in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxDepth)
        return fail(GYR_E_INVALID_ARGUMENT, component, "JSON nests deeper than %d levels at byte %zu", kMaxDepth, i);
    } else if (c == ']' || c == '}') {
      depth--;
    }
  }
  try {
    return Json::parse(text);
  } catch (const nlohmann::json::exception& e) {
    return fail(GYR_E_INVALID_ARGUMENT, component, "not valid JSON: %s", e.what());
  }
}

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

const Json* SpecReader::value(const char* key) {
  seen_.emplace_back(key);
  if (!object_.is_object()) return nullptr;
  auto it = object_.find(key);
  return it == object_.end() ? nullptr : &*it;
}

Status SpecReader::string(const char* key, std::string* out) {
  const Json* v = value(key);
  if (!v) return {};
  if (!v->is_string()) return type_error(key, "a string", *v);
  *out = v->get<std::string>();
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
  if (!v->is_number_integer() || (v->is_number_unsigned() && v->get<uint64_t>() > uint64_t(INT64_MAX)))
    return type_error(key, expected, *v);
  int64_t n = v->get<int64_t>();
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
  char expected[80];
  std::snprintf(expected, sizeof expected, "a number in %g..%g", min, max);
  if (!v->is_number()) return type_error(key, expected, *v);
  double d = v->get<double>();
  if (!(d >= min && d <= max)) return type_error(key, expected, *v);
  *out = d;
  return {};
}

Status SpecReader::boolean(const char* key, bool* out) {
  const Json* v = value(key);
  if (!v) return {};
  if (!v->is_boolean()) return type_error(key, "true or false", *v);
  *out = v->get<bool>();
  return {};
}

Status SpecReader::strings(const char* key, std::vector<std::string>* out) {
  const Json* v = value(key);
  if (!v) return {};
  if (!v->is_array()) return type_error(key, "a list of strings", *v);
  out->clear();
  for (const Json& e : *v) {
    if (!e.is_string()) return type_error(key, "a list of strings", *v);
    out->push_back(e.get<std::string>());
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
    if (!e.is_number_integer()) return type_error(key, expected, *v);
    int64_t n = e.get<int64_t>();
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
    out->push_back(e.get<double>());
  }
  return {};
}

Status SpecReader::choice(const char* key, std::vector<std::string_view> allowed, int* out) {
  const Json* v = value(key);
  if (!v) return {};
  std::string expected = "one of";
  for (size_t i = 0; i < allowed.size(); i++) {
    if (v->is_string() && v->get_ref<const std::string&>() == allowed[i]) {
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
  for (const auto& [key, unused] : object_.items()) {
    bool known = false;
    const std::string* nearest = nullptr;
    size_t best = 4;
    for (const std::string& s : seen_) {
      if (s == key) known = true;
      size_t d = edit_distance(s, key.substr(0, 64));
      if (d < best) best = d, nearest = &s;
    }
    if (known) continue;
    std::string where = path(key.substr(0, 64).c_str());
    if (nearest)
      return fail(GYR_E_INVALID_ARGUMENT, component_, "%s: unknown key; did you mean \"%s\"?", where.c_str(),
                  nearest->c_str());
    return fail(GYR_E_INVALID_ARGUMENT, component_, "%s: unknown key", where.c_str());
  }
  return {};
}

}  // namespace gyr
