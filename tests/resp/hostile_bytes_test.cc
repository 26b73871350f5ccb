// Requests that no client should send: each has one exact reply, however it is split.
#include <random>

#include <catch2/catch.hpp>

#include "tests/resp/parser_driver.h"

namespace sluice::tests {
namespace {

using namespace std::string_literals;

const std::string kPing = "*1\r\n$4\r\nPING\r\n";
const resp::Limits kLimits = {.bulk_bytes_max = 512 << 20};

struct Case {
  std::string bytes;
  Transcript events;
};

std::string Error(std::string_view text) {
  return "error: " + std::string(text);
}

std::vector<Case> InlineCases() {
  const Transcript ping = {"PING"};
  const Transcript unbalanced = {Error("unbalanced quotes in request")};
  const Transcript nul = {Error("NUL byte in inline request")};
  const std::string longest(resp::kInlineBytesMax - 5, 'A');
  return {
      {"PING\r\n", ping},
      {"PING\n", ping},
      {"\tPING\t\r\n", ping},
      {"\r\n" + kPing, ping},
      {"    \r\n" + kPing, ping},
      {"\r\n\n\r\n\n\r\n" + kPing, ping},
      {"ECHO \"a\\x41\\n b\"\r\n", {"ECHO aA\n b"}},
      {"ECHO \"\\r\\t\\b\\a\\\\\\\"\\q\\x4\\xzz\"\r\n", {"ECHO \r\t\b\a\\\"qx4xzz"}},
      {"ECHO 'a\\'b'\r\n", {"ECHO a'b"}},
      {"ECHO 'a\\nb' x\"y z\"\r\n", {"ECHO a\\nb xy z"}},
      {"ECHO \"\" ''\r\n", {"ECHO  "}},
      {"SET \"foo bar\r\n", unbalanced},
      {"SET 'foo bar\n", unbalanced},
      {"SET \"foo\\\"\r\n", unbalanced},
      {"ECHO \"a\"b\r\n", unbalanced},
      {"ECHO 'a'b\r\n", unbalanced},
      {std::string(resp::kInlineBytesMax + 10, 'A'), {Error("too big inline request")}},
      {"ECHO " + longest + "\r\n" + kPing, {"ECHO " + longest, "PING"}},
      {"ECHO " + longest + "\n", {"ECHO " + longest}},
      {"ECHO A" + longest + "\r\n", {Error("too big inline request")}},
      {"ECHO " + std::string(65'636, 'A') + "\r\n", {Error("too big inline request")}},
      {"PING\0X\r\n"s, nul},
      {"\0\0PING\r\n"s, nul},
      {"\xff\xfe\xfd\r\n" + kPing, {"\xff\xfe\xfd", "PING"}},
      {"\xef\xbb\xbfPING\r\n", {"\xef\xbb\xbfPING"}},
      {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"s, {Error("TLS handshake on a plain port")}},
      {"\x16\x02\r\n" + kPing, {"\x16\x02", "PING"}},
      {"SSH-2.0-OpenSSH_9.2\r\n", {"SSH-2.0-OpenSSH_9.2"}},
      {"+OK\r\n:1\r\n%1\r\n>1\r\n" + kPing, {"+OK", ":1", "%1", ">1", "PING"}},
  };
}

std::vector<Case> HttpCases() {
  const Transcript abort = {"abort"};
  return {
      {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", abort},
      {"Host: x\r\n" + kPing, abort},
      {"POST /x HTTP/1.1\r\n\r\nFLUSHALL\r\n", abort},
      {"pOsT x\r\nFLUSHALL\r\n", abort},
      {"hOST:\r\n", abort},
      {Encode({"POST", "/"}) + kPing, abort},
      {Encode({"host:", "x"}), abort},
      {"*2\r\n$4\r\nPOST\r\n", abort},  // before the rest has arrived
      {Encode({"POSTS", "post"}) + "HOST x\r\nhosts: y\r\n", {"POSTS post", "HOST x", "hosts: y"}},
  };
}

std::vector<Case> CountCases() {
  std::vector<Case> cases;
  for (const char* empty : {"*0\r\n", "*-1\r\n", "*-10\r\n"}) {
    cases.push_back({empty + kPing, {"PING"}});
  }
  for (const char* bad : {"*\r\n",
                          "*abc\r\n",
                          "*+1\r\n",
                          "*01\r\n",
                          "* 1\r\n",
                          "*1 \r\n",
                          "*-0\r\n",
                          "*-\r\n",
                          "*-01\r\n",
                          "*00\r\n",
                          "*?\r\n",
                          "*2147483648\r\n",
                          "*9223372036854775807\r\n",
                          "*9223372036854775808\r\n",
                          "*18446744073709551617\r\n",
                          "*-9223372036854775809\r\n",
                          "*2147483647\r\n",
                          "*20000000\r\n",
                          "*1048577\r\n",
                          "*1\n$4\nPING\n",
                          "*1\n",
                          "*\n",
                          "*1\rX$4\r\nPING\r\n",
                          "*abc\r$4\r\n"}) {
    cases.push_back({bad, {Error("invalid multibulk length")}});
  }
  cases.push_back({"*1048576\r\n", {}});
  cases.push_back({"*1\r$4\rPING\r", {Error("expected '$', got '4'")}});
  cases.push_back({"*0\r\r\r", {Error("expected '$', got '\\x0d'")}});
  const Transcript too_big = {Error("too big mbulk count string")};
  cases.push_back({"*" + std::string(65'546, '1'), too_big});
  cases.push_back({"*" + std::string(32, '1') + "\r\n", too_big});
  cases.push_back({"*" + std::string(32, 'x') + "\n", too_big});
  cases.push_back({"*" + std::string(31, '1') + "\r\n", {Error("invalid multibulk length")}});
  return cases;
}

std::vector<Case> BulkCases() {
  std::vector<Case> cases;
  for (const char* bad :
       {"$-1", "$-10", "$blabla", "$", "$?", "$0x4", "$+4", "$04", "$ 4", "$4 ", "$-0",
        "$2000000000", "$536870913", "$9223372036854775807", "$9223372036854775808",
        "$18446744073709551615", "$18446744073709551620"}) {
    cases.push_back({"*1\r\n" + std::string(bad) + "\r\nPING\r\n", {Error("invalid bulk length")}});
  }
  cases.push_back({"*1\r\n$4\nPING\r\n", {Error("invalid bulk length")}});
  cases.push_back({"*1\r\n$4\rPING\r\n", {Error("invalid bulk length")}});
  cases.push_back({"*1\r\n$" + std::string(65'546, '1'), {Error("too big bulk count string")}});
  cases.push_back({"*1\r\n$" + std::string(32, '1'), {Error("too big bulk count string")}});
  cases.push_back({"*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$536870912\r\n", {}});
  const std::vector<std::pair<std::string, std::string>> others = {
      {"PING\r\n", "P"}, {":5\r\n", ":"},   {"+PING\r\n", "+"}, {"*1\r\n", "*"},
      {"\n", "\\x0a"},   {"\x7f", "\\x7f"}, {"\xe4", "\\xe4"},  {"\0"s, "\\x00"}};
  for (const auto& [bytes, shown] : others) {
    cases.push_back({"*1\r\n" + bytes, {Error("expected '$', got '" + shown + "'")}});
  }
  cases.push_back({"*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n", {Error("expected '$', got 'f'")}});
  const Transcript no_end = {Error("expected CRLF after bulk")};
  cases.push_back({"*2\r\n$4\r\nECHO\r\n$3\r\nabcdef\r\n", no_end});
  cases.push_back({"*2\r\n$4\r\nECHO\r\n$6\r\nabc\r\n" + kPing, no_end});
  cases.push_back({"*2\r\n$4\r\nECHO\r\n$3\r\nabcXX", no_end});
  cases.push_back({"*2\r\n$4\r\nECHO\r\n$3\r\nabc\rX", no_end});
  cases.push_back({"*2\r\n$4\r\nECHO\r\n$20000\r\n" + std::string(20'000, 'a') + "\n\n", no_end});
  cases.push_back({Encode({"ECHO", ""}) + Encode({""}) + kPing, {"ECHO ", "", "PING"}});
  return cases;
}

void Check(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    INFO(c.bytes.substr(0, 80));
    CHECK(ParseWhole(c.bytes, kLimits) == c.events);
    CHECK(ParseByBytes(c.bytes, kLimits) == c.events);
    const std::size_t step = std::max<std::size_t>(1, c.bytes.size() / 200);
    for (std::size_t offset = 1; offset < c.bytes.size(); offset += step) {
      if (ParseSplit(c.bytes, offset, kLimits) != c.events) {
        FAIL_CHECK("split at " << offset);
      }
    }
  }
}

TEST_CASE("inline requests follow Redis's rules and end at their limits", "[hostile]") {
  Check(InlineCases());
}

TEST_CASE("an HTTP client is disconnected before anything runs", "[hostile]") {
  Check(HttpCases());
}

TEST_CASE("argument counts are plain numbers within the limit", "[hostile]") {
  Check(CountCases());
}

TEST_CASE("bulk lengths are plain numbers within the limit, and CRLF follows", "[hostile]") {
  Check(BulkCases());
}

TEST_CASE("before login the limits are lower and have their own error texts", "[hostile]") {
  const resp::Limits limits = {.args_max = 10, .bulk_bytes_max = 16'384, .before_login = true};
  CHECK(ParseWhole("*11\r\n", limits) == Transcript{Error("unauthenticated multibulk length")});
  CHECK(ParseWhole("*x\r\n", limits) == Transcript{Error("invalid multibulk length")});
  CHECK(ParseWhole("*1\r\n$16385\r\n", limits) == Transcript{Error("unauthenticated bulk length")});
  CHECK(ParseWhole("*10\r\n$16384\r\n", limits).empty());
}

TEST_CASE("empty requests and inline ones between arrays leave no state behind", "[hostile]") {
  std::string bytes;
  Transcript expected;
  for (int i = 0; i < 1000; ++i) {
    bytes += "*0\r\nPING\r\n*0\r\n" + kPing;
    expected.insert(expected.end(), 2, "PING");
  }
  CHECK(ParseWhole(bytes) == expected);
  CHECK(ParseByBytes(bytes) == expected);
}

TEST_CASE("announced counts and lengths cost no memory", "[hostile]") {
  ParserDriver driver(kLimits, 0);
  driver.Feed("*1000000\r\n$3\r\nSET\r\n$1\r\nx\r\n$536870912\r\n", [] { return std::size_t{7}; });
  CHECK(driver.BufferBytesMost() < 4096);
  const std::string part(100'000, 'x');
  driver.Feed(part, [] { return std::size_t{65'536}; });  // drained as it arrives
  CHECK(driver.BufferBytesMost() < 20'000);
}

// Mutations: only the sanitizers check, and that splitting changes nothing.
std::string Mutated(std::string bytes, std::mt19937& random) {
  const std::string alphabet = "*$\r\n0123456789-'\"\\ \0\x16\x03PHo:"s;
  for (std::size_t count = 1 + random() % 4; count > 0 && !bytes.empty(); --count) {
    const std::size_t at = random() % bytes.size();
    switch (random() % 4) {
      case 0:
        bytes[at] = alphabet[random() % alphabet.size()];
        break;
      case 1:
        bytes.erase(at, 1 + random() % 3);
        break;
      case 2:
        bytes.insert(at, 1, alphabet[random() % alphabet.size()]);
        break;
      default:
        bytes[at] = static_cast<char>(random());
    }
  }
  return bytes;
}

TEST_CASE("mutated and random bytes give the same events however they are split", "[hostile]") {
  std::mt19937 random(20'240'601);
  const std::string large = Encode({"KV.PUT", "p", std::string(17'000, 'v'), "x"});
  const std::vector<std::string> seeds = {
      Encode({"KV.PUT", "p", "key", "BLOB", "\r\n$3\r\n"}) + kPing + "*0\r\n",
      "SET \"a\\x41 b\" 'c\\'d'\r\n*-1\r\n" + kPing + "PING\n",
      large + kPing,
  };
  for (int round = 0; round < 6000; ++round) {
    std::string bytes = Mutated(seeds[random() % seeds.size()], random);
    if (round % 10 == 0) {
      bytes.resize(random() % 100);
      std::generate(bytes.begin(), bytes.end(), [&] { return static_cast<char>(random()); });
    }
    const Transcript whole = ParseWhole(bytes);
    const std::size_t step_max = bytes.size() > 1000 ? 2000 : 5;
    const Transcript cut = Parse(bytes, [&] { return 1 + random() % step_max; });
    if (whole != cut) {
      FAIL_CHECK("round " << round << ": " << bytes.substr(0, 200));
    }
  }
}

}  // namespace
}  // namespace sluice::tests
