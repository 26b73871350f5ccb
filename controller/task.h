// Task: a named consumer of a partition: which rows it has consumed and leased, what its ranks got,
// and its views of what is left.
//
// Thread safety: one caller at a time (the engine).
#pragma once

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
  Task(std::string name, const RowBits& existing, const RowSource& rows, std::uint64_t seed)
      : random(seed), name_(std::move(name)), existing_(existing), source_(rows) {}
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
  std::int64_t Renew(LeaseId id, const LeaseTerms& terms, std::int64_t now_us) {
    return leases_.Renew(id, terms, now_us);
  }
  // Consumed or lent rows are free again. A view that finds no memory for them is filled anew
  // later (Refill). REQUIRES: the row is there.
  void Free(RowIndex row) noexcept;
  // What it held is free again, and stays remembered as its step's.
  void EndLease(LeaseId id) noexcept;
  // Forgets all but its name and views.
  void Reset() noexcept;

  // A row of the partition was made or written, or is gone.
  void RowWritten(RowIndex row) noexcept;
  void RowGone(RowIndex row) noexcept;

  // The view of this selection, up to date. `fields`: positions, sorted. Errors: std::bad_alloc.
  View& ViewOf(std::vector<std::size_t> fields, const Selection& selection);
  void MakeStale() noexcept { stale_ = true; }
  // Fills those views anew that could not be kept up to date. Errors: std::bad_alloc.
  void Refill();
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
  void DropIdleViews() noexcept;

  std::string name_;
  const RowBits& existing_;
  const RowSource& source_;
  RowBits consumed_;
  Leases leases_;
  Steps steps_;
  std::vector<std::unique_ptr<View>> views_;
  std::int64_t uses_ = 0;
  bool stale_ = false;  // a view is not up to date: there was no memory
};

}  // namespace sluice::controller
