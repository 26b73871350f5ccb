#include "controller/leases.h"

#include <new>
#include <utility>

namespace sluice::controller {
namespace {

constexpr std::int64_t kMillisecondUs = 1000;

std::int64_t DeadlineUs(std::int64_t now_us, std::int64_t ms) {
  return ms > (Leases::kNever - now_us) / kMillisecondUs ? Leases::kNever
                                                         : now_us + ms * kMillisecondUs;
}

}  // namespace

void Leases::Lend(LeaseId id, std::span<const RowIndex> rows, const Loan& loan) {
  for (const RowIndex row : rows) {
    holder_.Reserve(row);
  }
  const std::int64_t deadline_us = DeadlineUs(loan.now_us, loan.terms.ms);
  const auto it = leases_
                      .emplace(id, Lease{.rows = {rows.begin(), rows.end()},
                                         .held = static_cast<std::int64_t>(rows.size()),
                                         .deadline_us = deadline_us,
                                         .connection = 0,
                                         .step = loan.step})
                      .first;
  try {
    by_deadline_.emplace(deadline_us, id);
    Bind(it, loan.terms.connection);
  } catch (...) {
    Erase(it);
    throw;
  }
  for (const RowIndex row : rows) {
    holder_.Set(row, id);
  }
}

void Leases::LendMore(LeaseId id, std::span<const RowIndex> rows) {
  for (const RowIndex row : rows) {
    holder_.Reserve(row);
  }
  Lease& lease = leases_.at(id);
  lease.rows.insert(lease.rows.end(), rows.begin(), rows.end());
  lease.held += static_cast<std::int64_t>(rows.size());
  for (const RowIndex row : rows) {
    holder_.Set(row, id);
  }
}

// Errors: std::bad_alloc; nothing changed then.
void Leases::Bind(std::map<LeaseId, Lease>::iterator it, std::int64_t connection) {
  if (connection == 0 || connection == it->second.connection) {
    return;
  }
  bound_.emplace(connection, it->first);
  bound_.erase({it->second.connection, it->first});
  it->second.connection = connection;
}

std::int64_t Leases::Renew(LeaseId id, const LeaseTerms& terms, std::int64_t now_us) {
  const auto it = leases_.find(id);
  if (it == leases_.end()) {
    return 0;
  }
  Lease& lease = it->second;
  const std::int64_t deadline_us = DeadlineUs(now_us, terms.ms);
  const bool moves = deadline_us != lease.deadline_us;
  if (moves) {
    by_deadline_.emplace(deadline_us, id);
  }
  try {
    Bind(it, terms.connection);
  } catch (...) {
    if (moves) {
      by_deadline_.erase({deadline_us, id});
    }
    throw;
  }
  if (moves) {
    by_deadline_.erase({lease.deadline_us, id});
    lease.deadline_us = deadline_us;
  }
  return lease.held;
}

void Leases::Drop(RowIndex row) noexcept {
  const LeaseId holder = holder_.Find(row);
  if (holder == 0) {
    return;
  }
  holder_.Erase(row);
  const auto it = leases_.find(holder);
  if (--it->second.held == 0) {
    Erase(it);
  }
}

void Leases::Erase(std::map<LeaseId, Lease>::iterator it) noexcept {
  by_deadline_.erase({it->second.deadline_us, it->first});
  bound_.erase({it->second.connection, it->first});
  leases_.erase(it);
}

Leases::Ended Leases::End(LeaseId id, std::size_t rows_max) noexcept {
  const auto it = leases_.find(id);
  if (it == leases_.end()) {
    return {};
  }
  Lease& lease = it->second;
  if (!lease.step && lease.rows.size() > rows_max) {
    try {
      Ended some;
      some.rows.reserve(rows_max);
      EndSome(it, rows_max, some);
      return some;
    } catch (const std::bad_alloc&) {  // then all rows
    }
  }
  Ended ended = {.rows = std::move(lease.rows), .step = lease.step};
  std::erase_if(ended.rows, [&](RowIndex row) { return HolderOf(row) != id; });
  for (const RowIndex row : ended.rows) {
    holder_.Erase(row);
  }
  Erase(it);
  return ended;
}

// Ends the last `rows` rows of the lease. REQUIRES: `ended` has capacity for them.
void Leases::EndSome(std::map<LeaseId, Lease>::iterator it, std::size_t rows,
                     Ended& ended) noexcept {
  std::vector<RowIndex>& lent = it->second.rows;
  for (; rows > 0; --rows) {
    if (HolderOf(lent.back()) == it->first) {
      holder_.Erase(lent.back());
      ended.rows.push_back(lent.back());
      --it->second.held;
    }
    lent.pop_back();
  }
  if (it->second.held == 0) {
    Erase(it);
  }
}

LeaseId Leases::HolderOf(RowIndex row) const noexcept {
  return holder_.Find(row);
}

LeaseId Leases::BoundTo(std::int64_t connection, LeaseId after) const noexcept {
  const auto it = bound_.upper_bound({connection, after});
  return it == bound_.end() || it->first != connection ? 0 : it->second;
}

std::int64_t Leases::Bytes() const noexcept {
  constexpr std::int64_t kLeaseBytes = 256;  // three nodes and the vector of rows
  return holder_.Bytes() + holder_.Count() * static_cast<std::int64_t>(sizeof(RowIndex)) +
         static_cast<std::int64_t>(leases_.size()) * kLeaseBytes;
}

}  // namespace sluice::controller
