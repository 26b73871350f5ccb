// Task: a named consumer of a partition: the rows that it has consumed and leased, the steps of its
// ranks, and its views of the free rows.
//
// Thread safety: one caller at a time (the holder of the engine lock).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "controller/leases.h"
#include "controller/live_views.h"
#include "controller/steps.h"

namespace sluice::controller {

class Task {
 public:
  // References are borrowed. Unused objects go to `retired`, views in use to `live`.
  Task(std::string name, const RowBits& existing, const RowSource& rows, Retired& retired,
       LiveViews& live, std::uint64_t seed)
      : random(seed),
        name_(std::move(name)),
        existing_(existing),
        source_(rows),
        retired_(retired),
        live_(live) {}
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;

  [[nodiscard]] const std::string& Name() const { return name_; }
  [[nodiscard]] const RowBits& Consumed() const { return consumed_; }
  [[nodiscard]] const Leases& GetLeases() const { return leases_; }
  [[nodiscard]] Steps& GetSteps() { return steps_; }
  // Consumed or leased.
  [[nodiscard]] bool Taken(RowIndex row) const noexcept {
    return consumed_.Contains(row) || leases_.HolderOf(row) != 0;
  }

  // The task does not need the row any more: it is consumed, and no step may give it again.
  [[nodiscard]] bool IsDoneWith(RowIndex row) const noexcept {
    return consumed_.Contains(row) && !steps_.Holds(row);
  }

  // Consumes rows and takes them out of their leases. REQUIRES: the rows exist; no row is listed
  // twice. Errors: std::bad_alloc; nothing changed then.
  void Consume(std::span<const RowIndex> rows);
  // Grants a lease. REQUIRES: the rows exist and are not taken. Errors: std::bad_alloc; nothing
  // changed then.
  void Lend(LeaseId id, std::span<const RowIndex> rows, const Leases::Loan& loan);
  // Adds rows to a lease. REQUIRES: as Lend(); the lease is active. Errors: as Lend().
  void LendMore(LeaseId id, std::span<const RowIndex> rows);
  std::int64_t Renew(LeaseId id, const LeaseTerms& terms, std::int64_t now_us) {
    return leases_.Renew(id, terms, now_us);
  }
  // Makes consumed or leased rows free again. A view that finds no memory for a row is refilled
  // later (Refill()). REQUIRES: the rows exist.
  void Free(std::span<const RowIndex> rows) noexcept;
  // Ends a lease: its rows are free again, and its step keeps them. Of a lease without a step at
  // most `rows_max` rows become free. Returns how many became free.
  std::int64_t EndLease(LeaseId id, std::size_t rows_max = SIZE_MAX) noexcept;
  // Forgets all but the name and the views. The views are rebuilt: call StepRebuild() until it
  // returns false. Waiters of the views are not checked before that.
  void Reset() noexcept;
  // Reads `rows` rows. Returns true if there are more. Errors: std::bad_alloc.
  bool StepRebuild(std::int64_t rows);
  // Stops the rebuild: the next call that needs a view completes it.
  void EndRebuild() noexcept;

  // A row of the partition was removed. Its views are notified by LiveViews.
  void RowGone(RowIndex row) noexcept;

  // Returns the view of this selection, which may be incomplete. `fields`: positions, sorted.
  // Errors: std::bad_alloc.
  View& ViewOf(std::vector<std::size_t> fields, const Selection& selection);
  void MakeStale() noexcept;
  // Refills the views that could not be kept up to date. Errors: std::bad_alloc.
  void Refill();
  // Appends the field positions that the views use.
  void FieldsInUse(std::vector<std::size_t>& positions) const;
  [[nodiscard]] std::size_t Waiters() const;
  // Returns true if the task is as new: no rows taken, no steps, no waiters.
  [[nodiscard]] bool Unused() const {
    return consumed_.Count() == 0 && leases_.Count() == 0 && steps_.Empty() && Waiters() == 0;
  }
  [[nodiscard]] std::int64_t Bytes() const;

  // The fields of the last fetch, in the order named.
  std::vector<std::string> last_fields;
  Random random;
  std::int64_t deals = 0;  // calls whose steps were remembered

 private:
  // The rows were taken and are free now. REQUIRES: they exist.
  void RowsFreed(std::span<const RowIndex> rows) noexcept;
  void RemoveFromViews(std::span<const RowIndex> rows) noexcept;
  void DropIdleViews() noexcept;

  std::string name_;
  const RowBits& existing_;
  const RowSource& source_;
  Retired& retired_;
  LiveViews& live_;
  const std::function<bool(RowIndex)> taken_ = [this](RowIndex row) { return Taken(row); };
  RowBits consumed_;
  Leases leases_;
  Steps steps_;
  std::vector<std::unique_ptr<View>> views_;
  std::int64_t uses_ = 0;
};

}  // namespace sluice::controller
