// Reads one top-level member of a tag, for samplers.
#pragma once

#include <string>
#include <string_view>

namespace sluice::controller {

// Returns a member's name as tags spell it: with quotes and escapes.
std::string SpelledName(std::string_view name);

// Returns the member's value as the tag spells it; "" if there is none. `spelled`: from
// SpelledName().
std::string_view MemberOf(std::string_view tag, std::string_view spelled) noexcept;

// Returns the member's number; 0 if there is none or it is not a number above 0.
double WeightOf(std::string_view tag, std::string_view spelled) noexcept;

}  // namespace sluice::controller
