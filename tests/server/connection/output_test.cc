// Output: charged as it is made, bounded per connection, freed to the byte.
#include <algorithm>

#include <catch2/catch.hpp>

#include "tests/support/resp_decoder.h"
#include "tests/support/test_server.h"

namespace sluice::server {
namespace {

using Words = std::vector<std::string>;

constexpr std::size_t kMiB = std::size_t{1} << 20;
constexpr std::string_view kNoSpace =
    "-OOM command not allowed when used memory > 'maxmemory'.\r\n";
constexpr std::string_view kTooLong =
    "-OOM the reply would need more than 64 MB of output buffer: request less\r\n";

Words Mget(int count) {
  Words words = {"MGET"};
  words.insert(words.end(), static_cast<std::size_t>(count), "small");
  return words;
}

// 70 MiB are stored, and a value that is copied into replies.
void Fill(tests::TestClient& client) {
  for (int i = 0; i < 7; ++i) {
    CHECK(client.Run({"SET", "large" + std::to_string(i), std::string(10 * kMiB, 'v')}) ==
          "+OK\r\n");
  }
  CHECK(client.Run({"SET", "small", std::string(15000, 's')}) == "+OK\r\n");
}

TEST_CASE("a reply that does not fit into memory is an error, and small ones fit", "[output]") {
  tests::TestServer server;
  tests::TestClient client(server);
  Fill(client);
  CHECK(client.Run(Mget(100)).size() > 1500000);
  const std::int64_t before = server.GetMemory().GetBudget().Used();
  server.Set("maxmemory", "1mb");
  CHECK(client.Run(Mget(100)) == kNoSpace);
  CHECK(client.Run({"PING"}) == "+PONG\r\n");
  CHECK(client.Run({"GET", "small"}).size() > 15000);
  CHECK(client.Run({"GET", "large0"}).size() > 10 * kMiB);  // not copied
  CHECK(server.GetMemory().GetBudget().Used() == before);
  server.Set("maxmemory", "0");
  CHECK(client.Run(Mget(100)).size() > 1500000);
  CHECK(server.GetMemory().GetBudget().Used() == before);
}

TEST_CASE("a full server can be read from", "[output]") {
  tests::TestServer server;
  tests::TestClient client(server);
  Fill(client);
  server.Set("maxmemory", "50mb");
  CHECK(client.Run({"SET", "more", "v"}) == kNoSpace);
  CHECK(client.Run(Mget(100)).size() > 1500000);
}

TEST_CASE("output is charged while it waits", "[output]") {
  tests::TestServer server;
  tests::TestClient client(server);
  client.Run({"SET", "small", std::string(15000, 's')});
  client.Run(Mget(40));  // so that the input buffer has its full size, and one block is kept
  const std::int64_t before = server.GetMemory().GetBudget().Used();
  const std::int64_t clients = server.Get().client_bytes;
  client.FeedOnly(tests::Encode(Mget(40)));
  const std::int64_t charged = server.GetMemory().GetBudget().Used() - before;
  CHECK(charged > 600000 - 16384);
  CHECK(charged < 700000);
  CHECK(server.Get().client_bytes - clients == charged);
  client.TakeOutput();
  client.Resume();
  CHECK(server.GetMemory().GetBudget().Used() == before);
}

TEST_CASE("no connection exceeds its output bound", "[output]") {
  tests::TestServer server;
  const std::int64_t before = server.GetMemory().GetBudget().Used();
  {
    tests::TestClient client(server);
    client.Run({"SET", "small", std::string(15000, 's')});
    CHECK(client.Run(Mget(5000)) == kTooLong);
    CHECK(client.Run({"PING"}) == "+PONG\r\n");

    // Inside EXEC all replies share the bound.
    CHECK(client.Run({"MULTI"}) == "+OK\r\n");
    for (int i = 0; i < 3; ++i) {
      CHECK(client.Run(Mget(2000)) == "+QUEUED\r\n");
    }
    CHECK(client.Run({"SET", "small", ""}) == "+QUEUED\r\n");
    const std::string answers = client.Run({"EXEC"});
    CHECK(answers.size() > 60000000);
    CHECK(answers.ends_with(std::string(kTooLong) + "+OK\r\n"));
    client.Run({"FLUSHALL"});
  }
  CHECK(server.GetMemory().GetBudget().Used() == before);
}

// Returns how many of the replies of EXEC begin with this.
std::ptrdiff_t CountOf(const tests::Value& replies, std::string_view text) {
  return std::count_if(replies.items.begin(), replies.items.end(),
                       [text](const tests::Value& reply) { return reply.text.starts_with(text); });
}

TEST_CASE("errors inside EXEC take no memory from further replies", "[output]") {
  constexpr int kReads = 8000;  // of 15,000 bytes: nearly twice the bound
  constexpr auto kOneMiB = static_cast<std::int64_t>(kMiB);
  constexpr auto kBound = static_cast<std::int64_t>(OutputBudget::kBytesMax);
  const bool full = GENERATE(false, true);
  CAPTURE(full);
  tests::TestServer server;
  tests::TestClient client(server);
  const store::Budget& budget = server.GetMemory().GetBudget();
  client.Run({"SET", "small", std::string(15000, 's')});
  client.Run({"SET", "large", std::string(2 * kMiB, 'l')});
  client.Run({"MULTI"});
  for (int i = 0; i < kReads; ++i) {
    client.Run({"GET", "small"});
  }
  if (!full) {  // EXEC refuses writes at once
    client.Run({"SET", "last", "1"});
  }
  client.Run({"DEL", "small"});
  client.Run({"PING"});
  const std::int64_t before = budget.Used();
  if (full) {
    server.Set("maxmemory", std::to_string(before - kOneMiB));
  }
  tests::Value replies;
  REQUIRE(tests::Decode(client.Run({"EXEC"}), replies));
  // Plus 1 MiB for the errors.
  const std::int64_t bound = full ? store::Budget::kOverdraftBytes : kBound + kOneMiB;
  CHECK(budget.Peak() - before < bound);
  const std::size_t writes = full ? 0 : 1;
  REQUIRE(replies.items.size() == kReads + writes + 2);
  const std::ptrdiff_t values = CountOf(replies, "sss");
  CHECK(values > 4000);
  CHECK(values < 4500);
  // A small reply of a write fits.
  const std::string_view why = full ? "OOM command" : "OOM the reply";
  CHECK(CountOf(replies, why) == kReads - values + 1);
  CHECK((full || replies.items[kReads].text == "OK"));
  CHECK(replies.items[kReads + writes].text == "1");
  CHECK(replies.items[kReads + writes + 1].text.starts_with(why));
  CHECK(client.Run({"PING"}) == "+PONG\r\n");
  CHECK(client.Run({"GET", "last"}) == (full ? "$-1\r\n" : "$1\r\n1\r\n"));
}

TEST_CASE("a long reply in EXEC is whole, or an error", "[output]") {
  tests::TestServer server;
  tests::TestClient client(server);
  // Padded to 100,000 float32 each: 40 MB in all.
  Words mget = {"KV.MGET", "p", "KEYS", "100"};
  for (int row = 0; row < 100; ++row) {
    const int length = row == 0 ? 100000 : 1;
    client.Run({"KV.PUT", "p", "k" + std::to_string(row), "FIELD", "x", "float32",
                std::to_string(length), "BLOB",
                std::string(static_cast<std::size_t>(length) * 4, 'x')});
    mget.push_back("k" + std::to_string(row));
  }
  mget.insert(mget.end(), {"PAD", "right", "0"});
  const std::string alone = client.Run(mget);
  REQUIRE(alone.size() > 40000000);
  client.Run({"MULTI"});
  client.Run(mget);
  client.Run(mget);
  client.Run({"PING"});
  const std::string answers = client.Run({"EXEC"});
  CHECK((answers == "*3\r\n" + alone + std::string(kTooLong) + "+PONG\r\n"));
}

TEST_CASE("input is read while output waits, and runs afterwards", "[output]") {
  tests::TestServer server;
  tests::TestClient client(server);
  client.Run({"SET", "small", std::string(15000, 's')});
  const std::int64_t before = server.GetMemory().GetBudget().Used();
  std::string pipeline;
  for (int i = 0; i < 1000; ++i) {
    pipeline += "GET small\r\n";
  }
  pipeline += tests::Encode({"SET", "x", std::string(100000, 'x')}) + "STRLEN x\r\n";
  std::string_view rest = pipeline;
  Connection& connection = client.Get();
  while (!rest.empty()) {
    const bool held = connection.Paused();
    const auto space = held ? connection.WatchSpace() : connection.ReadSpace();
    std::size_t count = 0;
    for (const std::span<char> part : space) {
      const std::size_t taken = std::min({part.size(), rest.size(), std::size_t{1500}});
      std::copy_n(rest.data(), taken, part.data());  // either may be null
      rest.remove_prefix(taken);
      count += taken;
      if (taken < part.size()) {
        break;
      }
    }
    held ? connection.Watched(count) : connection.Received(count);
    connection.Run();
  }
  CHECK(connection.Paused());
  CHECK(connection.HasMore());
  CHECK(server.GetMemory().GetBudget().Used() - before < 2 * static_cast<std::int64_t>(kMiB));
  std::string output;
  for (int runs = 0; runs < 10000 && (connection.HasMore() || connection.Paused()); ++runs) {
    output += client.TakeOutput();
    connection.Run();
  }
  output += client.TakeOutput();
  const std::vector<tests::Value> replies = tests::DecodeAll(output);
  REQUIRE(replies.size() == 1002);
  CHECK(replies[999].text.size() == 15000);
  CHECK(replies[1000].text == "OK");
  CHECK(replies[1001].text == "100000");
}

}  // namespace
}  // namespace sluice::server
