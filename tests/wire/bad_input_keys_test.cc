// Wrong cursors, keys, expiry times and patterns.
#include <ctime>

#include <catch2/catch.hpp>

#include "tests/wire/bad_input.h"

namespace sluice::tests {
namespace {

std::string Error(const std::string& text) {
  return "-ERR " + text + "\r\n";
}

const std::string kNotInteger = "value is not an integer or out of range";

std::vector<Case> NumberCases() {
  const std::string no_cursor = Error("invalid cursor");
  const auto no_time = [](const std::string& command) {
    return Error("invalid expire time in '" + command + "' command");
  };
  std::vector<Case> cases = {
      {62, "SCAN abc\r\n", no_cursor},
      {62, "SCAN 1234567890123456789012\r\n", no_cursor},
      {62, "SCAN 0 COUNT -1\r\n", Error("syntax error")},
      {62, "SCAN 0 COUNT 0\r\n", Error("syntax error")},
      {62, "SCAN 0 COUNT abc\r\n", Error(kNotInteger)},
      {62, "SLOWLOG GET -2\r\n", Error("count should be greater than or equal to -1")},
      {62, "SELECT -1\r\n", Error("DB index is out of range")},
      {62, "SELECT abc\r\n", Error(kNotInteger)},
      {62, "SELECT 99999999999999999999\r\n", Error(kNotInteger)},
      {66, "SET k v EX abc\r\nEXISTS k\r\n", Error(kNotInteger) + ":0\r\n"},
      {66, "SET k v\r\nEXPIRE k abc\r\nTTL k\r\nDEL k\r\n",
       "+OK\r\n" + Error(kNotInteger) + ":-1\r\n:1\r\n"},
      {66, "EXPIRE k 9223372036854775807\r\n", no_time("expire")},
  };
  for (const char* const time : {"0", "-1", "9223372036854775807"}) {
    const std::string n(time);
    cases.push_back({66, "SET k v EX " + n + "\r\nEXISTS k\r\n", no_time("set") + ":0\r\n"});
    cases.push_back({66, "SET k v PX " + n + "\r\nEXISTS k\r\n", no_time("set") + ":0\r\n"});
    cases.push_back({66, "SETEX k " + n + " v\r\n", no_time("setex")});
    cases.push_back({66, "PSETEX k " + n + " v\r\n", no_time("psetex")});
  }
  return cases;
}

std::vector<Case> PartitionCases() {
  const std::string wrong_type =
      "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";
  const std::string make = "KV.PUT p k TAG {}\r\n";
  const std::string drop = "DEL p\r\n";
  std::vector<Case> cases = {
      {63, make + "TYPE p\r\n" + drop, ":1\r\n+partition\r\n:1\r\n", false, Differs::kFromRedis}};
  for (const char* const command :
       {"GET p", "INCR p", "SET p v", "APPEND p v", "MSET q v p v", "GETDEL p", "STRLEN p"}) {
    std::string input = make + command;
    input += "\r\nKV.TAGS p KEYS 1 k\r\nEXISTS q\r\n" + drop;
    cases.push_back({63, input, ":1\r\n" + wrong_type + "*1\r\n$2\r\n{}\r\n:0\r\n:1\r\n", false,
                     Differs::kFromRedis});
  }
  return cases;
}

TEST_CASE("wrong cursors, times and types get their reply in-process", "[bad-input]") {
  PlayInProcess(NumberCases(), {});
  PlayInProcess(PartitionCases(), {});
}

TEST_CASE("wrong cursors, times and types get their reply over sockets", "[bad-input]") {
  PlayOverSockets(NumberCases(), {});
  PlayOverSockets(PartitionCases(), {});
}

TEST_CASE("wrong cursors and times get the reply of redis-server", "[bad-input]") {
  PlayAgainstRedis(NumberCases());
}

TEST_CASE("keys may be empty and long, but not too long", "[bad-input]") {
  TestServer server(std::size_t{4} << 30);
  const std::int64_t before = server.GetMemory().GetBudget().Used();
  {
    TestClient client(server);
    for (const std::string& key : {std::string(), std::string(std::size_t{1} << 20, 'k')}) {
      CHECK(client.Run({"SET", key, "v"}) == "+OK\r\n");
      CHECK(client.Run({"GET", key}) == "$1\r\nv\r\n");
      CHECK(client.Run({"DEL", key}) == ":1\r\n");
    }
    const std::string too_long = Error("key too long: at most 16777216 bytes");
    const std::string key((std::size_t{16} << 20) + 1, 'k');
    for (const std::vector<std::string>& words :
         std::vector<std::vector<std::string>>{{"SET", key, "v"},
                                               {"MSET", "a", "1", key, "v"},
                                               {"APPEND", key, "v"},
                                               {"SETRANGE", key, "0", "v"},
                                               {"INCR", key}}) {
      CHECK(client.Run(words) == too_long);
    }
    client.Feed("*3\r\n$3\r\nSET\r\n$629145600\r\n");
    const std::string part(std::size_t{1} << 20, 'k');
    for (int i = 0; i < 600; ++i) {
      CHECK(client.Feed(part).empty());
    }
    CHECK(client.Feed("\r\n$1\r\nv\r\n" + kPing) == too_long + kPong);
    CHECK(client.Run({"DBSIZE"}) == ":0\r\n");
  }
  CHECK(server.GetMemory().GetBudget().Used() == before);
}

TEST_CASE("names of partitions, rows and fields are checked, and errors name them", "[bad-input]") {
  const std::vector<std::pair<std::string, std::string>> names = {
      {"", "is empty"},
      {std::string(513, 'n'), "is longer than 512 bytes"},
      {"a\nb", "has a control character"},
      {"\xff", "is not valid UTF-8"}};
  TestServer server;
  TestClient client(server);
  for (const auto& [name, why] : names) {
    CAPTURE(why);
    const std::vector<std::pair<std::string, std::vector<std::string>>> requests = {
        {"partition", {"KV.PUT", name, "k", "TAG", "{}"}},
        {"key", {"KV.PUT", "p", name, "TAG", "{}"}},
        {"field", {"KV.PUT", "p", "k", "FIELD", name, "int8", "VALUES", "1"}},
        {"key", {"AI.TENSORSET", name, "FLOAT", "1"}}};
    for (const auto& [what, words] : requests) {
      const std::string answer = client.Run(words);
      CAPTURE(words[0], answer);
      CHECK(answer.starts_with("-ERR " + what));
      CHECK(answer.find(why) != std::string::npos);
    }
  }
  CHECK(client.Run({"DBSIZE"}) == ":0\r\n");
}

TEST_CASE("hostile patterns cannot make the server work for long", "[bad-input]") {
  const std::string key(std::size_t{64} * 1024, 'a');
  std::string stars;
  for (int i = 0; i < 10000; ++i) {
    stars += "*a";
  }
  const std::string short_stars = stars.substr(0, 1000) + "b";
  TestServer server;
  TestClient client(server);
  client.Run({"SET", key, "v"});
  const std::clock_t begin = std::clock();
  CHECK(client.Run({"KEYS", stars}).starts_with("-ERR "));
  CHECK(client.Run({"SCAN", "0", "MATCH", stars}).starts_with("-ERR "));
  CHECK(client.Run({"KEYS", short_stars}) == "*0\r\n");
  CHECK(client.Run({"KEYS", "[a"}) == "*0\r\n");
  CHECK(client.Run({"KEYS", "a\\"}) == "*0\r\n");
  CHECK(client.Run({"SCAN", "0", "MATCH", "["}) == "*2\r\n$1\r\n0\r\n*0\r\n");
  // 10 ms each in a release build, plus a margin for the sanitizers
  CHECK(std::clock() - begin < CLOCKS_PER_SEC / 2);
}

}  // namespace
}  // namespace sluice::tests
