#include "controller/view.h"

#include <algorithm>
#include <new>
#include <utility>

namespace sluice::controller {
namespace {

constexpr std::size_t kIdleLinesMax = 8;

}  // namespace

// Notifies samplers of a changed row. A sampler that finds no memory is dropped and created again
// when it is needed.
template <typename Tell>
void View::NotifySamplers(const Tell& tell) noexcept {
  for (const auto& line : lines_) {
    if (line->sampler != nullptr) {
      try {
        tell(*line);
      } catch (const std::bad_alloc&) {
        around_.retired.Add(std::move(line->sampler));
      }
    }
    line->changed = true;
  }
}

void View::Restart() noexcept {
  DropSamplers();
  rows_.Clear();
  next_ = 0;
}

void View::LookAtMore(std::int64_t& rows) {
  RowIndex row = around_.existing.NextFrom(next_);
  for (; row != kNoRow && rows > 0; --rows) {
    if (!around_.taken(row) && Fits(row)) {
      rows_.Insert(row);
    }
    row = around_.existing.NextFrom(row + 1);
  }
  next_ = row == kNoRow ? kAll : row;
}

// Returns true if there are more rows.
bool View::NotifyMore(Line& line, std::int64_t& rows) {
  const Choosable from = {
      .ready = rows_, .existing = around_.existing, .gone = around_.consumed, .rows = around_.rows};
  if (line.sampler == nullptr) {
    line.sampler = line.choice.row->make(line.choice, from);
    line.told = line.sampler->KeepsRows() ? 0 : kAll;
  }
  try {
    if (line.told != kAll) {
      line.told = NotifyOfRows(*line.sampler, from, line.told, rows);
    }
    return line.told != kAll || line.sampler->Work(rows);
  } catch (...) {
    around_.retired.Add(std::move(line.sampler));
    throw;
  }
}

bool View::Step(Line* line, std::int64_t& rows) {
  if (!Complete()) {
    LookAtMore(rows);
  }
  return !Complete() || (line != nullptr && NotifyMore(*line, rows));
}

bool View::StepForWaiters(std::int64_t& rows) {
  if (Step(nullptr, rows)) {
    return true;
  }
  return std::any_of(lines_.begin(), lines_.end(), [&](const auto& line) {
    return !line->waiters.empty() && NotifyMore(*line, rows);
  });
}

void View::RowWritten(RowIndex row) noexcept {
  NotifySamplers([row](Line& line) {
    if (row < line.told) {
      line.sampler->RowWritten(row);
    }
  });
  try {
    if (!around_.taken(row) && Fits(row)) {
      Add(row);
    } else {
      Remove(row);
    }
  } catch (const std::bad_alloc&) {
    stale = true;
  }
}

void View::RowFreed(RowIndex row) noexcept {
  try {
    if (Fits(row)) {
      Add(row);
    } else {
      RowConsumed(row);  // samplers are notified in the same way
    }
  } catch (const std::bad_alloc&) {
    stale = true;
  }
}

void View::Add(RowIndex row) {
  if (row < next_ && rows_.Insert(row)) {
    NotifySamplers([row](Line& line) {
      if (row < line.told) {
        line.sampler->RowReady(row);
      }
    });
  }
}

void View::Remove(RowIndex row) noexcept {
  if (rows_.Erase(row)) {
    NotifySamplers([row](Line& line) { line.sampler->RowTaken(row); });
  }
}

// Samplers are notified even if the row was not in the view: it may have been leased.
void View::RowConsumed(RowIndex row) noexcept {
  rows_.Erase(row);
  NotifySamplers([row](Line& line) { line.sampler->RowTaken(row); });
}

void View::RowGone(RowIndex row) noexcept {
  Remove(row);
  NotifySamplers([row](Line& line) { line.sampler->RowGone(row); });
}

Line& View::LineOf(const SamplerChoice& choice) {
  for (auto it = lines_.begin(); it != lines_.end(); ++it) {
    if (SameOrder((*it)->choice, choice)) {
      std::rotate(lines_.begin(), it, it + 1);  // most recently used first
      return *lines_.front();
    }
  }
  while (lines_.size() >= kIdleLinesMax) {
    const auto idle = std::find_if(lines_.rbegin(), lines_.rend(),
                                   [](const auto& line) { return line->waiters.empty(); });
    if (idle == lines_.rend()) {
      break;
    }
    around_.retired.Add(std::move((*idle)->sampler));
    lines_.erase(std::next(idle).base());
  }
  auto line = std::make_unique<Line>();
  line->view = this;
  line->choice = choice;
  line->choice.seed.reset();
  lines_.insert(lines_.begin(), std::move(line));
  return *lines_.front();
}

Sampler& View::SamplerOf(Line& line) {
  Finish(&line);
  return *line.sampler;
}

void View::DropSamplers() noexcept {
  for (const auto& line : lines_) {
    around_.retired.Add(std::move(line->sampler));
    line->changed = true;
  }
}

std::size_t View::Waiters() const {
  std::size_t count = 0;
  for (const auto& line : lines_) {
    count += line->waiters.size();
  }
  return count;
}

std::int64_t View::Bytes() const {
  return static_cast<std::int64_t>(sizeof(View) + lines_.size() * sizeof(Line)) + rows_.Bytes();
}

}  // namespace sluice::controller
