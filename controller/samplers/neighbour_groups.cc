#include "controller/samplers/neighbour_groups.h"

#include <fmt/format.h>

namespace sluice::controller {

void NeighbourGroups::RowReady(RowIndex row) {
  possible_from_ = std::min(possible_from_, row);
  const std::int64_t group = row / size_;
  if (whole_.Contains(group)) {
    return;  // a new sampler is told of each row of the group: only the first may read all of them
  }
  if (from_.ready.ContainsAll(row, (group + 1) * size_) &&  // rows mostly arrive in order
      from_.ready.ContainsAll(group * size_, row)) {
    whole_.Insert(group);
  }
}

// Perhaps the row is not gone any more, but its fields do not fit the view.
void NeighbourGroups::RowTaken(RowIndex row) {
  possible_from_ = std::min(possible_from_, row);
  whole_.Erase(row / size_);
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

// Called after each change while a fetch waits, so it begins at the first group that was possible.
std::int64_t NeighbourGroups::Possible(std::int64_t enough) {
  std::int64_t possible = 0;
  RowIndex row = from_.existing.NextFrom(possible_from_ / size_ * size_);
  possible_from_ = row == kNoRow ? 0 : row;
  while (row != kNoRow && possible < enough) {
    const RowIndex begin = row / size_ * size_;
    const RowIndex end = begin + size_;
    const RowIndex gone = row == begin ? from_.gone.NextFrom(begin) : begin;
    const bool whole = (gone == kNoRow || gone >= end) && from_.existing.ContainsAll(begin, end);
    possible += whole ? 1 : 0;
    row = from_.existing.NextFrom(end);
    if (possible == 0 && row != kNoRow) {
      possible_from_ = row;
    }
  }
  return possible;
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
