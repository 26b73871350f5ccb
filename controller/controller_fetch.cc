// The part of Controller that decides which rows a fetch gets.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "controller/controller.h"

namespace sluice::controller {
namespace {

Status OtherCall(const RankStep& at, const Step& step) {
  return Status(Code::kError,
                fmt::format("step {} of rank {} was taken with COUNT {} and SAMPLER {}; a repeated "
                            "call must have the same",
                            at.step, at.rank, step.count, step.sampler.row->name));
}

Status TooOld(const RankStep& at) {
  return Status(Code::kError, fmt::format("step {} of rank {} is too old: the last {} steps of a "
                                          "rank are remembered",
                                          at.step, at.rank, Steps::kKept));
}

Status WentToOthers(const RankStep& at) {
  return Status(Code::kError,
                fmt::format("the rows of rank {} step {} went to others", at.rank, at.step));
}

// The rank that gets share number `share`.
RankStep RankOf(const Fetch& fetch, const Picked& picked, std::size_t share) {
  return {.rank = picked.shares.size() > 1 ? static_cast<std::int64_t>(share) : fetch.step->rank,
          .step = fetch.step->step};
}

// The share of the fetch itself.
std::size_t OwnShare(const Fetch& fetch, const Picked& picked) {
  return picked.shares.size() > 1 ? static_cast<std::size_t>(fetch.step->rank) : 0;
}

}  // namespace

std::int64_t Controller::StillToCome() const {
  return std::max<std::int64_t>(0, *expected_ - source_.RowsMade());
}

std::int64_t Controller::Possible(const Task& task, const Fetch& fetch, Sampler& sampler,
                                  std::int64_t enough) const {
  const std::int64_t to_come = StillToCome();
  const std::int64_t rows = Unconsumed(task) + to_come;
  if (to_come > 0 && fetch.sampler.tokens > 0) {
    return rows;  // more than any share has now, since a share may grow
  }
  if (to_come > 0) {
    return rows / fetch.sampler.ranks / fetch.sampler.size * fetch.sampler.size;
  }
  return sampler.Possible(rows, enough);
}

Controller::Decision Controller::Decide(const Task& task, const Fetch& fetch, Sampler& sampler,
                                        bool time_is_up) const {
  if (sampler.Has(fetch.count)) {
    return {.outcome = Outcome::kRows, .count = fetch.count};
  }
  if (!expected_ && !time_is_up) {
    return {};
  }
  const std::int64_t available = sampler.Available();
  const Decision rest = {.outcome = Outcome::kRows, .count = available};
  if (expected_) {
    if (Unconsumed(task) == 0 && StillToCome() == 0) {
      return {.outcome = Outcome::kRows, .count = 0};
    }
    const std::int64_t enough = std::max(fetch.last, available + 1);
    const std::int64_t possible = Possible(task, fetch, sampler, enough);
    if (possible < fetch.last) {
      return {.outcome = Outcome::kNil};
    }
    if (available >= fetch.last && available == possible) {
      return rest;
    }
  }
  if (!time_is_up) {
    return {};
  }
  return available >= fetch.min ? rest : Decision{.outcome = Outcome::kNil};
}

Result<const Step*> Controller::KnownStep(const Fetch& fetch) {
  Task* const task = fetch.step ? FindTask(fetch.task) : nullptr;
  if (task == nullptr) {
    return nullptr;
  }
  Steps& steps = task->GetSteps();
  const Step* const known = steps.Find(*fetch.step);
  if (known != nullptr) {
    TRY(CheckRepeat(*task, fetch, *known));
    return known;
  }
  if (steps.IsForgotten(*fetch.step)) {
    return TooOld(*fetch.step);
  }
  for (std::int64_t rank = 0; fetch.sampler.ranks > 1 && rank < fetch.sampler.ranks; ++rank) {
    const RankStep share = {.rank = rank, .step = fetch.step->step};
    if (const Step* const other = steps.Find(share)) {  // from a call with other RANKS
      return OtherCall(share, *other);
    }
  }
  return nullptr;
}

Result<Outcome> Controller::TryFetch(const Fetch& fetch, const Moment& moment, Fetched& fetched) {
  Refresh();
  Task& task = GetTask(fetch.task);
  TRY_ASSIGN(const Step* const known, KnownStep(fetch));
  if (known != nullptr) {
    Repeat(task, fetch, moment.now_us, fetched);
    Asked(task, fetch);
    return Outcome::kRows;
  }
  View& view = ViewOf(task, fetch.selection);
  Line& line = view.LineOf(fetch.sampler);
  const Decision decision = Decide(task, fetch, view.SamplerOf(line), moment.time_is_up);
  if (decision.outcome != Outcome::kRows) {
    return decision.outcome;
  }
  if (decision.count == 0) {
    fetched.end = true;
    return Outcome::kRows;
  }
  Picked picked;
  try {
    if (fetch.sampler.seed) {
      Random random(*fetch.sampler.seed);
      line.sampler->Pick(decision.count, random, picked);
    } else {
      line.sampler->Pick(decision.count, task.random, picked);
    }
  } catch (...) {
    retired_.Add(std::move(line.sampler));
    throw;
  }
  Take(task, fetch, picked, moment.now_us, fetched);
  Asked(task, fetch);
  return Outcome::kRows;
}

void Controller::Take(Task& task, const Fetch& fetch, Picked& picked, std::int64_t now_us,
                      Fetched& fetched) {
  const std::size_t own = OwnShare(fetch, picked);
  std::vector<LeaseId> leases;
  std::vector<RowIndex> consumed;
  const bool consumes = !fetch.keep && !fetch.lease;
  for (std::size_t share = 0; consumes && share < picked.shares.size(); ++share) {
    consumed.insert(consumed.end(), picked.shares[share].begin(), picked.shares[share].end());
  }
  std::vector<RowIndex> rows = picked.shares[own];
  try {
    if (fetch.lease) {
      LendShares(task, fetch, picked, now_us, leases);
    }
    task.Consume(consumed);
    if (fetch.step) {
      Remember(task, fetch, picked, leases);
      new_steps_ = true;
    }
  } catch (...) {
    for (const LeaseId lease : leases) {
      task.EndLease(lease);
    }
    task.Free(consumed);
    throw;
  }
  // A deal that is shared with other ranks stays, even if this fetch cannot be answered.
  const bool alone = picked.shares.size() == 1;
  fetched = {.rows = std::move(rows),
             .weights = std::move(picked.weights),
             .lease = leases.empty() ? 0 : leases[own],
             .end = false,
             .taken_now = alone && !fetch.keep,
             .step_now = alone && fetch.step.has_value()};
}

void Controller::LendShares(Task& task, const Fetch& fetch, const Picked& picked,
                            std::int64_t now_us, std::vector<LeaseId>& leases) {
  leases.reserve(picked.shares.size());
  for (std::size_t share = 0; share < picked.shares.size(); ++share) {
    Leases::Loan loan = {.terms = *fetch.lease, .step = std::nullopt, .now_us = now_us};
    if (fetch.step) {
      loan.step = RankOf(fetch, picked, share);
    }
    if (share != OwnShare(fetch, picked)) {
      loan.terms.connection = 0;  // bound when its rank calls
    }
    task.Lend(lease_ids_ + 1, picked.shares[share], loan);
    leases.push_back(++lease_ids_);
  }
}

// On failure no step is remembered.
void Controller::Remember(Task& task, const Fetch& fetch, const Picked& picked,
                          std::span<const LeaseId> leases) {
  Steps& steps = task.GetSteps();
  std::size_t share = 0;
  ++task.deals;
  try {
    for (; share < picked.shares.size(); ++share) {
      steps.Add(RankOf(fetch, picked, share), {.rows = picked.shares[share],
                                               .weights = picked.weights,
                                               .count = fetch.count,
                                               .sampler = fetch.sampler,
                                               .deal = task.deals,
                                               .holds = !fetch.lease,
                                               .lease = leases.empty() ? 0 : leases[share],
                                               .returned = {}});
    }
  } catch (...) {
    while (share > 0) {
      steps.Forget(RankOf(fetch, picked, --share));
    }
    throw;
  }
}

Status Controller::CheckRepeat(const Task& task, const Fetch& fetch, const Step& step) const {
  if (step.count != fetch.count || !(step.sampler == fetch.sampler)) {
    return OtherCall(*fetch.step, step);
  }
  for (const RowIndex row : step.rows) {
    if (!existing_.Contains(row)) {
      return Status(Code::kNoKey, fmt::format("row {} of rank {} step {} was removed", row,
                                              fetch.step->rank, fetch.step->step));
    }
  }
  // The rows that became free when its lease ended; none if all were acknowledged.
  const bool lost = std::any_of(step.returned.begin(), step.returned.end(),
                                [&task](RowIndex row) { return task.Taken(row); });
  return lost ? WentToOthers(*fetch.step) : Status();
}

// REQUIRES: CheckRepeat(). Errors: std::bad_alloc; nothing changed then.
void Controller::Repeat(Task& task, const Fetch& fetch, std::int64_t now_us, Fetched& fetched) {
  Step& step = *task.GetSteps().Find(*fetch.step);
  step.given_again = true;
  fetched.rows = step.rows;
  fetched.weights = step.weights;
  if (!step.returned.empty()) {
    TakeAgain(task, fetch, now_us, step);
  } else if (fetch.lease && step.lease != 0) {
    task.Renew(step.lease, *fetch.lease, now_us);
  }
  fetched.lease = fetch.lease && task.GetLeases().Runs(step.lease) ? step.lease : 0;
}

void Controller::TakeAgain(Task& task, const Fetch& fetch, std::int64_t now_us, Step& step) {
  if (fetch.lease) {
    task.Lend(lease_ids_ + 1, step.returned,
              {.terms = *fetch.lease, .step = fetch.step, .now_us = now_us});
    step.lease = ++lease_ids_;
  } else {
    task.GetSteps().HoldReturned(*fetch.step);
    try {
      task.Consume(step.returned);
    } catch (...) {
      task.GetSteps().EndHold(*fetch.step);
      throw;
    }
    step.lease = 0;
  }
  step.returned.clear();
}

void Controller::Asked(Task& task, const Fetch& fetch) noexcept {
  if (fetch.step) {
    task.GetSteps().Ask(*fetch.step, source_.RowsToHold());
  }
}

void Controller::GiveBack(const Fetch& fetch, const Fetched& fetched) noexcept {
  Task* const task = FindTask(fetch.task);
  if (task == nullptr) {
    return;
  }
  if (fetched.step_now) {
    const Step* const step = task->GetSteps().Find(*fetch.step);
    if (step != nullptr && step->given_again) {
      return;
    }
    task->GetSteps().Forget(*fetch.step);
  }
  if (fetched.taken_now && fetched.lease != 0) {
    task->EndLease(fetched.lease);
  } else if (fetched.taken_now) {
    for (const RowIndex row : fetched.rows) {
      if (task->Consumed().Contains(row)) {
        task->Free(std::span(&row, 1));
      }
    }
  }
}

}  // namespace sluice::controller
