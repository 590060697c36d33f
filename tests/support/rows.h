// Arrow streams of one batch, column by column, out of vectors.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tests/data/arrow_builder.h"

namespace gyr::test {

class Rows {
 public:
  Rows() = default;
  Rows(Rows&&) = default;
  Rows& operator=(Rows&&) = delete;
  ~Rows() {
    for (auto& s : schemas_) s.release(&s);
    for (auto& a : arrays_) a.release(&a);
  }
  Rows& ints(const char* name, const std::vector<int64_t>& v, const char* format = "l") {
    return add(testing::schema(format, name), numbers(v));
  }
  Rows& floats(const char* name, const std::vector<float>& v) { return add(testing::schema("f", name), numbers(v)); }
  Rows& doubles(const char* name, const std::vector<double>& v) { return add(testing::schema("g", name), numbers(v)); }
  Rows& strings(const char* name, const std::vector<std::string>& v) {
    return add(testing::schema("u", name), texts(v));
  }
  Rows& lists(const char* name, const std::vector<std::vector<int64_t>>& v) {
    return add_list(name, "l", v, [](auto& flat) { return numbers(flat); });
  }
  Rows& string_lists(const char* name, const std::vector<std::vector<std::string>>& v) {
    return add_list(name, "u", v, [](auto& flat) { return texts(flat); });
  }
  // Takes everything added so far as one batch.
  ArrowArrayStream stream() {
    auto schemas = std::exchange(schemas_, {});
    auto arrays = std::exchange(arrays_, {});
    return testing::stream(testing::schema("+s", "", schemas), {testing::array(rows_, {{}}, arrays)});
  }

 private:
  // An empty block would become a NULL buffer.
  static testing::Bytes padded(testing::Bytes b) {
    if (b.empty()) b.push_back(0);
    return b;
  }
  template <class T>
  static ArrowArray numbers(const std::vector<T>& v) {
    return testing::array(int64_t(v.size()), {{}, padded(testing::bytes(v))});
  }
  static ArrowArray texts(const std::vector<std::string>& v) {
    std::vector<int32_t> offsets{0};
    std::string all;
    for (auto& s : v) all += s, offsets.push_back(int32_t(all.size()));
    return testing::array(int64_t(v.size()), {{}, testing::bytes(offsets), padded(testing::text(all))});
  }
  template <class T, class Child>
  Rows& add_list(const char* name, const char* element, const std::vector<std::vector<T>>& v, Child&& child) {
    std::vector<int32_t> offsets{0};
    std::vector<T> flat;
    for (auto& list : v) {
      flat.insert(flat.end(), list.begin(), list.end());
      offsets.push_back(int32_t(flat.size()));
    }
    return add(testing::schema("+l", name, {testing::schema(element, "item")}),
               testing::array(int64_t(v.size()), {{}, testing::bytes(offsets)}, {child(flat)}));
  }
  Rows& add(ArrowSchema schema, ArrowArray array) {
    rows_ = array.length;
    schemas_.push_back(schema);
    arrays_.push_back(array);
    return *this;
  }
  std::vector<ArrowSchema> schemas_;
  std::vector<ArrowArray> arrays_;
  int64_t rows_ = 0;
};

}  // namespace gyr::test
