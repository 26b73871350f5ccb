#include "server/arguments/glob.h"

#include <utility>

#include <fmt/format.h>

#include "base/ascii.h"

namespace sluice::server {
namespace {

unsigned char Fold(char c, GlobCase mode) {
  return static_cast<unsigned char>(mode == GlobCase::kIgnore ? LowerCase(c) : c);
}

// Matches `c` against the class that begins behind '[' at `at`; moves `at` behind the class.
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

// Matches one byte; moves `at` behind the element that took it.
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

}  // namespace

Status CheckGlob(std::string_view pattern) {
  return pattern.size() <= kGlobBytesMax
             ? Status()
             : Status(Code::kError, fmt::format("a pattern of at most {} bytes is expected, got {}",
                                                kGlobBytesMax, pattern.size()));
}

bool GlobMatches(std::string_view pattern, std::string_view text, GlobCase mode) {
  std::size_t at = 0;
  std::size_t position = 0;
  std::size_t star = std::string_view::npos;  // behind the last '*' met
  std::size_t star_position = 0;              // how much of the text that '*' takes so far
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
    at = star;  // let the last '*' take one byte more
    position = ++star_position;
  }
  while (at < pattern.size() && pattern[at] == '*') {
    ++at;
  }
  return at == pattern.size();
}

}  // namespace sluice::server
