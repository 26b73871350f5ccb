#include "controller/samplers/neighbour_groups.h"

#include <limits>

#include <fmt/format.h>

namespace sluice::controller {

NeighbourGroups::NeighbourGroups(std::int64_t size, const Choosable& from)
    : size_(size), from_(from) {
  RowIndex next = 0;  // first row of the next group
  from_.ready.ForEach([&](RowIndex row) {
    if (row >= next) {
      RowReady(row);
      next = (row / size_ + 1) * size_;
    }
  });
}

template <typename Fits>
std::int64_t NeighbourGroups::Leading(std::int64_t group, const Fits& fits) const {
  std::int64_t count = 0;
  while (count < size_ && fits(group * size_ + count)) {
    ++count;
  }
  return count;
}

void NeighbourGroups::RowReady(RowIndex row) {
  const std::int64_t group = row / size_;
  const auto ready = [this](RowIndex r) { return from_.ready.Contains(r); };
  if (Leading(group, ready) == size_) {
    whole_.Insert(group);
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

std::int64_t NeighbourGroups::Possible(const Sampler::MayCome& may_come) {
  std::int64_t possible = 0;
  RowIndex row = from_.existing.NextFrom(0);
  while (row != kNoRow) {
    const std::int64_t group = row / size_;
    const auto comes = [&](RowIndex r) { return from_.existing.Contains(r) && may_come(r); };
    possible += Leading(group, comes) == size_ ? 1 : 0;
    row = from_.existing.NextFrom((group + 1) * size_);
  }
  return possible;
}

void NeighbourGroups::Explain(const Sampler::Prospects& prospects,
                              std::vector<std::string>& lines) {
  std::size_t explained = 0;
  RowIndex row = from_.ready.NextFrom(0);
  while (row != kNoRow && explained < kGroupsExplained) {
    const std::int64_t group = row / size_;
    GroupState state = {.size = size_};
    for (RowIndex r = group * size_; r < (group + 1) * size_; ++r) {
      const bool here = from_.existing.Contains(r);
      state.ready += from_.ready.Contains(r) ? 1 : 0;
      state.torn = state.torn || (here ? !prospects.may_come(r) : r < prospects.next_index);
      state.too_few = state.too_few || (!here && !prospects.more_are_made);
    }
    if (state.ready < size_) {
      lines.push_back(ExplainGroup(
          fmt::format("{} (rows {} to {})", group, group * size_, (group + 1) * size_ - 1), state));
      ++explained;
    }
    row = from_.ready.NextFrom((group + 1) * size_);
  }
}

}  // namespace sluice::controller
