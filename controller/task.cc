#include "controller/task.h"

#include <algorithm>
#include <new>
#include <utility>

namespace sluice::controller {
namespace {

// Views without waiters per task.
constexpr std::size_t kIdleViewsMax = 16;

// Empties `thing` and returns its old content, to be destroyed later; null if there is no memory.
template <typename Thing>
// NOLINTNEXTLINE(bugprone-exception-escape): an empty Thing and a move allocate nothing
std::unique_ptr<Thing> Retire(Thing& thing) noexcept {
  std::unique_ptr<Thing> old(new (std::nothrow) Thing);
  if (old != nullptr) {
    std::swap(*old, thing);
  } else {
    thing = Thing();
  }
  return old;
}

}  // namespace

void Task::Consume(std::span<const RowIndex> rows) {
  for (const RowIndex row : rows) {
    consumed_.Reserve(row);
  }
  for (const RowIndex row : rows) {
    consumed_.Insert(row);
    leases_.Drop(row);
    for (const auto& view : views_) {
      view->RowConsumed(row);
    }
  }
}

void Task::Lend(LeaseId id, std::span<const RowIndex> rows, const Leases::Loan& loan) {
  leases_.Lend(id, rows, loan);
  RemoveFromViews(rows);
}

void Task::LendMore(LeaseId id, std::span<const RowIndex> rows) {
  leases_.LendMore(id, rows);
  RemoveFromViews(rows);
}

void Task::RemoveFromViews(std::span<const RowIndex> rows) noexcept {
  for (const RowIndex row : rows) {
    for (const auto& view : views_) {
      view->Remove(row);
    }
  }
}

void Task::Free(std::span<const RowIndex> rows) noexcept {
  for (const RowIndex row : rows) {
    consumed_.Erase(row);
    leases_.Drop(row);
  }
  RowsFreed(rows);
}

std::int64_t Task::EndLease(LeaseId id, std::size_t rows_max) noexcept {
  Leases::Ended ended = leases_.End(id, rows_max);
  const auto freed = static_cast<std::int64_t>(ended.rows.size());
  RowsFreed(ended.rows);
  if (ended.step) {
    steps_.LeaseEnded(*ended.step, id, std::move(ended.rows));
  }
  return freed;
}

void Task::Reset() noexcept {
  consumed_.Clear();
  retired_.Add(Retire(leases_));
  retired_.Add(Retire(steps_));
  for (const auto& view : views_) {
    view->Restart();
    view->rebuilt = view->IsLive();
  }
}

bool Task::StepRebuild(std::int64_t rows) {
  for (const auto& view : views_) {
    if (view->rebuilt && view->StepForWaiters(rows)) {
      return true;
    }
    view->rebuilt = false;
  }
  return false;
}

void Task::EndRebuild() noexcept {
  for (const auto& view : views_) {
    view->rebuilt = false;
  }
}

void Task::RowsFreed(std::span<const RowIndex> rows) noexcept {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (i + kPrefetchAhead < rows.size()) {
      source_.Prefetch(rows[i + kPrefetchAhead]);
    }
    for (const auto& view : views_) {
      view->RowFreed(rows[i]);
    }
  }
}

void Task::RowGone(RowIndex row) noexcept {
  consumed_.Erase(row);
  leases_.Drop(row);
  steps_.Release(row);
}

void Task::MakeStale() noexcept {
  for (const auto& view : views_) {
    view->stale = true;
  }
}

void Task::Refill() {
  for (const auto& view : views_) {
    if (view->stale) {
      view->Restart();
      if (view->IsLive()) {
        view->Finish(nullptr);
      }
      view->stale = false;
    }
  }
}

View& Task::ViewOf(std::vector<std::size_t> fields, const Selection& selection) {
  Refill();
  View::Key key = {.fields = std::move(fields), .where_text = selection.where_text};
  for (const auto& view : views_) {
    if (view->GetKey() == key) {
      view->used = ++uses_;
      live_.Use(*view);
      return *view;
    }
  }
  DropIdleViews();
  auto view = std::make_unique<View>(std::move(key), selection.where,
                                     View::Surroundings{.existing = existing_,
                                                        .consumed = consumed_,
                                                        .rows = source_,
                                                        .taken = taken_,
                                                        .retired = retired_});
  view->used = ++uses_;
  views_.push_back(std::move(view));
  live_.Use(*views_.back());
  return *views_.back();
}

// Drops the least recently used view.
void Task::DropIdleViews() noexcept {
  const auto idle = [](const auto& view) { return view->Waiters() == 0; };
  if (std::count_if(views_.begin(), views_.end(), idle) <
      static_cast<std::ptrdiff_t>(kIdleViewsMax)) {
    return;
  }
  auto oldest = views_.end();
  for (auto it = views_.begin(); it != views_.end(); ++it) {
    if (idle(*it) && (oldest == views_.end() || (*it)->used < (*oldest)->used)) {
      oldest = it;
    }
  }
  views_.erase(oldest);
}

void Task::FieldsInUse(std::vector<std::size_t>& positions) const {
  for (const auto& view : views_) {
    const std::vector<std::size_t>& fields = view->GetKey().fields;
    positions.insert(positions.end(), fields.begin(), fields.end());
  }
}

std::size_t Task::Waiters() const {
  std::size_t count = 0;
  for (const auto& view : views_) {
    count += view->Waiters();
  }
  return count;
}

std::int64_t Task::Bytes() const {
  std::int64_t bytes = static_cast<std::int64_t>(sizeof(Task) + name_.size()) + consumed_.Bytes() +
                       steps_.Bytes() + leases_.Bytes();
  for (const auto& view : views_) {
    bytes += view->Bytes();
  }
  return bytes;
}

}  // namespace sluice::controller
