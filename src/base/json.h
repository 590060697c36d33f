// JSON values. Our own, because nlohmann's destructor allocates: where memory is short it would end the host's process.
// Destroying and moving a Json never allocates; parsing (nlohmann's tokenizer) and copying throw bad_alloc.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/error.h"

namespace gyr {

// A template, so that it is complete as soon as Json is: clang instantiates Json's members before what follows the
// class.
template <class Value>
struct JsonMember {
  std::string key;
  Value value;
  bool operator==(const JsonMember& other) const { return key == other.key && value == other.value; }
};

class Json {
 public:
  using Member = JsonMember<Json>;
  using Array = std::vector<Json>;
  using Object = std::vector<Member>;  // in the order written

  Json() = default;
  Json(Json&&) noexcept = default;
  Json& operator=(Json&&) noexcept = default;
  Json(const Json& other);
  Json& operator=(const Json& other) { return *this = Json(other); }
  Json(std::nullptr_t) {}                               // NOLINT(google-explicit-constructor)
  template <std::same_as<bool> T>                       // pointers must not become booleans
  Json(T v) : value_(v) {}                              // NOLINT(google-explicit-constructor)
  Json(double v) : value_(v) {}                         // NOLINT(google-explicit-constructor)
  Json(std::string v) : value_(std::move(v)) {}         // NOLINT(google-explicit-constructor)
  Json(std::string_view v) : value_(std::string(v)) {}  // NOLINT(google-explicit-constructor)
  Json(const char* v) : value_(std::string(v)) {}       // NOLINT(google-explicit-constructor)
  template <std::integral T>
  requires(!std::same_as<T, bool>) Json(T v) {  // NOLINT(google-explicit-constructor)
    if (std::in_range<int64_t>(v))
      value_ = int64_t(v);
    else
      value_ = uint64_t(v);
  }
  template <class T>
  Json(const std::vector<T>& list) : value_(Array(list.begin(), list.end())) {}  // NOLINT(google-explicit-constructor)
  Json(std::initializer_list<std::pair<const char*, Json>> members);

  static Json array(std::initializer_list<Json> elements = {}) { return Json(std::in_place, Array(elements)); }
  static Json object() { return Json(std::in_place, Object()); }

  bool is_null() const { return std::holds_alternative<std::nullptr_t>(value_); }
  bool is_boolean() const { return std::holds_alternative<bool>(value_); }
  // An integer that fits an int64.
  bool is_int64() const { return std::holds_alternative<int64_t>(value_); }
  bool is_number() const { return is_int64() || is_uint64() || std::holds_alternative<double>(value_); }
  bool is_string() const { return std::holds_alternative<std::string>(value_); }
  bool is_array() const { return std::holds_alternative<Array>(value_); }
  bool is_object() const { return std::holds_alternative<Object>(value_); }

  // Only on what is_*() says it is.
  bool boolean() const { return std::get<bool>(value_); }
  int64_t int64() const { return std::get<int64_t>(value_); }
  const std::string& string() const { return std::get<std::string>(value_); }
  double number() const;

  // Arrays: elements; everything else has none.
  const Json* begin() const { return elements().data(); }
  const Json* end() const { return elements().data() + elements().size(); }
  const Json& operator[](size_t i) const { return elements()[i]; }
  Json& operator[](size_t i) { return std::get<Array>(value_)[i]; }
  void push_back(Json v) { std::get<Array>(value_).push_back(std::move(v)); }

  // Objects: members; everything else has none. `find` gives null when there is none of that key.
  std::span<const Member> members() const;
  const Json* find(std::string_view key) const;
  Json* find(std::string_view key) { return const_cast<Json*>(std::as_const(*this).find(key)); }
  bool contains(std::string_view key) const { return find(key); }
  // Adds what is missing; a null becomes an object.
  Json& operator[](std::string_view key);
  Json& operator[](const char* key) { return (*this)[std::string_view(key)]; }

  size_t size() const { return is_object() ? members().size() : elements().size(); }
  bool empty() const { return size() == 0; }
  bool operator==(const Json& other) const;

  // JSON text: numbers in their shortest exact form, infinities and NaN as null, ill-formed UTF-8 as U+FFFD. `indent`
  // is spaces per level, -1 for one line.
  std::string dump(int indent = -1) const;

 private:
  friend class JsonBuilder;
  void write(int indent, int level, std::string* out) const;
  void write_scalar(std::string* out) const;
  template <class T>
  Json(std::in_place_t, T v) : value_(std::move(v)) {}
  bool is_uint64() const { return std::holds_alternative<uint64_t>(value_); }
  std::span<const Json> elements() const { return is_array() ? std::get<Array>(value_) : std::span<const Json>(); }

  std::variant<std::nullptr_t, bool, int64_t, uint64_t, double, std::string, Array, Object> value_;
};

// Depth-limited parse; `component` goes into the error. A key written twice in one object is refused.
Result<Json> parse_json(std::string_view text, const char* component);

}  // namespace gyr
