// JsonNumber: the value of a JSON number, for comparison: the exact value of an integer of any
// size; the nearest double of a number with a point or an exponent (out of range: infinite, or 0).
#pragma once

#include <compare>
#include <optional>
#include <string_view>

namespace sluice::store {

struct JsonNumber {
  bool negative = false;         // of an integer; false for 0
  std::string_view digits = {};  // of an integer; "" if not an integer
  double real = 0;               // if not an integer; never NaN

  [[nodiscard]] bool IsInteger() const noexcept { return !digits.empty(); }
  // Returns the nearest double; infinite if out of range.
  [[nodiscard]] double ToDouble() const noexcept;

  // Compares by value: 1 and 1.0, 0 and -0.0 are equivalent. Comparing an integer with a double
  // rounds neither.
  friend std::weak_ordering operator<=>(const JsonNumber& a, const JsonNumber& b) noexcept;
};

// The result refers to `text`. REQUIRES: `text` is a JSON number.
JsonNumber ReadJsonNumber(std::string_view text) noexcept;

// As ReadJsonNumber(). Returns nullopt if `text` is not exactly a JSON number ("+1", "01", ".5",
// " 1", "nan" are not).
std::optional<JsonNumber> ParseJsonNumber(std::string_view text) noexcept;

}  // namespace sluice::store
