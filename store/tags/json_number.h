// JsonNumber: the number that a JSON text says, for comparing: an integer of int64 or uint64
// exactly, anything else as the nearest double (past its range: infinite, or 0).
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string_view>

namespace sluice::store {

struct JsonNumber {
  bool integer = true;
  bool negative = false;  // of an integer; 0 is not
  std::uint64_t magnitude = 0;
  double real = 0;  // of what is not an integer; never NaN

  // By value: 1 and 1.0, 0 and -0.0 are equivalent; an integer and a double are not rounded to
  // meet each other.
  friend std::weak_ordering operator<=>(const JsonNumber& a, const JsonNumber& b) noexcept;
};

// REQUIRES: `text` is a JSON number.
JsonNumber ReadJsonNumber(std::string_view text) noexcept;

// nullopt: `text` is not a JSON number and nothing else ("+1", "01", ".5", " 1" and "nan" are not).
std::optional<JsonNumber> ParseJsonNumber(std::string_view text) noexcept;

}  // namespace sluice::store
