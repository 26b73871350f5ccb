// Parses lengths ("3" of "*3", "5" of "$5") and the CRLF after a bulk string.
//
// In a header because this is the hot path. A line is checked when it is complete or too long, so
// the result does not depend on how the bytes were split into segments.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "resp/limits.h"

namespace sluice::resp {

struct Length {
  enum class Kind : std::uint8_t {
    kValue,
    kIncomplete,
    kTooLong,
    kInvalid,     // not a plain decimal number, or an LF without a CR
    kNoLineFeed,  // a number and a CR without an LF
  };
  Kind kind = Kind::kInvalid;
  std::int64_t value = 0;
  std::size_t bytes = 0;  // of the line, including CR and the byte after it
};

// Fast path for one or two digits and CRLF: the result of ReadLength(), or kIncomplete.
inline Length ReadShortLength(std::string_view text) {
  const auto digit = [text](std::size_t i) { return static_cast<unsigned>(text[i] - '0'); };
  if (text.size() < 4 || digit(0) > 9) {
    return {.kind = Length::Kind::kIncomplete};
  }
  if (text[1] == '\r' && text[2] == '\n') {
    return {.kind = Length::Kind::kValue, .value = digit(0), .bytes = 3};
  }
  if (digit(0) != 0 && digit(1) <= 9 && text[2] == '\r' && text[3] == '\n') {
    return {.kind = Length::Kind::kValue, .value = 10 * digit(0) + digit(1), .bytes = 4};
  }
  return {.kind = Length::Kind::kIncomplete};
}

// `text` begins after the marker.
inline Length ReadLength(std::string_view text) {
  constexpr std::size_t kDigitsMax = 18;  // fits in int64; all limits are far below
  if (const Length length = ReadShortLength(text); length.kind == Length::Kind::kValue) {
    return length;
  }
  const std::size_t size = std::min(text.size(), kLengthLineBytesMax);
  const std::size_t sign = size > 0 && text[0] == '-' ? 1 : 0;
  std::size_t i = sign;
  std::uint64_t value = 0;  // may wrap; then there are more than kDigitsMax digits
  for (; i < size && text[i] >= '0' && text[i] <= '9'; ++i) {
    value = value * 10 + static_cast<std::uint64_t>(text[i] - '0');
  }
  const std::size_t digits = i - sign;
  bool valid = digits > 0 && digits <= kDigitsMax && (text[sign] != '0' || digits + sign == 1);
  for (; i < size && text[i] != '\r' && text[i] != '\n'; ++i) {
    valid = false;
  }
  if (i == kLengthLineBytesMax) {
    return {.kind = Length::Kind::kTooLong};
  }
  if (i == size || (text[i] == '\r' && i + 1 == text.size())) {
    return {.kind = Length::Kind::kIncomplete};
  }
  if (!valid || text[i] == '\n') {
    return {.kind = Length::Kind::kInvalid};
  }
  const auto signed_value = static_cast<std::int64_t>(value);
  return {.kind = text[i + 1] == '\n' ? Length::Kind::kValue : Length::Kind::kNoLineFeed,
          .value = sign != 0 ? -signed_value : signed_value,
          .bytes = i + 2};
}

enum class LineEnd : std::uint8_t { kThere, kIncomplete, kWrong };

// Checks for a CRLF at `offset` of `text`.
inline LineEnd FindLineEnd(std::string_view text, std::size_t offset) {
  if (text.size() >= offset + 2) {
    return text[offset] == '\r' && text[offset + 1] == '\n' ? LineEnd::kThere : LineEnd::kWrong;
  }
  return text.size() > offset && text[offset] != '\r' ? LineEnd::kWrong : LineEnd::kIncomplete;
}

}  // namespace sluice::resp
