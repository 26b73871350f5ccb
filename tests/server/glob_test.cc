#include "server/glob.h"

#include <string>

#include <catch2/catch.hpp>

namespace sluice::server {
namespace {

TEST_CASE("glob patterns match as Redis's do", "[glob]") {
  struct Row {
    std::string_view pattern;
    std::string_view text;
    bool matches;
  };
  constexpr Row kRows[] = {
      {"*", "", true},
      {"*", "anything", true},
      {"", "", true},
      {"", "a", false},
      {"a?c", "abc", true},
      {"a?c", "ac", false},
      {"a*c", "abbbc", true},
      {"a*c", "abbb", false},
      {"[abc]x", "bx", true},
      {"[^abc]x", "bx", false},
      {"[a-c]x", "bx", true},
      {"[c-a]x", "bx", true},
      {"[a-c]x", "dx", false},
      {"\\*", "*", true},
      {"\\*", "a", false},
      {"[\\]]", "]", true},
      {"[abc", "b", true},
      {"[", "[", false},
      {"a\\", "a\\", true},
      {"*a*b*", "xxaxxbxx", true},
      {"*a*b*", "xxbxxa", false},
      {"max*", "maxmemory", true},
      {"[-a]", "-", true},
  };
  for (const Row& row : kRows) {
    CAPTURE(row.pattern, row.text);
    CHECK(GlobMatches(row.pattern, row.text) == row.matches);
  }
  CHECK(GlobMatches("MAX*", "maxmemory", GlobCase::kIgnore));
  CHECK_FALSE(GlobMatches("MAX*", "maxmemory"));
}

TEST_CASE("a hostile pattern takes no exponential time and no stack", "[glob]") {
  std::string pattern;
  for (int i = 0; i < 500; ++i) {
    pattern += "*a";
  }
  CHECK_FALSE(GlobMatches(pattern + "b", std::string(10000, 'a')));
  CHECK(CheckGlob(pattern).ok());
  CHECK_FALSE(CheckGlob(std::string(1025, '*')).ok());
}

}  // namespace
}  // namespace sluice::server
