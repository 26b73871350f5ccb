// Many concurrent clients over real sockets, with compaction running: each sees whole writes. Under
// TSan this is the test that would find a race.
#include <algorithm>
#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

#include "store/compaction.h"
#include "tests/support/live_server.h"
#include "tests/support/resp_decoder.h"

namespace sluice::tests {
namespace {

constexpr int kGroups = 4;
constexpr int kRowsOfGroup = 50;
constexpr std::size_t kValueBytes = 2000;

std::string Key(int group, int row) {
  return "g" + std::to_string(group) + "_" + std::to_string(row);
}

std::string ListOfKeys(int group) {
  std::string keys;
  for (int row = 0; row < kRowsOfGroup; ++row) {
    keys += Key(group, row) + "\n";
  }
  return keys;
}

// Threads count their failures and the main thread checks them: Catch2 is not thread-safe.
class Crowd {
 public:
  explicit Crowd(LiveServer& server) : server_(server) {}
  ~Crowd() { Join(); }

  template <typename Work>
  void Add(const Work& work) {
    threads_.emplace_back([this, work, tcp = threads_.size() % 2 == 0] {
      SocketClient client = tcp ? server_.Tcp() : server_.Unix();
      try {
        failures_ += work(client) ? 0 : 1;
      } catch (const std::exception&) {
        ++failures_;
      }
    });
  }
  void Join() {
    for (std::thread& thread : threads_) {
      thread.join();
    }
    threads_.clear();
  }
  [[nodiscard]] int Failures() const { return failures_; }

 private:
  LiveServer& server_;
  std::vector<std::thread> threads_;
  std::atomic<int> failures_{0};
};

Value Ask(SocketClient& client, const std::vector<std::string>& words) {
  client.Send(Encode(words));
  return client.Receive();
}

// Writes all rows of a group in one command, repeatedly: a column of one byte, and the same value
// in the tag.
bool WriteGroup(SocketClient& client, int group, int rounds) {
  for (int round = 0; round < rounds; ++round) {
    const char mark = static_cast<char>('a' + round % 26);
    std::vector<std::string> words = {
        "KV.MPUT", "p", "KEYS", "LINES", ListOfKeys(group), "TAGS", std::to_string(kRowsOfGroup)};
    words.insert(words.end(), kRowsOfGroup,
                 R"({"g":)" + std::to_string(group) + R"(,"m":")" + mark + "\"}");
    words.insert(words.end(), {"COLUMN", "x", "uint8", std::to_string(kValueBytes), "BLOB",
                               std::string(kValueBytes * kRowsOfGroup, mark)});
    if (Ask(client, words).type != '*') {
      return false;
    }
    if (round % 5 == 4 &&
        Ask(client, {"KV.CLEAR", "p", "WHERE", "1", "g", "=", std::to_string(group)}).text !=
            std::to_string(kRowsOfGroup)) {
      return false;
    }
  }
  return true;
}

bool AllAlike(const std::string& bytes) {
  return bytes.find_first_not_of(bytes[0]) == std::string::npos;
}

// A group exists whole and of one round, or does not exist.
bool ReadGroup(SocketClient& client, int group, int rounds) {
  for (int round = 0; round < rounds; ++round) {
    const Value columns =
        Ask(client, {"KV.MGET", "p", "WHERE", "1", "g", "=", std::to_string(group)});
    if (columns.type == '-') {
      if (!columns.text.starts_with("NOPARTITION")) {
        return false;
      }
    } else if (!columns.items.empty()) {
      const std::string& data = columns.items[0].items[4].text;
      if (data.size() != kValueBytes * kRowsOfGroup || !AllAlike(data)) {
        return false;
      }
    }
    const Value tags = Ask(client, {"KV.LIST", "p", "WHERE", "1", "g", "=", std::to_string(group)});
    if (!tags.items.empty() && tags.items.size() != std::size_t{2} * kRowsOfGroup) {
      return false;
    }
    for (std::size_t i = 3; i < tags.items.size(); i += 2) {
      if (tags.items[i].text != tags.items[1].text) {
        return false;
      }
    }
  }
  return true;
}

TEST_CASE("many concurrent clients each see whole writes", "[concurrency]") {
  LiveServer server;
  std::atomic<bool> done{false};
  std::thread compacting([&] {
    server::Server& parts = server.Parts().Get();
    store::Compaction compaction(parts.store.Wiring(), parts.memory);
    while (!done) {
      engine::Engine::Turn turn(parts.engine, parts.clock);
      if (compaction.NeedsEngine()) {
        turn.Enter();
      }
      compaction.Step();
    }
  });
  Crowd crowd(server);
  for (int group = 0; group < kGroups; ++group) {
    crowd.Add([group](SocketClient& client) { return WriteGroup(client, group, 60); });
    crowd.Add([group](SocketClient& client) { return ReadGroup(client, group, 60); });
  }
  crowd.Join();
  done = true;
  compacting.join();
  CHECK(crowd.Failures() == 0);
}

// Several concurrent clients run `append` with pieces of their own letter at the end; `read` gets
// the result.
void AppendTogether(const std::vector<std::string>& append,
                    const std::function<std::string(SocketClient&)>& read) {
  constexpr int kClients = 4;
  constexpr int kAppends = 100;
  LiveServer server;
  Crowd crowd(server);
  for (int number = 0; number < kClients; ++number) {
    crowd.Add([number, append](SocketClient& client) {
      std::vector<std::string> words = append;
      words.emplace_back();
      for (int i = 0; i < kAppends; ++i) {
        // Small pieces are added under the engine lock, large ones without it.
        words.back().assign(i % 10 == 9 ? 20000 : 10, static_cast<char>('a' + number));
        if (Ask(client, words).type != ':') {
          return false;
        }
      }
      return true;
    });
  }
  crowd.Join();
  REQUIRE(crowd.Failures() == 0);
  SocketClient client = server.Unix();
  const std::string data = read(client);
  constexpr std::size_t kBytesEach = kAppends / 10 * (9 * 10 + 20000);
  CHECK(data.size() == kClients * kBytesEach);
  for (int number = 0; number < kClients; ++number) {
    CHECK(static_cast<std::size_t>(
              std::count(data.begin(), data.end(), static_cast<char>('a' + number))) == kBytesEach);
  }
}

TEST_CASE("concurrent appends to one cell lose nothing", "[concurrency]") {
  AppendTogether({"KV.APPEND", "p", "k", "FIELD", "s", "bytes", "BLOB"}, [](SocketClient& client) {
    const Value rows = Ask(client, {"KV.MGET", "p", "KEYS", "1", "k", "FORMAT", "rows"});
    return rows.items[0].items[0].items[3].text;
  });
}

TEST_CASE("concurrent appends to one byte string lose nothing", "[concurrency]") {
  AppendTogether({"APPEND", "s"}, [](SocketClient& client) {
    return Ask(client, {"GET", "s"}).text;
  });
}

TEST_CASE("a client is woken each time another writes the row that it waits for", "[concurrency]") {
  constexpr int kRounds = 300;
  LiveServer server;
  Crowd crowd(server);
  for (int pair = 0; pair < 3; ++pair) {
    const std::string mine = "ping" + std::to_string(pair);
    const std::string theirs = "pong" + std::to_string(pair);
    const auto play = [](const std::string& put, const std::string& wait, bool first) {
      return [put, wait, first](SocketClient& client) {
        for (int round = 0; round < kRounds; ++round) {
          const std::string number = std::to_string(round);
          const std::vector<std::string> write = {"KV.PUT", "p",    put + number, "FIELD",
                                                  "x",      "int8", "VALUES",     "1"};
          const std::vector<std::string> waiting = {
              "KV.WAIT", "p", "KEYS", "1", wait + number, "FIELDS", "1", "x", "TIMEOUT", "0"};
          const Value one = Ask(client, first ? write : waiting);
          const Value two = Ask(client, first ? waiting : write);
          if (one.text != "1" || two.text != "1") {
            return false;
          }
        }
        return true;
      };
    };
    crowd.Add(play(mine, theirs, true));
    crowd.Add(play(theirs, mine, false));
  }
  crowd.Join();
  CHECK(crowd.Failures() == 0);
}

TEST_CASE("a blocked client that disconnects is noticed", "[concurrency]") {
  LiveServer server;
  for (const bool tcp : {true, false}) {
    SocketClient waiter = tcp ? server.Tcp() : server.Unix();
    waiter.Send(Encode({"KV.WAIT", "p", "KEYS", "1", "k", "FIELDS", "1", "x", "TIMEOUT", "0"}));
    WaitUntil([&] { return server.Parts().Get().blocked_clients == 1; });
    waiter.Close();
    WaitUntil([&] { return server.Connections() == 0; });
    CHECK(server.Parts().Get().blocked_clients == 0);
  }
}

TEST_CASE("KV.WAIT's time-out is punctual over a socket", "[concurrency]") {
  LiveServer server;
  SocketClient client = server.Tcp();
  const auto begin = std::chrono::steady_clock::now();
  client.Send(Encode({"KV.WAIT", "p", "KEYS", "1", "k", "FIELDS", "1", "x", "TIMEOUT", "50"}) +
              "PING\r\n");
  CHECK(client.Receive().text == "0");
  CHECK(client.Receive().text == "PONG");
  CHECK(std::chrono::steady_clock::now() - begin >= std::chrono::milliseconds(50));
}

TEST_CASE("a write with BLOCK runs when other clients free memory", "[concurrency]") {
  LiveServer server("maxmemory", "64mb");
  SocketClient writer = server.Unix();
  SocketClient blocked = server.Tcp();
  const std::string value(std::size_t{40} << 20, 'v');
  const auto put = [&value](const std::string& key) {
    return Encode({"KV.PUT", "p", key, "BLOCK", "0", "FIELD", "x", "uint8",
                   std::to_string(value.size()), "BLOB", value});
  };
  writer.Send(put("a"));
  CHECK(writer.Receive().text == "1");
  std::thread sending([&] { blocked.Send(put("b")); });
  WaitUntil([&] { return server.Parts().Get().blocked_clients == 1; });
  CHECK(Ask(writer, {"KV.CLEAR", "p", "KEYS", "1", "a"}).text == "1");
  sending.join();
  CHECK(blocked.Receive().text == "1");
  CHECK(server.Parts().Get().blocked_clients == 0);
}

}  // namespace
}  // namespace sluice::tests
