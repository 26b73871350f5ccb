// Redis's glob patterns: * ? [abc] [^a-z] and \ to take the next byte as it is.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/status.h"

namespace sluice::server {

inline constexpr std::size_t kGlobBytesMax = 1024;

enum class GlobCase : std::uint8_t { kExact, kIgnore };  // ASCII

// Errors: kError where the pattern is over kGlobBytesMax.
Status CheckGlob(std::string_view pattern);

// No recursion. O(pattern * text) at worst; where that is much, 64 elements of the pattern are
// looked at in one step. An unterminated class takes the rest of the pattern. Errors:
// std::bad_alloc.
bool GlobMatches(std::string_view pattern, std::string_view text, GlobCase mode = GlobCase::kExact);

}  // namespace sluice::server
