// Controller: the tasks of one partition: which rows each task has consumed, which rows a fetch
// gets next, and which fetches wait.
//
// The controller is notified of every row that is written or removed and keeps its views up to
// date. A view that could not be updated for lack of memory is rebuilt from the rows at the next
// call.
//
// Thread safety: one caller at a time (the holder of the engine lock).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "controller/task.h"

namespace sluice::controller {

// The row counts of one task: waiting + ready + leased + consumed = total.
struct TaskCounts {
  std::int64_t total = 0;    // existing rows
  std::int64_t waiting = 0;  // free, and not complete
  std::int64_t ready = 0;    // free and complete
  std::int64_t leased = 0;
  std::int64_t consumed = 0;
};

class Controller {
 public:
  // `lease_ids` counts the server's leases. Both references are borrowed and must outlive the
  // controller.
  Controller(RowSource& rows, LeaseId& lease_ids, std::uint64_t seed)
      : source_(rows), lease_ids_(lease_ids), seeds_(seed) {}
  Controller(const Controller&) = delete;
  Controller& operator=(const Controller&) = delete;

  // Reads all rows. REQUIRES: called once, first. Errors: std::bad_alloc.
  void Begin();

  // A row was created or written or lost a cell; a row was removed.
  void RowWritten(RowIndex row) noexcept;
  void RowGone(RowIndex row) noexcept;
  // Sets how many rows will be created in total; nullopt if unknown.
  void SetExpected(std::optional<std::int64_t> rows) { expected_ = rows; }
  [[nodiscard]] const RowBits& Rows() const { return existing_; }

  // Returns null if there is none.
  [[nodiscard]] Task* FindTask(std::string_view name) noexcept;
  // Creates the task if there is none. Errors: std::bad_alloc.
  Task& GetTask(std::string_view name);
  // Removes the task that a failed call created, unless the task is in use by now.
  void ForgetUnused(std::string_view name) noexcept;
  [[nodiscard]] const std::map<std::string, std::unique_ptr<Task>, std::less<>>& Tasks() const {
    return tasks_;
  }

  // Rows per step. Such a step takes one or two milliseconds if tags are read.
  static constexpr std::int64_t kStepRows = 1024;
  // Does one step of building a new view or sampler, which reads all rows. `choice`: null for no
  // sampler. Returns true if there are more rows; other commands may act before the next call. A
  // later TryFetch() or Explain() reads all rows that are left. Errors: std::bad_alloc.
  bool Prepare(Task& task, const Selection& selection, const SamplerChoice* choice);

  struct Moment {
    std::int64_t now_us = 0;
    bool time_is_up = false;  // MIN rows are enough, and the fetch does not wait
  };
  // TASK.FETCH: takes rows, or returns kWait. Creates the task. REQUIRES: the sampler's options are
  // checked. Errors: kError (of RANK and STEP), kNoKey; std::bad_alloc. On error nothing changes.
  Result<Outcome> TryFetch(const Fetch& fetch, const Moment& moment, Fetched& fetched);
  // Undoes a fetch that could not be answered: its rows are free again.
  void GiveBack(const Fetch& fetch, const Fetched& fetched) noexcept;
  // Returns the step that TryFetch() would repeat; null if it would sample.
  // Errors: kError, kNoKey: the step cannot be repeated.
  Result<const Step*> KnownStep(const Fetch& fetch);
  // Returns true if TryFetch() would sample: the step is neither known nor impossible to repeat.
  bool Samples(const Fetch& fetch) {
    const auto known = KnownStep(fetch);
    return known.ok() && *known == nullptr;
  }
  struct Obstacles {  // among the rows that the task has neither consumed nor leased
    struct Missing {
      std::int64_t rows = 0;
      RowIndex first = kNoRow;
    };
    std::vector<Missing> missing;  // one per requested field
    std::int64_t complete = 0;
  };
  // TASK.EXPLAIN: appends one line per reason. Creates the task. Returns false and no lines if it
  // needs `found`: the caller then reads the rows, in steps, and calls again.
  // Errors: std::bad_alloc.
  bool Explain(const Fetch& fetch, const Moment& moment, const Obstacles* found,
               std::vector<std::string>& lines);
  // Copies the set of rows that the task has consumed or leased. Errors: std::bad_alloc.
  static void CopyTaken(const Task& task, RowBits& taken);

  // The fetch waits until it is answered or leaves. REQUIRES: TryFetch() just returned kWait; the
  // waiter does not wait yet. Errors: std::bad_alloc.
  void Wait(Waiter& waiter);
  void Leave(Waiter& waiter) noexcept;
  // Answers each waiter for which check(fetch) is not ok with that status.
  template <typename Check>
  void RefuseWaiters(const Check& check) {
    for (auto it = waiters_.begin(); it != waiters_.end();) {
      Waiter& waiter = *it->second;
      ++it;
      if (Status status = check(waiter.fetch); !status.ok()) {
        Leave(waiter);
        waiter.Answer(std::move(status), {});
      }
    }
  }
  // Returns the waiter that arrived first; null if there is none.
  [[nodiscard]] Waiter* FirstWaiter() const {
    return waiters_.empty() ? nullptr : waiters_.begin()->second;
  }
  [[nodiscard]] std::size_t Waiters() const { return waiters_.size(); }
  // Serves all waiters that can be served, in order of arrival. Call it after every change that may
  // have made rows ready or brought the end of the stream nearer, before any other command acts.
  void ServeWaiters(std::int64_t now_us) noexcept;

  // These two ignore rows that do not exist and return how many rows changed.
  // Errors: std::bad_alloc; nothing changed then.
  // TASK.ACK. `lease`: only rows that this lease holds; 0: all. Steps do not hold these rows any
  // more.
  std::int64_t Acknowledge(Task& task, std::span<const RowIndex> rows, LeaseId lease);
  // TASK.RELEASE. `lease`: as above.
  std::int64_t Release(Task& task, std::span<const RowIndex> rows, LeaseId lease);
  struct Claim {
    const Selection& selection;
    std::span<const RowIndex> rows;
    std::optional<LeaseTerms> lease;
    bool all = false;
    std::int64_t now_us = 0;
  };
  // TASK.CLAIM: appends the rows that the task can take to `claimed`, in the order named; with
  // `all`, either all rows or none. All claimed rows share one lease: once it has ended, no row is
  // added. REQUIRES: claimed.rows has capacity for claim.rows.
  void ClaimRows(Task& task, const Claim& claim, Fetched& claimed);
  // See Task::Reset(). Waiters may become servable.
  void Reset(Task& task) noexcept;
  // Continues what Reset() began. Returns true if it must be called again; other commands may act
  // in between. A view for which there is no memory is rebuilt by the next call that needs it.
  bool StepRebuild() noexcept;
  // Take it from time to time and destroy it without the engine lock, so that nothing large is
  // freed under the lock.
  [[nodiscard]] Retired::All TakeRetired() noexcept { return retired_.Take(); }

  // Both cover the rows that match `selection`. Errors: std::bad_alloc.
  TaskCounts Count(Task& task, const Selection& selection);
  const RowBits& Ready(Task& task, const Selection& selection);
  // Returns the first row that the task has not consumed; kNoRow if there is none.
  [[nodiscard]] RowIndex OldestUnconsumed(const Task& task) const;

  // Returns when the next lease expires; Leases::kNever if none does.
  [[nodiscard]] std::int64_t NextDeadlineUs() const;
  // Expires leases whose time is up; releases leases bound to the connection. Each handles leases
  // of about `rows` rows and subtracts that number from `rows`. Returns true if there are more.
  bool EndLeases(std::int64_t now_us, std::int64_t& rows) noexcept;
  bool EndLeasesOf(std::int64_t connection, std::int64_t& rows) noexcept;
  [[nodiscard]] std::size_t RunningLeases() const;
  // Memory used.
  [[nodiscard]] std::int64_t Bytes() const;

 private:
  static constexpr std::size_t kFollowedMax = 256;

  // Rebuilds what is stale.
  void Refresh();
  std::vector<std::size_t> Positions(const Selection& selection);
  // Returns a complete view.
  View& ViewOf(Task& task, const Selection& selection);
  void ForgetFields();
  // Existing rows that the task may still get.
  [[nodiscard]] std::int64_t Unconsumed(const Task& task) const {
    return existing_.Count() - task.Consumed().Count();
  }
  // Rows that are still to be created. REQUIRES: expected_.
  [[nodiscard]] std::int64_t StillToCome() const;
  [[nodiscard]] std::int64_t Possible(const Task& task, const Fetch& fetch, Sampler& sampler,
                                      std::int64_t enough) const;

  struct Decision {
    Outcome outcome = Outcome::kWait;
    std::int64_t count = 0;  // for kRows; 0 at the end of the stream
  };
  Decision Decide(const Task& task, const Fetch& fetch, Sampler& sampler, bool time_is_up) const;
  void Take(Task& task, const Fetch& fetch, Picked& picked, std::int64_t now_us, Fetched& fetched);
  void LendShares(Task& task, const Fetch& fetch, const Picked& picked, std::int64_t now_us,
                  std::vector<LeaseId>& leases);
  static void Remember(Task& task, const Fetch& fetch, const Picked& picked,
                       std::span<const LeaseId> leases);
  Status CheckRepeat(const Task& task, const Fetch& fetch, const Step& step) const;
  void Repeat(Task& task, const Fetch& fetch, std::int64_t now_us, Fetched& fetched);
  void TakeAgain(Task& task, const Fetch& fetch, std::int64_t now_us, Step& step);
  // The fetch got its step.
  void Asked(Task& task, const Fetch& fetch) noexcept;

  void ExplainExpect(const Task& task, const Fetch& fetch, std::int64_t possible,
                     std::vector<std::string>& lines) const;

  Waiter* FirstServable();
  [[nodiscard]] bool NearEnd() const;
  bool ServeFirst(std::int64_t now_us);
  bool ServeSteps(std::int64_t now_us);
  bool ServeNearEnd(std::int64_t now_us);
  // kRows: it got rows, or could not take them, since its peer is gone.
  enum class Served : std::uint8_t { kNo, kRows, kOther };
  Served Serve(Waiter& waiter, std::int64_t now_us) noexcept;

  RowSource& source_;
  LeaseId& lease_ids_;
  Random seeds_;
  Retired retired_;
  LiveViews live_;
  RowBits existing_;
  bool stale_ = false;  // existing_ is stale: there was no memory
  std::optional<std::int64_t> expected_;
  std::size_t followed_max_ = kFollowedMax;  // beyond it, fields that no view uses are dropped
  std::map<std::string, std::unique_ptr<Task>, std::less<>> tasks_;

  std::map<std::int64_t, Waiter*> waiters_;     // by arrival
  std::vector<Line*> lines_;                    // those with waiters
  std::map<std::int64_t, std::int64_t> needs_;  // rows needed, over all ranks -> number of waiters
  bool new_steps_ = false;  // steps were added since the waiters were last checked
};

}  // namespace sluice::controller
