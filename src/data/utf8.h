#pragma once

#include <string_view>

namespace gyr {

// Well-formed UTF-8 as in table 3-7 of the Unicode standard: no overlong forms, no surrogates, at most U+10FFFF.
bool valid_utf8(std::string_view text);

}  // namespace gyr
