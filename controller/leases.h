// Leases: which rows of a task are lent to a consumer, until when.
//
// Thread safety: one caller at a time (the engine).
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "controller/fetch.h"
#include "controller/rows/row_map.h"

namespace sluice::controller {

// NOLINTNEXTLINE(bugprone-exception-escape): as RowMap's, which it moves
class Leases {
 public:
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

  struct Lease {
    std::vector<RowIndex> rows;  // as they were lent; those that holder_ says are lent still
    std::int64_t held = 0;       // how many that are
    std::int64_t deadline_us = kNever;
    std::int64_t connection = 0;   // 0: not bound
    std::optional<RankStep> step;  // what it was lent for
  };

  // Lends rows. REQUIRES: none is lent; `id` is new. Errors: std::bad_alloc; nothing changed then.
  struct Loan {
    LeaseTerms terms;
    std::optional<RankStep> step;
    std::int64_t now_us = 0;
  };
  void Lend(LeaseId id, std::span<const RowIndex> rows, const Loan& loan);
  // More rows of a lease that runs. REQUIRES: none is lent.
  // Errors: std::bad_alloc; nothing changed then.
  void LendMore(LeaseId id, std::span<const RowIndex> rows);
  // Until `terms.ms` from now; bound where `terms` say so. How many rows it holds; 0: it is over.
  // Errors: std::bad_alloc; nothing changed then.
  std::int64_t Renew(LeaseId id, const LeaseTerms& terms, std::int64_t now_us);
  // The row is lent no more. A lease without rows is over.
  void Drop(RowIndex row) noexcept;
  // Ends it: the rows that it held still, and what they were lent for. One that was not lent for a
  // step and holds more than `rows_max` goes on with the others, its time up.
  struct Ended {
    std::vector<RowIndex> rows;
    std::optional<RankStep> step;
  };
  Ended End(LeaseId id, std::size_t rows_max = SIZE_MAX) noexcept;

  // 0: it is not lent.
  [[nodiscard]] LeaseId HolderOf(RowIndex row) const noexcept;
  [[nodiscard]] bool Runs(LeaseId id) const { return leases_.contains(id); }
  [[nodiscard]] std::int64_t Rows() const { return holder_.Count(); }
  // Calls function(row) for each row that is lent, in order.
  template <typename Function>
  void ForEachRow(const Function& function) const {
    holder_.ForEach(function);
  }
  [[nodiscard]] std::size_t Count() const { return leases_.size(); }
  // Of the first that ends; kNever: none does.
  [[nodiscard]] std::int64_t NextDeadlineUs() const {
    return by_deadline_.empty() ? kNever : by_deadline_.begin()->first;
  }
  // 0: none is due.
  [[nodiscard]] LeaseId FirstDue(std::int64_t now_us) const {
    return NextDeadlineUs() <= now_us ? by_deadline_.begin()->second : 0;
  }
  // The first after `after` that is bound to this client; 0: there is none.
  [[nodiscard]] LeaseId BoundTo(std::int64_t connection, LeaseId after) const noexcept;
  // That all of it takes.
  [[nodiscard]] std::int64_t Bytes() const noexcept;

 private:
  void EndSome(std::map<LeaseId, Lease>::iterator it, std::size_t rows, Ended& ended) noexcept;
  void Bind(std::map<LeaseId, Lease>::iterator it, std::int64_t connection);
  void Erase(std::map<LeaseId, Lease>::iterator it) noexcept;

  RowMap<LeaseId> holder_;
  std::map<LeaseId, Lease> leases_;
  std::set<std::pair<std::int64_t, LeaseId>> by_deadline_;
  std::set<std::pair<std::int64_t, LeaseId>> bound_;  // client and lease
};

}  // namespace sluice::controller
