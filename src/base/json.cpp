#include "base/json.h"

#include <algorithm>
#include <charconv>
#include <cmath>

// The tokenizer asserts what strtod makes of a number, which it may read in another locale than the one it looked up:
// we read numbers ourselves, below.
#define JSON_ASSERT(condition) static_cast<void>(0)
#include <nlohmann/json.hpp>

#include "base/utf8.h"

namespace gyr {

namespace {

constexpr size_t kMaxDepth = 32;  // also what bounds the destructor's recursion

void write_string(std::string_view text, std::string* out) {
  *out += '"';
  while (!text.empty()) {
    size_t good = utf8_prefix(text);
    for (char c : text.substr(0, good)) {
      if (c == '"' || c == '\\') {
        *out += '\\', *out += c;
      } else if (uint8_t(c) >= 0x20) {
        *out += c;
      } else if (const char* letter = std::strchr("\bb\nn\tt\rr\ff", c); c && letter) {
        *out += '\\', *out += letter[1];
      } else {
        char escape[8];
        std::snprintf(escape, sizeof escape, "\\u%04x", unsigned(uint8_t(c)));
        *out += escape;
      }
    }
    text.remove_prefix(good);
    if (text.empty()) break;
    *out += "\xEF\xBF\xBD";
    text.remove_prefix(1);
  }
  *out += '"';
}

template <class T>
void write_number(T v, std::string* out) {
  char text[40];
  char* end = std::to_chars(text, text + sizeof text, v).ptr;
  std::string_view written(text, size_t(end - text));
  *out += written;
  // What was a fraction must come back as one.
  if (std::is_floating_point_v<T> && written.find_first_of(".e") == std::string_view::npos) *out += ".0";
}

void new_line(int indent, int level, std::string* out) {
  if (indent < 0) return;
  *out += '\n';
  out->append(size_t(indent) * size_t(level), ' ');
}

template <class Items, class Write>
void write_all(const Items& items, const char* brackets, int indent, int level, std::string* out, Write&& one) {
  *out += brackets[0];
  bool first = true;
  for (const auto& item : items) {
    if (!first) *out += ',';
    first = false;
    new_line(indent, level + 1, out);
    one(item);
  }
  if (!first) new_line(indent, level, out);
  *out += brackets[1];
}

}  // namespace

// Not the variant's own copy: libstdc++'s (12) destroys what it has not constructed when a copy throws.
Json::Json(const Json& other) : Json() {
  std::visit([&](auto copy) { value_ = std::move(copy); }, other.value_);
}

Json::Json(std::initializer_list<std::pair<const char*, Json>> members) : value_(Object()) {
  auto& object = std::get<Object>(value_);
  object.reserve(members.size());
  for (const auto& [key, value] : members) object.push_back({key, value});
}

double Json::number() const {
  if (is_int64()) return double(int64());
  return is_uint64() ? double(std::get<uint64_t>(value_)) : std::get<double>(value_);
}

std::span<const Json::Member> Json::members() const {
  return is_object() ? std::get<Object>(value_) : std::span<const Member>();
}

const Json* Json::find(std::string_view key) const {
  for (const Member& m : members())
    if (m.key == key) return &m.value;
  return nullptr;
}

Json& Json::operator[](std::string_view key) {
  if (is_null()) value_ = Object();
  if (Json* found = find(key)) return *found;
  return std::get<Object>(value_).emplace_back(Member{std::string(key), {}}).value;
}

bool Json::operator==(const Json& other) const { return value_ == other.value_; }

void Json::write_scalar(std::string* out) const {
  if (is_string())
    write_string(string(), out);
  else if (is_boolean())
    *out += boolean() ? "true" : "false";
  else if (is_int64())
    write_number(int64(), out);
  else if (is_uint64())
    write_number(std::get<uint64_t>(value_), out);
  else if (is_number() && std::isfinite(number()))
    write_number(number(), out);
  else
    *out += "null";
}

void Json::write(int indent, int level, std::string* out) const {
  if (is_object()) {
    write_all(members(), "{}", indent, level, out, [&](const Member& m) {
      write_string(m.key, out);
      *out += indent < 0 ? ":" : ": ";
      m.value.write(indent, level + 1, out);
    });
  } else if (is_array()) {
    write_all(*this, "[]", indent, level, out, [&](const Json& e) { e.write(indent, level + 1, out); });
  } else {
    write_scalar(out);
  }
}

std::string Json::dump(int indent) const {
  std::string out;
  write(indent, 0, &out);
  return out;
}

// Receives the tokenizer's events. Every handler returns whether to go on.
class JsonBuilder {
 public:
  Json root;
  std::string error;

  bool null() { return add({}); }
  bool boolean(bool v) { return add(v); }
  bool number_integer(int64_t v) { return add(v); }
  bool number_unsigned(uint64_t v) { return add(v); }
  // `text` has the decimal point of whatever locale the tokenizer saw, and `read` is strtod's: of another locale and of
  // the x87 rounding mode, both of which are the host's.
  bool number_float(double read, const std::string& text) {
    std::string plain = text;
    for (char& c : plain)
      if (!std::strchr("+-0123456789eE", c)) c = '.';
    double v = 0;
    std::errc failed = std::from_chars(plain.data(), plain.data() + plain.size(), v).ec;
    if (failed == std::errc()) return add(v);
    if (std::abs(read) < 1) return add(std::copysign(0.0, read));  // too small for any double
    error = "number " + plain.substr(0, 40) + " is out of range";
    return false;
  }
  bool string(std::string& v) { return add(std::move(v)); }
  bool binary(std::vector<uint8_t>&) { return false; }  // JSON text has none
  bool start_object(size_t) { return open(Json::object()); }
  bool start_array(size_t) { return open(Json::array()); }
  bool key(std::string& v) {
    key_ = std::move(v);
    return true;
  }
  bool end_array() {
    open_.pop_back();
    return true;
  }
  bool end_object() {
    std::vector<std::string_view> keys;
    for (const Json::Member& m : open_.back()->members()) keys.push_back(m.key);
    std::sort(keys.begin(), keys.end());
    auto twice = std::adjacent_find(keys.begin(), keys.end());
    if (twice != keys.end()) {
      error = "key \"" + std::string(twice->substr(0, 64)) + "\" is there twice";
      return false;
    }
    open_.pop_back();
    return true;
  }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& e) {
    error = e.what();
    return false;
  }

 private:
  bool add(Json v) {
    place(std::move(v));
    return true;
  }
  bool open(Json v) {
    if (open_.size() == kMaxDepth) {
      error = "nested deeper than " + std::to_string(kMaxDepth) + " levels";
      return false;
    }
    open_.push_back(place(std::move(v)));
    return true;
  }
  // Elements of an open container do not move while one of them is open: nothing is added beside it.
  Json* place(Json v) {
    if (open_.empty()) return &(root = std::move(v));
    if (open_.back()->is_array()) return &std::get<Json::Array>(open_.back()->value_).emplace_back(std::move(v));
    auto& object = std::get<Json::Object>(open_.back()->value_);
    return &object.emplace_back(Json::Member{std::move(key_), std::move(v)}).value;
  }

  std::vector<Json*> open_;
  std::string key_;
};

Result<Json> parse_json(std::string_view text, const char* component) {
  // The tokenizer takes a NUL for the end and would not look at what follows.
  if (size_t at = text.find('\0'); at != std::string_view::npos)
    return fail(GYR_E_INVALID_ARGUMENT, component, "not valid JSON: byte %zu is NUL", at);
  JsonBuilder builder;
  if (nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) return std::move(builder.root);
  return fail(GYR_E_INVALID_ARGUMENT, component, "not valid JSON: %s", builder.error.c_str());
}

}  // namespace gyr
