#include "server/connection/connection.h"

#include <numeric>
#include <string>

#include <catch2/catch.hpp>

#include "tests/support/resp_decoder.h"
#include "tests/support/test_server.h"

namespace sluice::server {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;
const std::string kPing = "*1\r\n$4\r\nPING\r\n";

std::string Pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) {
    text[i] = static_cast<char>(i * 31 + i / 4096);
  }
  return text;
}

TEST_CASE("arguments of any size arrive whole, however they are split", "[connection]") {
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{16383}, std::size_t{16384}, kMiB, kMiB + 1, 3 * kMiB + 5}) {
    const std::string value = Pattern(size);
    for (const std::size_t segment :
         {std::size_t{1021}, std::size_t{16384}, std::size_t{100000}, SIZE_MAX}) {
      CAPTURE(size, segment);
      tests::TestServer server;
      {
        tests::TestClient client(server);
        CHECK(client.Feed(tests::Encode({"SET", "k", value}) + kPing, segment) ==
              "+OK\r\n+PONG\r\n");
        CHECK(tests::DecodeAll(client.Run({"GET", "k"}))[0].text == value);
        CHECK(client.Feed(tests::Encode({"KV.PUT", "p", "k", "FIELD", "x", "uint8",
                                         std::to_string(size), "BLOB", value}),
                          segment) == ":1\r\n");
        const auto rows = tests::DecodeAll(client.Run({"KV.MGET", "p", "KEYS", "1", "k"}));
        CHECK(rows[0].items[0].items[4].text == value);
        client.Run({"FLUSHALL"});
      }
      CHECK(server.GetMemory().GetBudget().Used() == 0);
    }
  }
}

TEST_CASE("an argument that cannot be stored is drained, and the stream stays in sync",
          "[connection]") {
  tests::TestServer server;
  server.Set("maxmemory", "4mb");
  const std::string big = Pattern(6 * kMiB);
  for (const std::size_t segment : {std::size_t{5000}, SIZE_MAX}) {
    tests::TestClient client(server);
    const auto answer = [&client, segment](const std::vector<std::string>& words) {
      const auto values = tests::DecodeAll(client.Feed(tests::Encode(words) + kPing, segment));
      REQUIRE(values.size() == 2);
      CHECK(values[1].text == "PONG");
      return values[0].text;
    };
    CHECK(answer({"SET", "k", big}) == "OOM command not allowed when used memory > 'maxmemory'.");
    CHECK(
        answer({"KV.PUT", "p", "k", "FIELD", "x", "uint8", std::to_string(big.size()), "BLOB", big})
            .starts_with("OOM"));
    CHECK(answer({"NOSUCH", big}).starts_with("ERR unknown command 'NOSUCH'"));
    CHECK(answer({"GET", "a", big}) == "ERR wrong number of arguments for 'get' command");
    CHECK(answer({big, "a"}).starts_with("ERR unknown command"));
    CHECK(answer({"DBSIZE"}) == "0");
  }
  CHECK(server.GetMemory().GetBudget().Used() == 0);
}

TEST_CASE("an upload that runs out of memory is drained from that point on", "[connection]") {
  tests::TestServer server;
  server.Set("maxmemory", "8mb");
  tests::TestClient uploader(server);
  tests::TestClient other(server);
  const std::string value = Pattern(6 * kMiB);
  const std::string request = tests::Encode({"SET", "k", value});
  CHECK(uploader.Feed(request.substr(0, 2 * kMiB)).empty());
  CHECK(other.Run({"SET", "other", Pattern(4 * kMiB)}) ==
        "+OK\r\n");  // takes the memory that the first upload needed
  CHECK(uploader.Feed(request.substr(2 * kMiB) + kPing) ==
        "-OOM command not allowed when used memory > 'maxmemory'.\r\n+PONG\r\n");
  CHECK(other.Run({"DBSIZE"}) == ":1\r\n");
}

TEST_CASE("reading and clearing work when memory is full", "[connection]") {
  tests::TestServer server;
  tests::TestClient client(server);
  client.Run({"KV.PUT", "p", "k", "FIELD", "x", "uint8", "100000", "BLOB", Pattern(100000)});
  server.Set("maxmemory", "1mb");
  CHECK(client.Run({"SET", "a", Pattern(2 * kMiB)}).starts_with("-OOM"));
  server.Set("maxmemory", "1");
  CHECK(client.Run({"KV.PUT", "p", "k2", "TAG", "{}"}).starts_with("-OOM"));
  std::string lines;
  for (int i = 0; i < 5000; ++i) {
    lines += "key-number-" + std::to_string(i) + "\n";
  }
  CHECK(client.Run({"KV.CLEAR", "p", "KEYS", "LINES", lines}) == ":0\r\n");
  CHECK(client.Run({"KV.MGET", "p", "KEYS", "1", "k"}).size() > 100000);
  CHECK(client.Run({"KV.CLEAR", "p", "KEYS", "1", "k"}) == ":1\r\n");
}

TEST_CASE("the header of a large argument alone uses almost no memory", "[connection]") {
  tests::TestServer server(std::size_t{4} << 30);
  server.Set("proto-max-bulk-len", "512mb");
  const std::int64_t before = server.GetMemory().GetBudget().Used();
  {
    tests::TestClient client(server);
    CHECK(client.Feed("*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$536870912\r\n").empty());
    CHECK(server.GetMemory().GetBudget().Used() - before < 2 * static_cast<std::int64_t>(kMiB));
  }
  CHECK(server.GetMemory().GetBudget().Used() == before);
  tests::TestClient client(server);
  CHECK(client.Feed("*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$536870913\r\n") ==
        "-ERR Protocol error: invalid bulk length\r\n");
  CHECK(client.Get().Closing());
}

TEST_CASE("commands wait while much output waits", "[connection]") {
  tests::TestServer server;
  tests::TestClient client(server);
  client.Run({"SET", "k", Pattern(10000)});
  std::string pipeline;
  for (int i = 0; i < 300; ++i) {
    pipeline += "GET k\r\n";
  }
  const auto space = client.Get().ReadSpace();
  REQUIRE(space[1].size() >= pipeline.size());
  std::memcpy(space[1].data(), pipeline.data(), pipeline.size());
  client.Get().Received(pipeline.size());
  client.Get().Run();
  CHECK(client.Get().Paused());
  CHECK(client.Get().Output().PendingBytes() < 2 * kMiB);
  std::size_t replies = 0;
  for (;;) {
    const std::string output = client.TakeOutput();
    if (output.empty()) {
      break;
    }
    replies += tests::DecodeAll(output).size();
    client.Get().Run();
  }
  CHECK(replies == 300);
}

TEST_CASE("a client that exceeds its limits is closed", "[connection]") {
  tests::TestServer server;
  SECTION("output") {
    server.Set("client-output-buffer-limit", "normal 1mb 0 0");
    tests::TestClient client(server);
    client.Run({"SET", "k", Pattern(2 * kMiB)});
    client.Feed("GET k\r\n");
    CHECK(client.Get().Closing());
    CHECK(client.Get().DropOutput());
    CHECK(server.GetStats().output_limit_disconnections.Get() == 1);
  }
  SECTION("input") {
    server.Set("client-query-buffer-limit", "1mb");
    tests::TestClient client(server);
    std::string request = "*1000\r\n$4\r\nECHO\r\n";
    for (int i = 0; i < 500; ++i) {
      request += "$10000\r\n" + std::string(10000, 'x') + "\r\n";
    }
    client.Feed(request);
    CHECK(client.Get().Closing());
    CHECK(server.GetStats().query_limit_disconnections.Get() == 1);
  }
  CHECK(server.GetMemory().GetBudget().Used() < 4 * static_cast<std::int64_t>(kMiB));
}

TEST_CASE("rows stream through a partition in constant memory", "[connection]") {
  tests::TestServer server;
  tests::TestClient client(server);
  constexpr int kBatch = 100;
  constexpr int kRows = 300000;
  constexpr int kLive = 10000;
  constexpr int kWarmUp =
      120000;  // a bounded number of removals is remembered; from here on the log is full
  const std::string blob(std::size_t{64} * kBatch, 'x');
  std::vector<std::string> words = {"KV.MPUT", "p",  "NEW",   std::to_string(kBatch),
                                    "COLUMN",  "x",  "uint8", "64",
                                    "BLOB",    blob, "TAGS",  std::to_string(kBatch)};
  words.insert(words.end(), kBatch, R"({"a":1})");
  std::int64_t after_warm_up = 0;
  for (int i = 0; i < kRows; i += kBatch) {
    client.Run(words);
    if (i >= kLive) {
      std::vector<std::int64_t> indexes(kBatch);
      std::iota(indexes.begin(), indexes.end(), i - kLive);
      const std::string rows(static_cast<const char*>(static_cast<const void*>(indexes.data())),
                             indexes.size() * sizeof(std::int64_t));
      REQUIRE(client.Run({"KV.CLEAR", "p", "ROWS", rows}) == ":100\r\n");
    }
    if (i == kWarmUp) {
      after_warm_up = server.GetMemory().GetBudget().Used();
    }
  }
  CHECK(server.GetMemory().GetBudget().Used() < after_warm_up * 101 / 100);
  client.Run({"KV.CLEAR", "p"});
  CHECK(server.GetMemory().GetArena().GetStats().used_bytes == 0);
}

TEST_CASE("overwriting a row frees its old values", "[connection]") {
  tests::TestServer server;
  tests::TestClient client(server);
  const std::string small(100, 's');
  const std::string large(20000, 'l');
  std::int64_t early = 0;
  for (int i = 0; i < 5000; ++i) {
    client.Run({"KV.PUT", "p", "k", "FIELD", "small", "uint8", "100", "BLOB", small, "FIELD",
                "large", "uint8", "20000", "BLOB", large});
    early = i == 2000 ? server.GetMemory().GetBudget().Used() : early;
  }
  CHECK(server.GetMemory().GetBudget().Used() <= early + 131072);  // plus or minus an open chunk
}

}  // namespace
}  // namespace sluice::server
