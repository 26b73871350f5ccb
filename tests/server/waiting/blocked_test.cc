// Other events for a blocked command: CLIENT UNBLOCK and CLIENT PAUSE at the same moment as the
// event that it waits for, and the cost of its retries.
#include <atomic>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>

#include <catch2/catch.hpp>

#include "tests/server/commands/stage.h"
#include "tests/support/deadline.h"

namespace sluice::server {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;
const std::string kUnblocked = "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n";

std::string IdOf(tests::TestClient& client) {
  return std::to_string(client.Get().GetInfo().id);
}

Words Put(const std::string& key, std::size_t bytes) {
  return {"KV.PUT", "p", key, "BLOCK", "0", "FIELD", "x", "bytes", "BLOB", std::string(bytes, 'x')};
}

TEST_CASE("a woken write does not run while CLIENT PAUSE holds back writes", "[blocked]") {
  Stage stage(1);
  stage.Write({"PARTITION.CREATE", "p", "MAXROWS", "1"});
  stage.Write(Put("a", 1));
  CHECK(stage.ConnectionInfo(0).Run(Put("b", 1)).empty());
  stage.Write({"KV.CLEAR", "p", "KEYS", "1", "a"});
  const std::string mode = GENERATE("WRITE", "ALL");
  CHECK(stage.Write({"CLIENT", "PAUSE", "10000", mode}) == "+OK\r\n");
  CHECK(stage.ConnectionInfo(0).Resume().empty());
  CHECK(stage.Write({"CLIENT", "UNPAUSE"}) == "+OK\r\n");
  CHECK(stage.ConnectionInfo(0).Resume() == ":1\r\n");
}

TEST_CASE("a write that waits for memory does not run while writes are paused", "[blocked]") {
  Stage stage(1);
  stage.Write(Put("a", 2 * kMiB));
  stage.server.Set("maxmemory", "1mb");
  CHECK(stage.ConnectionInfo(0).Run(Put("b", 1)).empty());
  stage.Write({"CLIENT", "PAUSE", "10000", "WRITE"});
  CHECK(stage.Write({"CONFIG", "SET", "maxmemory", "8mb"}) == "+OK\r\n");
  CHECK(stage.ConnectionInfo(0).Resume().empty());
  CHECK(stage.Write({"CLIENT", "UNPAUSE"}) == "+OK\r\n");
  CHECK(stage.ConnectionInfo(0).Resume() == ":1\r\n");
}

TEST_CASE("a write that waits for memory runs when the pause of writes expires", "[blocked]") {
  Stage stage(1);
  stage.Write(Put("a", 2 * kMiB));
  stage.server.Set("maxmemory", "1mb");
  CHECK(stage.ConnectionInfo(0).Run(Put("b", 1)).empty());
  stage.Write({"CLIENT", "PAUSE", "1000", "WRITE"});
  stage.Write({"CONFIG", "SET", "maxmemory", "8mb"});
  CHECK(stage.ConnectionInfo(0).Resume().empty());
  CHECK(stage.ConnectionInfo(0).Get().ResumeUs() == stage.server.GetClock().NowUs() + kSecondUs);
  stage.server.GetClock().Advance(kSecondUs);
  CHECK(stage.ConnectionInfo(0).Resume() == ":1\r\n");
}

TEST_CASE("a blocked command is counted once in the latency histogram, when it is answered",
          "[blocked]") {
  Stage stage(1);
  const auto timed = [&stage] {
    const auto counts =
        stage.server.Get().stats.TotalOf(OrdinalOf(*FindCommand("task.fetch"))).histogram;
    return std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  };
  CHECK(stage.Ask(0, Fetch("1")).empty());
  CHECK(timed() == 0);
  stage.Write(Make(1));
  CHECK(stage.Answer(0) == "0");
  CHECK(timed() == 1);
  CHECK(stage.Ask(0, Fetch("1", {})) == "nil");
  CHECK(timed() == 2);
}

TEST_CASE("leases do not expire during CLIENT PAUSE, so no other client gets their rows",
          "[blocked]") {
  Stage stage(2);
  stage.Write(Make(1));
  const Words lease = {"BLOCK", "0", "LEASE", "1000"};
  CHECK(stage.Ask(0, Fetch("1", lease)) == "0");
  CHECK(stage.Ask(1, Fetch("1", lease)).empty());
  stage.Write({"CLIENT", "PAUSE", "10000", "WRITE"});
  const std::int64_t paused_until_us = stage.server.GetClock().NowUs() + 10 * kSecondUs;
  stage.server.GetClock().Advance(2 * kSecondUs);
  CHECK(stage.server.EndLeases() == paused_until_us);
  CHECK(stage.Status() == "0 1 0");  // it also releases expired leases
  CHECK(stage.Answer(1).empty());
  CHECK(stage.Write({"CLIENT", "UNPAUSE"}) == "+OK\r\n");
  stage.server.EndLeases();
  CHECK(stage.Answer(1) == "0");
}

TEST_CASE("a fetch whose time-out passes during CLIENT PAUSE takes no rows", "[blocked]") {
  Stage stage(1);
  stage.Write(Make(1));
  CHECK(stage.Ask(0, Fetch("2", {"MIN", "1", "BLOCK", "1000"})).empty());
  stage.Write({"CLIENT", "PAUSE", "10000", "WRITE"});
  stage.server.GetClock().Advance(kSecondUs);
  CHECK(stage.Answer(0) == "nil");
  CHECK(stage.Status() == "1 0 0");
}

TEST_CASE("rows of a closed connection are not served until CLIENT PAUSE ends", "[blocked]") {
  Stage stage(2);
  stage.Write(Make(1));
  const Words bound = {"BLOCK", "0", "LEASE", "60000", "BOUND"};
  CHECK(stage.Ask(0, Fetch("1", bound)) == "0");
  CHECK(stage.Ask(1, Fetch("1", bound)).empty());
  stage.Write({"CLIENT", "PAUSE", "10000", "WRITE"});
  stage.Drop(0);
  CHECK(stage.Answer(1).empty());
  SECTION("by CLIENT UNPAUSE") {
    stage.Write({"CLIENT", "UNPAUSE"});
  }
  SECTION("by its time-out") {
    stage.server.GetClock().Advance(10 * kSecondUs);
    stage.server.EndLeases();
  }
  CHECK(stage.Answer(1) == "0");
}

TEST_CASE("AUTOEVICT removes no rows during CLIENT PAUSE", "[blocked]") {
  Stage stage(1);
  stage.Write({"PARTITION.CREATE", "p", "AUTOEVICT", "TASKS", "1", "t"});
  CHECK(stage.Ask(0, Fetch("1")).empty());
  stage.Write(Make(1));  // answered, and not yet delivered
  stage.Write({"CLIENT", "PAUSE", "10000", "WRITE"});
  CHECK(stage.Answer(0) == "0");
  const Words tags = {"KV.TAGS", "p", "KEYS", "1", "0"};
  CHECK(stage.Write(tags) == "*1\r\n$2\r\n{}\r\n");
  stage.Write({"CLIENT", "UNPAUSE"});
  CHECK(stage.Status() == "0 0 0");
  CHECK(stage.Write(tags) == "*1\r\n$-1\r\n");
}

TEST_CASE("CLIENT UNBLOCK ERROR ends a large write that waits for memory with UNBLOCKED",
          "[blocked]") {
  Stage stage(1);
  stage.server.Set("maxmemory", std::to_string(kMiB * 5 / 2));
  stage.Write(Put("a", 2 * kMiB));
  const std::string request = tests::Encode(Put("b", kMiB));
  const std::size_t header = request.find("BLOB") + 20;
  tests::TestClient& client = stage.ConnectionInfo(0);
  client.FeedOnly(std::string_view(request).substr(0, header));
  REQUIRE(client.Get().Blocked());
  CHECK(stage.Write({"CLIENT", "UNBLOCK", IdOf(client), "ERROR"}) == ":1\r\n");
  std::string reply = client.Resume();
  reply += client.Feed(request.substr(header) + tests::Encode({"PING"}));
  CHECK(reply == kUnblocked + "+PONG\r\n");
}

TEST_CASE("CLIENT UNBLOCK ERROR ends a small write that waits for memory with UNBLOCKED",
          "[blocked]") {
  Stage stage(1);
  stage.Write(Put("a", 2 * kMiB));
  stage.server.Set("maxmemory", "1mb");
  CHECK(stage.ConnectionInfo(0).Run(Put("b", 1)).empty());
  CHECK(stage.Write({"CLIENT", "UNBLOCK", IdOf(stage.ConnectionInfo(0)), "ERROR"}) == ":1\r\n");
  CHECK(stage.ConnectionInfo(0).Resume() == kUnblocked);
}

TEST_CASE("an append blocked by a full partition copies nothing, however often it is retried",
          "[blocked]") {
  Stage stage(1);
  stage.Write(Put("large", 8 * kMiB));
  stage.Write(Put("other", 6000));
  stage.Write({"PARTITION.CREATE", "p", "MAXBYTES", std::to_string(8 * kMiB + 6000)});
  const std::int64_t used = stage.server.GetMemory().GetBudget().Used();
  CHECK(stage.ConnectionInfo(0)
            .Run({"KV.APPEND", "p", "large", "BLOCK", "0", "FIELD", "x", "bytes", "BLOB",
                  std::string(3000, 'y')})
            .empty());
  for (int retry = 0; retry < 3; ++retry) {
    stage.Write({"KV.PUT", "p", "large", "TAG", "{}"});  // its row has changed: it is retried
    CHECK(stage.ConnectionInfo(0).Resume().empty());
  }
  CHECK(stage.server.GetMemory().GetBudget().Peak() < used + static_cast<std::int64_t>(4 * kMiB));
  stage.Write({"PARTITION.CREATE", "p", "MAXBYTES", "0"});
  CHECK(stage.ConnectionInfo(0).Resume() == ":" + std::to_string(8 * kMiB + 3000) + "\r\n");
}

// An exception ends the process or the connection, but never with the engine lock held.
TEST_CASE("an exception in a command inside EXEC releases the engine lock", "[blocked]") {
  Stage stage(1);
  tests::TestClient& client = stage.ConnectionInfo(0);
  client.Run({"MULTI"});
  REQUIRE(client.Run({"TIME"}) == "+QUEUED\r\n");
  stage.server.GetClock().Throw();
  try {
    client.Run({"EXEC"});
  } catch (const std::runtime_error&) {
  }
  const tests::Deadline deadline("a command after one that threw inside EXEC");
  CHECK(stage.Write({"KV.PUT", "p", "k", "TAG", "{}"}) == ":1\r\n");
}

// Each round blocks twice with a write between, which acquires the engine lock: CLIENT UNBLOCK ...
// ERROR runs in a loop, so it also hits the moment at which the second command has just blocked.
TEST_CASE("CLIENT UNBLOCK ERROR may come at any moment of a batch", "[blocked]") {
  constexpr int kRounds = 5000;
  tests::TestServer server;
  tests::TestClient waiter(server);
  const std::int64_t id = waiter.Get().GetInfo().id;
  std::atomic<bool> done{false};
  const tests::Deadline deadline("CLIENT UNBLOCK ERROR during a batch");
  std::thread unblocking([&] {
    tests::TestClient other(server);
    while (!done) {
      other.Run({"CLIENT", "UNBLOCK", std::to_string(id), "ERROR"});
    }
  });
  const std::string wait = tests::Encode(Fetch("1"));
  const std::string batch = wait + tests::Encode({"KV.PUT", "q", "k", "TAG", "{}"}) + wait;
  int answers = 0;
  for (int round = 0; round < kRounds; ++round) {
    waiter.FeedOnly(batch);
    while (waiter.Get().Blocked()) {
      waiter.Get().Run();
    }
    for (const tests::Value& value : tests::DecodeAll(waiter.TakeOutput())) {
      answers += value.type == '-' || value.type == ':' ? 1 : 0;
    }
  }
  done = true;
  unblocking.join();
  CHECK(answers == 3 * kRounds);
}

}  // namespace
}  // namespace sluice::server
