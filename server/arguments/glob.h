// Redis's glob patterns: * ? [abc] [^a-z] and \ to take the next byte literally.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/status.h"

namespace sluice::server {

inline constexpr std::size_t kGlobBytesMax = 1024;

enum class GlobCase : std::uint8_t { kExact, kIgnore };  // ASCII

// Errors: kError if the pattern is longer than kGlobBytesMax.
Status CheckGlob(std::string_view pattern);

// No recursion. O(pattern * text) at worst; after many steps, one step handles 64 elements of the
// pattern. An unterminated class takes the rest of the pattern.
bool GlobMatches(std::string_view pattern, std::string_view text, GlobCase mode = GlobCase::kExact);

}  // namespace sluice::server
