// Worker: a thread with many connections. On idle connections it starts commands on its own rows,
// which its ledger checks, commands on the wild partitions, transactions, and large replies that it
// reads late; some connections end abruptly. One more connection belongs to the operator.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "tests/chaos/ledger.h"
#include "tests/chaos/link.h"
#include "tests/chaos/plan.h"

namespace sluice::tests::chaos {

class Worker {
 public:
  Worker(Scene& scene, unsigned seed, int number);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Returns the number of connections with unanswered requests. Any thread.
  [[nodiscard]] int Waiting() const { return waiting_; }
  void Join();  // REQUIRES: the scene is closing

  // REQUIRES: joined.
  [[nodiscard]] std::string ShowWaiting();
  Ledger& Kept() { return ledger_; }
  [[nodiscard]] const std::map<std::string, std::int64_t>& Replies() const { return replies_; }

 private:
  using LinkPtr = std::unique_ptr<Link>;

  void Run();
  void Turn(Clock::time_point now);
  void Poll(Clock::time_point now);
  void Serve(LinkPtr& link, short events);
  void CountWaiting(Clock::time_point now);

  void Connect(LinkPtr& link, std::size_t slot);
  void End(LinkPtr& link);  // its requests will not get replies
  void EndAbruptly(LinkPtr& link);

  void Begin(Link& link, Clock::time_point now);
  void Send(Link& link, const Request& request, Asked asked = {});
  void Operate();
  void UnblockFetches();
  void OwnCommand(Link& link);
  void OwnPuts(Link& link);
  void Read(Link& link, const std::vector<std::size_t>& rows);
  void ReadMuch(Link& link, Clock::time_point now);
  void Transaction(Link& link);
  Request OwnWrite(std::size_t row, int sequence);

  void Judge(const Asked& asked, const Value& value, std::size_t slot);
  void JudgeOwn(const Asked& asked, const Value& value);
  void JudgeRead(const Asked& asked, const Value& value);

  Scene& scene_;
  int number_;
  Plan plan_;
  Ledger ledger_;
  std::array<LinkPtr, kLinks> links_;
  LinkPtr operator_;
  Clock::time_point operate_at_ = {};
  int dumps_ = 0;
  std::map<std::string, std::int64_t> replies_;  // by kind: the code of an error, or "ok"
  std::atomic<int> waiting_{0};
  std::thread thread_;
};

}  // namespace sluice::tests::chaos
