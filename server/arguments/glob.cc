#include "server/arguments/glob.h"

#include <cstdint>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/ascii.h"

namespace sluice::server {
namespace {

unsigned char Fold(char c, GlobCase mode) {
  return static_cast<unsigned char>(mode == GlobCase::kIgnore ? LowerCase(c) : c);
}

// Matches `c` against the class whose '[' is before `at`; moves `at` behind the class.
bool ClassMatches(std::string_view pattern, std::size_t& at, char c, GlobCase mode) {
  const bool negated = at < pattern.size() && pattern[at] == '^';
  at += negated ? 1 : 0;
  const unsigned char wanted = Fold(c, mode);
  bool found = false;
  while (at < pattern.size() && pattern[at] != ']') {
    at += pattern[at] == '\\' && at + 1 < pattern.size() ? 1 : 0;
    unsigned char low = Fold(pattern[at], mode);
    unsigned char high = low;
    if (at + 2 < pattern.size() && pattern[at + 1] == '-') {
      high = Fold(pattern[at + 2], mode);
      at += 2;
    }
    if (low > high) {
      std::swap(low, high);
    }
    found = found || (wanted >= low && wanted <= high);
    ++at;
  }
  at += at < pattern.size() ? 1 : 0;
  return found != negated;
}

// Matches one byte; moves `at` behind the matching element.
bool ElementMatches(std::string_view pattern, std::size_t& at, char c, GlobCase mode) {
  const char element = pattern[at++];
  if (element == '?') {
    return true;
  }
  if (element == '[') {
    return ClassMatches(pattern, at, c, mode);
  }
  const bool escaped = element == '\\' && at < pattern.size();
  return Fold(escaped ? pattern[at++] : element, mode) == Fold(c, mode);
}

// For long texts: the set of pattern positions that the text so far can reach, as bits. Bit i means
// "behind the first i elements, not counting stars". (Baeza-Yates and Gonnet, 1992.)
class LongMatch {
 public:
  LongMatch(std::string_view pattern, GlobCase mode) {
    std::vector<std::size_t> elements;  // start offset of each
    std::vector<std::size_t> stars;     // the elements that follow a star
    for (std::size_t at = 0; at < pattern.size();) {
      if (pattern[at] == '*') {
        stars.push_back(elements.size());
        ++at;
      } else {
        elements.push_back(at);
        ElementMatches(pattern, at, '\0', mode);
      }
    }
    end_ = elements.size();
    words_ = end_ / kBits + 1;
    stays_.resize(words_);
    for (const std::size_t star : stars) {
      stays_[star / kBits] |= Bit(star);
    }
    goes_on_.resize(256 * words_);
    for (std::size_t byte = 0; byte < 256; ++byte) {
      for (std::size_t i = 0; i < end_; ++i) {
        std::size_t at = elements[i];
        if (ElementMatches(pattern, at, static_cast<char>(byte), mode)) {
          goes_on_[byte * words_ + i / kBits] |= Bit(i);
        }
      }
    }
  }

  [[nodiscard]] bool Matches(std::string_view text) const {
    std::vector<std::uint64_t> places(words_);
    places[0] = 1;
    for (const char c : text) {
      const std::uint64_t* const goes_on =
          &goes_on_[static_cast<std::size_t>(static_cast<unsigned char>(c)) * words_];
      std::uint64_t carry = 0;
      std::uint64_t any = 0;
      for (std::size_t w = 0; w < words_; ++w) {
        const std::uint64_t moved = places[w] & goes_on[w];
        places[w] = (places[w] & stays_[w]) | moved << 1 | carry;
        carry = moved >> (kBits - 1);
        any |= places[w];
      }
      if (any == 0) {
        return false;
      }
    }
    return (places[end_ / kBits] & Bit(end_)) != 0;
  }

 private:
  static constexpr std::size_t kBits = 64;
  static std::uint64_t Bit(std::size_t place) { return std::uint64_t{1} << (place % kBits); }

  std::size_t end_ = 0;
  std::size_t words_ = 0;
  std::vector<std::uint64_t> stays_;    // positions where a star matches any byte
  std::vector<std::uint64_t> goes_on_;  // words_ per byte: positions whose next element matches it
};

// For when the simple algorithm has taken many steps. Returns nullopt if there is no memory for the
// sets; the simple algorithm continues then.
std::optional<bool> MatchesLong(std::string_view pattern, std::string_view text, GlobCase mode) {
  try {
    return LongMatch(pattern, mode).Matches(text);
  } catch (const std::bad_alloc&) {
    return std::nullopt;
  }
}

}  // namespace

Status CheckGlob(std::string_view pattern) {
  return pattern.size() <= kGlobBytesMax
             ? Status()
             : Status(Code::kError, fmt::format("expected a pattern of at most {} bytes, got {}",
                                                kGlobBytesMax, pattern.size()));
}

bool GlobMatches(std::string_view pattern, std::string_view text, GlobCase mode) {
  constexpr std::size_t kStepsMax = std::size_t{1} << 18;  // about 1 ms
  std::size_t steps = 0;
  std::size_t at = 0;
  std::size_t position = 0;
  std::size_t star = std::string_view::npos;  // behind the last '*' seen
  std::size_t star_position = 0;              // end of the text that this '*' matches so far
  while (position < text.size()) {
    if (at < pattern.size() && pattern[at] == '*') {
      star = ++at;
      star_position = position;
      continue;
    }
    if (at < pattern.size() && ElementMatches(pattern, at, text[position], mode)) {
      ++position;
      continue;
    }
    if (star == std::string_view::npos) {
      return false;
    }
    steps += position - star_position + 1;
    if (steps >= kStepsMax) {
      steps = 0;
      if (const auto matches = MatchesLong(pattern, text, mode)) {
        return *matches;
      }
    }
    at = star;  // let the last '*' match one more byte
    position = ++star_position;
  }
  while (at < pattern.size() && pattern[at] == '*') {
    ++at;
  }
  return at == pattern.size();
}

}  // namespace sluice::server
