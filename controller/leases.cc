#include "controller/leases.h"

#include <memory>
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

Leases::~Leases() {
  leases_.clear_and_dispose(std::default_delete<Lease>());
}

Leases::Lease* Leases::Find(LeaseId id) noexcept {
  const auto it = leases_.find(id);
  return it == leases_.end() ? nullptr : &*it;
}

void Leases::Lend(LeaseId id, std::span<const RowIndex> rows, const Loan& loan) {
  for (const RowIndex row : rows) {
    holder_.Reserve(row);
  }
  auto made = std::make_unique<Lease>(Lease{.id = id,
                                            .rows = {rows.begin(), rows.end()},
                                            .held = static_cast<std::int64_t>(rows.size()),
                                            .deadline_us = DeadlineUs(loan.now_us, loan.terms.ms),
                                            .step = loan.step});
  Lease& lease = *made.release();
  leases_.insert(lease);
  by_deadline_.insert(lease);
  Bind(lease, loan.terms.connection);
  for (const RowIndex row : rows) {
    holder_.Set(row, &lease);
  }
}

void Leases::LendMore(LeaseId id, std::span<const RowIndex> rows) {
  for (const RowIndex row : rows) {
    holder_.Reserve(row);
  }
  Lease& lease = *Find(id);
  lease.rows.insert(lease.rows.end(), rows.begin(), rows.end());
  lease.held += static_cast<std::int64_t>(rows.size());
  for (const RowIndex row : rows) {
    holder_.Set(row, &lease);
  }
}

void Leases::Bind(Lease& lease, std::int64_t connection) noexcept {
  if (connection == 0 || connection == lease.connection) {
    return;
  }
  if (lease.connection != 0) {
    bound_.erase(bound_.iterator_to(lease));
  }
  lease.connection = connection;
  bound_.insert(lease);
}

std::int64_t Leases::Renew(LeaseId id, const LeaseTerms& terms, std::int64_t now_us) noexcept {
  Lease* const lease = Find(id);
  if (lease == nullptr) {
    return 0;
  }
  by_deadline_.erase(by_deadline_.iterator_to(*lease));
  lease->deadline_us = DeadlineUs(now_us, terms.ms);
  by_deadline_.insert(*lease);
  Bind(*lease, terms.connection);
  return lease->held;
}

void Leases::Drop(RowIndex row) noexcept {
  Lease* const lease = holder_.Find(row);
  if (lease == nullptr) {
    return;
  }
  holder_.Erase(row);
  if (--lease->held == 0) {
    Erase(*lease);
  }
}

void Leases::Erase(Lease& lease) noexcept {
  by_deadline_.erase(by_deadline_.iterator_to(lease));
  if (lease.connection != 0) {
    bound_.erase(bound_.iterator_to(lease));
  }
  leases_.erase_and_dispose(leases_.iterator_to(lease), std::default_delete<Lease>());
}

Leases::Ended Leases::End(LeaseId id, std::size_t rows_max) noexcept {
  Lease* const lease = Find(id);
  if (lease == nullptr) {
    return {};
  }
  if (!lease->step && lease->rows.size() > rows_max) {
    try {
      Ended some;
      some.rows.reserve(rows_max);
      EndSome(*lease, rows_max, some);
      return some;
    } catch (const std::bad_alloc&) {  // then all rows
    }
  }
  Ended ended = {.rows = std::move(lease->rows), .step = lease->step};
  std::erase_if(ended.rows, [&](RowIndex row) { return holder_.Find(row) != lease; });
  for (const RowIndex row : ended.rows) {
    holder_.Erase(row);
  }
  Erase(*lease);
  return ended;
}

// Ends the last `rows` rows of the lease. REQUIRES: `ended` has capacity for them.
void Leases::EndSome(Lease& lease, std::size_t rows, Ended& ended) noexcept {
  for (; rows > 0; --rows) {
    const RowIndex row = lease.rows.back();
    if (holder_.Find(row) == &lease) {
      holder_.Erase(row);
      ended.rows.push_back(row);
      --lease.held;
    }
    lease.rows.pop_back();
  }
  if (lease.held == 0) {
    Erase(lease);
  }
}

LeaseId Leases::HolderOf(RowIndex row) const noexcept {
  const Lease* const lease = holder_.Find(row);
  return lease == nullptr ? 0 : lease->id;
}

LeaseId Leases::BoundTo(std::int64_t connection, LeaseId after) const noexcept {
  const auto it = bound_.upper_bound(ByConnection::type(connection, after));
  return it == bound_.end() || it->connection != connection ? 0 : it->id;
}

std::int64_t Leases::Bytes() const noexcept {
  constexpr std::int64_t kLeaseBytes = 256;  // with the vector of rows
  return holder_.Bytes() + holder_.Count() * static_cast<std::int64_t>(sizeof(RowIndex)) +
         static_cast<std::int64_t>(leases_.size()) * kLeaseBytes;
}

}  // namespace sluice::controller
