// Hundreds of connections do random things at the same time: commands that block, limits that
// change, clients that are paused, unblocked, killed, or disconnect. Then the limits are lifted:
//   - every command gets its reply, and no client is blocked;
//   - every acknowledged write that its thread did not remove is found, with its bytes;
//   - after FLUSHALL and the end of all connections used memory is back at its start value.
//
// SLUICE_SEED: first seed; SLUICE_SEEDS: number of seeds; SLUICE_CHAOS_SECONDS: duration of each. A
// seed determines the choices of each thread, not their interleaving: repeat it a few times.
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

#include "server/housekeeper.h"
#include "tests/chaos/scene.h"
#include "tests/chaos/watchdog.h"
#include "tests/chaos/worker.h"

namespace sluice::tests::chaos {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int kIoThreads = 4;
constexpr seconds kAnswerPatience{30};  // after the limits were lifted

Value Ask(SocketClient& client, const Words& words) {
  client.Send(Encode(words));
  return client.Receive();
}

class Run {
 public:
  explicit Run(unsigned seed)
      : used_before_(server_.UsedMemory()),
        housekeeper_(std::make_unique<server::Housekeeper>(server_.Parts().Get())),
        watchdog_(std::make_unique<Watchdog>(scene_)) {
    for (std::size_t i = 0; i < kThreads; ++i) {
      workers_.push_back(std::make_unique<Worker>(scene_, seed, static_cast<int>(i)));
    }
  }

  ~Run() { scene_.closing = true; }  // also if a check has thrown
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  void Play(seconds duration) {
    const auto until = Clock::now() + duration;
    while (Clock::now() < until) {
      std::this_thread::sleep_for(milliseconds(20));  // the workers run during this sleep
      const std::int64_t blocked = server_.Parts().Get().blocked_clients;
      blocked_most_ = std::max(blocked_most_, blocked);
    }
  }

  // Every command gets its reply once nothing holds it back.
  void AwaitReplies() {
    scene_.ending = true;
    SocketClient client = server_.Unix();
    const auto until = Clock::now() + kAnswerPatience;
    int waiting = 1;
    while (waiting > 0 && Clock::now() < until) {
      Lift(client);  // repeatedly: requests that set a limit may still be queued
      std::this_thread::sleep_for(milliseconds(20));
      waiting = 0;
      for (const auto& worker : workers_) {
        waiting += worker->Waiting();
      }
    }
    scene_.closing = true;
    for (const auto& worker : workers_) {
      worker->Join();
      UNSCOPED_INFO(worker->ShowWaiting());
    }
    CHECK(waiting == 0);
    CHECK(Ask(client, {"PING"}).text == "PONG");
    WaitUntil([&] {
      return Ask(client, {"INFO", "clients"}).text.find("blocked_clients:0\r\n") !=
             std::string::npos;
    });
  }

  // Every row has a state that its thread allows.
  void CheckRows() {
    SocketClient client = server_.Tcp();
    for (const auto& worker : workers_) {
      Ledger& ledger = worker->Kept();
      for (std::size_t row = 0; row < ledger.Rows(); ++row) {
        const Value value = Ask(client, {"KV.MGET", kKept, "KEYS", "1", ledger.Key(row), "FIELDS",
                                         "1", "x", "FORMAT", "rows"});
        const bool there = value.type == '*' && !value.items.at(0).items.empty();
        ledger.Check(row, there ? &value.items[0].items[0].items.at(3).text : nullptr);
        rows_ += there ? 1 : 0;
      }
    }
  }

  void Finish() {
    {
      SocketClient client = server_.Tcp();
      CHECK(Ask(client, {"FLUSHALL"}).text == "OK");
    }
    std::map<std::string, std::int64_t> replies;
    for (const auto& worker : workers_) {
      for (const auto& [kind, count] : worker->Replies()) {
        replies[kind] += count;
      }
    }
    workers_.clear();
    WaitUntil([this] { return server_.Connections() == 0; });
    try {
      WaitUntil([this] { return server_.UsedMemory() == used_before_; });
    } catch (const std::runtime_error&) {
      CHECK(server_.UsedMemory() == used_before_);
    }
    CHECK(server_.Parts().GetMemory().GetArena().GetStats().used_bytes == 0);
    for (const std::string& failure : scene_.failures) {
      FAIL_CHECK(failure);
    }
    Print(replies);
  }

 private:
  void Lift(SocketClient& client) {
    Ask(client, {"CLIENT", "UNPAUSE"});
    Ask(client, {"CONFIG", "SET", "maxmemory", "4gb"});
    for (const std::string name : {kKept, "w0", "w1", "w2"}) {
      Ask(client, {"PARTITION.CREATE", name, "MAXROWS", "0", "MAXBYTES", "0"});
    }
  }

  void Print(const std::map<std::string, std::int64_t>& replies) const {
    std::printf("chaos: at most %lld blocked at once, %lld rows checked; replies:",
                static_cast<long long>(blocked_most_), static_cast<long long>(rows_));
    for (const auto& [kind, count] : replies) {
      std::printf(" %s %lld", kind.c_str(), static_cast<long long>(count));
    }
    std::printf("\n");
    static_cast<void>(std::fflush(stdout));
  }

  LiveServer server_{"", "", kIoThreads};
  Scene scene_{server_};
  std::int64_t used_before_;
  std::unique_ptr<server::Housekeeper> housekeeper_;
  std::unique_ptr<Watchdog> watchdog_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::int64_t blocked_most_ = 0;
  std::int64_t rows_ = 0;
};

TEST_CASE("hundreds of clients doing random things get all replies and lose no write", "[chaos]") {
  const unsigned first = FromEnvironment("SLUICE_SEED", 1);
  const unsigned seeds = FromEnvironment("SLUICE_SEEDS", 1);
  const unsigned duration = FromEnvironment("SLUICE_CHAOS_SECONDS", 3);
  for (unsigned seed = first; seed < first + seeds; ++seed) {
    CAPTURE(seed);
    std::printf("chaos: seed %u for %u s\n", seed, duration);
    static_cast<void>(std::fflush(stdout));  // printed even if the process ends
    Run run(seed);
    run.Play(seconds(duration));
    run.AwaitReplies();
    run.CheckRows();
    run.Finish();
  }
}

}  // namespace
}  // namespace sluice::tests::chaos
