// Random reads of large arrays cost twice as much on small pages.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gyr {

constexpr uint64_t kHugePage = uint64_t(2) << 20;
// What an array of so many bytes is aligned to: a huge page as soon as it can fill one.
constexpr size_t huge_align(uint64_t bytes, size_t otherwise) { return bytes >= kHugePage ? kHugePage : otherwise; }
// Asks for huge pages where whole ones fit; no more than a hint.
void advise_huge(void* p, uint64_t bytes);

}  // namespace gyr
