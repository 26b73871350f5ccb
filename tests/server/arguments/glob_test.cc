#include "server/arguments/glob.h"

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

// Row 67 of the bad inputs. (A recursive or exponential matcher would not come back at all.)
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
  CHECK(GlobMatches(std::string(100000, '['), "x") == false);
  CHECK(GlobMatches(std::string(100001, '\\'), std::string(50001, '\\')));
  CHECK_FALSE(GlobMatches("*[", text));
  CHECK_FALSE(GlobMatches("[^", "a") == GlobMatches("[", "a"));
  CHECK(CheckGlob(std::string(1024, '*')).ok());
  CHECK_FALSE(CheckGlob(std::string(1025, '*')).ok());
}

TEST_CASE("a pattern that is too long is refused where clients can send one", "[glob]") {
  tests::TestServer server;
  tests::TestClient client(server);
  CHECK(client.Run({"CONFIG", "GET", "port", std::string(1025, '*')}) ==
        "-ERR a pattern of at most 1024 bytes is expected, got 1025\r\n");
  CHECK(client.Run({"CONFIG", "GET", std::string(1023, '*') + "["}) == "*0\r\n");
}

}  // namespace
}  // namespace sluice::server
