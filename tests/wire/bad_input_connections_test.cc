// Connection states, entered and left in wrong ways.
#include <catch2/catch.hpp>

#include "tests/wire/bad_input.h"

namespace sluice::tests {
namespace {

const std::string kOk = "+OK\r\n";
const std::string kQueued = "+QUEUED\r\n";
const std::string kNoAuthentication = "-NOAUTH Authentication required.\r\n";
const std::string kWrongPass = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";

std::string Error(const std::string& text) {
  return "-ERR " + text + "\r\n";
}

std::string Bulk(const std::string& text) {
  return "$" + std::to_string(text.size()) + "\r\n" + text + "\r\n";
}

// "subscribe", "c", 1 as an array or a push.
std::string Confirmed(char type, const std::string& kind, const std::string& name, int count) {
  const std::string null = type == '>' ? "_\r\n" : "$-1\r\n";
  return std::string(1, type) + "3\r\n" + Bulk(kind) + (name.empty() ? null : Bulk(name)) + ":" +
         std::to_string(count) + "\r\n";
}

std::vector<Case> PubSubCases() {
  const auto only = [](const std::string& name) {
    return Error("Can't execute '" + name +
                 "': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in "
                 "this context");
  };
  const std::string pong = "*2\r\n" + Bulk("pong");
  std::vector<Case> cases = {
      {44, "SUBSCRIBE c\r\nGET k\r\n", Confirmed('*', "subscribe", "c", 1) + only("get")},
      {44, "PSUBSCRIBE c*\r\nSET k v\r\nUNSUBSCRIBE\r\nPUNSUBSCRIBE\r\nGET k\r\n",
       Confirmed('*', "psubscribe", "c*", 1) + only("set") + Confirmed('*', "unsubscribe", "", 1) +
           Confirmed('*', "punsubscribe", "c*", 0) + "$-1\r\n"},
      {44, "SUBSCRIBE c\r\nPING\r\nPING x\r\nCLIENT ID\r\nRESET\r\nPING\r\n",
       Confirmed('*', "subscribe", "c", 1) + pong + Bulk("") + pong + Bulk("x") +
           only("client|id") + "+RESET\r\n" + kPong},
      {45, "SUBSCRIBE c\r\nGET k\r\nPING\r\nUNSUBSCRIBE c\r\n",
       Confirmed('>', "subscribe", "c", 1) + "_\r\n" + kPong +
           Confirmed('>', "unsubscribe", "c", 0),
       false, Differs::kNo, Protocol::k3},
  };
  for (const std::string kind : {"unsubscribe", "punsubscribe", "sunsubscribe"}) {
    cases.push_back({46, Encode({kind}), Confirmed('*', kind, "", 0)});
    cases.push_back({46, Encode({kind}) + kPing, Confirmed('>', kind, "", 0) + kPong, false,
                     Differs::kNo, Protocol::k3});
    cases.push_back({46, Encode({kind, "a", "b"}),
                     Confirmed('*', kind, "a", 0) + Confirmed('*', kind, "b", 0)});
  }
  return cases;
}

// The password is "secret".
std::vector<Case> LoginCases() {
  const std::string login = "AUTH secret\r\n";
  std::vector<Case> cases = {
      {47, login + "PING\r\nAUTH wrong\r\nPING\r\n", kOk + kPong + kWrongPass + kPong},
      {47, "PING\r\nAUTH wrong\r\nPING\r\n", kNoAuthentication + kWrongPass + kNoAuthentication},
      {47, "AUTH wrong\r\nAUTH secret\r\nPING\r\n", kWrongPass + kOk + kPong},
      {48, "AUTH\r\n", Error("wrong number of arguments for 'auth' command")},
      {48, "AUTH a b c\r\n", Error("syntax error")},
      {48, Encode({"AUTH", std::string(10240, 'x')}), kWrongPass},
      {48, Encode({"AUTH", "secret" + std::string(1, '\0')}), kWrongPass},
      {48, Encode({"AUTH", ""}), kWrongPass},
      {49, "QUIT\r\n", kOk, true},
      {49, "RESET\r\n", "+RESET\r\n"},
      {49, login + "RESET\r\nPING\r\n", kOk + "+RESET\r\n" + kNoAuthentication},
      {49, "NOSUCH\r\n", kNoAuthentication, false, Differs::kFromRedis},  // unknown in Redis
      {49, "KV.MGET p KEYS 1 k\r\n", kNoAuthentication, false, Differs::kFromRedis},
      {49, "EXEC\r\n", kNoAuthentication, false, Differs::kFromRedis},  // Redis replies EXECABORT
      {49, "CLIENT SETINFO LIB-NAME x\r\n", kNoAuthentication, false, Differs::kFromRedis},
  };
  for (const std::string command :
       {"PING", "ECHO x", "CLIENT ID", "COMMAND", "INFO", "MULTI", "SUBSCRIBE c", "GET k",
        "FLUSHALL", "SHUTDOWN NOSAVE", "MONITOR", "CONFIG GET requirepass", "WATCH k"}) {
    cases.push_back({49, command + "\r\n", kNoAuthentication});
  }
  return cases;
}

std::vector<Case> TransactionCases() {
  const std::string abort = "-EXECABORT Transaction discarded because of previous errors.\r\n";
  const std::string unknown = Error("unknown command 'NOSUCH', with args beginning with: ");
  const std::string arity = Error("wrong number of arguments for 'get' command");
  const std::string null = "$-1\r\n";
  return {
      {43, "MULTI\r\nHELLO 3 AUTH bad bad\r\nEXEC\r\nGET k\r\n",
       kOk + kQueued + "*1\r\n" + kWrongPass + null},
      {54, "MULTI\r\nNOSUCH\r\nSET k v\r\nEXEC\r\nGET k\r\n",
       kOk + unknown + kQueued + abort + null},
      {54, "MULTI\r\nSET k v\r\nGET\r\nEXEC\r\nGET k\r\nEXEC\r\n",
       kOk + kQueued + arity + abort + null + Error("EXEC without MULTI")},
      {54, "MULTI\r\nGET\r\nDISCARD\r\nMULTI\r\nPING\r\nEXEC\r\n",
       kOk + arity + kOk + kOk + kQueued + "*1\r\n" + kPong},
      {55, "MULTI\r\nMULTI\r\nPING\r\nEXEC\r\n",
       kOk + Error("MULTI calls can not be nested") + kQueued + "*1\r\n" + kPong},
      {55, "MULTI\r\nWATCH k\r\nPING\r\nEXEC\r\n",
       kOk + Error("WATCH inside MULTI is not allowed") + kQueued + "*1\r\n" + kPong},
      {55, "EXEC\r\nDISCARD\r\n", Error("EXEC without MULTI") + Error("DISCARD without MULTI")},
      {56, "MULTI\r\nSET s x\r\nINCR s\r\nSET t y\r\nEXEC\r\nMGET s t\r\n",
       kOk + kQueued + kQueued + kQueued + "*3\r\n" + kOk +
           Error("value is not an integer or out of range") + kOk + "*2\r\n" + Bulk("x") +
           Bulk("y")},
      {57, "WATCH k\r\nSET k 1\r\nMULTI\r\nSET k 2\r\nEXEC\r\nGET k\r\n",
       kOk + kOk + kOk + kQueued + "*-1\r\n" + Bulk("1")},
      {57, "WATCH k\r\nSET k 1\r\nMULTI\r\nSET k 2\r\nEXEC\r\nGET k\r\n",
       kOk + kOk + kOk + kQueued + "_\r\n" + Bulk("1"), false, Differs::kNo, Protocol::k3},
      {57, "WATCH k\r\nSET k 1\r\nUNWATCH\r\nMULTI\r\nGET k\r\nEXEC\r\n",
       kOk + kOk + kOk + kOk + kQueued + "*1\r\n" + Bulk("1")},
  };
}

std::vector<Case> SilenceCases() {
  return {
      {59, "CLIENT REPLY OFF\r\nSET k v\r\nGET k\r\nNOSUCH\r\nCLIENT REPLY ON\r\nPING\r\n",
       kOk + kPong},
      {59, "CLIENT REPLY SKIP\r\nSET k v\r\nGET k\r\n", Bulk("v")},
      {59, "CLIENT REPLY SKIP\r\nNOSUCH\r\nPING\r\n", kPong},
      {59, "CLIENT REPLY SKIP\r\nCLIENT REPLY ON\r\nPING\r\n", kOk + kPong},
      {59, "CLIENT REPLY OFF\r\nPING\r\nRESET\r\nPING\r\n", "+RESET\r\n" + kPong},
      {59, "CLIENT REPLY NOSUCH\r\nPING\r\n", Error("syntax error") + kPong},
  };
}

void PlayInProcessAndOverSockets(const std::vector<Case>& cases, const Settings& settings = {}) {
  PlayInProcess(cases, settings);
  PlayOverSockets(cases, settings);
}

TEST_CASE("commands between subscriptions get the reply of RESP2 or RESP3", "[bad-input]") {
  PlayInProcessAndOverSockets(PubSubCases());
  PlayAgainstRedis(PubSubCases());
}

TEST_CASE("before login a client may only log in, reset or quit", "[bad-input]") {
  PlayInProcessAndOverSockets(LoginCases(), {{"requirepass", "secret"}});
  PlayAgainstRedis(LoginCases(), "secret");
}

TEST_CASE("AUTH without a configured password is an error", "[bad-input]") {
  const std::vector<Case> cases = {
      {48, "AUTH secret\r\n",
       Error("AUTH <password> called without any password configured for the default user. Are you "
             "sure your configuration is correct?")}};
  PlayInProcessAndOverSockets(cases);
  PlayAgainstRedis(cases);
}

TEST_CASE("transactions that fail or nest are refused", "[bad-input]") {
  PlayInProcessAndOverSockets(TransactionCases());
  PlayAgainstRedis(TransactionCases());
}

TEST_CASE("CLIENT REPLY suppresses unwanted replies", "[bad-input]") {
  PlayInProcessAndOverSockets(SilenceCases());
  PlayAgainstRedis(SilenceCases());
}

}  // namespace
}  // namespace sluice::tests
