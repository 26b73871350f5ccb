// StreamRun: one seed's run of stream_model_test.cc. 20 clients of one server send random commands;
// each is answered by the model, too, and after each all that wait must have been answered exactly
// if the model says so.
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
  // All gone: nothing may be left over.
  void Finish();

  // How often what happened, so that the test can say that it was tested at all.
  [[nodiscard]] const std::map<std::string, int>& Counts() const { return counts_; }

 private:
  // A command and what is to be done with its answer. It is judged by the model as it is when the
  // answer was made.
  struct Command {
    Words words = {};
    std::function<void(const Value&)> judge = {};
    // What may wait: a fetch, which is judged by JudgeFetch(), or a write.
    std::optional<FetchRequest> fetch = {};
    std::optional<WriteRequest> write = {};
  };
  struct Waiting {
    Command command = {};
    std::optional<std::int64_t> deadline_us = {};
    std::int64_t arrival = 0;
    int admitted = 0;  // to the partition of this number
  };
  struct ConnectionInfo {
    std::unique_ptr<TestClient> connection = {};
    std::optional<Waiting> waiting = {};
  };
  // A client that was answered and goes before it is told.
  struct Doomed {
    std::size_t client = 0;
    Plan plan = {};
    std::optional<int> lease = {};
    Indexes held = {};  // that AUTOEVICT leaves there until it is gone
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
  // Answered as this says.
  Command Same(const Words& words, const std::function<std::string()>& model);

  // stream_run_fetch.cc
  struct Asked {
    std::size_t client = 0;
    bool time_is_up = false;
    bool waited = false;
  };
  // Returns the rows that the answer consumed.
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
  // It waited, and must be answered now.
  void Answer(std::size_t client, bool time_is_up);
  void RunTransaction(std::size_t client);
  void LetTimePass();
  // Those whose time is up: by the housekeeper, or by the next command.
  void EndLeases();
  void Disconnect(std::size_t client);
  // Everybody who can be served is, in order of arrival.
  void Settle();
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
  std::deque<ToEvict> to_evict_;  // what those were answered with that waited
  bool in_transaction_ = false;
  std::int64_t arrivals_ = 0;
  int steps_ = 0;
};

}  // namespace sluice::tests
