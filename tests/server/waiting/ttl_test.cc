// The TTL of a partition: what keeps it from running, and from when on it runs again.
#include <catch2/catch.hpp>

#include "store/removed_names.h"
#include "tests/server/commands/stage.h"

namespace sluice::server {
namespace {

constexpr std::int64_t kTtlUs = kSecondUs;
constexpr std::size_t kMiB = std::size_t{1} << 20;

// A partition p with a TTL, one client that may block, and one that does not.
class TtlStage : public Stage {
 public:
  TtlStage() : Stage(1) { Write({"PARTITION.CREATE", "p", "TTL", "1000"}); }

  // Returns whether p still exists `us` later. Does not name p, so this is not a use.
  bool LivesAfter(std::int64_t us) {
    server.GetClock().Advance(us);
    store::RemovedNames removed(server.GetMemory());
    server.RemoveExpired(removed);
    server.EndLeases();
    return Write({"KV.LIST"}).find("\r\np\r\n") != std::string::npos;
  }
  // Runs a command that blocks.
  void Block(const Words& words) {
    CHECK(ConnectionInfo(0).Run(words).empty());
    REQUIRE(ConnectionInfo(0).Get().Blocked());
  }
};

TEST_CASE("a partition that no command names for longer than its TTL is removed", "[waiting]") {
  TtlStage stage;
  CHECK(stage.LivesAfter(kTtlUs - 1000));
  CHECK_FALSE(stage.LivesAfter(kTtlUs));
}

TEST_CASE("the TTL does not run while a command waits for the partition, and then runs anew",
          "[waiting]") {
  TtlStage stage;
  stage.Write(Make(1));
  const std::string block_ms = "5000";
  Words words;
  SECTION("a fetch") {
    words = Fetch("2", {"BLOCK", block_ms});
  }
  SECTION("KV.WAIT for a key") {
    words = {"KV.WAIT", "p", "KEYS", "1", "k", "FIELDS", "1", "x", "TIMEOUT", block_ms};
  }
  SECTION("KV.WAIT for a row index") {
    words = {"KV.WAIT", "p",       "ROWS",  std::string(8, '\xFF'), "FIELDS", "1",
             "x",       "TIMEOUT", block_ms};
  }
  SECTION("a write that waits for MAXROWS") {
    stage.Write({"PARTITION.CREATE", "p", "MAXROWS", "1"});
    words = {"KV.MPUT", "p", "NEW", "1", "BLOCK", block_ms};
  }
  SECTION("a write that waits for memory") {
    stage.Write({"SET", "s", std::string(2 * kMiB, 's')});
    stage.server.Set("maxmemory", "1mb");
    words = {"KV.PUT", "p", "k", "BLOCK", block_ms, "TAG", "{}"};
  }
  stage.Block(words);
  CHECK(stage.LivesAfter(2 * kTtlUs));
  CHECK(stage.LivesAfter(2 * kTtlUs));
  stage.server.GetClock().Advance(2 * kTtlUs);
  CHECK_FALSE(stage.ConnectionInfo(0).Resume().empty());  // its time-out
  CHECK(stage.LivesAfter(kTtlUs - 1000));
  CHECK_FALSE(stage.LivesAfter(kTtlUs));
}

TEST_CASE("a partition whose TTL is over does not come back because a command waits for its name",
          "[waiting]") {
  TtlStage stage;
  stage.Write(Make(1));
  stage.server.GetClock().Advance(2 * kTtlUs);
  SECTION("a fetch") {
    stage.Block(Fetch("1", {"BLOCK", "5000"}));
  }
  SECTION("a write whose payload is not read yet") {
    stage.Write({"SET", "s", std::string(2 * kMiB, 's')});
    stage.server.Set("maxmemory", "1mb");
    stage.Block({"KV.PUT", "p", "k", "BLOCK", "5000", "FIELD", "x", "utf8", "BLOB",
                 std::string(20000, 'x')});
  }
  CHECK(stage.Write({"EXISTS", "p"}) == ":0\r\n");
}

TEST_CASE("the TTL runs anew when a client that waits for the partition closes its connection",
          "[waiting]") {
  TtlStage stage;
  stage.Block({"KV.WAIT", "p", "KEYS", "1", "k", "FIELDS", "1", "x", "TIMEOUT", "0"});
  CHECK(stage.LivesAfter(5 * kTtlUs));
  stage.Drop(0);
  CHECK(stage.LivesAfter(kTtlUs - 1000));
  CHECK_FALSE(stage.LivesAfter(kTtlUs));
}

TEST_CASE("the TTL does not run while a large value of the partition waits for memory",
          "[waiting]") {
  TtlStage stage;
  stage.Write({"SET", "s", std::string(2 * kMiB, 's')});
  stage.server.Set("maxmemory", std::to_string(kMiB * 5 / 2));
  const std::string put = tests::Encode(
      {"KV.PUT", "p", "k", "BLOCK", "0", "FIELD", "x", "bytes", "BLOB", std::string(kMiB, 'x')});
  stage.ConnectionInfo(0).FeedOnly(std::string_view(put).substr(0, put.find("BLOB") + 20));
  REQUIRE(stage.ConnectionInfo(0).Get().Blocked());
  CHECK(stage.LivesAfter(5 * kTtlUs));
  stage.Drop(0);
  CHECK_FALSE(stage.LivesAfter(2 * kTtlUs));
}

TEST_CASE("the TTL does not run for a wait for a partition of another name", "[waiting]") {
  TtlStage stage;
  stage.Block({"KV.WAIT", "p2", "KEYS", "1", "p", "FIELDS", "1", "x", "TIMEOUT", "0"});
  CHECK_FALSE(stage.LivesAfter(2 * kTtlUs));
}

TEST_CASE("the TTL does not run during a lease, and runs anew when it expires", "[waiting]") {
  TtlStage stage;
  stage.Write(Make(1));
  CHECK(stage.Ask(0, Fetch("1", {"LEASE", "5000"})) == "0");
  CHECK(stage.LivesAfter(4 * kTtlUs));
  CHECK(stage.LivesAfter(2 * kTtlUs));  // it expired just now
  CHECK_FALSE(stage.LivesAfter(2 * kTtlUs));
}

}  // namespace
}  // namespace sluice::server
