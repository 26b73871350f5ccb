// Lets the n-th allocation of every command fail, n = 1 to the last: each time the reply is one OOM
// error (or the connection is closed), and the command has no effect.
#include <algorithm>
#include <map>

#include <catch2/catch.hpp>

#include "server/dispatch/command_table.h"
#include "tests/server/commands/fault_requests.h"
#include "tests/support/failing_new.h"
#include "tests/support/resp_decoder.h"
#include "tests/support/test_server.h"

namespace sluice::server {
namespace {

using Words = std::vector<std::string>;

const std::string kLarge(20000, 'L');
const std::string kTask("a-task-whose-name-does-not-fit-in-place");

void Populate(tests::TestClient& client) {
  client.Run({"SET", "string", "value"});
  client.Run({"SET", "large", kLarge});
  client.Run({"KV.PUT", "train", "k0", "TAG", R"({"a":1})", "FIELD", "ids", "int64", "2", "VALUES",
              "1", "2", "FIELD", "text", "utf8", "BLOB", "hi"});
  client.Run({"KV.PUT", "train", "k1", "FIELD", "ids", "int64", "2", "VALUES", "3", "4", "FIELD",
              "text", "utf8", "BLOB", kLarge});
  client.Run({"AI.TENSORSET", "t", "DOUBLE", "2", "VALUES", "1", "2"});
  for (const char* const partition : {"stream", "evict"}) {
    client.Run({"KV.MPUT",
                partition,
                "KEYS",
                "6",
                "a",
                "b",
                "c",
                "d",
                "e",
                "f",
                "TAGS",
                "6",
                R"({"w":1,"u":"p"})",
                R"({"w":2,"u":"p"})",
                R"({"w":3,"u":"q"})",
                R"({"w":4})",
                R"({"w":5})",
                R"({"w":6,"u":"q"})",
                "COLUMN",
                "x",
                "uint8",
                "2",
                "BLOB",
                "aabbccddeeff"});
    // a row consumed, and step 0 of rank 0; a row leased
    client.Run(
        {"TASK.FETCH", partition, "t", "FIELDS", "1", "x", "COUNT", "1", "RANK", "0", "STEP", "0"});
    client.Run({"TASK.FETCH", partition, "t", "FIELDS", "1", "x", "COUNT", "1", "LEASE", "60000"});
  }
  client.Run({"PARTITION.CREATE", "evict", "TASKS", "2", "t", "u"});
  client.Run({"TASK.ACK", "evict", "u", "KEYS", "4", "b", "c", "d", "e"});
  client.Run({"PARTITION.CREATE", "evict", "AUTOEVICT"});
  client.Run({"PARTITION.CREATE", "full", "MAXBYTES", "20001"});
  client.Run({"KV.PUT", "full", "first", "FIELD", "x", "utf8", "BLOB", "hi"});
  client.TakeOutput();
}

// A partition's rows and limits, and the rows that each of its tasks has consumed, leased and
// remembers: the steps that the requests here make or repeat.
std::string DumpTasks(tests::TestClient& client, const std::string& partition) {
  const std::string info = client.Run({"PARTITION.INFO", partition});
  const std::size_t limits = std::min(info.find("limits"), info.size());
  std::string dump = client.Run({"TASK.LIST", partition});  // expires due leases first
  dump += client.Run({"KV.LIST", partition});
  dump += info.substr(limits, info.find("created") - limits);
  for (const std::string& task : {std::string("t"), std::string("u"), kTask}) {
    dump += client.Run({"TASK.STATUS", partition, task, "FIELDS", "1", "x", "BITMAP"});
    for (const char* const step : {"0", "7", "9"}) {
      const std::string explained = client.Run({"TASK.EXPLAIN", partition, task, "FIELDS", "1", "x",
                                                "COUNT", "1", "RANK", "0", "STEP", step});
      dump += explained.find("is repeated") != std::string::npos ? step : "-";
    }
  }
  return dump;
}

// All state that commands can change, as one text.
std::string Dump(tests::TestServer& server) {
  tests::TestClient client(server);
  std::string dump = client.Run({"DBSIZE"}) + client.Run({"CONFIG", "GET", "*"});
  for (const char* const key : {"string", "large", "new"}) {
    dump += client.Run({"GET", key}) + client.Run({"PEXPIRETIME", key});
  }
  dump += client.Run({"PEXPIRETIME", "train"});
  for (const char* const partition : {"train", "fresh", "other", "ai"}) {
    const Words rows = {"8", "k0", "k1", "k9", "2", "k", "a", "t", "new"};
    Words words = {"KV.MGET", partition, "KEYS"};
    words.insert(words.end(), rows.begin(), rows.end());
    words.insert(words.end(), {"FORMAT", "rows"});
    dump += client.Run(words);
    words = {"KV.TAGS", partition, "KEYS"};
    words.insert(words.end(), rows.begin(), rows.end());
    dump += client.Run(words);
  }
  for (const char* const partition : {"stream", "evict", "full", "fresh"}) {
    dump += DumpTasks(client, partition);
  }
  return dump + (server.Stopped() ? "stopped" : "");
}

// State of one connection: its names, and its protocol by the form of null.
std::string Dump(tests::TestClient& client) {
  const ConnectionInfo& state = client.Get().GetInfo();
  return client.Closed() ? "closed"
                         : client.Run({"CLIENT", "GETNAME"}) + client.Run({"GET", "nosuch"}) +
                               state.lib_name + "/" + state.lib_version;
}

// The index of the next row of each partition.
std::string NextIndexes(tests::TestServer& server) {
  tests::TestClient client(server);
  return client.Run({"KV.MPUT", "train", "NEW", "1"}) +
         client.Run({"KV.MPUT", "fresh", "NEW", "1"}) +
         client.Run({"KV.MPUT", "other", "NEW", "1"});
}

// The state after a request.
struct State {
  std::string server;
  std::string client;
  std::string indexes;
  friend bool operator==(const State& a, const State& b) {
    return a.server == b.server && a.client == b.client && a.indexes == b.indexes;
  }
};

struct Run {
  bool failed = false;  // an allocation failed
  std::string reply;
  State state;
  std::int64_t used_before = 0;
  std::int64_t used_after = 0;
};

// Runs `words` on a new server with the n-th allocation failing; 0: none fails.
Run RunOnce(const Words& words, std::uint64_t n) {
  tests::TestServer server;
  tests::TestClient setup(server);
  Populate(setup);
  static_cast<void>(Dump(server));
  Run run;
  run.used_before = server.GetMemory().GetBudget().Used();
  {
    tests::TestClient client(server);
    client.Run({"PING"});
    const std::string bytes = tests::Encode(words);
    if (n > 0) {
      const tests::FailNthAllocation fail(n);
      client.FeedOnly(bytes);
      run.failed = fail.Failed();
    } else {
      client.FeedOnly(bytes);
    }
    run.reply = client.TakeOutput();
    if (client.Get().Blocked()) {  // it is blocked: until its time-out
      server.GetClock().Advance(1000000);
      run.reply = client.Resume();
    }
    run.state.client = Dump(client);
  }
  run.state.server = Dump(server);
  run.used_after = server.GetMemory().GetBudget().Used();
  run.state.indexes = NextIndexes(server);
  return run;
}

TEST_CASE("every command has a request here", "[faults]") {
  for (const auto family : Families()) {
    for (const Command& row : family) {
      CAPTURE(row.name);
      CHECK((row.handler == nullptr || FaultRequests().count(std::string(row.name)) > 0));
    }
  }
}

// Permitted differences after a request that fails.
struct Leeway {
  bool reply = false;           // it reports the time, or the memory of the process
  bool dealt = false;           // the step of all ranks is kept; a repeated call gets it
  std::int64_t kept_bytes = 0;  // kept for the next call: a task's view of its rows, its sampler
};

Leeway LeewayOf(const std::string& name, const Words& words) {
  const bool task = name.starts_with("task.");
  return {.reply = name == "info" || name == "memory|stats",
          .dealt = task && std::find(words.begin(), words.end(), "balanced") != words.end(),
          .kept_bytes = task ? 8192 : 0};
}

// REQUIRES: untouched: a run of PING; whole: a run of `words` without a failure.
void CheckFailed(const Run& run, const Run& untouched, const Run& whole, const Leeway& leeway) {
  if (run.reply.empty() && run.state.client == "closed") {  // not even an error fit
    State expected = untouched.state;
    expected.client = "closed";
    CHECK((run.state == expected || (whole.reply.empty() && run.state == whole.state)));
    return;
  }
  const auto values = tests::DecodeAll(run.reply);
  REQUIRE(values.size() == 1);
  if (values[0].type == '-' && values[0].text.starts_with("OOM ")) {
    CHECK((run.state.server == untouched.state.server ||
           (leeway.dealt && run.state.server == whole.state.server)));
    CHECK(run.state.client == untouched.state.client);
    CHECK(run.state.indexes == untouched.state.indexes);
    CHECK(run.used_after >= run.used_before);
    CHECK(run.used_after <= run.used_before + leeway.kept_bytes);
    return;
  }
  // An optional allocation (a cache, a spare block) may fail harmlessly: the command has completed.
  CHECK((leeway.reply || run.reply == whole.reply));
  CHECK(run.reply[0] == whole.reply[0]);
  CHECK(run.state.server == whole.state.server);
  CHECK(run.state.client == whole.state.client);
  CHECK(run.state.indexes == whole.state.indexes);
}

TEST_CASE("a failing allocation leaves no command half done", "[faults]") {
  const Run untouched = RunOnce({"PING"}, 0);
  for (const auto& [name, words] : FaultRequests()) {
    const Run whole = RunOnce(words, 0);
    for (std::uint64_t n = 1;; ++n) {
      CAPTURE(name, words[0], words.size() > 1 ? words[1] : "", n);
      REQUIRE(n < 50000);
      const Run run = RunOnce(words, n);
      if (!run.failed) {
        break;
      }
      CAPTURE(run.reply.substr(0, 200));
      CheckFailed(run, untouched, whole, LeewayOf(name, words));
    }
  }
}

}  // namespace
}  // namespace sluice::server
