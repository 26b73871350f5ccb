// Limits on memory that a client can make the server hold, before and after login, and clients that
// are killed.
#include <catch2/catch.hpp>

#include "tests/wire/bad_input.h"

namespace sluice::tests {
namespace {

constexpr std::int64_t kMiB = std::int64_t{1} << 20;

std::vector<Case> BeforeLogin() {
  const std::string multibulk = ProtocolError("unauthenticated multibulk length");
  const std::string bulk = ProtocolError("unauthenticated bulk length");
  const std::string no_auth = "-NOAUTH Authentication required.\r\n";
  std::vector<std::string> ten(10, "x");
  ten.front() = "ECHO";
  return {
      {50, "*11\r\n", multibulk, true},
      {50, "*100\r\n", multibulk, true},
      {50, "*1048576\r\n", multibulk, true},
      {50, "*1\r\n$16385\r\n", bulk, true},
      {50, "*2\r\n$4\r\nAUTH\r\n$1000000\r\n", bulk, true},
      {50, "*2\r\n$4\r\nAUTH\r\n$536870912\r\n", bulk, true},
      {50, kPing + "*11\r\n", no_auth + multibulk, true},
      {50, Encode({"AUTH", std::string(16384, 'x')}),
       "-WRONGPASS invalid username-password pair or user is disabled.\r\n"},
      {50, Encode(ten), no_auth, false, Differs::kFromRedis},  // Redis checks the arity first
      {50, Encode({"AUTH", "secret"}) + Encode({"ECHO", std::string(20000, 'x')}),
       "+OK\r\n$20000\r\n" + std::string(20000, 'x') + "\r\n"},
      {50, Encode({"AUTH", "secret"}) + Encode({"RESET"}) + "*11\r\n",
       "+OK\r\n+RESET\r\n" + multibulk, true},
  };
}

TEST_CASE("before login requests have few and short arguments", "[bad-input]") {
  const Settings settings = {{"requirepass", "secret"}};
  PlayInProcess(BeforeLogin(), settings);
  PlayOverSockets(BeforeLogin(), settings);
  PlayAgainstRedis(BeforeLogin(), "secret");
}

TEST_CASE("a client that sends wrong passwords and reads nothing is closed", "[bad-input]") {
  LiveServer server;
  server.Parts().Set("requirepass", "secret");
  Aftermath aftermath(server, "secret");
  const server::Stats& stats = server.Parts().Get().stats;
  for (const bool tcp : {true, false}) {
    CAPTURE(tcp);
    const std::int64_t before = server.UsedMemory();
    const std::int64_t cut = stats.Sum(&server::ThreadStats::output_limit_disconnections);
    SocketClient client = tcp ? server.Tcp() : server.Unix();
    client.SetOption(SOL_SOCKET, SO_RCVBUF, 4096);
    const std::string wrong = Repeat("AUTH wrong\r\n", 1000);
    std::size_t commands = 0;
    while (client.SendSome(wrong, std::chrono::milliseconds(20000)) > 0) {
      commands += 1000;
      REQUIRE(commands < 1000000);
      CHECK(server.UsedMemory() - before < 256 * 1024);
    }
    WaitUntil(
        [&] { return stats.Sum(&server::ThreadStats::output_limit_disconnections) == cut + 1; });
    client.Close();
    aftermath.Check();
  }
}

TEST_CASE("a client that does not log in in time is closed", "[bad-input]") {
  LiveServer server;
  CHECK(server.Parts().GetConfig().login_timeout == 10);
  server.Parts().Set("requirepass", "secret");
  server.Parts().Set("login-timeout", "1");
  Aftermath aftermath(server, "secret");
  {
    SocketClient silent = server.Tcp();
    SocketClient busy = server.Unix();
    SocketClient in_time = server.Tcp();
    CHECK(in_time.Ask("AUTH secret").text == "OK");
    std::string received;
    for (bool open = true; open;) {  // other commands do not extend the time
      busy.Send("PING\r\n");
      open = busy.ReceiveSome(received, std::chrono::milliseconds(20000));
      REQUIRE(received.size() < 100000000);
    }
    CHECK(silent.ReceiveUntilClosed().empty());
    CHECK(in_time.Ask("PING").text == "PONG");
  }
  aftermath.Check();
}

TEST_CASE("commands queued by MULTI count as the client's memory, and are limited", "[bad-input]") {
  LiveServer server;
  server.Parts().Set("client-query-buffer-limit", "4mb");
  Aftermath aftermath(server);
  const server::Stats& stats = server.Parts().Get().stats;
  const std::int64_t before = server.UsedMemory();
  const std::string tiny = "PING\r\n";
  const std::string small = Encode({"SET", "k", std::string(10000, 'x')});
  for (const std::string& command : {tiny, small}) {
    CAPTURE(command.size());
    const std::int64_t cut = stats.Sum(&server::ThreadStats::query_limit_disconnections);
    SocketClient client = server.Tcp();
    client.Send("MULTI\r\n");
    CHECK(client.Receive().text == "OK");
    std::int64_t queued = 0;
    for (std::string answers; client.SendSome(command, std::chrono::milliseconds(20000)) > 0;) {
      if (!client.ReceiveSome(answers, std::chrono::milliseconds(20000))) {
        break;
      }
      REQUIRE(++queued * static_cast<std::int64_t>(command.size()) < 8 * kMiB);
      if (queued == 200) {
        CHECK(server.UsedMemory() - before > 200 * static_cast<std::int64_t>(command.size()));
      }
    }
    CHECK(queued > 200);
    CHECK(stats.Sum(&server::ThreadStats::query_limit_disconnections) == cut + 1);
    client.Close();
    aftermath.Check();
  }
}

TEST_CASE("large arguments queued by MULTI count in maxmemory", "[bad-input]") {
  LiveServer server;
  server.Parts().Set("maxmemory", "16mb");
  Aftermath aftermath(server);
  {
    SocketClient client = server.Tcp();
    client.Send("MULTI\r\n" +
                Repeat(Encode({"SET", "k", std::string(static_cast<std::size_t>(kMiB), 'x')}), 32) +
                "EXEC\r\n");
    CHECK(client.Receive().text == "OK");
    int queued = 0;
    for (int i = 0; i < 32; ++i) {
      const Value reply = client.Receive();
      queued += reply.text == "QUEUED" ? 1 : 0;
      CHECK((reply.text == "QUEUED" || reply.text.starts_with("OOM ")));
    }
    CHECK(queued > 8);
    CHECK(queued < 16);
    CHECK(client.Receive().text.starts_with("EXECABORT "));
    CHECK(client.Ask("DBSIZE").text == "0");
  }
  aftermath.Check();
}

TEST_CASE("replies of EXEC that exceed maxmemory are errors", "[bad-input]") {
  constexpr std::int64_t kLimit = 16 * kMiB;
  constexpr std::size_t kReads = 20000;  // 300 MB
  LiveServer server;
  server.Parts().Set("maxmemory", std::to_string(kLimit));
  Aftermath aftermath(server);
  {
    SocketClient other = server.Unix();
    other.Send(Encode({"SET", "k", std::string(15000, 'x')}));
    CHECK(other.Receive().text == "OK");
    SocketClient client = server.Tcp();
    client.Send("MULTI\r\nSET first 1\r\n" + Repeat("GET k\r\n", kReads) + "SET last 1\r\n");
    for (std::size_t i = 0; i < kReads + 3; ++i) {
      client.Receive();
    }
    client.Send("EXEC\r\n" + kPing);
    std::string received;  // decoded once: it is long
    while (!received.ends_with("+PONG\r\n")) {
      REQUIRE(client.ReceiveSome(received, std::chrono::milliseconds(20000)));
    }
    Value answers;
    REQUIRE(Decode(received, answers));
    REQUIRE(answers.items.size() == kReads + 2);
    CHECK(answers.items.front().text == "OK");
    std::size_t values = 0;
    for (std::size_t i = 1; i <= kReads; ++i) {
      const std::string& text = answers.items[i].text;
      values += text.size() == 15000 ? 1 : 0;
      CHECK((text.size() == 15000 || text.starts_with("OOM ")));
    }
    CHECK(values > 1000);
    CHECK(values < kReads / 2);
    CHECK(answers.items.back().text.starts_with("OOM "));  // no memory is left for it
    CHECK(server.Parts().GetMemory().GetBudget().Peak() < 2 * kLimit + 64 * kMiB);
    CHECK(other.Ask("GET first").text == "1");
    CHECK(other.Ask("EXISTS last").text == "0");
  }
  aftermath.Check();
}

TEST_CASE("CLIENT KILL of all clients also closes its own connection", "[bad-input]") {
  LiveServer server;
  Aftermath aftermath(server);
  for (const std::string command : {"CLIENT KILL TYPE normal SKIPME no\r\n",
                                    "MULTI\r\nCLIENT KILL TYPE normal SKIPME no\r\nEXEC\r\n"}) {
    CAPTURE(command);
    std::vector<SocketClient> others;
    for (int i = 0; i < 9; ++i) {
      others.push_back(i % 2 == 0 ? server.Tcp() : server.Unix());
      CHECK(others.back().Ask("PING").text == "PONG");
    }
    SocketClient client = server.Tcp();
    client.Send(command + kPing);
    const bool multi = command.starts_with("MULTI");
    CHECK(client.ReceiveUntilClosed() == (multi ? "+OK\r\n+QUEUED\r\n*1\r\n:10\r\n" : ":10\r\n"));
    for (SocketClient& other : others) {
      CHECK(other.ReceiveUntilClosed().empty());
    }
    client.Close();
    others.clear();
    aftermath.Check();
  }
}

TEST_CASE("a client that is killed in the middle of an upload frees its memory", "[bad-input]") {
  LiveServer server;
  Aftermath aftermath(server);
  const std::int64_t before = server.UsedMemory();
  for (const bool tcp : {true, false}) {
    SocketClient client = tcp ? server.Tcp() : server.Unix();
    const std::string id = client.Ask("CLIENT ID").text;
    client.Send("*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$67108864\r\n" + std::string(20 * kMiB, 'u'));
    WaitUntil([&] { return server.UsedMemory() - before > 19 * kMiB; });
    {
      SocketClient killer = server.Tcp();
      CHECK(killer.Ask("CLIENT KILL ID " + id).text == "1");
      CHECK(killer.Ask("CLIENT KILL ID " + id).text == "0");
    }
    CHECK(client.ReceiveUntilClosed().empty());
    client.Close();
    aftermath.Check();
  }
}

TEST_CASE("connections beyond maxclients are refused", "[bad-input]") {
  LiveServer server("maxclients", "2");
  Aftermath aftermath(server);
  {
    SocketClient first = server.Tcp();
    CHECK(first.Ask("PING").text == "PONG");
    {
      SocketClient second = server.Unix();
      CHECK(second.Ask("PING").text == "PONG");
      for (int i = 0; i < 100; ++i) {
        SocketClient third = i % 2 == 0 ? server.Tcp() : server.Unix();
        CHECK(third.ReceiveUntilClosed() == "-ERR max number of clients reached\r\n");
      }
    }
    WaitUntil([&] { return server.Connections() == 1; });
    CHECK(server.Tcp().Ask("PING").text == "PONG");
  }
  aftermath.Check();
}

}  // namespace
}  // namespace sluice::tests
