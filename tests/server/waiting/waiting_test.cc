// Blocked commands: KV.WAIT for rows, and writes with BLOCK for memory.
#include <algorithm>

#include <catch2/catch.hpp>

#include "tests/support/resp_decoder.h"
#include "tests/support/test_server.h"

namespace sluice::server {
namespace {

using Words = std::vector<std::string>;

constexpr std::int64_t kSecondUs = 1000000;

Words Wait(const std::string& keys, const std::string& fields, const std::string& timeout_ms) {
  return {"KV.WAIT", "p", "KEYS", "LINES", keys, "FIELDS", "LINES", fields, "TIMEOUT", timeout_ms};
}

Words Put(const std::string& key, const std::string& field) {
  return {"KV.PUT", "p", key, "FIELD", field, "int8", "VALUES", "1"};
}

TEST_CASE("KV.WAIT is answered by the command that makes the last cell ready", "[waiting]") {
  tests::TestServer server;
  tests::TestClient waiter(server);
  tests::TestClient writer(server);
  CHECK(waiter.Run(Wait("a\nb", "x\ny", "0")).empty());
  CHECK(waiter.Get().Blocked());
  for (const Words& words : {Put("a", "y"), Put("b", "x"), Put("a", "x"), Put("c", "y")}) {
    writer.Run(words);
    CHECK(waiter.Resume().empty());
  }
  writer.Run(Put("b", "y"));
  CHECK(waiter.Resume() == ":1\r\n");
  CHECK_FALSE(waiter.Get().Blocked());
  CHECK(waiter.Run({"PING"}) == "+PONG\r\n");
}

TEST_CASE("a cell that became ready and was removed is waited for again", "[waiting]") {
  tests::TestServer server;
  tests::TestClient waiter(server);
  tests::TestClient writer(server);
  waiter.Run(Wait("a\nb", "x", "0"));
  writer.Run(Put("a", "x"));
  writer.Run({"KV.CLEAR", "p", "KEYS", "1", "a"});
  writer.Run(Put("b", "x"));
  CHECK(waiter.Resume().empty());
  writer.Run({"KV.CLEAR", "p"});
  writer.Run(Put("a", "x"));
  CHECK(waiter.Resume().empty());
  writer.Run(Put("b", "x"));
  CHECK(waiter.Resume() == ":1\r\n");
}

TEST_CASE("rows are waited for by index, too, and for KV.MPUT and KV.APPEND", "[waiting]") {
  tests::TestServer server;
  tests::TestClient waiter(server);
  tests::TestClient writer(server);
  const std::string index_1("\1\0\0\0\0\0\0\0", 8);
  waiter.Run({"KV.WAIT", "p", "ROWS", index_1, "FIELDS", "1", "x", "TIMEOUT", "0"});
  writer.Run({"KV.MPUT", "p", "NEW", "1", "COLUMN", "x", "int8", "BLOB", "a"});
  CHECK(waiter.Resume().empty());
  writer.Run({"KV.APPEND", "p", "k", "MORE", "FIELD", "x", "int8", "1", "BLOB", "a"});
  CHECK(waiter.Resume().empty());
  CHECK(writer.Run({"KV.APPEND", "p", "1", "FIELD", "x", "utf8", "BLOB", "a"})[0] == '-');
  CHECK(waiter.Resume().empty());
  writer.Run({"KV.MPUT", "p", "NEW", "1", "COLUMN", "y", "int8", "BLOB", "a"});
  writer.Run({"KV.APPEND", "p", "k", "FIELD", "x", "int8", "1", "BLOB", "a"});
  CHECK(waiter.Resume() == ":1\r\n");
}

TEST_CASE("KV.WAIT replies 0 at its time-out, and not before", "[waiting]") {
  tests::TestServer server;
  tests::TestClient waiter(server);
  waiter.Run(Wait("a", "x", "1500"));
  CHECK(waiter.Get().ResumeUs() == server.GetClock().NowUs() + kSecondUs * 3 / 2);
  server.GetClock().Advance(kSecondUs);
  CHECK(waiter.Resume().empty());
  server.GetClock().Advance(kSecondUs / 2);
  CHECK(waiter.Resume() == ":0\r\n");
}

TEST_CASE("commands after a blocked command run after it, in order", "[waiting]") {
  tests::TestServer server;
  tests::TestClient waiter(server);
  tests::TestClient writer(server);
  waiter.FeedOnly(tests::Encode(Wait("a", "x", "0")) + tests::Encode({"ECHO", "after"}));
  CHECK(waiter.TakeOutput().empty());
  writer.Run(Put("a", "x"));
  CHECK(waiter.Resume() == ":1\r\n$5\r\nafter\r\n");
}

TEST_CASE("a blocked command of a closed connection is forgotten", "[waiting]") {
  tests::TestServer server;
  tests::TestClient writer(server);
  {
    tests::TestClient waiter(server);
    waiter.Run(Wait("a", "x", "0"));
    CHECK(server.Get().wait_queues.Holders(engine::WaitKey::Kind::kRow) > 0);
    CHECK(server.Get().blocked_clients == 1);
  }
  CHECK(server.Get().wait_queues.Holders(engine::WaitKey::Kind::kRow) == 0);
  CHECK(server.Get().blocked_clients == 0);
  CHECK(writer.Run(Put("a", "x")) == ":1\r\n");
}

TEST_CASE("many waiters for many rows are each answered once", "[waiting]") {
  constexpr int kClients = 50;
  constexpr int kRows = 40;
  tests::TestServer server;
  tests::TestClient writer(server);
  std::vector<std::unique_ptr<tests::TestClient>> waiters;
  for (int i = 0; i < kClients; ++i) {
    std::string keys;
    for (int row = i % 7; row < kRows - i % 5; ++row) {
      keys += "k" + std::to_string(row) + "\n";
    }
    waiters.push_back(std::make_unique<tests::TestClient>(server));
    CHECK(waiters.back()->Run(Wait(keys, "x", "0")).empty());
  }
  for (int row = kRows - 1; row >= 0; --row) {
    writer.Run(Put("k" + std::to_string(row), "x"));
    for (int i = 0; i < kClients; ++i) {
      CAPTURE(i, row);
      CHECK(waiters[static_cast<std::size_t>(i)]->Resume() == (row == i % 7 ? ":1\r\n" : ""));
    }
  }
  CHECK(server.Get().wait_queues.Holders(engine::WaitKey::Kind::kRow) == 0);
}

// --- BLOCK

constexpr std::int64_t kMiB = std::int64_t{1} << 20;

// Puts field x with 1 MiB.
Words Large(const std::string& key, const std::string& block_ms) {
  Words words = {"KV.PUT", "p", key};
  if (!block_ms.empty()) {
    words.insert(words.end(), {"BLOCK", block_ms});
  }
  words.insert(words.end(), {"FIELD", "x", "uint8", std::to_string(kMiB), "BLOB",
                             std::string(static_cast<std::size_t>(kMiB), 'x')});
  return words;
}

// A memory budget for two values of 1 MiB.
class Full {
 public:
  Full() : writer(server) {
    server.Set("maxmemory", std::to_string(kMiB * 5 / 2));
    CHECK(writer.Run(Large("a", "")) == ":1\r\n");
    CHECK(writer.Run(Large("b", "")) == ":1\r\n");
    CHECK(writer.Run(Large("c", "")).starts_with("-OOM "));
  }

  tests::TestServer server;
  tests::TestClient writer;
};

TEST_CASE("a large write with BLOCK waits for memory before its payload is read", "[waiting]") {
  Full full;
  tests::TestClient blocked(full.server);
  const std::string bytes = tests::Encode(Large("c", "0"));
  const std::size_t header = bytes.find("BLOB") + 20;
  blocked.FeedOnly(std::string_view(bytes).substr(0, header));
  CHECK(blocked.Get().Blocked());
  CHECK(full.server.GetMemory().GetBudget().Used() < kMiB * 5 / 2);
  CHECK(blocked.Resume().empty());
  CHECK(full.writer.Run({"KV.CLEAR", "p", "KEYS", "1", "a"}) == ":1\r\n");
  CHECK(blocked.Resume().empty());
  CHECK_FALSE(blocked.Get().Blocked());
  CHECK(full.server.GetMemory().GetBudget().Used() > kMiB * 2);  // charged immediately
  CHECK(full.writer.Run(Large("d", "")).starts_with("-OOM "));
  CHECK(blocked.Feed(std::string_view(bytes).substr(header)) == ":1\r\n");
}

TEST_CASE("a write with BLOCK gets OOM at its time-out, and the stream stays in sync",
          "[waiting]") {
  Full full;
  tests::TestClient blocked(full.server);
  const std::string bytes = tests::Encode(Large("c", "1000")) + tests::Encode({"PING"});
  const std::size_t header = bytes.find("BLOB") + 20;
  blocked.FeedOnly(std::string_view(bytes).substr(0, header));
  full.server.GetClock().Advance(kSecondUs - 1);
  CHECK(blocked.Resume().empty());
  CHECK(blocked.Get().Blocked());
  full.server.GetClock().Advance(1);
  CHECK(blocked.Resume().empty());
  CHECK_FALSE(blocked.Get().Blocked());
  const std::string replies = blocked.Feed(std::string_view(bytes).substr(header));
  CHECK(replies.starts_with("-OOM "));
  CHECK(replies.ends_with("\r\n+PONG\r\n"));
}

TEST_CASE("a value larger than maxmemory is refused immediately, with BLOCK too", "[waiting]") {
  Full full;
  full.server.Set("maxmemory", std::to_string(kMiB / 2));
  CHECK(full.writer.Run(Large("c", "0")).starts_with("-OOM "));
}

TEST_CASE("a small write with BLOCK is kept, and runs when there is memory", "[waiting]") {
  Full full;
  full.server.Set("maxmemory", "1mb");  // less than is used
  tests::TestClient blocked(full.server);
  tests::TestClient late(full.server);
  CHECK(blocked
            .Run({"KV.PUT", "p", "new", "BLOCK", "0", "TAG", R"({"t":1})", "FIELD", "s", "utf8",
                  "VALUES", "hello"})
            .empty());
  CHECK(late.Run({"KV.MPUT", "p", "NEW", "1", "BLOCK", "2000"}).empty());
  CHECK(blocked.Get().Blocked());
  CHECK(full.writer.Run({"KV.CLEAR", "p", "KEYS", "1", "a"}) == ":1\r\n");
  CHECK(blocked.Resume().empty());  // not enough yet
  full.server.GetClock().Advance(2 * kSecondUs);
  CHECK(late.Resume().starts_with("-OOM "));
  CHECK(full.writer.Run({"KV.CLEAR", "p", "KEYS", "1", "b"}) == ":1\r\n");
  CHECK(blocked.Resume() == ":1\r\n");
  CHECK(full.writer.Run({"KV.TAGS", "p", "KEYS", "1", "new"}) == "*1\r\n$7\r\n{\"t\":1}\r\n");
}

TEST_CASE("writes wait in order of arrival; a later write that fits may pass", "[waiting]") {
  Full full;
  tests::TestClient first(full.server);
  tests::TestClient second(full.server);
  tests::TestClient small(full.server);
  Words two = {"KV.PUT",
               "p",
               "two",
               "BLOCK",
               "0",
               "FIELD",
               "x",
               "uint8",
               std::to_string(2 * kMiB),
               "BLOB",
               std::string(std::size_t{2} << 20, 'x')};
  const std::string large = tests::Encode(two);
  const std::string one = tests::Encode(Large("c", "0"));
  first.FeedOnly(std::string_view(large).substr(0, large.find("BLOB") + 20));
  second.FeedOnly(std::string_view(one).substr(0, one.find("BLOB") + 20));
  CHECK(first.Get().Blocked());
  CHECK(second.Get().Blocked());
  full.writer.Run({"KV.CLEAR", "p", "KEYS", "1", "a"});
  first.Resume();
  second.Resume();
  CHECK(first.Get().Blocked());         // needs more than is free
  CHECK_FALSE(second.Get().Blocked());  // fits
  CHECK(second.Feed(std::string_view(one).substr(one.find("BLOB") + 20)) == ":1\r\n");
  full.writer.Run({"KV.CLEAR", "p"});
  first.Resume();
  CHECK_FALSE(first.Get().Blocked());
  CHECK(first.Feed(std::string_view(large).substr(large.find("BLOB") + 20)) == ":1\r\n");
}

TEST_CASE("raising maxmemory wakes the writes that wait for memory", "[waiting]") {
  Full full;
  full.server.Set("maxmemory", "1mb");
  tests::TestClient blocked(full.server);
  CHECK(blocked.Run({"KV.MPUT", "p", "NEW", "1", "BLOCK", "0"}).empty());
  CHECK(full.writer.Run({"CONFIG", "SET", "maxmemory", "8mb"}) == "+OK\r\n");
  CHECK(blocked.Resume().starts_with("*2\r\n:1\r\n"));
}

}  // namespace
}  // namespace sluice::server
