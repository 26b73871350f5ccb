// JsonNumber: the value of a JSON number, for comparison: exact for an integer of int64 or uint64,
// else the nearest double (out of range: infinite, or 0).
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string_view>

namespace sluice::store {

struct JsonNumber {
  bool integer = true;
  bool negative = false;  // of an integer; false for 0
  std::uint64_t magnitude = 0;
  double real = 0;  // if not an integer; never NaN

  // Compares by value: 1 and 1.0, 0 and -0.0 are equivalent. Comparing an integer with a double
  // rounds neither.
  friend std::weak_ordering operator<=>(const JsonNumber& a, const JsonNumber& b) noexcept;
};

// REQUIRES: `text` is a JSON number.
JsonNumber ReadJsonNumber(std::string_view text) noexcept;

// Returns nullopt if `text` is not exactly a JSON number ("+1", "01", ".5", " 1", "nan" are not).
std::optional<JsonNumber> ParseJsonNumber(std::string_view text) noexcept;

}  // namespace sluice::store
