// Controller: the tasks of one partition: which rows each has consumed, who gets which rows next,
// and who waits for them. The only class of this folder that server/ talks to.
//
// It is told of every row that is written or removed, and keeps its views up to date; what cannot
// be kept for want of memory is made anew from the rows at the next call.
//
// Thread safety: one caller at a time (the engine).
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

// Of one task: waiting + ready + leased + consumed = total.
struct TaskCounts {
  std::int64_t total = 0;    // rows that there are
  std::int64_t waiting = 0;  // free, and not complete
  std::int64_t ready = 0;    // free and complete
  std::int64_t leased = 0;
  std::int64_t consumed = 0;
};

class Controller {
 public:
  // `lease_ids` counts the server's leases. All are borrowed and must outlive the controller.
  Controller(RowSource& rows, LeaseId& lease_ids, std::uint64_t seed)
      : source_(rows), lease_ids_(lease_ids), seeds_(seed) {}
  Controller(const Controller&) = delete;
  Controller& operator=(const Controller&) = delete;

  // Looks at all rows. To be called once, first. Errors: std::bad_alloc.
  void Begin();

  // Rows were made or written, or lost a cell; a row is gone.
  void RowWritten(RowIndex row) noexcept;
  void RowGone(RowIndex row) noexcept;
  // How many rows will have been made in the end; nullopt: nobody knows.
  void SetExpected(std::optional<std::int64_t> rows) { expected_ = rows; }
  [[nodiscard]] const RowBits& Rows() const { return existing_; }

  // Null: there is none.
  [[nodiscard]] Task* FindTask(std::string_view name) noexcept;
  // Made where there is none. Errors: std::bad_alloc.
  Task& GetTask(std::string_view name);
  // The task that a call made goes again where the call failed, unless it is in use by now.
  void ForgetUnused(std::string_view name) noexcept;
  [[nodiscard]] const std::map<std::string, std::unique_ptr<Task>, std::less<>>& Tasks() const {
    return tasks_;
  }

  // Looked at in one step: a millisecond or two where tags are read.
  static constexpr std::int64_t kStepRows = 2048;
  // A view or a sampler that is new looks at all rows: this lets it look at some more of them.
  // `choice`: null: no sampler is asked for. True: there are more, and others may act before the
  // next call. What follows does all that is left. Errors: std::bad_alloc.
  bool Prepare(Task& task, const Selection& selection, const SamplerChoice* choice);

  // TASK.FETCH: takes rows, or says that it has to wait. `time_is_up`: MIN rows are enough, and it
  // does not wait. Makes the task. REQUIRES: the sampler's options are checked.
  // Errors: kError (of RANK and STEP), kNoKey; std::bad_alloc; nothing changed then.
  struct Moment {
    std::int64_t now_us = 0;
    bool time_is_up = false;
  };
  Result<Outcome> TryFetch(const Fetch& fetch, const Moment& moment, Fetched& fetched);
  // It could not be answered: its rows are free again, as if it had not been.
  void GiveBack(const Fetch& fetch, const Fetched& fetched) noexcept;
  // The step that TryFetch would give again; null: it would sample.
  // Errors: kError, kNoKey: it cannot be given again.
  Result<const Step*> KnownStep(const Fetch& fetch);
  // It is not a step that is known, nor one that cannot be given: TryFetch() would sample.
  bool Samples(const Fetch& fetch) {
    const auto known = KnownStep(fetch);
    return known.ok() && *known == nullptr;
  }
  // TASK.EXPLAIN: a line a reason. Makes the task. Whoever asks looks at the rows, since that takes
  // long, and only where it is needed: false: it is, and nothing was said.
  // Errors: std::bad_alloc.
  struct Obstacles {  // among the rows that the task has neither consumed nor lent
    struct Missing {
      std::int64_t rows = 0;
      RowIndex first = kNoRow;
    };
    std::vector<Missing> missing;  // one a field asked for
    std::int64_t complete = 0;
  };
  bool Explain(const Fetch& fetch, const Moment& moment, const Obstacles* found,
               std::vector<std::string>& lines);
  // The rows that the task has consumed or lent. Errors: std::bad_alloc.
  static void CopyTaken(const Task& task, RowBits& taken);

  // The fetch waits until it is answered or leaves. REQUIRES: TryFetch said so, just now, and the
  // waiter does not wait. Errors: std::bad_alloc.
  void Wait(Waiter& waiter);
  void Leave(Waiter& waiter) noexcept;
  // Null: nobody waits. The one that came first.
  // Answers the waiters for whose fetch check(fetch) is not ok with that status.
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
  [[nodiscard]] Waiter* FirstWaiter() const {
    return waiters_.empty() ? nullptr : waiters_.begin()->second;
  }
  [[nodiscard]] std::size_t Waiters() const { return waiters_.size(); }
  // Answers all that can be, in order of arrival. To be called after whatever may have made rows
  // ready, or have brought the end nearer, before anybody else acts.
  void Settle(std::int64_t now_us) noexcept;

  // Those of `rows` that are there. What comes back: how many rows changed.
  // Errors: std::bad_alloc; nothing changed then.
  // TASK.ACK: `lease`: only what it holds; 0: all.
  std::int64_t Acknowledge(Task& task, std::span<const RowIndex> rows, LeaseId lease);
  // TASK.RELEASE: the same.
  std::int64_t Release(Task& task, std::span<const RowIndex> rows, LeaseId lease);
  // TASK.CLAIM: those that the task could take, in the order named; `all`: or none. They are added
  // to `claimed`, whose lease is that of all its rows: once it is over, no more can be had.
  // REQUIRES: claimed.rows has capacity for claim.rows.
  struct Claim {
    const Selection& selection;
    std::span<const RowIndex> rows;
    std::optional<LeaseTerms> lease;
    bool all = false;
    std::int64_t now_us = 0;
  };
  void ClaimRows(Task& task, const Claim& claim, Fetched& claimed);
  // What others waited for may be ready: see Task::Reset().
  void Reset(Task& task) noexcept;
  // Goes on with what Reset() began. True: call again; others may act before. What finds no memory
  // is left to whoever needs it.
  bool StepRebuild() noexcept;
  // Where somebody takes it from time to time, without the engine, nothing large is given back with
  // it.
  [[nodiscard]] Retired::All TakeRetired() noexcept { return retired_.Take(); }

  // Of the rows that fit `selection`. Errors: std::bad_alloc.
  TaskCounts Count(Task& task, const Selection& selection);
  const RowBits& Ready(Task& task, const Selection& selection);
  // The first that the task has not consumed; kNoRow.
  [[nodiscard]] RowIndex OldestUnconsumed(const Task& task) const;

  // Leases::kNever: no lease ends.
  [[nodiscard]] std::int64_t NextDeadlineUs() const;
  // Those whose time is up, or that are bound to the client: as many as have about `rows` rows,
  // which are taken off. True: there are more.
  bool EndLeases(std::int64_t now_us, std::int64_t& rows) noexcept;
  bool EndLeasesOf(std::int64_t connection, std::int64_t& rows) noexcept;
  [[nodiscard]] std::size_t RunningLeases() const;
  // That all this takes.
  [[nodiscard]] std::int64_t Bytes() const;

 private:
  static constexpr std::size_t kFollowedMax = 256;

  // What is not up to date is made anew.
  void Refresh();
  std::vector<std::size_t> Positions(const Selection& selection);
  // One that has looked at all rows.
  View& ViewOf(Task& task, const Selection& selection);
  void ForgetFields();
  // Rows that there are, and that the task may still get.
  [[nodiscard]] std::int64_t Unconsumed(const Task& task) const {
    return existing_.Count() - task.Consumed().Count();
  }
  // Rows that will be made. REQUIRES: expected_.
  [[nodiscard]] std::int64_t StillToCome() const;
  [[nodiscard]] std::int64_t Possible(const Task& task, const Fetch& fetch, Sampler& sampler) const;

  struct Decision {
    Outcome outcome = Outcome::kWait;
    std::int64_t count = 0;  // of kRows; 0: the end of the stream
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

  void ExplainExpect(const Task& task, const Fetch& fetch, std::int64_t possible,
                     std::vector<std::string>& lines) const;

  Waiter* FirstServable();
  [[nodiscard]] bool NearEnd() const;
  bool ServeFirst(std::int64_t now_us);
  bool ServeSteps(std::int64_t now_us);
  bool ServeNearEnd(std::int64_t now_us);
  enum class Served : std::uint8_t { kNo, kRows, kOther };
  Served Serve(Waiter& waiter, std::int64_t now_us) noexcept;

  RowSource& source_;
  LeaseId& lease_ids_;
  Random seeds_;
  Retired retired_;
  RowBits existing_;
  bool stale_ = false;  // existing_ is: there was no memory
  std::optional<std::int64_t> expected_;
  std::size_t followed_max_ = kFollowedMax;  // more fields, and those that no view uses go
  std::map<std::string, std::unique_ptr<Task>, std::less<>> tasks_;

  std::map<std::int64_t, Waiter*> waiters_;  // by arrival
  std::vector<Line*> lines_;                 // in which somebody waits
  std::map<std::int64_t, std::int64_t>
      needs_;               // how many that wait need so many rows, of all ranks
  bool new_steps_ = false;  // some were remembered since those that wait were looked at
};

}  // namespace sluice::controller
