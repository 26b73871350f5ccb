#include "controller/leases.h"

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
  holder_.reserve(holder_.size() + rows.size());
  const std::int64_t deadline_us = DeadlineUs(loan.now_us, loan.terms.ms);
  const auto it = leases_
                      .emplace(id, Lease{.rows = {rows.begin(), rows.end()},
                                         .held = static_cast<std::int64_t>(rows.size()),
                                         .deadline_us = deadline_us,
                                         .client = loan.terms.client,
                                         .step = loan.step})
                      .first;
  try {
    by_deadline_.emplace(deadline_us, id);
  } catch (...) {
    leases_.erase(it);
    throw;
  }
  for (const RowIndex row : rows) {
    holder_.emplace(row, id);
  }
}

std::int64_t Leases::Renew(LeaseId id, const LeaseTerms& terms, std::int64_t now_us) {
  const auto it = leases_.find(id);
  if (it == leases_.end()) {
    return 0;
  }
  Lease& lease = it->second;
  const std::int64_t deadline_us = DeadlineUs(now_us, terms.ms);
  if (deadline_us != lease.deadline_us) {
    by_deadline_.emplace(deadline_us, id);
    by_deadline_.erase({lease.deadline_us, id});
    lease.deadline_us = deadline_us;
  }
  lease.client = terms.client != 0 ? terms.client : lease.client;
  return lease.held;
}

void Leases::Drop(RowIndex row) noexcept {
  const auto held = holder_.find(row);
  if (held == holder_.end()) {
    return;
  }
  const auto it = leases_.find(held->second);
  holder_.erase(held);
  if (--it->second.held == 0) {
    Erase(it);
  }
}

void Leases::Erase(std::map<LeaseId, Lease>::iterator it) noexcept {
  by_deadline_.erase({it->second.deadline_us, it->first});
  leases_.erase(it);
}

Leases::Ended Leases::End(LeaseId id) noexcept {
  const auto it = leases_.find(id);
  if (it == leases_.end()) {
    return {};
  }
  Ended ended = {.rows = std::move(it->second.rows), .step = it->second.step};
  std::erase_if(ended.rows, [&](RowIndex row) { return HolderOf(row) != id; });
  for (const RowIndex row : ended.rows) {
    holder_.erase(row);
  }
  Erase(it);
  return ended;
}

LeaseId Leases::HolderOf(RowIndex row) const noexcept {
  const auto it = holder_.find(row);
  return it == holder_.end() ? 0 : it->second;
}

LeaseId Leases::BoundTo(std::int64_t client, LeaseId after) const noexcept {
  for (auto it = leases_.upper_bound(after); it != leases_.end(); ++it) {
    if (it->second.client == client) {
      return it->first;
    }
  }
  return 0;
}

}  // namespace sluice::controller
