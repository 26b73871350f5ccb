#include "controller/samplers/neighbour_groups.h"

#include <fmt/format.h>

namespace sluice::controller {

// Returns the new count of the row's group.
std::int64_t NeighbourGroups::Add(Counts& counts, RowIndex row, std::int64_t difference) const {
  const std::int64_t group = row / size_;
  const std::int64_t now = counts.Find(group) + difference;
  if (now == 0) {
    counts.Erase(group);
  } else {
    counts.Set(group, now);
  }
  return now;
}

void NeighbourGroups::RowReady(RowIndex row) {
  SetPossible(row, true);
  if (ready_.Insert(row) && Add(ready_in_, row, 1) == size_) {
    whole_.Insert(row / size_);
  }
}

void NeighbourGroups::RowTaken(RowIndex row) {
  if (ready_.Erase(row)) {
    Add(ready_in_, row, -1);
    whole_.Erase(row / size_);
  }
  SetPossible(row, from_.existing.Contains(row) && !from_.gone.Contains(row));
}

void NeighbourGroups::SetPossible(RowIndex row, bool now) {
  if (now && possible_.Insert(row)) {
    possible_groups_ += Add(possible_in_, row, 1) == size_ ? 1 : 0;
  } else if (!now && possible_.Erase(row)) {
    possible_groups_ -= Add(possible_in_, row, -1) == size_ - 1 ? 1 : 0;
  }
}

void NeighbourGroups::First(std::int64_t count, std::vector<RowIndex>& rows) {
  rows.reserve(rows.size() + static_cast<std::size_t>(count * size_));
  for (std::int64_t group = kNoRow; count > 0; --count) {
    group = whole_.NextFrom(group + 1);
    for (std::int64_t i = 0; i < size_; ++i) {
      rows.push_back(group * size_ + i);
    }
  }
}

void NeighbourGroups::Explain(const Sampler::Prospects& prospects,
                              std::vector<std::string>& lines) {
  std::size_t explained = 0;
  RowIndex row = from_.ready.NextFrom(0);
  while (row != kNoRow && explained < kGroupsExplained) {
    const std::int64_t group = row / size_;
    if (whole_.Contains(group)) {
      row = from_.ready.NextFrom((group + 1) * size_);
      continue;
    }
    GroupState state = {.size = size_};
    for (RowIndex r = group * size_; r < (group + 1) * size_; ++r) {
      const bool here = from_.existing.Contains(r);
      state.ready += from_.ready.Contains(r) ? 1 : 0;
      state.torn = state.torn || (here ? from_.gone.Contains(r) : r < prospects.next_index);
      state.too_few = state.too_few || (!here && !prospects.more_are_made);
    }
    lines.push_back(ExplainGroup(
        fmt::format("{} (rows {} to {})", group, group * size_, (group + 1) * size_ - 1), state));
    ++explained;
    row = from_.ready.NextFrom((group + 1) * size_);
  }
}

}  // namespace sluice::controller
