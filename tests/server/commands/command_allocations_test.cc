// Counts the allocations of pipelined commands in the steady state: a command allocates only memory
// that it stores. (A reply keeps one spare scratch block; a pipeline whose replies need more blocks
// allocates a few per thousand commands.)
#include <catch2/catch.hpp>

#include "tests/support/failing_new.h"
#include "tests/support/test_server.h"

namespace sluice::server {
namespace {

using Words = std::vector<std::string>;

// Allocations per command over a pipeline of 1,000, after a warm-up pipeline.
double AllocationsOf(tests::TestClient& client, const Words& words) {
  constexpr int kCommands = 1000;
  constexpr std::size_t kSegmentBytes = 8192;
  std::string pipeline;
  for (int i = 0; i < kCommands; ++i) {
    pipeline += tests::Encode(words);
  }
  std::uint64_t allocations = 0;
  for (int round = 0; round < 2; ++round) {
    allocations = 0;
    for (std::size_t at = 0; at < pipeline.size(); at += kSegmentBytes) {
      const std::uint64_t before = tests::AllocationCount();
      client.FeedOnly(std::string_view(pipeline).substr(at, kSegmentBytes));
      allocations += tests::AllocationCount() - before;
      client.TakeOutput();
    }
  }
  return static_cast<double>(allocations) / kCommands;
}

TEST_CASE("a pipelined command allocates only memory that it stores", "[allocations]") {
  tests::TestServer server;
  tests::TestClient client(server);
  const std::string small(64, 's');
  client.Run({"KV.PUT", "p", "a-key-of-some-length-0001", "TAG", R"({"a":1})", "FIELD", "x",
              "uint8", "64", "BLOB", small});
  client.Run({"SET", "string", small});

  CHECK(AllocationsOf(client, {"PING"}) < 0.01);
  CHECK(AllocationsOf(client, {"GET", "string"}) < 0.01);
  CHECK(AllocationsOf(client, {"GET", "nosuch"}) < 0.01);
  CHECK(AllocationsOf(client, {"KV.MGET", "p", "KEYS", "1", "a-key-of-some-length-0001", "FORMAT",
                               "rows"}) < 0.01);
  CHECK(AllocationsOf(client, {"KV.TAGS", "p", "KEYS", "1", "a-key-of-some-length-0001"}) < 0.01);
  // Stored: the value's text.
  CHECK(AllocationsOf(client, {"SET", "string", small}) <= 1);
  // Stored: a new open chunk now and then.
  CHECK(AllocationsOf(client, {"KV.PUT", "p", "a-key-of-some-length-0001", "FIELD", "x", "uint8",
                               "64", "BLOB", small}) < 0.05);
  CHECK(AllocationsOf(client, {"KV.PUT", "p", "a-key-of-some-length-0001", "RETURN", "BOTH",
                               "FIELD", "x", "uint8", "64", "BLOB", small}) < 0.05);
  // Stored: the chunk and its blob.
  const std::string large(20000, 'l');
  CHECK(AllocationsOf(client, {"KV.PUT", "p", "a-key-of-some-length-0001", "FIELD", "y", "uint8",
                               "20000", "BLOB", large}) <= 2);
}

}  // namespace
}  // namespace sluice::server
