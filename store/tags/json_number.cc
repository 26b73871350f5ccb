#include "store/tags/json_number.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <system_error>

namespace sluice::store {
namespace {

constexpr double kPastUint64 = 18446744073709551616.0;
constexpr std::uint64_t kInt64MinMagnitude = std::uint64_t{1} << 63U;

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

JsonNumber ReadReal(std::string_view text) {
  JsonNumber number = {.integer = false};
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number.real);
  if (read.ec == std::errc::result_out_of_range) {
    const bool negative = text.starts_with('-');
    const bool huge = IsHuge(text.substr(negative ? 1 : 0));
    number.real = huge ? std::numeric_limits<double>::infinity() : 0;
    number.real = negative ? -number.real : number.real;
  }
  return number;
}

std::weak_ordering Reversed(std::weak_ordering order) {
  return std::is_lt(order)   ? std::weak_ordering::greater
         : std::is_gt(order) ? std::weak_ordering::less
                             : order;
}

std::weak_ordering CompareMagnitudes(std::uint64_t integer, double real) {
  if (real >= kPastUint64) {
    return std::weak_ordering::less;
  }
  const double whole = std::trunc(real);
  const std::weak_ordering order = integer <=> static_cast<std::uint64_t>(whole);
  return std::is_eq(order) && whole < real ? std::weak_ordering::less : order;
}

std::weak_ordering Compare(const JsonNumber& integer, double real) {
  if (integer.negative != (real < 0)) {
    return integer.negative ? std::weak_ordering::less : std::weak_ordering::greater;
  }
  const std::weak_ordering order = CompareMagnitudes(integer.magnitude, std::fabs(real));
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
  if (a.integer && b.integer) {
    if (a.negative != b.negative) {
      return a.negative ? std::weak_ordering::less : std::weak_ordering::greater;
    }
    return a.negative ? b.magnitude <=> a.magnitude : a.magnitude <=> b.magnitude;
  }
  if (a.integer) {
    return Compare(a, b.real);
  }
  if (b.integer) {
    return Reversed(Compare(b, a.real));
  }
  return a.real < b.real   ? std::weak_ordering::less
         : a.real > b.real ? std::weak_ordering::greater
                           : std::weak_ordering::equivalent;
}

JsonNumber ReadJsonNumber(std::string_view text) noexcept {
  const bool minus = text.starts_with('-');
  JsonNumber number;
  const char* const end = text.data() + text.size();
  const auto read = std::from_chars(text.data() + (minus ? 1 : 0), end, number.magnitude);
  // As in JSON parsers, an integer outside int64 and uint64 is a double.
  if (read.ec != std::errc() || read.ptr != end ||
      (minus && number.magnitude > kInt64MinMagnitude)) {
    return ReadReal(text);
  }
  number.negative = minus && number.magnitude != 0;
  return number;
}

std::optional<JsonNumber> ParseJsonNumber(std::string_view text) noexcept {
  return IsJsonNumber(text) ? std::optional(ReadJsonNumber(text)) : std::nullopt;
}

}  // namespace sluice::store
