#include "controller/view.h"

#include <algorithm>
#include <new>
#include <utility>

namespace sluice::controller {
namespace {

constexpr std::size_t kIdleLinesMax = 8;

}  // namespace

// A sampler that finds no memory is dropped, and made anew when it is asked for.
template <typename Tell>
void View::TellSamplers(const Tell& tell) noexcept {
  for (const auto& line : lines_) {
    if (line->sampler != nullptr) {
      try {
        tell(*line->sampler);
      } catch (const std::bad_alloc&) {
        line->sampler = nullptr;
      }
    }
    line->changed = true;
  }
}

void View::RowWritten(RowIndex row, bool in) {
  TellSamplers([row](Sampler& sampler) { sampler.RowWritten(row); });
  if (in) {
    Add(row);
  } else {
    Remove(row);
  }
}

void View::Add(RowIndex row) {
  if (rows_.Insert(row)) {
    TellSamplers([row](Sampler& sampler) { sampler.RowReady(row); });
  }
}

void View::Remove(RowIndex row) noexcept {
  if (rows_.Erase(row)) {
    TellSamplers([row](Sampler& sampler) { sampler.RowTaken(row); });
  }
}

void View::RowGone(RowIndex row) noexcept {
  Remove(row);
  TellSamplers([row](Sampler& sampler) { sampler.RowGone(row); });
}

Line& View::LineOf(const SamplerChoice& choice) {
  for (auto it = lines_.begin(); it != lines_.end(); ++it) {
    if (SameOrder((*it)->choice, choice)) {
      std::rotate(lines_.begin(), it, it + 1);  // the one asked for last stands first
      SamplerOf(*lines_.front());
      return *lines_.front();
    }
  }
  while (lines_.size() >= kIdleLinesMax) {
    const auto idle = std::find_if(lines_.rbegin(), lines_.rend(),
                                   [](const auto& line) { return line->waiters.empty(); });
    if (idle == lines_.rend()) {
      break;
    }
    lines_.erase(std::next(idle).base());
  }
  auto line = std::make_unique<Line>();
  line->view = this;
  line->choice = choice;
  line->choice.seed.reset();
  SamplerOf(*line);
  lines_.insert(lines_.begin(), std::move(line));
  return *lines_.front();
}

Sampler& View::SamplerOf(Line& line) {
  if (line.sampler == nullptr) {
    line.sampler = line.choice.row->make(line.choice,
                                         {.ready = rows_, .existing = existing_, .rows = source_});
  }
  return *line.sampler;
}

void View::DropSamplers() noexcept {
  for (const auto& line : lines_) {
    line->sampler = nullptr;
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
