#pragma once

#include <cstddef>
#include <string_view>

namespace gyr {

// Length of the longest beginning that is well-formed UTF-8 as in table 3-7 of the Unicode standard: no overlong forms,
// no surrogates, at most U+10FFFF.
size_t utf8_prefix(std::string_view text);

inline bool valid_utf8(std::string_view text) { return utf8_prefix(text) == text.size(); }

}  // namespace gyr
