// Task: a named consumer of a partition: which rows it has consumed and leased, what its ranks got,
// and its views of what is left.
//
// Thread safety: one caller at a time (the engine).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "controller/leases.h"
#include "controller/steps.h"
#include "controller/view.h"

namespace sluice::controller {

class Task {
 public:
  // All are borrowed. What it is done with goes to `retired`.
  Task(std::string name, const RowBits& existing, const RowSource& rows, Retired& retired,
       std::uint64_t seed)
      : random(seed),
        name_(std::move(name)),
        existing_(existing),
        source_(rows),
        retired_(retired) {}
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;

  [[nodiscard]] const std::string& Name() const { return name_; }
  [[nodiscard]] const RowBits& Consumed() const { return consumed_; }
  [[nodiscard]] const Leases& GetLeases() const { return leases_; }
  [[nodiscard]] Steps& GetSteps() { return steps_; }
  // Consumed, or lent.
  [[nodiscard]] bool Taken(RowIndex row) const noexcept {
    return consumed_.Contains(row) || leases_.HolderOf(row) != 0;
  }

  // Rows become consumed; those that are lent no more so. REQUIRES: they are there, none twice.
  // Errors: std::bad_alloc; nothing changed then.
  void Consume(std::span<const RowIndex> rows);
  // REQUIRES: they are there, and not taken. Errors: std::bad_alloc; nothing changed then.
  void Lend(LeaseId id, std::span<const RowIndex> rows, const Leases::Loan& loan);
  // REQUIRES, besides: the lease runs. Errors: std::bad_alloc; nothing changed then.
  void LendMore(LeaseId id, std::span<const RowIndex> rows);
  std::int64_t Renew(LeaseId id, const LeaseTerms& terms, std::int64_t now_us) {
    return leases_.Renew(id, terms, now_us);
  }
  // Consumed or lent rows are free again. A view that finds no memory for them is filled anew
  // later (Refill). REQUIRES: the row is there.
  void Free(RowIndex row) noexcept;
  // What it held is free again, and stays remembered as its step's; where it is not a step's, of
  // more than `rows_max` rows some are. How many became free.
  std::int64_t EndLease(LeaseId id, std::size_t rows_max = SIZE_MAX) noexcept;
  // Forgets all but its name and views, which are rebuilt: call StepRebuild() until it says that it
  // is done. Until then those that wait in them are not looked at.
  void Reset() noexcept;
  // Looks at so many rows. True: there are more. Errors: std::bad_alloc.
  bool StepRebuild(std::int64_t rows);
  // StepRebuild() is called no more: whoever needs a view does the rest.
  void EndRebuild() noexcept;

  // A row of the partition was made or written, or is gone.
  void RowWritten(RowIndex row) noexcept;
  void RowGone(RowIndex row) noexcept;

  // The view of this selection, which may not have looked at all rows. `fields`: positions, sorted.
  // Errors: std::bad_alloc.
  View& ViewOf(std::vector<std::size_t> fields, const Selection& selection);
  void MakeStale() noexcept { stale_ = true; }
  // Fills those views anew that could not be kept up to date. Errors: std::bad_alloc.
  void Refill();
  // The positions that its views use, appended.
  void FieldsInUse(std::vector<std::size_t>& positions) const;
  // Fetches of it that wait.
  [[nodiscard]] std::size_t Waiters() const;
  // As new: it has taken nothing, remembers nothing, and nobody waits in it.
  [[nodiscard]] bool Unused() const {
    return consumed_.Count() == 0 && leases_.Count() == 0 && steps_.Bytes() == 0 && Waiters() == 0;
  }
  [[nodiscard]] std::int64_t Bytes() const;

  // Those of its last fetch, in the order named.
  std::vector<std::string> last_fields;
  Random random;
  std::int64_t deals = 0;  // calls that steps were remembered of

 private:
  // It was taken, and is not any more. REQUIRES: it is there.
  void RowFreed(RowIndex row) noexcept;
  template <typename Function>
  void NotifyViews(const Function& function) noexcept;
  void RemoveFromViews(std::span<const RowIndex> rows) noexcept;
  void DropIdleViews() noexcept;

  std::string name_;
  const RowBits& existing_;
  const RowSource& source_;
  Retired& retired_;
  const std::function<bool(RowIndex)> taken_ = [this](RowIndex row) { return Taken(row); };
  RowBits consumed_;
  Leases leases_;
  Steps steps_;
  std::vector<std::unique_ptr<View>> views_;
  std::int64_t uses_ = 0;
  bool stale_ = false;  // a view is not up to date: there was no memory
};

}  // namespace sluice::controller
