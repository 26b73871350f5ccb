#include "controller/controller.h"

#include <algorithm>
#include <new>
#include <utility>

namespace sluice::controller {
namespace {

constexpr std::int64_t kLeaseRows = 64;  // cost of ending a lease, in rows, besides its own rows

}  // namespace

void Controller::Begin() {
  source_.Select({}, std::nullopt, existing_);
}

void Controller::Refresh() {
  if (!stale_) {
    return;
  }
  RowBits existing;
  source_.Select({}, std::nullopt, existing);
  existing_.Swap(existing);
  for (const auto& [name, task] : tasks_) {
    task->MakeStale();
  }
  stale_ = false;
}

void Controller::RowWritten(RowIndex row) noexcept {
  try {
    existing_.Insert(row);
  } catch (const std::bad_alloc&) {
    stale_ = true;
  }
  live_.ForEach([row](View& view) { view.RowWritten(row); });
}

void Controller::RowGone(RowIndex row) noexcept {
  existing_.Erase(row);
  for (const auto& [name, task] : tasks_) {
    task->RowGone(row);
  }
  live_.ForEach([row](View& view) { view.RowGone(row); });
}

Task* Controller::FindTask(std::string_view name) noexcept {
  const auto it = tasks_.find(name);
  return it == tasks_.end() ? nullptr : it->second.get();
}

Task& Controller::GetTask(std::string_view name) {
  if (Task* const task = FindTask(name)) {
    return *task;
  }
  auto task =
      std::make_unique<Task>(std::string(name), existing_, source_, retired_, live_, seeds_.Next());
  return *tasks_.emplace(std::string(name), std::move(task)).first->second;
}

void Controller::ForgetUnused(std::string_view name) noexcept {
  const auto it = tasks_.find(name);
  if (it != tasks_.end() && it->second->Unused()) {
    tasks_.erase(it);
  }
}

std::vector<std::size_t> Controller::Positions(const Selection& selection) {
  if (source_.Followed() >= followed_max_) {
    ForgetFields();
  }
  std::vector<std::size_t> positions;
  positions.reserve(selection.fields.size());
  for (const std::string& field : selection.fields) {
    positions.push_back(source_.Follow(field));
  }
  std::sort(positions.begin(), positions.end());
  positions.erase(std::unique(positions.begin(), positions.end()), positions.end());
  return positions;
}

void Controller::ForgetFields() {
  std::vector<std::size_t> positions;
  for (const auto& [name, task] : tasks_) {
    task->FieldsInUse(positions);
  }
  std::sort(positions.begin(), positions.end());
  positions.erase(std::unique(positions.begin(), positions.end()), positions.end());
  source_.KeepOnly(positions);
  followed_max_ = kFollowedMax + 2 * positions.size();
}

View& Controller::ViewOf(Task& task, const Selection& selection) {
  Refresh();
  View& view = task.ViewOf(Positions(selection), selection);
  view.Finish(nullptr);
  return view;
}

bool Controller::Prepare(Task& task, const Selection& selection, const SamplerChoice* choice) {
  Refresh();
  View& view = task.ViewOf(Positions(selection), selection);
  std::int64_t rows = kStepRows;
  return view.Step(choice == nullptr ? nullptr : &view.LineOf(*choice), rows);
}

std::int64_t Controller::Acknowledge(Task& task, std::span<const RowIndex> rows, LeaseId lease) {
  Refresh();
  RowBits named;
  std::vector<RowIndex> consumed;
  for (const RowIndex row : rows) {
    const bool fits =
        lease == 0 ? existing_.Contains(row) : task.GetLeases().HolderOf(row) == lease;
    if (fits && named.Insert(row) && !task.Consumed().Contains(row)) {
      consumed.push_back(row);
    }
  }
  task.Consume(consumed);
  named.ForEach([&task](RowIndex row) { task.GetSteps().Release(row); });
  return static_cast<std::int64_t>(consumed.size());
}

std::int64_t Controller::Release(Task& task, std::span<const RowIndex> rows, LeaseId lease) {
  Refresh();
  RowBits named;
  std::vector<RowIndex> freed;
  for (const RowIndex row : rows) {
    const bool fits = lease == 0 ? task.Taken(row) : task.GetLeases().HolderOf(row) == lease;
    if (fits && named.Insert(row)) {
      freed.push_back(row);
    }
  }
  task.GetSteps().ForgetRows(named);
  task.Free(freed);
  return named.Count();
}

void Controller::ClaimRows(Task& task, const Claim& claim, Fetched& claimed) {
  if (claimed.lease != 0 && !task.GetLeases().Runs(claimed.lease)) {
    return;
  }
  const RowBits& ready = ViewOf(task, claim.selection).Rows();
  RowBits named;
  std::vector<RowIndex> taken;
  for (const RowIndex row : claim.rows) {
    if (row >= 0 && named.Insert(row) && ready.Contains(row)) {
      taken.push_back(row);
    }
  }
  const bool complete =
      static_cast<std::int64_t>(taken.size()) == named.Count() &&
      std::all_of(claim.rows.begin(), claim.rows.end(), [](RowIndex row) { return row >= 0; });
  if (taken.empty() || (claim.all && !complete)) {
    return;
  }
  if (!claim.lease) {
    task.Consume(taken);
  } else if (claimed.lease != 0) {
    task.LendMore(claimed.lease, taken);
  } else {
    task.Lend(lease_ids_ + 1, taken,
              {.terms = *claim.lease, .step = std::nullopt, .now_us = claim.now_us});
    claimed.lease = ++lease_ids_;
  }
  claimed.rows.insert(claimed.rows.end(), taken.begin(), taken.end());
}

void Controller::Reset(Task& task) noexcept {
  task.Reset();
}

bool Controller::StepRebuild() noexcept {
  for (const auto& [name, task] : tasks_) {
    try {
      if (task->StepRebuild(kStepRows)) {
        return true;
      }
    } catch (const std::bad_alloc&) {
      task->EndRebuild();
    }
  }
  return false;
}

TaskCounts Controller::Count(Task& task, const Selection& selection) {
  const View& view = ViewOf(task, selection);
  TaskCounts counts = {.total = existing_.Count(),
                       .waiting = 0,
                       .ready = view.Rows().Count(),
                       .leased = task.GetLeases().Rows(),
                       .consumed = task.Consumed().Count()};
  counts.waiting = counts.total - counts.ready - counts.leased - counts.consumed;
  return counts;
}

const RowBits& Controller::Ready(Task& task, const Selection& selection) {
  return ViewOf(task, selection).Rows();
}

RowIndex Controller::OldestUnconsumed(const Task& task) const {
  return existing_.FirstNotIn(task.Consumed());
}

std::int64_t Controller::NextDeadlineUs() const {
  std::int64_t next_us = Leases::kNever;
  for (const auto& [name, task] : tasks_) {
    next_us = std::min(next_us, task->GetLeases().NextDeadlineUs());
  }
  return next_us;
}

bool Controller::EndLeases(std::int64_t now_us, std::int64_t& rows) noexcept {
  for (const auto& [name, task] : tasks_) {
    while (const LeaseId due = task->GetLeases().FirstDue(now_us)) {
      if (rows <= 0) {
        return true;
      }
      rows -= kLeaseRows + task->EndLease(due, static_cast<std::size_t>(rows));
    }
  }
  return false;
}

bool Controller::EndLeasesOf(std::int64_t connection, std::int64_t& rows) noexcept {
  for (const auto& [name, task] : tasks_) {
    while (const LeaseId bound = task->GetLeases().BoundTo(connection, 0)) {
      if (rows <= 0) {
        return true;
      }
      rows -= kLeaseRows + task->EndLease(bound, static_cast<std::size_t>(rows));
    }
  }
  return false;
}

std::size_t Controller::RunningLeases() const {
  std::size_t count = 0;
  for (const auto& [name, task] : tasks_) {
    count += task->GetLeases().Count();
  }
  return count;
}

std::int64_t Controller::Bytes() const {
  std::int64_t bytes = static_cast<std::int64_t>(sizeof(Controller)) + existing_.Bytes();
  for (const auto& [name, task] : tasks_) {
    bytes += task->Bytes();
  }
  return bytes;
}

}  // namespace sluice::controller
