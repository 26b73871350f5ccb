#include "controller/samplers/tag_groups.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "base/ids.h"
#include "controller/samplers/tag_value.h"

namespace sluice::controller {

TagGroups::TagGroups(const SamplerChoice& choice, const Choosable& from)
    : size_(choice.size), by_(SpelledName(choice.by)), from_(from) {}

// The position among the sorted rows.
std::size_t TagGroups::PlaceOf(const Value& value, RowIndex row) {
  const auto end = value.rows.begin() + static_cast<std::ptrdiff_t>(value.sorted);
  return static_cast<std::size_t>(std::lower_bound(value.rows.begin(), end, row) -
                                  value.rows.begin());
}

// Marks the position of the row, present or not, and everything behind it: no cut is there until
// Refresh().
void TagGroups::MakeDirty(Value& value, RowIndex from) {
  if (!value.dirty) {
    dirty_.push_back(&value);
    value.dirty = true;
  }
  const std::size_t first = PlaceOf(value, from) / Size();
  for (std::size_t number = first; number * Size() < value.sorted; ++number) {
    SetCut(value, number, 0);
  }
  value.sorted = std::min(value.sorted, first * Size());
}

void TagGroups::Leave(RowIndex row) {
  if (Value* const value = value_of_.Find(row)) {
    MakeDirty(*value, row);  // value_of_ decides which rows of the list are valid
    value_of_.Erase(row);
  }
}

void TagGroups::RowWritten(RowIndex row) {
  const std::string_view text = MemberOf(from_.rows.TagOf(row), by_);
  const Value* const known = value_of_.Find(row);
  if (known != nullptr && known->text == text) {
    return;
  }
  Leave(row);
  if (text.empty()) {
    return;
  }
  auto it = values_.find(text);
  if (it == values_.end()) {
    it = values_.try_emplace(std::string(text)).first;
    it->second.text = text;
  }
  Value& value = it->second;
  if (value.dirty || (!value.rows.empty() && value.rows.back() >= row)) {
    MakeDirty(value, row);
  }
  value.rows.push_back(row);
  value_of_.Set(row, &value);
  if (!value.dirty) {
    value.sorted = value.rows.size();
    RefreshCut(value, value.rows.size() - 1);
  }
}

// Refreshes the row's cut.
void TagGroups::RowReady(RowIndex row) {
  if (Value* const value = value_of_.Find(row)) {
    const std::size_t place = PlaceOf(*value, row);
    if (place < value->sorted) {
      RefreshCut(*value, place);
    }
  }
}

void TagGroups::RowTaken(RowIndex row) {
  RowReady(row);
}

void TagGroups::RowGone(RowIndex row) {
  Leave(row);
}

void TagGroups::SetCut(Value& value, std::size_t number, std::uint8_t now) {
  const RowIndex first_row = value.rows[number * Size()];
  std::uint8_t& cut = value.cuts[number];
  if ((now & kWhole) != 0) {
    whole_.Insert(first_row);
  } else if ((cut & kWhole) != 0) {
    whole_.Erase(first_row);
  }
  possible_ += ((now & kPossible) != 0 ? 1 : 0) - ((cut & kPossible) != 0 ? 1 : 0);
  cut = now;
}

// Refreshes the cut that has the row at position `at`.
void TagGroups::RefreshCut(Value& value, std::size_t at) {
  const std::size_t number = at / Size();
  const std::size_t end = std::min((number + 1) * Size(), value.rows.size());
  std::size_t ready = 0;
  bool gone = false;
  for (std::size_t i = number * Size(); i < end; ++i) {
    ready += from_.ready.Contains(value.rows[i]) ? 1 : 0;
    gone = gone || from_.gone.Contains(value.rows[i]);
  }
  const bool full = end == (number + 1) * Size();
  if (value.cuts.size() <= number) {
    value.cuts.resize(number + 1);
  }
  const auto now = static_cast<std::uint8_t>(
      (ready == Size() ? kWhole : 0) | (full && !gone ? kPossible : 0) | (ready > 0 ? kReady : 0));
  SetCut(value, number, now);
}

void TagGroups::Refresh(Value& value) {
  std::vector<RowIndex>& rows = value.rows;
  const auto tail = rows.begin() + static_cast<std::ptrdiff_t>(value.sorted);
  if (!std::is_sorted(tail, rows.end())) {
    std::sort(tail, rows.end());
  }
  rows.erase(std::unique(tail, rows.end()), rows.end());
  rows.erase(
      std::remove_if(tail, rows.end(), [&](RowIndex row) { return value_of_.Find(row) != &value; }),
      rows.end());
  value.cuts.resize((rows.size() + Size() - 1) / Size());
  for (std::size_t at = value.sorted; at < rows.size(); at += Size()) {
    RefreshCut(value, at);
  }
  value.sorted = rows.size();
  value.dirty = false;
  if (rows.empty()) {
    values_.erase(values_.find(value.text));
  }
}

bool TagGroups::Work(std::int64_t& rows) {
  while (!dirty_.empty() && rows > 0) {
    Value& value = *dirty_.back();
    rows -= static_cast<std::int64_t>(value.rows.size() - value.sorted) + 1;
    dirty_.pop_back();
    Refresh(value);
  }
  return !dirty_.empty();
}

void TagGroups::RefreshAll() {
  std::int64_t all = std::numeric_limits<std::int64_t>::max();
  Work(all);
}

std::int64_t TagGroups::Count() {
  RefreshAll();
  return whole_.Count();
}

void TagGroups::First(std::int64_t count, std::vector<RowIndex>& rows) {
  RefreshAll();
  rows.reserve(rows.size() + static_cast<std::size_t>(count * size_));
  for (RowIndex row = kNoRow; count > 0; --count) {
    row = whole_.NextFrom(row + 1);
    const Value& value = *value_of_.Find(row);
    const auto begin = value.rows.begin() + static_cast<std::ptrdiff_t>(PlaceOf(value, row));
    rows.insert(rows.end(), begin, begin + size_);
  }
}

std::int64_t TagGroups::Possible(std::int64_t /*enough*/) {
  RefreshAll();
  return possible_;
}

GroupState TagGroups::StateOf(const Cut& cut, const Sampler::Prospects& prospects) const {
  const std::vector<RowIndex>& rows = cut.value->rows;
  const std::size_t end = std::min(cut.at + Size(), rows.size());
  GroupState state = {.too_few = end - cut.at < Size() && !prospects.more_are_made, .size = size_};
  for (std::size_t i = cut.at; i < end; ++i) {
    state.ready += from_.ready.Contains(rows[i]) ? 1 : 0;
    state.torn = state.torn || from_.gone.Contains(rows[i]);
  }
  return state;
}

void TagGroups::Explain(const Sampler::Prospects& prospects, std::vector<std::string>& lines) {
  RefreshAll();
  std::size_t left = kGroupsExplained;
  for (const auto& [text, value] : values_) {
    for (std::size_t at = 0; at < value.rows.size() && left > 0; at += Size()) {
      if ((value.cuts[at / Size()] & (kReady | kWhole)) == kReady) {
        const GroupState state = StateOf({.value = &value, .at = at}, prospects);
        lines.push_back(
            ExplainGroup(fmt::format("{} (from row {})", Printable(text), value.rows[at]), state));
        --left;
      }
    }
  }
}

}  // namespace sluice::controller
