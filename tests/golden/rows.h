// Arrow streams of one batch, column by column, and small helpers around the public interface.
#pragma once

#include <gyr/gyr.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/data/arrow_builder.h"

namespace gyr::golden {

// Stops at the first failure: the generator and the test both have nothing to go on with.
inline void need(gyr_status status, const gyr_error& err, const char* what) {
  if (status == GYR_OK) return;
  std::fprintf(stderr, "%s: %s: %s\n", what, gyr_status_name(status), err.message);
  std::exit(1);
}

class Rows {
 public:
  Rows& ints(const char* name, const std::vector<int64_t>& v, const char* format = "l") {
    return add(name, format, int64_t(v.size()), testing::array(int64_t(v.size()), {{}, testing::bytes(v)}));
  }
  Rows& floats(const char* name, const std::vector<float>& v) {
    return add(name, "f", int64_t(v.size()), testing::array(int64_t(v.size()), {{}, testing::bytes(v)}));
  }
  Rows& strings(const char* name, const std::vector<std::string>& v) {
    return add(name, "u", int64_t(v.size()), string_array(v));
  }
  Rows& lists(const char* name, const std::vector<std::vector<int64_t>>& v) {
    std::vector<int32_t> offsets{0};
    std::vector<int64_t> flat;
    for (auto& list : v) {
      flat.insert(flat.end(), list.begin(), list.end());
      offsets.push_back(int32_t(flat.size()));
    }
    return add_list(name, "l", offsets, testing::array(int64_t(flat.size()), {{}, padded(testing::bytes(flat))}));
  }
  Rows& string_lists(const char* name, const std::vector<std::vector<std::string>>& v) {
    std::vector<int32_t> offsets{0};
    std::vector<std::string> flat;
    for (auto& list : v) {
      flat.insert(flat.end(), list.begin(), list.end());
      offsets.push_back(int32_t(flat.size()));
    }
    return add_list(name, "u", offsets, string_array(flat));
  }

  // May be called once.
  ArrowArrayStream stream() {
    return testing::stream(testing::schema("+s", "", schemas_), {testing::array(rows_, {{}}, arrays_)});
  }

 private:
  // An empty block would become a NULL buffer.
  static testing::Bytes padded(testing::Bytes b) {
    if (b.empty()) b.push_back(0);
    return b;
  }
  static ArrowArray string_array(const std::vector<std::string>& v) {
    std::vector<int32_t> offsets{0};
    std::string all;
    for (auto& s : v) all += s, offsets.push_back(int32_t(all.size()));
    return testing::array(int64_t(v.size()), {{}, testing::bytes(offsets), padded(testing::text(all))});
  }
  Rows& add(const char* name, const char* format, int64_t n, ArrowArray a) {
    schemas_.push_back(testing::schema(format, name));
    arrays_.push_back(a);
    rows_ = n;
    return *this;
  }
  Rows& add_list(const char* name, const char* element, const std::vector<int32_t>& offsets, ArrowArray child) {
    schemas_.push_back(testing::schema("+l", name, {testing::schema(element, "item")}));
    rows_ = int64_t(offsets.size()) - 1;
    arrays_.push_back(testing::array(rows_, {{}, testing::bytes(offsets)}, {child}));
    return *this;
  }
  std::vector<ArrowSchema> schemas_;
  std::vector<ArrowArray> arrays_;
  int64_t rows_ = 0;
};

// Text by the size-then-fill convention.
template <class F>
std::string text(F&& call) {
  gyr_error err = GYR_ERROR_INIT;
  uint64_t size = 0;
  need(call(nullptr, uint64_t(0), &size, &err), err, "size of a text");
  std::string out(size, 0);
  need(call(out.data(), size, &size, &err), err, "text");
  out.resize(size - 1);
  return out;
}

}  // namespace gyr::golden
