// StreamLedger: invariants that hold whatever the model says, checked from requests and replies
// alone:
//
//   a task consumes a row at most once, unless it is released;
//   a step of a rank always gets the same rows;
//   groups are never split;
//   waiting + ready + leased + consumed = total, and consumed rows are shown as consumed.
//
// Each function returns "" or the invariant that does not hold.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "tests/stream_model/stream_requests.h"
#include "tests/support/resp_decoder.h"

namespace sluice::tests {

// The rows of TASK.ACK or TASK.RELEASE.
struct TaskRows {
  std::string partition = {};
  std::string task = {};
  Indexes rows;  // the named rows that exist
  std::optional<std::string> lease = {};
};

class StreamLedger {
 public:
  std::string Fetched(const FetchRequest& request, const Value& reply);
  // It was answered, and its client disconnected before it received the reply.
  void NotTold(const FetchRequest& request);
  std::string Claimed(const ClaimRequest& request, const Value& reply);
  void Acked(const TaskRows& about, std::size_t count);  // `count`: the reply
  void Released(const TaskRows& about);
  void Reset(const std::string& partition, const std::optional<std::string>& task);
  void Dropped(const std::string& partition);
  // The reply of TASK.STATUS, with or without BITMAP.
  [[nodiscard]] std::string Status(const std::string& partition, const std::string& task,
                                   const Value& reply) const;

 private:
  struct Step {
    Indexes rows = {};
    bool shared = false;            // with other ranks
    bool may_be_forgotten = false;  // RELEASE named one of its rows, or a row of its other shares
  };
  struct Task {
    std::set<Index> consumed = {};
    std::map<std::string, std::set<Index>> leases;  // the rows that each lease was granted with
    std::map<StepId, Step> steps = {};
  };
  // Returns whether a rank asked for this step.
  static bool Dealt(const Task& task, std::int64_t step);
  std::string TakeOnce(Task& task, const Indexes& rows, const Value* lease);

  std::map<std::pair<std::string, std::string>, Task> tasks_;
};

}  // namespace sluice::tests
