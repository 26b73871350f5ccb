// Names: expiry, memory that DEL frees, and listings while names are added and removed.
#include <chrono>
#include <map>
#include <random>
#include <set>
#include <thread>

#include <catch2/catch.hpp>

#include "server/housekeeper.h"
#include "tests/support/resp_decoder.h"
#include "tests/support/test_server.h"

namespace sluice::server {
namespace {

using tests::DecodeAll;
using tests::TestClient;
using tests::TestServer;
using tests::UseClock;
using tests::Value;
using Words = std::vector<std::string>;

constexpr std::int64_t kSecondUs = 1000000;

// Excludes the connections' own memory.
std::int64_t UsedBytes(TestServer& server) {
  return server.GetMemory().GetBudget().Used() - server.Get().client_bytes;
}

// Creates a partition of this many rows, with a large column.
void Fill(TestClient& client, const std::string& partition, int rows) {
  client.Run({"KV.MPUT", partition, "NEW", std::to_string(rows), "COLUMN", "x", "uint8", "16",
              "BLOB", std::string(static_cast<std::size_t>(rows) * 16, 'x')});
}

TEST_CASE("DEL and an expiry in the past free the memory before they reply", "[names]") {
  TestServer server;
  TestClient client(server);
  const std::int64_t before = UsedBytes(server);
  for (const Words& words : std::vector<Words>{{"DEL", "p", "nosuch", "large", "q"},
                                               {"UNLINK", "q", "p", "large"},
                                               {"EXPIRE", "p", "-1"},
                                               {"PEXPIREAT", "p", "1"},
                                               {"FLUSHDB"}}) {
    CAPTURE(words);
    Fill(client, "p", 20000);
    if (words.size() > 3 || words[0] == "FLUSHDB") {
      Fill(client, "q", 5000);
      client.Run({"SET", "large", std::string(100000, 'l')});
    }
    REQUIRE(UsedBytes(server) > before + 16 * 20000);
    client.Run(words);
    CHECK(UsedBytes(server) == before);
  }
}

TEST_CASE("an expired name does not exist for any command", "[names]") {
  TestServer server;
  TestClient client(server);
  const std::int64_t before = UsedBytes(server);
  Fill(client, "p", 5000);
  client.Run({"EXPIRE", "p", "10"});
  client.Run({"SET", "s", "v", "EX", "10"});
  client.Run({"SET", "stays", "v"});
  CHECK(client.Run({"INFO", "keyspace"}).find("db0:keys=3,expires=2,avg_ttl=10000") !=
        std::string::npos);
  server.GetClock().Advance(10 * kSecondUs);
  CHECK(client.Run({"EXISTS", "p", "s"}) == ":2\r\n");  // as in Redis, for one more millisecond
  CHECK(client.Run({"PTTL", "s"}) == ":0\r\n");
  server.GetClock().Advance(1000);

  CHECK(client.Run({"KEYS", "*"}) == "*1\r\n$5\r\nstays\r\n");
  CHECK(client.Run({"SCAN", "0"}) == "*2\r\n$1\r\n0\r\n*1\r\n$5\r\nstays\r\n");
  CHECK(client.Run({"KV.LIST"}) == "*0\r\n");
  CHECK(client.Run({"DBSIZE"}) == ":3\r\n");  // as in Redis: not removed yet
  for (int i = 0; i < 20; ++i) {
    CHECK(client.Run({"RANDOMKEY"}) == "$5\r\nstays\r\n");
  }
  CHECK(client.Run({"KV.MGET", "p", "KEYS", "1", "0"}).starts_with("-NOPARTITION"));
  CHECK(client.Run({"KV.MGET", "s", "KEYS", "1", "0"}).starts_with("-NOPARTITION"));
  CHECK(client.Run({"KV.CLEAR", "p"}) == ":0\r\n");
  CHECK(client.Run({"GET", "s"}) == "$-1\r\n");
  CHECK(client.Run({"DBSIZE"}) == ":1\r\n");
  CHECK(client.Run({"INFO", "stats"}).find("expired_keys:2\r\n") != std::string::npos);
  // A name may be reused immediately, for another type.
  CHECK(client.Run({"SET", "p", "v"}) == "+OK\r\n");
  CHECK(client.Run({"TTL", "p"}) == ":-1\r\n");
  CHECK(client.Run({"KV.MPUT", "s", "NEW", "1"}) ==
        "*2\r\n:1\r\n$8\r\n" + std::string(8, '\0') + "\r\n");
  client.Run({"DEL", "p", "s", "stays"});
  CHECK(UsedBytes(server) > before);  // the rows of the old p
  store::RemovedNames removed(server.GetMemory());
  CHECK(server.GetStore().RemoveExpired(1, removed));
  while (!removed.TakeApart()) {
  }
  CHECK(UsedBytes(server) == before);
}

TEST_CASE("expired names are removed soon, in steps", "[names]") {
  TestServer server;
  TestClient client(server);
  for (int i = 0; i < 10; ++i) {
    client.Run({"SET", std::to_string(i), "v", "EX", std::to_string(10 - i)});
  }
  server.GetClock().Advance(7 * kSecondUs + 1000);
  store::RemovedNames removed(server.GetMemory());
  CHECK_FALSE(server.GetStore().RemoveExpired(6, removed));
  CHECK(server.GetStore().Names() == 4);
  CHECK(server.GetStore().RemoveExpired(6, removed));
  CHECK(server.GetStore().Names() == 3);
  CHECK(client.Run({"EXISTS", "0", "1", "2"}) == ":3\r\n");
}

TEST_CASE("the housekeeper removes expired names, partitions too", "[names]") {
  TestServer server(std::size_t{1} << 30, UseClock::kSystem);
  TestClient client(server);
  const std::int64_t before = UsedBytes(server);
  Fill(client, "p", 20000);
  client.Run({"PEXPIRE", "p", "1"});
  for (int i = 0; i < 1000; ++i) {
    client.Run({"SET", std::to_string(i), "v", "PX", "1"});
  }
  const Housekeeper housekeeper(server.Get());
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (UsedBytes(server) != before && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  CHECK(UsedBytes(server) == before);
  CHECK(client.Run({"DBSIZE"}) == ":0\r\n");
}

TEST_CASE("EXEC does nothing if a watched name has expired", "[names]") {
  TestServer server;
  TestClient client(server);
  client.Run({"SET", "k", "v", "EX", "1"});
  client.Run({"WATCH", "k"});
  client.Run({"MULTI"});
  client.Run({"SET", "done", "1"});
  server.GetClock().Advance(2 * kSecondUs);
  CHECK(client.Run({"EXEC"}) == "*-1\r\n");
  // A name that had expired before WATCH does not exist, and stays so.
  client.Run({"SET", "k", "v", "EX", "1"});
  server.GetClock().Advance(2 * kSecondUs);
  client.Run({"WATCH", "k"});
  client.Run({"MULTI"});
  client.Run({"SET", "done", "1"});
  CHECK(client.Run({"EXEC"}) == "*1\r\n+OK\r\n");
}

std::multiset<std::string> NamesOf(const Value& list) {
  std::multiset<std::string> names;
  for (const Value& item : list.items) {
    names.insert(item.text);
  }
  return names;
}

TEST_CASE("KEYS lists many names, in a transaction too", "[names]") {
  TestServer server;
  TestClient client(server);
  std::multiset<std::string> expected;
  for (int i = 0; i < 10000; ++i) {
    const std::string key = "k" + std::to_string(i);
    client.Run({"SET", key, "v"});
    expected.insert(key);
  }
  client.Run({"SET", "other", "v"});
  CHECK(NamesOf(DecodeAll(client.Run({"KEYS", "k*"}))[0]) == expected);
  client.Run({"MULTI"});
  client.Run({"SET", "k", "v"});
  client.Run({"KEYS", "k*"});
  client.Run({"SCAN", "0", "COUNT", "100000", "MATCH", "k*"});
  expected.insert("k");
  const Value results = DecodeAll(client.Run({"EXEC"}))[0];
  CHECK(NamesOf(results.items[1]) == expected);
  CHECK(results.items[2].items[0].text == "0");
  CHECK(NamesOf(results.items[2].items[1]) == expected);
}

TEST_CASE("SCAN returns each name that stays exactly once while others come and go", "[names]") {
  for (unsigned seed = 1; seed <= 25; ++seed) {
    CAPTURE(seed);
    std::minstd_rand random(seed);
    TestServer server;
    TestClient scanner(server);
    TestClient writer(server);
    for (int i = 0; i < 200; ++i) {
      writer.Run({"SET", "stays" + std::to_string(i), "v"});
    }
    std::map<std::string, int> seen;
    std::string cursor = "0";
    int pages = 0;
    do {
      const std::string count = std::to_string(random() % 30 + 1);
      const Value page = DecodeAll(scanner.Run({"SCAN", cursor, "COUNT", count}))[0];
      cursor = page.items[0].text;
      REQUIRE(cursor.size() <= 16);  // fits a JavaScript number
      for (const Value& name : page.items[1].items) {
        ++seen[name.text];
      }
      for (int i = 0; i < 60; ++i) {
        const std::string other = "other" + std::to_string(random() % 1000);
        writer.Run(random() % 3 == 0 ? Words{"DEL", other} : Words{"SET", other, "v"});
      }
      REQUIRE(++pages < 2000);
    } while (cursor != "0");
    for (int i = 0; i < 200; ++i) {
      CHECK(seen["stays" + std::to_string(i)] == 1);
    }
  }
}

TEST_CASE("APPEND to a large string copies it only now and then", "[names]") {
  TestServer server;
  TestClient client(server);
  client.Run({"SET", "s", std::string(20000, 's')});
  const auto where = [&server] { return (*server.GetStore().GetString("s"))->View().data(); };
  std::set<const char*> addresses;
  for (int i = 0; i < 1000; ++i) {
    client.Run({"APPEND", "s", std::string(1000, 'a')});
    addresses.insert(where());
  }
  CHECK(addresses.size() <= 7);  // 20,000 * 2^6 > 1,020,000
  CHECK(client.Run({"STRLEN", "s"}) == ":1020000\r\n");
  // A string that another reader holds does not change.
  const store::StringValue held = **server.GetStore().GetString("s");
  client.Run({"SETRANGE", "s", "5", "X"});
  CHECK(held.View()[5] == 's');
  CHECK((*server.GetStore().GetString("s"))->View()[5] == 'X');
}

}  // namespace
}  // namespace sluice::server
