#include "tests/wire/bad_input.h"

#include <filesystem>
#include <iterator>

#include <catch2/catch.hpp>

#include "tests/wire/peers.h"

namespace sluice::tests {
namespace {

constexpr std::int64_t kWaitingBytesMax = 2 << 20;  // of a client that announced any size

std::string Password(const Settings& settings) {
  for (const auto& [option, value] : settings) {
    if (option == "requirepass") {
      return std::string(value);
    }
  }
  return {};
}

std::string Login(const std::string& password) {
  return password.empty() ? "" : Encode({"AUTH", password});
}

std::size_t OpenDescriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

// The server's threads open a file briefly now and then: returns a number seen twice.
std::size_t StableDescriptors() {
  std::size_t number = OpenDescriptors();
  int times = 0;
  WaitUntil([&] {
    const std::size_t now = OpenDescriptors();
    times = now == number ? times + 1 : 0;
    number = now;
    return times == 5;
  });
  return number;
}

void PlayInProcess(const Case& bad, const Settings& settings, std::size_t segment) {
  CAPTURE(bad.row, segment, bad.input.substr(0, 100));
  TestServer server(std::size_t{4} << 30);
  for (const auto& [option, value] : settings) {
    server.Set(option, value);
  }
  const std::int64_t before = server.GetMemory().GetBudget().Used();
  {
    TestClient client(server);
    if (bad.protocol == Protocol::k3) {
      client.Run({"HELLO", "3"});
    }
    CHECK(client.Feed(bad.input, segment) == bad.output);
    CHECK(client.Closed() == bad.closed);
    CHECK(server.GetMemory().GetBudget().Used() - before < kWaitingBytesMax);
    TestClient second(server);
    second.Feed(Login(Password(settings)));
    CHECK(second.Feed(kPing) == kPong);
    CHECK(second.Run({"FLUSHALL"}) == "+OK\r\n");
  }
  CHECK(server.GetMemory().GetBudget().Used() == before);
}

// Returns all bytes received by a client that sends this and then nothing more.
std::string Answers(SocketClient& client, const Case& bad) {
  if (bad.protocol == Protocol::k3) {
    client.Ask("HELLO 3");
  }
  client.Send(bad.input);
  if (!bad.closed) {
    client.HalfClose();
  }
  return client.ReceiveUntilClosed();
}

}  // namespace

std::string ProtocolError(const std::string& text) {
  return "-ERR Protocol error: " + text + "\r\n";
}

std::string Repeat(const std::string& text, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) {
    out += text;
  }
  return out;
}

void PlayInProcess(const std::vector<Case>& cases, const Settings& settings) {
  for (const Case& bad : cases) {
    for (const std::size_t segment : {SIZE_MAX, std::size_t{1}, std::size_t{1000}}) {
      PlayInProcess(bad, settings, segment);
    }
  }
}

void PlayOverSockets(const std::vector<Case>& cases, const Settings& settings) {
  LiveServer server;
  for (const auto& [option, value] : settings) {
    server.Parts().Set(option, value);
  }
  Aftermath aftermath(server, Password(settings));
  for (const Case& bad : cases) {
    for (const bool tcp : {true, false}) {
      CAPTURE(bad.row, tcp, bad.input.substr(0, 100));
      {
        SocketClient client = tcp ? server.Tcp() : server.Unix();
        CHECK(Answers(client, bad) == bad.output);
      }
      aftermath.Check();
    }
  }
}

void PlayAgainstRedis(const std::vector<Case>& cases, const std::string& password) {
  RealRedis redis(password.empty() ? std::vector<std::string>{}
                                   : std::vector<std::string>{"--requirepass", password});
  for (const Case& bad : cases) {
    if (bad.differs == Differs::kNo) {
      CAPTURE(bad.row, bad.input.substr(0, 100));
      SocketClient client = redis.Connect();
      CHECK(Answers(client, bad) == bad.output);
      SocketClient second = redis.Connect();
      second.Send(Login(password) + Encode({"FLUSHALL"}) + Encode({"QUIT"}));
      second.ReceiveUntilClosed();
    }
  }
}

Aftermath::Aftermath(LiveServer& server, std::string password)
    : server_(server),
      password_(std::move(password)),
      used_bytes_(server.UsedMemory()),
      descriptors_(StableDescriptors()) {}

void Aftermath::Check() {
  {
    SocketClient second = server_.Unix();
    if (!password_.empty()) {
      CHECK(second.Ask("AUTH " + password_).text == "OK");
    }
    CHECK(second.Ask("PING").text == "PONG");
    CHECK(second.Ask("FLUSHALL").text == "OK");
  }
  try {
    WaitUntil([&] { return server_.Connections() == 0 && server_.UsedMemory() == used_bytes_; });
  } catch (const std::runtime_error&) {  // the checks below report the numbers
    CHECK(server_.Connections() == 0);
    CHECK(server_.UsedMemory() == used_bytes_);
  }
  CHECK(StableDescriptors() == descriptors_);
  CHECK(server_.Parts().Get().slots_taken == 0);
  CHECK(server_.Parts().Get().blocked_clients == 0);
}

}  // namespace sluice::tests
