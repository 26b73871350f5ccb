// TASK.FETCH with BLOCK: the order of service, and rows that cannot be delivered.
#include <catch2/catch.hpp>

#include "tests/server/commands/stage.h"

namespace sluice::server {
namespace {

TEST_CASE(
    "blocked fetches are served in order of arrival, and a fetch that needs more is passed over",
    "[waiting]") {
  Stage stage(4);
  stage.Write(Make(1));
  CHECK(stage.Ask(0, Fetch("2")).empty());
  CHECK(stage.Ask(1, Fetch("4")).empty());
  CHECK(stage.Ask(2, Fetch("1", {"BLOCK", "0", "SAMPLER", "lifo"})) == "0");  // one row is ready
  CHECK(stage.Ask(2, Fetch("1")).empty());
  CHECK(stage.Ask(3, Fetch("1", {"BLOCK", "0", "SAMPLER", "lifo"})).empty());
  stage.Write(Make(1));
  CHECK(stage.Answer(0).empty());
  CHECK(stage.Answer(1).empty());
  CHECK(stage.Answer(3).empty());
  CHECK(stage.Answer(2) == "1");
  stage.Write(Make(3));  // two for the first, one for the last; the second needs four
  CHECK(stage.Answer(0) == "2 3");
  CHECK(stage.Answer(1).empty());
  CHECK(stage.Answer(3) == "4");
  stage.Write(Make(5));
  CHECK(stage.Answer(1) == "5 6 7 8");
  CHECK(stage.Status() == "1 0 9");
}

TEST_CASE("a blocked fetch is woken by any change that makes its rows ready", "[waiting]") {
  Stage stage(1);
  stage.Write(Make(2));
  const Words by_tag = {"BLOCK", "0", "WHERE", "1", "go", "=", "1"};
  SECTION("a write of the last field") {
    Words words = Fetch("1");
    words[4] = "2";
    words.insert(words.begin() + 6, "y");
    CHECK(stage.Ask(0, words).empty());
    stage.Write({"KV.PUT", "p", "1", "FIELD", "y", "uint8", "VALUES", "1"});
    CHECK(stage.Answer(0) == "1");
  }
  SECTION("a tag") {
    CHECK(stage.Ask(0, Fetch("1", by_tag)).empty());
    stage.Write({"KV.PUT", "p", "1", "TAG", R"({"go":0})"});
    CHECK(stage.Answer(0).empty());
    stage.Write({"KV.PUT", "p", "1", "TAG", R"({"go":1})"});
    CHECK(stage.Answer(0) == "1");
  }
  SECTION("KV.APPEND without MORE") {
    CHECK(stage.Ask(0, Fetch("3")).empty());
    stage.Write({"KV.APPEND", "p", "k", "MORE", "FIELD", "x", "uint8", "1", "BLOB", "a"});
    CHECK(stage.Answer(0).empty());
    stage.Write({"KV.APPEND", "p", "k", "FIELD", "x", "uint8", "1", "BLOB", "a"});
    CHECK(stage.Answer(0) == "0 1 2");
  }
  SECTION("RELEASE, and RESET") {
    CHECK(stage.Ask(0, Fetch("2")) == "0 1");
    CHECK(stage.Ask(0, Fetch("2")).empty());
    CHECK(stage.Write({"TASK.RELEASE", "p", "t", "KEYS", "1", "1"}) == ":1\r\n");
    CHECK(stage.Answer(0).empty());
    CHECK(stage.Write({"TASK.RELEASE", "p", "t", "KEYS", "1", "0"}) == ":1\r\n");
    CHECK(stage.Answer(0) == "0 1");
    CHECK(stage.Ask(0, Fetch("2")).empty());
    CHECK(stage.Write({"TASK.RESET", "p", "t"}) == "+OK\r\n");
    CHECK(stage.Answer(0) == "0 1");
  }
  SECTION("the expiry of a lease, and the fetch's own lease runs from its reply") {
    const Words lease = {"BLOCK", "0", "LEASE", "2000"};
    CHECK(stage.Ask(0, Fetch("2", lease)) == "0 1");
    CHECK(stage.Ask(0, Fetch("2", lease)).empty());
    stage.server.GetClock().Advance(kSecondUs * 2 - 1);
    stage.server.EndLeases();
    CHECK(stage.Answer(0).empty());
    stage.server.GetClock().Advance(1);
    CHECK(stage.server.EndLeases() == stage.server.GetClock().NowUs() + kSecondUs * 2);
    CHECK(stage.Answer(0) == "0 1");
    CHECK(stage.Status() == "0 2 0");
  }
}

TEST_CASE("a blocked fetch is woken when no more rows can come", "[waiting]") {
  Stage stage(2);
  stage.Write({"PARTITION.CREATE", "p", "EXPECT", "3"});
  stage.Write(Make(2));
  CHECK(stage.Ask(0, Fetch("3")).empty());
  CHECK(stage.Ask(1, Fetch("3", {"BLOCK", "0", "MIN", "1"})).empty());
  SECTION("an awaited row is cleared") {
    stage.Write({"KV.CLEAR", "p", "KEYS", "1", "0"});
    CHECK(stage.Answer(0) == "nil");
    CHECK(stage.Answer(1).empty());
    stage.Write(Make(1));
    CHECK(stage.Answer(1) == "1 2");
  }
  SECTION("PARTITION.CREATE changes EXPECT") {
    stage.Write({"PARTITION.CREATE", "p", "EXPECT", "2"});
    CHECK(stage.Answer(0) == "nil");
    CHECK(stage.Answer(1) == "0 1");
    CHECK(stage.Ask(1, Fetch("3")) == "end");
  }
  SECTION("all rows were acknowledged: the end") {
    stage.Write({"TASK.ACK", "p", "t", "KEYS", "2", "0", "1"});
    CHECK(stage.Answer(0) == "nil");
    stage.Write(Make(1));
    CHECK(stage.Answer(1) == "2");
    CHECK(stage.Ask(0, Fetch("3")) == "end");
  }
}

TEST_CASE("a fetch waits for a missing partition, and for the next one of its name", "[waiting]") {
  Stage stage(2);
  CHECK(stage.Ask(0, Fetch("2")).empty());
  stage.Write(Make(1));
  CHECK(stage.Ask(1, Fetch("2")).empty());
  CHECK(stage.Write({"KV.CLEAR", "p"}) == ":1\r\n");
  CHECK(stage.Answer(0).empty());
  CHECK(stage.Write({"FLUSHALL"}) == "+OK\r\n");
  CHECK(stage.Answer(1).empty());
  stage.Write(Make(2));
  CHECK(stage.Answer(0) == "0 1");
  CHECK(stage.Write({"DEL", "p"}) == ":1\r\n");
  stage.Write(Make(2));
  CHECK(stage.Answer(1) == "0 1");
}

TEST_CASE("a partition that is made STRICT refuses the fetches that wait for it", "[waiting]") {
  Stage stage(2);
  Words other_field = Fetch("1");
  other_field[2] = "known";
  CHECK(stage.Ask(0, Fetch("1")).empty());
  CHECK(stage.Ask(1, other_field).empty());
  stage.Write({"PARTITION.CREATE", "p", "TASKS", "1", "known", "FIELD", "y", "uint8", "STRICT"});
  CHECK(stage.Answer(0) == "NOTASK partition 'p' is STRICT, and 't' is not one of its tasks");
  CHECK(stage.Answer(1) == "NOFIELD partition 'p' is STRICT, and its schema has no field 'x'");
}

TEST_CASE("a fetch gets MIN rows or nil at its time-out", "[waiting]") {
  Stage stage(3);
  stage.Write(Make(2));
  CHECK(stage.Ask(0, Fetch("5", {"BLOCK", "1000", "MIN", "3"})).empty());
  CHECK(stage.Ask(1, Fetch("5", {"BLOCK", "1000", "MIN", "2"})).empty());
  CHECK(stage.Ask(2, Fetch("5", {"BLOCK", "0", "MIN", "1"})).empty());
  stage.server.GetClock().Advance(kSecondUs - 1);
  CHECK(stage.Answer(1).empty());
  stage.server.GetClock().Advance(1);
  CHECK(stage.Answer(0) == "nil");
  CHECK(stage.Answer(1) == "0 1");
  CHECK(stage.Answer(2).empty());
  CHECK(stage.Status() == "0 0 2");
}

TEST_CASE("CLIENT UNBLOCK ends a blocked fetch, as at its time-out or with an error", "[waiting]") {
  Stage stage(2);
  stage.Write(Make(1));
  CHECK(stage.Ask(0, Fetch("2", {"BLOCK", "0", "MIN", "1"})).empty());
  CHECK(stage.Ask(1, Fetch("2")).empty());
  const auto unblock = [&](std::size_t i, const std::string& how) {
    const std::string id = std::to_string(stage.ConnectionInfo(i).Get().GetInfo().id);
    CHECK(stage.Write({"CLIENT", "UNBLOCK", id, how}) == ":1\r\n");
    return stage.Answer(i);
  };
  CHECK(unblock(1, "ERROR") == "UNBLOCKED client unblocked via CLIENT UNBLOCK");
  CHECK(unblock(0, "TIMEOUT") == "0");
  stage.Write(Make(2));
  CHECK(stage.Status() == "2 0 1");
}

TEST_CASE("a client that disconnects loses its position in the wait queue", "[waiting]") {
  Stage stage(2);
  CHECK(stage.Ask(0, Fetch("1")).empty());
  CHECK(stage.Ask(1, Fetch("1")).empty());
  stage.Drop(0);
  stage.Write(Make(1));
  CHECK(stage.Answer(1) == "0");
}

TEST_CASE("rows served to a client that disconnects go to the next waiter", "[waiting]") {
  const Words more = GENERATE(Words{"BLOCK", "0"}, Words{"BLOCK", "0", "LEASE", "60000"},
                              Words{"BLOCK", "0", "RANK", "0", "STEP", "0"},
                              Words{"BLOCK", "0", "RANK", "0", "STEP", "0", "LEASE", "60000"});
  CAPTURE(more);
  Stage stage(2);
  CHECK(stage.Ask(0, Fetch("2", more)).empty());
  CHECK(stage.Ask(1, Fetch("1")).empty());
  stage.Write(Make(2));  // the first client has been served, but has not received its reply
  CHECK(stage.Status() == (more.back() == "60000" ? "0 2 0" : "0 0 2"));
  stage.Drop(0);
  CHECK(stage.Answer(1) == "0");
  CHECK(stage.Status() == "1 0 1");
  const Words step = {"TASK.EXPLAIN", "p", "t",    "FIELDS", "1",    "x",
                      "COUNT",        "2", "RANK", "0",      "STEP", "0"};
  CHECK(stage.Write(step).find("given again") == std::string::npos);
}

TEST_CASE("waiters are served after EXEC, by all of its changes", "[waiting]") {
  Stage stage(3);
  CHECK(stage.Ask(0, Fetch("2")).empty());
  CHECK(stage.Ask(1, Fetch("1")).empty());
  CHECK(stage.Ask(2, Fetch("1")).empty());
  stage.Write({"MULTI"});
  stage.Write(Make(1));
  stage.Write(Fetch("2"));  // does not block
  stage.Write(Make(2));
  stage.Write({"KV.CLEAR", "p", "KEYS", "1", "0"});
  const std::string replies = stage.Write({"EXEC"});
  CHECK(replies.find("*-1\r\n") != std::string::npos);
  CHECK(stage.Answer(0) == "1 2");
  CHECK(stage.Answer(1).empty());
  CHECK(stage.Answer(2).empty());
}

TEST_CASE("a BOUND lease ends with its connection, and another does not", "[waiting]") {
  Stage stage(3);
  stage.Write(Make(3));
  CHECK(stage.Ask(0, Fetch("1", {"LEASE", "60000", "BOUND"})) == "0");
  CHECK(stage.Ask(0, Fetch("1", {"LEASE", "60000"})) == "1");
  CHECK(stage.Ask(1, {"TASK.CLAIM", "p", "t", "KEYS", "1", "2", "FIELDS", "1", "x", "LEASE",
                      "60000", "BOUND"}) == "2");
  CHECK(stage.Ask(2, Fetch("1")).empty());
  stage.Drop(0);
  CHECK(stage.Answer(2) == "0");
  CHECK(stage.Ask(2, Fetch("1")).empty());
  stage.Drop(1);
  CHECK(stage.Answer(2) == "2");
  CHECK(stage.Status() == "0 1 2");
}

TEST_CASE("a write wakes those of 1,000 waiters that it can serve, in order, and no other",
          "[waiting]") {
  constexpr std::size_t kClients = 1000;
  Stage stage(kClients);
  stage.Write(Make(1));
  for (std::size_t i = 0; i < kClients; ++i) {
    REQUIRE(stage.Ask(i, Fetch("2")).empty());
  }
  const auto woken = [&] {
    std::size_t count = 0;
    for (std::size_t i = 0; i < kClients; ++i) {
      count += stage.ConnectionInfo(i).Get().GetInfo().notifier->Notified() ? 1 : 0;
    }
    return count;
  };
  stage.Write({"KV.PUT", "p", "other", "FIELD", "y", "uint8", "VALUES", "1"});
  CHECK(woken() == 0);
  stage.Write(Make(1));
  CHECK(woken() == 1);
  CHECK(stage.Answer(0) == "0 2");
  stage.Write(Make(5));
  CHECK(woken() == 2);
  CHECK(stage.Answer(1) == "3 4");
  CHECK(stage.Answer(2) == "5 6");
}

TEST_CASE("the time that a command was blocked is measured apart from its work", "[waiting]") {
  Stage stage(1);
  stage.server.Set("latency-monitor-threshold", "100");
  stage.server.Set("slowlog-log-slower-than", "100000");
  CHECK(stage.Ask(0, Fetch("1")).empty());
  stage.server.GetClock().Advance(5 * kSecondUs);
  stage.Write(Make(1));
  CHECK(stage.Answer(0) == "0");
  const std::string latest = stage.Write({"LATENCY", "LATEST"});
  CHECK(latest.find("\r\nblocked\r\n") != std::string::npos);
  CHECK(latest.find(":5000\r\n") != std::string::npos);
  CHECK(latest.find("\r\ncommand\r\n") == std::string::npos);
  CHECK(stage.Write({"SLOWLOG", "LEN"}) == ":0\r\n");
  CHECK(stage.Write({"INFO", "commandstats"}).find("cmdstat_task.fetch:calls=1,usec=0,") !=
        std::string::npos);
}

TEST_CASE("INFO reports partitions and tasks, and truncates no line in their names", "[waiting]") {
  Stage stage(1);
  stage.Write({"KV.PUT", "a,b=c", "k", "FIELD", "x", "uint8", "VALUES", "1"});
  stage.Write(Make(3));
  CHECK(stage.Ask(0, Fetch("1")) == "0");
  CHECK(stage.Ask(0, Fetch("1", {"LEASE", "5000"})) == "1");
  CHECK(stage.Ask(0, Fetch("2")).empty());
  stage.server.GetClock().Advance(kSecondUs);
  const std::string info = stage.Write({"INFO", "partitions", "tasks"});
  CAPTURE(info);
  for (const char* const line :
       {"# Partitions\r\npartitions:2\r\n",
        "\r\npartition0:rows=1,made=1,bytes=1,tasks=0,waiters=0,name=a%2Cb%3Dc\r\n",
        "\r\npartition1:rows=3,made=3,bytes=3,tasks=1,waiters=1,name=p\r\n",
        "\r\ntask0:consumed=1,leased=1,leases=1,waiters=1,oldest_unconsumed_ms=1000,partition=p,"
        "name=t\r\n"}) {
    CHECK(info.find(line) != std::string::npos);
  }
}

TEST_CASE("a blocked fetch gets rows of a lease that expires unnoticed after its partition's TTL",
          "[waiting]") {
  Stage stage(2);
  stage.Write(Make(1));
  CHECK(stage.Ask(0, Fetch("1", {"LEASE", "100"})) == "0");
  CHECK(stage.Ask(1, Fetch("1", {"BLOCK", "0", "FORMAT", "columns"})).empty());
  stage.Write({"PEXPIRE", "p", "50"});
  stage.server.GetClock().Advance(kSecondUs);
  stage.server.EndLeases();
  CHECK(stage.Answer(1) == "0");
}

}  // namespace
}  // namespace sluice::server
