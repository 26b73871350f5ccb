// StreamModel: partitions and tasks, slow and obvious, for stream_model_test.cc. It shares no code
// with the server: plain maps, and every question is a scan over all rows. It is asked in the order
// in which the server acts, and knows nothing of connections but their numbers.
//
// Answers are texts as Flat() makes them of the server's: "3", "nil", "OK", "-NOTASK", "[a,b]".
// What a fetch may be answered is a Plan, since where rows are drawn at random the server's choice
// is taken over once it is seen to be allowed.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <boost/json/object.hpp>

#include "tests/stream_model/stream_replies.h"
#include "tests/stream_model/stream_requests.h"

namespace sluice::tests {

struct StreamCell {
  bool ready = false;
  std::vector<std::int64_t> dims = {};
  std::string bytes = {};
};

struct StreamRow {
  std::string key = {};
  boost::json::object tag = {};
  std::map<std::string, StreamCell> cells = {};
  std::int64_t made_us = 0;

  [[nodiscard]] bool Ready(const Words& fields) const;
};

struct StreamLease {
  std::string id = {};  // as the server calls it; empty: it has not told yet
  std::int64_t deadline_us = 0;
  std::optional<int> client = {};  // that it is bound to
  std::set<Index> rows = {};       // that it holds still; never empty
};

struct StreamStep {
  std::size_t count = 0;
  Words sampler = {};
  Indexes rows = {};
  int deal = 0;  // of all shares of one call the same
  bool given_again = false;
  std::vector<double> weights = {};
  std::optional<int> lease = {};
  std::set<Index> came_back = {};  // rows that the lease did not hold to the end
};

struct StreamTask {
  Words fields = {};  // of its last fetch
  std::set<Index> consumed = {};
  std::map<int, StreamLease> leases = {};
  std::map<StepId, StreamStep> steps = {};

  [[nodiscard]] std::optional<int> LeaseOf(Index row) const;
  [[nodiscard]] bool Free(Index row) const;
  // A lease without rows is over.
  void TakeFromLeases(Index row);
  // And the other ranks' shares of the same calls.
  void ForgetStepsOf(Index row);
};

struct StreamPartition {
  int number = 0;  // among all partitions, ever
  std::map<Index, StreamRow> rows = {};
  Index made = 0;  // rows, ever
  std::map<std::string, StreamTask> tasks = {};
  std::optional<std::int64_t> expect = {};
  std::optional<std::int64_t> maxrows = {};
  std::optional<std::int64_t> maxbytes = {};
  std::map<std::string, FieldSchema> schema = {};
  std::set<std::string> named_tasks = {};  // by TASKS
  bool strict = false;
  bool autoevict = false;
  std::multiset<Index> held;  // rows in replies on their way, which AUTOEVICT leaves there

  [[nodiscard]] std::optional<Index> Find(const std::string& key) const;
  // Null where there is none.
  [[nodiscard]] const StreamCell* CellOf(const std::string& key, const std::string& field) const;
  [[nodiscard]] Indexes Choose(const RowList& rows) const;  // those that exist
  // Returns how many: 0 or 1.
  std::size_t Remove(Index index);
  [[nodiscard]] std::int64_t Bytes() const;
  [[nodiscard]] bool Holds(const std::string& field) const;
  // "", or the error that STRICT makes of them.
  [[nodiscard]] std::string Forbids(const std::string& task, const Words& fields) const;
};

bool Fits(const boost::json::object& tag, const Where& where);

struct Plan {
  enum class Kind { kWaits, kNil, kError, kEnd, kRows };
  Kind kind = Kind::kNil;
  std::string error = {};  // its code, or more of its text
  Indexes rows = {};       // kRows: exactly these, in this order; but where `count` is set:
  std::size_t count = 0;   // that many of `rows`, in any order
  std::map<Index, double> weights = {};  // priority: of all rows that could be chosen
  std::vector<Indexes> shares = {};      // balanced: each rank's
  bool known_step = false;

  [[nodiscard]] std::string KindName() const;
};

class StreamModel {
 public:
  std::map<std::string, StreamPartition> partitions = {};
  std::int64_t now_us = 0;

  // KV
  std::string Write(const WriteRequest& request);
  std::string Append(const AppendRequest& request);
  std::string Clear(const std::string& partition, const RowList& rows, const Words& fields);
  std::string Drop(const std::string& partition);
  // Is the write one that BLOCK makes wait for room now?
  [[nodiscard]] bool Waits(const WriteRequest& request) const;

  // TASK; a lease id of nullopt is none.
  std::string Ack(const std::string& partition, const std::string& task, const RowList& rows,
                  const std::optional<std::string>& lease);
  std::string Release(const std::string& partition, const std::string& task, const RowList& rows,
                      const std::optional<std::string>& lease);
  std::string Renew(const std::string& partition, const std::string& task, const std::string& lease,
                    std::int64_t ms);
  std::string Status(const std::string& partition, const std::string& task,
                     const std::optional<Words>& fields, bool bitmap) const;
  std::string Ready(const std::string& partition, const std::string& task, const Words& fields,
                    const Where& where);
  std::string Reset(const std::string& partition, const std::optional<std::string>& task);
  [[nodiscard]] std::string ListTasks(const std::string& partition) const;

  // "" where these rows are claimed.
  std::string PlanClaim(const ClaimRequest& request, Indexes& rows) const;
  std::optional<int> TakeClaim(const ClaimRequest& request, const Indexes& rows, int client);

  // A fetch is planned, answered, and taken. `time_is_up`: it may not wait (any longer).
  [[nodiscard]] Plan PlanFetch(const FetchRequest& request, bool time_is_up) const;
  // It came: its task is made, and remembers the fields.
  void NoteFetch(const FetchRequest& request);
  // `rows` are taken. Returns the lease that its answer names. AUTOEVICT comes with the answer.
  std::optional<int> TakeFetch(const FetchRequest& request, const Plan& plan, const Indexes& rows,
                               int client);
  // The client went before it was told.
  void GiveBack(const FetchRequest& request, const Plan& plan, std::optional<int> lease);

  // PARTITION
  std::string Create(const CreateRequest& request);
  [[nodiscard]] std::string ListPartitions() const;
  [[nodiscard]] std::string Info(const std::string& partition) const;
  [[nodiscard]] std::string ReadyRows(const std::string& partition, const Words& fields) const;
  std::string Evict(const std::string& partition, const Words& tasks);

  // Of the partition, those of the rows that all of TASKS have consumed go.
  void AutoEvict(const std::string& partition, const Indexes& rows);

  // Leases end: those whose time is up; those bound to a client that went.
  void EndLeases();
  void OnConnectionClosed(int client);

  // KV.MGET's reply, flat, to the fields of these rows.
  [[nodiscard]] std::string Data(const FetchRequest& request, const Indexes& rows) const;

 private:
  [[nodiscard]] std::string Problem(const WriteRequest& request) const;
  // Is a step of this number known of any of the ranks that share in the fetch?
  [[nodiscard]] static bool SharesStep(const StreamTask& task, const FetchRequest& request);
  [[nodiscard]] Plan PlanAgain(const FetchRequest& request, const StreamStep& step) const;
  std::optional<int> TakeAgain(const FetchRequest& request, StreamStep& step, int client);
  // A new lease of these rows; of none, where there are none.
  std::optional<int> Hold(StreamTask& task, const StreamLease& lease);
  std::string Unknown(const std::string& partition, const std::string& task) const;

  StreamPartition& Made(const std::string& partition);

  int leases_made_ = 0;
  int deals_made_ = 0;
  int partitions_made_ = 0;
};

}  // namespace sluice::tests
