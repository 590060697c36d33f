// Numbers as text, with a point whatever the host's locale: printf would write 0,5 in a German process.
#pragma once

#include <charconv>

namespace gyr {

// As %.<digits>g in the C locale.
class NumberText {
 public:
  explicit NumberText(double value, int digits = 6) {
    *std::to_chars(text_, text_ + sizeof text_ - 1, value, std::chars_format::general, digits).ptr = 0;
  }
  const char* c_str() const { return text_; }

 private:
  char text_[40];
};

}  // namespace gyr
