// Reads a plugin's note from its file, so that a wrong one is refused before any of its code runs.
#pragma once

#include <string>

#include "base/error.h"
#include "device/backend.h"

namespace gyr {

// NOT_FOUND: no such file, or no note in it. CORRUPT: not a 64-bit ELF file, or a damaged one.
Result<gyr_backend_note> read_backend_note(const std::string& path);

}  // namespace gyr
