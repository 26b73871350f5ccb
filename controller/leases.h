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

#include <boost/unordered/unordered_flat_map.hpp>

#include "controller/fetch.h"

namespace sluice::controller {

class Leases {
 public:
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

  struct Lease {
    std::vector<RowIndex> rows;  // as they were lent; those that holder_ says are lent still
    std::int64_t held = 0;       // how many that are
    std::int64_t deadline_us = kNever;
    std::int64_t client = 0;       // 0: not bound
    std::optional<RankStep> step;  // what it was lent for
  };

  // Lends rows. REQUIRES: none is lent; `id` is new. Errors: std::bad_alloc; nothing changed then.
  struct Loan {
    LeaseTerms terms;
    std::optional<RankStep> step;
    std::int64_t now_us = 0;
  };
  void Lend(LeaseId id, std::span<const RowIndex> rows, const Loan& loan);
  // Until `terms.ms` from now; bound where `terms` say so. How many rows it holds; 0: it is over.
  // Errors: std::bad_alloc; nothing changed then.
  std::int64_t Renew(LeaseId id, const LeaseTerms& terms, std::int64_t now_us);
  // The row is lent no more. A lease without rows is over.
  void Drop(RowIndex row) noexcept;
  // Ends it: the rows that it held still, and what they were lent for.
  struct Ended {
    std::vector<RowIndex> rows;
    std::optional<RankStep> step;
  };
  Ended End(LeaseId id) noexcept;

  // 0: it is not lent.
  [[nodiscard]] LeaseId HolderOf(RowIndex row) const noexcept;
  [[nodiscard]] bool Runs(LeaseId id) const { return leases_.contains(id); }
  [[nodiscard]] std::int64_t Rows() const { return static_cast<std::int64_t>(holder_.size()); }
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
  [[nodiscard]] LeaseId BoundTo(std::int64_t client, LeaseId after) const noexcept;

 private:
  void Erase(std::map<LeaseId, Lease>::iterator it) noexcept;

  boost::unordered_flat_map<RowIndex, LeaseId> holder_;
  std::map<LeaseId, Lease> leases_;
  std::set<std::pair<std::int64_t, LeaseId>> by_deadline_;
};

}  // namespace sluice::controller
