#include "server/arguments/glob.h"

#include <random>
#include <string>

#include <catch2/catch.hpp>

#include "tests/support/test_server.h"

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

// Long texts take another code path. The tails match one another only, so that the part before them
// decides.
TEST_CASE("long and short texts match the same way", "[glob]") {
  const std::string pattern_tail = "#*" + std::string(600, 'z') + 'b';
  const std::string text_tail = '#' + std::string(1200, 'z') + 'b';
  std::mt19937_64 random(1);
  const auto pick = [&random](std::string_view letters, std::size_t most) {
    std::string out;
    for (std::size_t count = random() % (most + 1); count > 0; --count) {
      out += letters[random() % letters.size()];
    }
    return out;
  };
  int matches = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string pattern = pick("ab*?", 5);
    pattern += pick("*bA", 3);
    const std::string text = pick("aAb", 8);
    const GlobCase mode = i % 2 == 0 ? GlobCase::kExact : GlobCase::kIgnore;
    const bool expected = GlobMatches(pattern, text, mode);
    matches += expected ? 1 : 0;
    CAPTURE(pattern, text);
    REQUIRE(GlobMatches(pattern + pattern_tail, text + text_tail, mode) == expected);
  }
  CHECK(matches > 100);
  const std::string classes = "[a-c][^x]\\*";
  CHECK(GlobMatches(classes + pattern_tail, "bb*" + text_tail));
  CHECK_FALSE(GlobMatches(classes + pattern_tail, "bx*" + text_tail));
}

// A recursive or exponential matcher would not return.
TEST_CASE("a hostile pattern takes no exponential time and no stack", "[glob]") {
  const auto repeat = [](std::string_view text, int count) {
    std::string out;
    for (int i = 0; i < count; ++i) {
      out += text;
    }
    return out;
  };
  const std::string text(10000, 'a');
  CHECK_FALSE(GlobMatches(repeat("*a", 500) + "b", text));
  CHECK(GlobMatches(repeat("*a", 500), text));
  CHECK(GlobMatches(repeat("*a", 10000), text));
  CHECK_FALSE(GlobMatches(repeat("*a", 10001), text));
  CHECK_FALSE(GlobMatches(repeat("*", 10000) + "b", text));
  CHECK_FALSE(GlobMatches(repeat("*?[a-z]\\a", 100) + "b", text));
  CHECK_FALSE(GlobMatches(repeat("[", 100000), "x"));
  CHECK(GlobMatches(repeat("\\", 100001), repeat("\\", 50001)));
  CHECK_FALSE(GlobMatches("*[", text));
  CHECK_FALSE(GlobMatches("[^", "a") == GlobMatches("[", "a"));
  CHECK(CheckGlob(std::string(1024, '*')).ok());
  CHECK_FALSE(CheckGlob(std::string(1025, '*')).ok());
}

TEST_CASE("a pattern that is too long is refused where clients can send one", "[glob]") {
  tests::TestServer server;
  tests::TestClient client(server);
  CHECK(client.Run({"CONFIG", "GET", "port", std::string(1025, '*')}) ==
        "-ERR expected a pattern of at most 1024 bytes, got 1025\r\n");
  std::string longest(1024, '*');
  longest.back() = '[';
  CHECK(client.Run({"CONFIG", "GET", longest}) == "*0\r\n");
}

}  // namespace
}  // namespace sluice::server
