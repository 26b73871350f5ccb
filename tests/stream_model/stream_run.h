// StreamRun: one seed's run of stream_model_test.cc. 20 clients of one server send random commands;
// the model answers each command, too. After each command, a waiter must have been answered if and
// only if the model says so.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/stream_model/stream_ledger.h"
#include "tests/stream_model/stream_model.h"
#include "tests/stream_model/stream_picks.h"
#include "tests/stream_model/stream_replies.h"
#include "tests/support/test_server.h"

namespace sluice::tests {

class StreamRun : private StreamPicks {
 public:
  explicit StreamRun(unsigned seed);

  void Step();
  // All removed: nothing may be left over.
  void Finish();

  // Event counts, so that the test can check that each event occurred.
  [[nodiscard]] const std::map<std::string, int>& Counts() const { return counts_; }

 private:
  // A command and the check of its reply. The reply is checked against the model's state at the
  // time at which the reply was made.
  struct Command {
    Words words = {};
    std::function<void(const Value&)> judge = {};
    // What may block: a fetch, which JudgeFetch() checks, or a write.
    std::optional<FetchRequest> fetch = {};
    std::optional<WriteRequest> write = {};
  };
  struct Waiting {
    Command command = {};
    std::optional<std::int64_t> deadline_us = {};
    std::int64_t arrival = 0;
    int admitted = 0;  // waiting for the partition of this number
  };
  struct ConnectionInfo {
    std::unique_ptr<TestClient> connection = {};
    std::optional<Waiting> waiting = {};
  };
  // A client that was answered and disconnects before it receives the reply.
  struct Doomed {
    std::size_t client = 0;
    Plan plan = {};
    std::optional<int> lease = {};
    Indexes held = {};  // kept by AUTOEVICT until the client has gone
  };
  struct TaskId {
    std::string partition = {};
    std::string task = {};
  };

  struct ToEvict {
    std::string partition;
    int number = 0;  // which partition of this name
    Indexes rows;
  };

  void Connect(std::size_t number);
  static std::string Who(std::size_t client) { return "c" + std::to_string(client); }
  std::vector<std::size_t> Idle() const;
  std::vector<std::size_t> InOrderOfArrival() const;
  [[nodiscard]] bool TimeIsUp(const Waiting& waiting) const;

  // stream_run_commands.cc
  Command PickCommand(std::size_t client);
  Command PickWriteCommand();
  Command PickClearCommand();
  Command PickTaskCommand();
  Command PickLookCommand();
  Command PickPartitionCommand();
  Command FetchCommand();
  Command ClaimCommand(std::size_t client);
  Command ExplainCommand();
  Command AckCommand(bool release);
  // Requires this reply.
  Command Same(const Words& words, const std::function<std::string()>& model);

  // stream_run_fetch.cc
  struct Asked {
    std::size_t client = 0;
    bool time_is_up = false;
    bool waited = false;
  };
  // Returns the rows that the reply consumed.
  Indexes JudgeFetch(const FetchRequest& request, const Asked& asked, const Value& reply);
  void EvictLater(const std::string& partition, const Indexes& rows);
  void JudgeFetchAndEvict(const FetchRequest& request, const Asked& asked, const Value& reply);
  void JudgeClaim(std::size_t client, const ClaimRequest& request, const Value& reply);
  Indexes CheckRows(const Plan& plan, const Value& reply);
  Words Expected(const FetchRequest& request, const Plan& plan, const Indexes& rows);
  std::string CheckLease(const TaskId& of, std::optional<int> lease, const Value& reply);
  void CheckFields(const FetchRequest& request, const Indexes& rows);
  void CheckSeed(FetchRequest request, const Indexes& rows);

  void RunOne(std::size_t client);
  [[nodiscard]] bool IsToWait(const Command& command, bool time_is_up) const;
  void Park(std::size_t client, const Command& command);
  // It was blocked, and must have its reply now.
  void Answer(std::size_t client, bool time_is_up);
  void RunTransaction(std::size_t client);
  void LetTimePass();
  // Requests at their time-out: ended by the housekeeper, or by the next command.
  void EndLeases();
  void Disconnect(std::size_t client);
  // Serves all waiters that can be served, in order of arrival.
  void ServeWaiters();
  void Admit();
  bool ServeFetch();
  bool EvictOnce();
  void ReleaseHeld(const std::string& partition, const Indexes& rows);
  bool ServeWrite();
  void ExpectToWait(std::size_t client);
  bool Doom(std::size_t client);
  bool IsDoomed(std::size_t client) const { return doomed_ && doomed_->client == client; }
  Value Ask(TestClient& client, const std::string& who, const Words& words);
  void CompareState();
  void CompareTask(const std::string& partition, const std::string& task);

  TestServer server_;
  StreamModel model_;
  StreamLedger ledger_;
  StreamLog log_;
  std::vector<ConnectionInfo> clients_;
  TestClient probe_;
  std::map<std::string, int> counts_;
  std::optional<Doomed> doomed_;
  std::deque<ToEvict> to_evict_;  // the rows in replies to fetches that were blocked
  bool in_transaction_ = false;
  std::int64_t arrivals_ = 0;
  int steps_ = 0;
};

}  // namespace sluice::tests
