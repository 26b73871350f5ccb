// Limits for clients that misbehave or overload the server, over real sockets.
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/live_server.h"

namespace sluice::tests {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

// A client that asks for `count` times `bytes` bytes and never reads.
SocketClient NeverReading(LiveServer& server, std::size_t bytes, int count) {
  SocketClient client = server.Unix();
  client.Send(Encode({"SET", "big", std::string(bytes, 'b')}));
  CHECK(client.Receive().text == "OK");
  for (int i = 0; i < count; ++i) {
    client.SendSome("GET big\r\n", std::chrono::milliseconds(100));
  }
  return client;
}

TEST_CASE("a client that never reads is closed at the hard limit, and others are not affected",
          "[limits]") {
  LiveServer server("client-output-buffer-limit", "normal 8mb 0 0");
  SocketClient other = server.Tcp();
  CHECK(other.Ask("PING").text == "PONG");
  const SocketClient client = NeverReading(server, kMiB, 100);
  WaitUntil([&] {
    return server.Parts().Get().stats.Sum(&server::ThreadStats::output_limit_disconnections) == 1;
  });
  WaitUntil([&] { return server.Connections() == 1; });
  CHECK(other.Ask("PING").text == "PONG");
}

TEST_CASE("a client that reads nothing for long is closed at the soft limit", "[limits]") {
  LiveServer server("client-output-buffer-limit", "normal 0 1mb 1");
  SocketClient other = server.Tcp();
  CHECK(other.Ask("PING").text == "PONG");
  const SocketClient client = NeverReading(server, 4 * kMiB, 1);
  WaitUntil([&] { return server.Connections() == 1; });
  CHECK(server.Parts().Get().stats.Sum(&server::ThreadStats::output_limit_disconnections) == 1);
  CHECK(other.Ask("PING").text == "PONG");
}

TEST_CASE("a pipeline written whole before the first reply is read gets all replies in order",
          "[limits]") {
  LiveServer server;
  SocketClient client = server.Tcp();
  constexpr int kCommands = 200000;
  std::string pipeline;
  for (int i = 0; i < kCommands; ++i) {
    pipeline += "ECHO " + std::to_string(i) + "\r\n";
  }
  std::thread writer([&client, &pipeline] { client.Send(pipeline); });
  writer.join();  // all is written before anything is read
  for (int i = 0; i < kCommands; ++i) {
    const Value reply = client.Receive();
    if (reply.text != std::to_string(i)) {
      FAIL("reply " << i << " is " << reply.text);
    }
  }
}

TEST_CASE("maxclients also holds for simultaneous connections", "[limits]") {
  constexpr std::int64_t kClientsMax = 4;
  constexpr std::int64_t kComing = 200;
  LiveServer server("maxclients", std::to_string(kClientsMax));
  std::vector<SocketClient> clients;
  for (int i = 0; i < kComing; ++i) {
    clients.push_back(server.Tcp());
  }
  const server::Stats& stats = server.Parts().Get().stats;
  WaitUntil([&] {
    return stats.Sum(&server::ThreadStats::accepted_connections) +
               stats.Sum(&server::ThreadStats::rejected_connections) ==
           kComing;
  });
  CHECK(stats.Sum(&server::ThreadStats::accepted_connections) == kClientsMax);
}

TEST_CASE("QUIT replies and closes", "[limits]") {
  LiveServer server;
  SocketClient client = server.Tcp();
  client.Send("PING\r\nQUIT\r\nPING\r\n");
  CHECK(client.ReceiveUntilClosed() == "+PONG\r\n+OK\r\n");
}

TEST_CASE("an idle connection is closed after `timeout`", "[limits]") {
  LiveServer server("timeout", "1");
  CHECK(server.Tcp().ReceiveUntilClosed().empty());
}

TEST_CASE("SHUTDOWN starts the shutdown, and closes without a reply", "[limits]") {
  LiveServer server;
  SocketClient client = server.Tcp();
  client.Send("SHUTDOWN NOSAVE\r\n");
  CHECK(client.ReceiveUntilClosed().empty());
  CHECK(server.Parts().Stopped());
}

TEST_CASE("a client that dies in the middle of an upload frees its memory", "[limits]") {
  LiveServer server;
  const std::int64_t before = server.UsedMemory();
  for (int i = 0; i < 5; ++i) {
    SocketClient client = server.Tcp();
    client.Send("*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$67108864\r\n" + std::string(20 * kMiB, 'u'));
    WaitUntil([&] { return server.UsedMemory() > before + static_cast<std::int64_t>(10 * kMiB); });
    client.Close();
    WaitUntil([&] { return server.Connections() == 0 && server.UsedMemory() == before; });
  }
}

TEST_CASE("a reply stays whole if its row is removed while it is sent", "[limits]") {
  LiveServer server;
  SocketClient reader = server.Tcp();
  SocketClient other = server.Tcp();
  const std::string value(32 * kMiB, 'r');
  other.Send(Encode(
      {"KV.PUT", "p", "k", "FIELD", "x", "uint8", std::to_string(value.size()), "BLOB", value}));
  CHECK(other.Receive().text == "1");
  reader.Send("KV.MGET p KEYS 1 k\r\n");
  CHECK(other.Ask("KV.CLEAR p").text == "1");
  other.Send(Encode({"SET", "s", std::string(32 * kMiB, 'X')}));
  CHECK(other.Receive().text == "OK");
  const Value reply = reader.Receive();
  if (reply.type == '*') {  // the read came before the clear
    CHECK(reply.items[0].items[4].text == value);
  } else {
    CHECK(reply.text.starts_with("NOPARTITION"));
  }
}

TEST_CASE("others are answered while 64 MB are got repeatedly", "[limits]") {
  LiveServer server;
  SocketClient reader = server.Tcp();
  SocketClient other = server.Tcp();
  const std::string value(64 * kMiB, 'r');
  reader.Send(Encode(
      {"KV.PUT", "p", "k", "FIELD", "x", "uint8", std::to_string(value.size()), "BLOB", value}));
  CHECK(reader.Receive().text == "1");
  std::atomic<bool> done{false};
  std::thread reading([&] {
    for (int i = 0; i < 5; ++i) {
      reader.Send("KV.MGET p KEYS 1 k\r\n");
      reader.Receive();
    }
    done = true;
  });
  int pings = 0;
  while (!done) {
    other.Ask("PING");
    ++pings;
  }
  reading.join();
  CHECK(pings > 5);
}

}  // namespace
}  // namespace sluice::tests
