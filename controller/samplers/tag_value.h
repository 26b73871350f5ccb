// What samplers read of a tag: one member at its top level.
#pragma once

#include <string>
#include <string_view>

namespace sluice::controller {

// A tag's name as its text spells it: with quotes and escapes.
std::string SpelledName(std::string_view name);

// The member's value as the tag spells it; "" where there is none. `spelled` as SpelledName().
std::string_view MemberOf(std::string_view tag, std::string_view spelled) noexcept;

// The member's number; 0 where there is none, or it is not a number, or not more than 0.
double WeightOf(std::string_view tag, std::string_view spelled) noexcept;

}  // namespace sluice::controller
