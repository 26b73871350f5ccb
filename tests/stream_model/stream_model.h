// StreamModel: partitions and tasks, slow and obvious, for stream_model_test.cc. It shares no code
// with the server: plain maps, and every query scans all rows. It is called in the order in which
// the server acts, and knows connections only by their numbers.
//
// Replies are texts, as Flat() makes them of the server's: "3", "nil", "OK", "-NOTASK", "[a,b]".
// The allowed replies of a fetch are a Plan: if rows are drawn at random, the model takes the
// server's choice after checking that it is allowed.
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
  std::string id = {};  // as the server calls it; empty: not known yet
  std::int64_t deadline_us = 0;
  std::optional<int> client = {};  // that it is bound to
  std::set<Index> rows = {};       // that it still holds; never empty
};

struct StreamStep {
  std::size_t count = 0;
  Words sampler = {};
  Indexes rows = {};
  int deal = 0;  // the same for all shares of one call
  bool given_again = false;
  std::vector<double> weights = {};
  std::optional<int> lease = {};
  std::set<Index> came_back = {};  // rows returned before the lease ended
  bool holds = false;              // AUTOEVICT keeps the rows in `held`
  int asked = 0;                   // when its rank asked for it last, of those that hold
  std::set<Index> held = {};
};

struct StreamTask {
  Words fields = {};  // of its last fetch
  std::set<Index> consumed = {};
  std::map<int, StreamLease> leases = {};
  std::map<StepId, StreamStep> steps = {};
  int asks = 0;

  [[nodiscard]] std::optional<int> LeaseOf(Index row) const;
  [[nodiscard]] bool Free(Index row) const;
  // A lease without rows ends.
  void TakeFromLeases(Index row);
  // And the other ranks' shares of the same calls.
  void ForgetStepsOf(Index row);
  // Rows that steps hold.
  [[nodiscard]] std::set<Index> Held() const;
  // The rank got its step. The steps that the ranks asked for have `rows` rows at most that hold.
  void Ask(const StepId& id, std::size_t rows);
};

struct StreamPartition {
  int number = 0;  // counts all partitions ever created
  std::map<Index, StreamRow> rows = {};
  Index made = 0;  // rows ever made
  std::map<std::string, StreamTask> tasks = {};
  std::optional<std::int64_t> expect = {};
  std::optional<std::int64_t> maxrows = {};
  std::optional<std::int64_t> maxbytes = {};
  std::map<std::string, FieldSchema> schema = {};
  std::set<std::string> named_tasks = {};  // by TASKS
  bool strict = false;
  bool autoevict = false;
  std::multiset<Index> held;  // rows in replies being sent, which AUTOEVICT keeps, too

  [[nodiscard]] std::optional<Index> Find(const std::string& key) const;
  // Null if there is none.
  [[nodiscard]] const StreamCell* CellOf(const std::string& key, const std::string& field) const;
  [[nodiscard]] Indexes Choose(const RowList& rows) const;  // Returns those that exist.
  // Returns the number removed: 0 or 1.
  std::size_t Remove(Index index);
  [[nodiscard]] std::int64_t Bytes() const;
  // The most rows that steps of a task hold, of those that were asked for.
  [[nodiscard]] std::size_t RowsToHold() const;
  [[nodiscard]] bool Holds(const std::string& field) const;
  // Returns "", or the error if STRICT refuses it.
  [[nodiscard]] std::string Forbids(const std::string& task, const Words& fields) const;
};

bool Fits(const boost::json::object& tag, const Where& where);

struct Plan {
  enum class Kind { kWaits, kNil, kError, kEnd, kRows };
  Kind kind = Kind::kNil;
  std::string error = {};  // its code, or more of its text
  Indexes rows = {};       // kRows: exactly these, in this order; but if `count` is set:
  std::size_t count = 0;   // that many of `rows`, in any order
  std::map<Index, double> weights = {};  // priority: of all rows that could be chosen
  std::vector<Indexes> shares = {};      // with RANKS: the rows of each rank
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
  // Returns whether BLOCK would make this write wait for space now.
  [[nodiscard]] bool Waits(const WriteRequest& request) const;

  // TASK; a lease id of nullopt: no lease.
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

  // Returns "" if these rows are claimed.
  std::string PlanClaim(const ClaimRequest& request, Indexes& rows) const;
  std::optional<int> TakeClaim(const ClaimRequest& request, const Indexes& rows, int client);

  // A fetch is planned, answered, and taken. `time_is_up`: it may not wait (any longer).
  [[nodiscard]] Plan PlanFetch(const FetchRequest& request, bool time_is_up) const;
  // The fetch arrived: creates its task, which remembers the fields.
  void NoteFetch(const FetchRequest& request);
  // Takes `rows`. Returns the lease that the reply names. AutoEvict() comes with the reply.
  std::optional<int> TakeFetch(const FetchRequest& request, const Plan& plan, const Indexes& rows,
                               int client);
  // The client disconnected before it received the reply.
  void GiveBack(const FetchRequest& request, const Plan& plan, std::optional<int> lease);

  // PARTITION
  std::string Create(const CreateRequest& request);
  [[nodiscard]] std::string ListPartitions() const;
  [[nodiscard]] std::string Info(const std::string& partition) const;
  [[nodiscard]] std::string ReadyRows(const std::string& partition, const Words& fields) const;
  std::string Evict(const std::string& partition, const Words& tasks);

  // Evicts the rows that all of TASKS have consumed and that neither a step nor a reply holds.
  void AutoEvict(const std::string& partition);

  // Leases end: by expiry, or if their client disconnected.
  void EndLeases();
  void OnConnectionClosed(int client);

  // KV.MGET's reply, flat, for the fields of these rows.
  [[nodiscard]] std::string Data(const FetchRequest& request, const Indexes& rows) const;

 private:
  [[nodiscard]] std::string Problem(const WriteRequest& request) const;
  // Returns whether any rank that shares in the fetch has a step of this number.
  [[nodiscard]] static bool SharesStep(const StreamTask& task, const FetchRequest& request);
  [[nodiscard]] Plan PlanAgain(const FetchRequest& request, const StreamStep& step) const;
  std::optional<int> TakeAgain(const FetchRequest& request, StreamStep& step, int client);
  // Grants a lease of these rows; without rows, no lease.
  std::optional<int> Hold(StreamTask& task, const StreamLease& lease);
  std::string Unknown(const std::string& partition, const std::string& task) const;

  StreamPartition& Made(const std::string& partition);

  int leases_made_ = 0;
  int deals_made_ = 0;
  int partitions_made_ = 0;
};

}  // namespace sluice::tests
