#include "store/tags/json_number.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <system_error>

namespace sluice::store {
namespace {

constexpr double kPastUint64 = 18446744073709551616.0;
constexpr std::size_t kDoubleDigitsMax = std::numeric_limits<double>::max_exponent10 + 1;

// For a number outside a double's range: true if it overflows, false if it underflows.
bool IsHuge(std::string_view text) {
  const std::size_t e = std::min(text.find_first_of("eE"), text.size());
  const std::string_view digits = text.substr(0, e);
  const std::size_t first = digits.find_first_of("123456789");
  if (first == std::string_view::npos) {
    return false;  // 0e999
  }
  text.remove_prefix(std::min(e + 1, text.size()));
  text.remove_prefix(text.starts_with('+') ? 1 : 0);
  std::int64_t exponent = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), exponent);
  if (read.ec == std::errc::result_out_of_range) {
    return text.front() != '-';
  }
  const std::size_t point = std::min(digits.find('.'), digits.size());
  return exponent > static_cast<std::int64_t>(first) - static_cast<std::int64_t>(point);
}

double ReadReal(std::string_view text) {
  double real = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), real);
  if (read.ec == std::errc::result_out_of_range) {
    const bool negative = text.starts_with('-');
    const bool huge = IsHuge(text.substr(negative ? 1 : 0));
    real = huge ? std::numeric_limits<double>::infinity() : 0;
    real = negative ? -real : real;
  }
  return real;
}

std::weak_ordering Reversed(std::weak_ordering order) {
  return std::is_lt(order)   ? std::weak_ordering::greater
         : std::is_gt(order) ? std::weak_ordering::less
                             : order;
}

// Compares integers by their digits.
std::weak_ordering CompareDigits(std::string_view a, std::string_view b) {
  return a.size() == b.size() ? a <=> b : a.size() <=> b.size();
}

// Compares an integer with a double. REQUIRES: `real` is at least 0.
std::weak_ordering CompareMagnitudes(std::string_view integer, double real) {
  if (real < kPastUint64) {
    std::uint64_t magnitude = 0;
    const auto read = std::from_chars(integer.data(), integer.data() + integer.size(), magnitude);
    if (read.ec == std::errc::result_out_of_range) {
      return std::weak_ordering::greater;
    }
    const double whole = std::trunc(real);
    const std::weak_ordering order = magnitude <=> static_cast<std::uint64_t>(whole);
    return std::is_eq(order) && whole < real ? std::weak_ordering::less : order;
  }
  if (std::isinf(real)) {
    return std::weak_ordering::less;
  }
  std::array<char, kDoubleDigitsMax> digits = {};  // a double of this size is an integer
  const auto end =
      std::to_chars(digits.data(), digits.data() + digits.size(), real, std::chars_format::fixed, 0)
          .ptr;
  return CompareDigits(integer, {digits.data(), static_cast<std::size_t>(end - digits.data())});
}

std::weak_ordering Compare(const JsonNumber& integer, double real) {
  if (integer.negative != (real < 0)) {
    return integer.negative ? std::weak_ordering::less : std::weak_ordering::greater;
  }
  const std::weak_ordering order = CompareMagnitudes(integer.digits, std::fabs(real));
  return integer.negative ? Reversed(order) : order;
}

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

// Removes the digits at the front of `text`. Returns false if there are none.
bool DropDigits(std::string_view& text) {
  std::size_t digits = 0;
  while (digits < text.size() && IsDigit(text[digits])) {
    ++digits;
  }
  text.remove_prefix(digits);
  return digits != 0;
}

bool IsJsonNumber(std::string_view text) {
  text.remove_prefix(text.starts_with('-') ? 1 : 0);
  if (text.starts_with('0')) {
    text.remove_prefix(1);
  } else if (!DropDigits(text)) {
    return false;
  }
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    if (!DropDigits(text)) {
      return false;
    }
  }
  if (text.starts_with('e') || text.starts_with('E')) {
    text.remove_prefix(1);
    text.remove_prefix(text.starts_with('+') || text.starts_with('-') ? 1 : 0);
    return DropDigits(text) && text.empty();
  }
  return text.empty();
}

}  // namespace

std::weak_ordering operator<=>(const JsonNumber& a, const JsonNumber& b) noexcept {
  if (a.IsInteger() && b.IsInteger()) {
    if (a.negative != b.negative) {
      return a.negative ? std::weak_ordering::less : std::weak_ordering::greater;
    }
    return a.negative ? CompareDigits(b.digits, a.digits) : CompareDigits(a.digits, b.digits);
  }
  if (a.IsInteger()) {
    return Compare(a, b.real);
  }
  if (b.IsInteger()) {
    return Reversed(Compare(b, a.real));
  }
  return a.real < b.real   ? std::weak_ordering::less
         : a.real > b.real ? std::weak_ordering::greater
                           : std::weak_ordering::equivalent;
}

double JsonNumber::ToDouble() const noexcept {
  if (!IsInteger()) {
    return real;
  }
  return negative ? -ReadReal(digits) : ReadReal(digits);
}

JsonNumber ReadJsonNumber(std::string_view text) noexcept {
  const bool minus = text.starts_with('-');
  const std::string_view digits = text.substr(minus ? 1 : 0);
  if (!std::all_of(digits.begin(), digits.end(), IsDigit)) {
    return {.real = ReadReal(text)};
  }
  return {.negative = minus && digits != "0", .digits = digits};
}

std::optional<JsonNumber> ParseJsonNumber(std::string_view text) noexcept {
  return IsJsonNumber(text) ? std::optional(ReadJsonNumber(text)) : std::nullopt;
}

}  // namespace sluice::store
