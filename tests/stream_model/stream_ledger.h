// StreamLedger: what must hold whatever the model says, from requests and replies alone:
//
//   a task consumes a row at most once, unless it is released;
//   a step of a rank is always answered with the same rows;
//   groups are never split;
//   waiting + ready + leased + consumed = total, and what was consumed is shown as consumed.
//
// Each function returns "" or what does not hold.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "tests/stream_model/stream_requests.h"
#include "tests/support/resp_decoder.h"

namespace sluice::tests {

// What TASK.ACK and TASK.RELEASE are about.
struct TaskRows {
  std::string partition = {};
  std::string task = {};
  Indexes rows;  // those named that exist
  std::optional<std::string> lease = {};
};

class StreamLedger {
 public:
  std::string Fetched(const FetchRequest& request, const Value& reply);
  // It was answered, and its client went before it was told.
  void NotTold(const FetchRequest& request);
  std::string Claimed(const ClaimRequest& request, const Value& reply);
  void Acked(const TaskRows& about, std::size_t count);  // `count`: the reply
  void Released(const TaskRows& about);
  void Reset(const std::string& partition, const std::optional<std::string>& task);
  void Dropped(const std::string& partition);
  // The reply of TASK.STATUS; with BITMAP or without.
  [[nodiscard]] std::string Status(const std::string& partition, const std::string& task,
                                   const Value& reply) const;

 private:
  struct Step {
    Indexes rows = {};
    bool balanced = false;
    bool may_be_forgotten = false;  // RELEASE named one of its rows, or of its other shares
  };
  struct Task {
    std::set<Index> consumed = {};
    std::map<std::string, std::set<Index>> leases;  // what each was given with
    std::map<StepId, Step> steps = {};
  };
  // Did a rank ask for this step?
  static bool Dealt(const Task& task, std::int64_t step);
  std::string TakeOnce(Task& task, const Indexes& rows, const Value* lease);

  std::map<std::pair<std::string, std::string>, Task> tasks_;
};

}  // namespace sluice::tests
