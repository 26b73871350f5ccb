// Connections that come in large numbers, send little, or end badly.
#include <algorithm>
#include <optional>

#include <catch2/catch.hpp>
#include <netinet/tcp.h>
#include <sys/resource.h>

#include "tests/wire/bad_input.h"
#include "tests/wire/pinger.h"

namespace sluice::tests {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

// Both ends of each connection are in this process.
std::size_t ConnectionsPossible(std::size_t wanted) {
  rlimit files = {};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  return std::min<std::size_t>(wanted, (files.rlim_max - 200) / 2);
}

TEST_CASE("thousands of connections that send a request byte by byte use a few KB each",
          "[overload]") {
  constexpr std::int64_t kBytesMax = 4096;  // each
  const std::string head = "*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$16000\r\nv";
  const std::size_t count = ConnectionsPossible(5000);
  REQUIRE(count >= 1000);
  LiveServer server;
  Aftermath aftermath(server);
  {
    SocketClient other = server.Tcp();
    CHECK(other.Ask("PING").text == "PONG");
    const std::int64_t before = server.UsedMemory();
    const server::Stats& stats = server.Parts().Get().stats;
    std::int64_t sent = stats.Sum(&server::ThreadStats::input_bytes);
    std::vector<SocketClient> slow;
    for (std::size_t i = 0; i < count; ++i) {
      slow.push_back(server.Unix());
    }
    for (const char byte : head) {
      for (SocketClient& client : slow) {
        client.Send({&byte, 1});
      }
      sent += static_cast<std::int64_t>(count);
      WaitUntil([&] { return stats.Sum(&server::ThreadStats::input_bytes) == sent; });
      CHECK(other.Ask("PING").text == "PONG");
      sent += 6;
    }
    CHECK(server.UsedMemory() - before < kBytesMax * static_cast<std::int64_t>(count));
    // Silent connections are closed after the idle time-out.
    CHECK(other.Ask("CONFIG SET timeout 1").text == "OK");
    WaitUntil([&] { return other.Ask("PING").text == "PONG" && server.Connections() == 1; });
  }
  aftermath.Check();
}

TEST_CASE("a storm of simultaneously reset connections does not stop other clients", "[overload]") {
  constexpr int kConnections = 1000;  // of each kind, by each thread
  LiveServer server;
  Aftermath aftermath(server);
  {
    Pinger pinger(server.Unix());
    const auto storm = [&server](std::string_view first_words) {
      for (int i = 0; i < kConnections; ++i) {
        SocketClient client = server.Tcp();
        client.Send(first_words);
        client.Reset();
      }
    };
    std::thread silent(storm, "");
    std::thread half(storm, "*2\r\n$4\r\nECHO\r\n$100\r\nha");
    std::thread asking(storm, "COMMAND\r\nCOMMAND\r\n");
    silent.join();
    half.join();
    asking.join();
    CHECK(server.Tcp().Ask("PING").text == "PONG");
    pinger.Stop();
    CHECK(pinger.Failure().empty());
  }
  aftermath.Check();
}

TEST_CASE("a reset in the middle of a reply frees the whole reply", "[overload]") {
  constexpr std::size_t kBytes = 32 * kMiB;
  LiveServer server;
  Aftermath aftermath(server);
  {
    SocketClient writer = server.Unix();
    writer.Send(Encode({"SET", "k", std::string(kBytes, 'v')}));
    CHECK(writer.Receive().text == "OK");
  }
  for (std::size_t part = 1; part < kBytes; part *= 4) {
    SocketClient client = server.Tcp();
    client.Send(Repeat("GET k\r\n", 3));
    std::string received;
    while (received.size() < part) {
      REQUIRE(client.ReceiveSome(received, std::chrono::milliseconds(10000)));
    }
    client.Reset();
    CHECK(server.Tcp().Ask("PING").text == "PONG");
  }
  aftermath.Check();
}

TEST_CASE("a connection whose peer never closes after the server's FIN is closed", "[overload]") {
  LiveServer server;
  Aftermath aftermath(server);
  SocketClient quitting = server.Tcp();
  SocketClient wrong = server.Unix();
  SocketClient post = server.Tcp();
  quitting.Send("QUIT\r\n");
  CHECK(quitting.ReceiveUntilClosed() == "+OK\r\n");
  wrong.Send("*x\r\n");
  CHECK(wrong.ReceiveUntilClosed() == ProtocolError("invalid multibulk length"));
  post.Send("POST / HTTP/1.1\r\n");
  CHECK(post.ReceiveUntilClosed().empty());
  WaitUntil([&] { return server.Connections() == 0; });  // the client's ends are open meanwhile
  quitting.Close();
  wrong.Close();
  post.Close();
  aftermath.Check();
}

TEST_CASE("a peer that reads nothing forever is closed by the soft limit", "[overload]") {
  LiveServer server;
  Aftermath aftermath(server);
  server.Parts().Set("client-output-buffer-limit", "normal 0 1mb 1");
  {
    SocketClient client = server.Tcp();
    client.Send(Encode({"SET", "k", std::string(32 * kMiB, 'v')}) + "GET k\r\n");
    CHECK(client.Receive().text == "OK");
    WaitUntil([&] { return server.Connections() == 0; });
  }
  aftermath.Check();
}

// Returns the server's descriptor of the connection whose peer has this port.
std::optional<int> ServersEnd(in_port_t port) {
  for (int descriptor = 0; descriptor < 1000; ++descriptor) {
    sockaddr_in peer = {};
    socklen_t size = sizeof(peer);
    if (getpeername(descriptor, reinterpret_cast<sockaddr*>(&peer), &size) == 0 &&
        peer.sin_family == AF_INET && peer.sin_port == port) {
      return descriptor;
    }
  }
  return std::nullopt;
}

int Option(int descriptor, int level, int name) {
  int value = 0;
  socklen_t size = sizeof(value);
  CHECK(getsockopt(descriptor, level, name, &value, &size) == 0);
  return value;
}

TEST_CASE("peers that disappear without a packet are probed", "[overload]") {
  LiveServer server;
  SocketClient client = server.Tcp();
  CHECK(client.Ask("PING").text == "PONG");
  const auto descriptor = ServersEnd(client.Port());
  REQUIRE(descriptor);
  CHECK(Option(*descriptor, SOL_SOCKET, SO_KEEPALIVE) == 1);
  CHECK(Option(*descriptor, IPPROTO_TCP, TCP_KEEPIDLE) == 300);  // tcp-keepalive
  CHECK(Option(*descriptor, IPPROTO_TCP, TCP_KEEPINTVL) == 100);
  CHECK(Option(*descriptor, IPPROTO_TCP, TCP_KEEPCNT) == 3);
}

}  // namespace
}  // namespace sluice::tests
