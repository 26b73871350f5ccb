// Hundreds of blocked clients on several I/O threads.
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/deadline.h"
#include "tests/support/live_server.h"

namespace sluice::tests {
namespace {

using Words = std::vector<std::string>;

constexpr int kIoThreads = 4;

Value Ask(SocketClient& client, const Words& words) {
  client.Send(Encode(words));
  return client.Receive();
}

// Clients alternate between TCP and the Unix socket.
std::vector<SocketClient> Connect(LiveServer& server, std::size_t count) {
  std::vector<SocketClient> clients;
  clients.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    clients.push_back(i % 2 == 0 ? server.Tcp() : server.Unix());
  }
  return clients;
}

void WaitUntilBlocked(LiveServer& server, std::size_t clients) {
  WaitUntil(
      [&] { return server.Parts().Get().blocked_clients == static_cast<std::int64_t>(clients); });
}

// The woken writes fail with OOM, concurrently on several threads, and move from the wait queue of
// the partition to the wait queue for memory.
void WakeIntoShortMemory(const std::function<Words(const std::string& key)>& write) {
  constexpr std::size_t kClients = 300;
  const Deadline deadline("writes that were blocked by a full partition, and by memory then",
                          std::chrono::seconds(100));
  LiveServer server("", "", kIoThreads);
  SocketClient control = server.Unix();
  REQUIRE(Ask(control, {"SET", "ballast", std::string(2000000, 'b')}).text == "OK");
  std::vector<SocketClient> writers = Connect(server, kClients);
  for (int round = 0; round < 30; ++round) {
    const std::string rows = std::to_string(kClients);
    Ask(control, {"PARTITION.CREATE", "p", "MAXROWS", rows});
    REQUIRE(Ask(control, {"KV.MPUT", "p", "NEW", rows}).type == '*');
    for (std::size_t i = 0; i < kClients; ++i) {
      writers[i].Send(Encode(write("k" + std::to_string(i))));
    }
    WaitUntilBlocked(server, kClients);
    Ask(control, {"CONFIG", "SET", "maxmemory", "1mb"});
    Words clear = {"KV.CLEAR", "p", "ROWS", ""};
    for (std::int64_t row = 0; row < static_cast<std::int64_t>(kClients); ++row) {
      clear.back().append(reinterpret_cast<const char*>(&row), sizeof(row));
    }
    CHECK(Ask(control, clear).text == rows);
    Ask(control, {"CONFIG", "SET", "maxmemory", "4gb"});
    Ask(control, {"PARTITION.CREATE", "p", "MAXROWS", "0"});
    for (SocketClient& writer : writers) {
      CHECK(writer.Receive().type != '-');
    }
    Ask(control, {"KV.CLEAR", "p"});
  }
}

TEST_CASE("300 KV.PUT that wait for a full partition are woken into short memory", "[crowd]") {
  WakeIntoShortMemory([](const std::string& key) {
    return Words{"KV.PUT", "p", key, "BLOCK", "60000", "TAG", "{}"};
  });
}

TEST_CASE("300 KV.APPEND that wait for a full partition are woken into short memory", "[crowd]") {
  WakeIntoShortMemory([](const std::string& key) {
    return Words{"KV.APPEND", "p", key, "BLOCK", "60000", "FIELD", "x", "bytes", "BLOB", "piece"};
  });
}

TEST_CASE("300 KV.MPUT that wait for a full partition are woken into short memory", "[crowd]") {
  WakeIntoShortMemory([](const std::string& /*key*/) {
    return Words{"KV.MPUT", "p", "NEW", "1", "BLOCK", "60000"};
  });
}

// Sends one request after another and ignores the replies.
class Pest {
 public:
  Pest(LiveServer& server, std::function<Words(int)> request)
      : client_(server.Unix()), request_(std::move(request)), thread_([this] { Run(); }) {}
  ~Pest() {
    stop_ = true;
    thread_.join();
  }
  Pest(const Pest&) = delete;
  Pest& operator=(const Pest&) = delete;

 private:
  void Run() {
    try {
      for (int i = 0; !stop_; ++i) {
        Ask(client_, request_(i));
      }
    } catch (const std::runtime_error&) {  // the server has ended
    }
  }

  SocketClient client_;
  std::function<Words(int)> request_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

TEST_CASE("the server ends while hundreds are blocked and others wake them", "[crowd]") {
  const Deadline deadline("the end of a server", std::chrono::seconds(100));
  for (int round = 0; round < 8; ++round) {
    auto server = std::make_unique<LiveServer>("", "", kIoThreads);
    std::vector<SocketClient> blocked = Connect(*server, 200);
    std::vector<SocketClient> subscribed = Connect(*server, 20);
    for (std::size_t i = 0; i < blocked.size(); ++i) {
      const std::string task = "t" + std::to_string(i % 5);
      blocked[i].Send(Encode({"TASK.FETCH", "p", task, "FIELDS", "1", "x", "COUNT",
                              std::to_string(1 + i % 3), "BLOCK", "0"}));
    }
    for (SocketClient& client : subscribed) {
      Ask(client, {"SUBSCRIBE", "news"});
    }
    WaitUntilBlocked(*server, blocked.size());
    const auto publish = [](int) { return Words{"PUBLISH", "news", "x"}; };
    const auto unblock = [](int i) {
      return Words{"CLIENT", "UNBLOCK", std::to_string(1 + i % 220)};
    };
    const auto put = [](int i) {
      return Words{"KV.PUT", "p", std::to_string(i), "FIELD", "x", "int8", "VALUES", "1"};
    };
    const Pest publishing(*server, publish);
    const Pest publishing_too(*server, publish);
    const Pest unblocking(*server, unblock);
    const Pest putting(*server, put);
    const std::int64_t news = server->Parts().Get().stats.Sum(&server::ThreadStats::commands);
    WaitUntil([&] {
      return server->Parts().Get().stats.Sum(&server::ThreadStats::commands) > news + 50;
    });
    server = nullptr;
  }
}

}  // namespace
}  // namespace sluice::tests
