// Complete but wrong commands.
#include <catch2/catch.hpp>

#include "tests/wire/bad_input.h"

namespace sluice::tests {
namespace {

std::string Error(const std::string& text) {
  return "-ERR " + text + "\r\n";
}

std::vector<Case> CommandCases() {
  const std::string arity = "wrong number of arguments for ";
  const std::string null = "$-1\r\n";  // the reply to GET of a missing key, only in RESP2
  const std::string get = "GET nosuch\r\n";
  const std::string wrong_pass =
      "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
  return {
      {40, "GET\r\n", Error(arity + "'get' command")},
      {40, "SET a\r\n", Error(arity + "'set' command")},
      {40, "PING x y\r\n", Error(arity + "'ping' command")},
      {40, "CONFIG GET\r\n", Error(arity + "'config|get' command")},
      {41, "CLIENT NOSUCH\r\n", Error("unknown subcommand 'NOSUCH'. Try CLIENT HELP.")},
      {42, "HELLO 1\r\n" + get, "-NOPROTO unsupported protocol version\r\n" + null},
      {42, "HELLO 4\r\n" + get, "-NOPROTO unsupported protocol version\r\n" + null},
      {42, "HELLO abc\r\n" + get,
       Error("Protocol version is not an integer or out of range") + null},
      {42, "HELLO 3 FOO\r\n" + get, Error("Syntax error in HELLO option 'FOO'") + null},
      {42, "HELLO 3 AUTH x\r\n" + get, Error("Syntax error in HELLO option 'AUTH'") + null},
      {42, "HELLO 3 SETNAME \"a b\"\r\n" + get,
       Error("Client names cannot contain spaces, newlines or special characters.") + null},
      {43, "HELLO 3 AUTH bad bad\r\n" + get, wrong_pass + null},
  };
}

std::vector<Case> ConfigCases() {
  const auto get = [](const std::string& option) { return "CONFIG GET " + option + "\r\n"; };
  const auto pair = [](const std::string& option, const std::string& value) {
    return "*2\r\n$" + std::to_string(option.size()) + "\r\n" + option + "\r\n$" +
           std::to_string(value.size()) + "\r\n" + value + "\r\n";
  };
  const auto unknown = [](const std::string& option) {
    return Error("Unknown option or number of arguments for CONFIG SET - '" + option + "'");
  };
  const auto failed = [](const std::string& option, const std::string& why) {
    return Error("CONFIG SET failed (possibly related to argument '" + option + "') - " + why);
  };
  return {
      {61, "CONFIG SET nosuch 1\r\n", unknown("nosuch")},
      {61, "CONFIG SET timeout 7 nosuch 2\r\n" + get("timeout"),
       unknown("nosuch") + pair("timeout", "0")},
      {61, "CONFIG SET databases 2\r\n", failed("databases", "can't set immutable config")},
      // Redis's text is "argument must be a memory value".
      {61, "CONFIG SET timeout 7 maxmemory abc\r\n" + get("timeout"),
       failed("maxmemory", "maxmemory: expected a memory value (like 512mb), got 'abc'") +
           pair("timeout", "0"),
       false, Differs::kFromRedis},
      // Redis replies that it is protected. There is no folder option that could be set yet.
      {61, "CONFIG SET dir /tmp\r\n", unknown("dir"), false, Differs::kFromRedis},
      // redis-server 7.0.15 accepts this.
      {61, "CONFIG SET port 1\r\n", failed("port", "can't set immutable config"), false,
       Differs::kFromRedis},
  };
}

// A write, then a read that shows that nothing is stored. "KV.PUT p k FIELD x" stands in front.
Case Tensor(const std::vector<std::string>& words, const std::string& why) {
  std::vector<std::string> put = {"KV.PUT", "p", "k", "FIELD", "x"};
  put.insert(put.end(), words.begin(), words.end());
  return {64, Encode(put) + "DBSIZE\r\n", why + "\r\n:0\r\n", false, Differs::kFromRedis};
}

std::vector<Case> TensorCases() {
  const std::string huge = "9223372036854775807";
  std::vector<std::string> dims(33, "1");
  dims.insert(dims.begin(), "int8");
  dims.insert(dims.end(), {"BLOB", "a"});
  const std::string shape = "-SHAPE field 'x': ";
  return {
      Tensor({"int8", huge, huge, "BLOB", "abc"},
             shape + "shape [" + huge + ", " + huge + "] is too large"),
      Tensor({"float64", "1152921504606846976", "BLOB", "abc"},
             shape + "shape [1152921504606846976] is too large"),
      Tensor({"int8", "-1", "BLOB", "abc"}, shape + "a dim is negative: [-1]"),
      Tensor({"int8", "9223372036854775808", "BLOB", "abc"},
             shape + "dim 9223372036854775808 is too large"),
      Tensor(dims, shape + "rank 33 is more than 32"),
      Tensor({"int64", "2", "BLOB", "abc"}, shape + "int64 [2] needs 16 bytes, got 3"),
      Tensor({"int64", "2", "BLOB", ""}, shape + "int64 [2] needs 16 bytes, got 0"),
      Tensor({"int64", "2", "VALUES", "1"}, "-ERR field 'x': int64 [2] needs 2 values, got 1"),
      Tensor({"int64", "1099511627776", "VALUES", "1"},
             "-ERR field 'x': int64 [1099511627776] needs 1099511627776 values, got 1"),
      Tensor({"float7", "1", "BLOB", "a"}, "-DTYPE field 'x': unknown dtype 'float7'"),
      Tensor({"", "1", "BLOB", "a"}, "-DTYPE field 'x': unknown dtype ''"),
  };
}

TEST_CASE("wrong commands get their reply in-process, however they are split", "[bad-input]") {
  PlayInProcess(CommandCases(), {});
  PlayInProcess(ConfigCases(), {});
  PlayInProcess(TensorCases(), {});
}

TEST_CASE("wrong commands get their reply over sockets", "[bad-input]") {
  PlayOverSockets(CommandCases(), {});
  PlayOverSockets(ConfigCases(), {});
  PlayOverSockets(TensorCases(), {});
}

TEST_CASE("wrong commands get the reply of redis-server", "[bad-input]") {
  PlayAgainstRedis(CommandCases());
  PlayAgainstRedis(ConfigCases());
}

}  // namespace
}  // namespace sluice::tests
