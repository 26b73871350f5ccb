#include "controller/samplers/tag_groups.h"

#include <algorithm>

#include <fmt/format.h>

#include "controller/samplers/tag_value.h"
#include "store/ids.h"

namespace sluice::controller {

TagGroups::TagGroups(const SamplerChoice& choice, const Choosable& from)
    : size_(choice.size), by_(SpelledName(choice.by)), from_(from) {
  from_.existing.ForEach([this](RowIndex row) { RowWritten(row); });
}

void TagGroups::MakeDirty(Value& value) {
  if (value.dirty) {
    return;
  }
  dirty_.insert(&value);
  value.dirty = true;
  for (std::size_t at = 0; at < value.rows.size(); at += Size()) {
    whole_.erase(value.rows[at]);
  }
}

void TagGroups::Leave(RowIndex row) {
  const auto it = value_of_.find(row);
  if (it == value_of_.end()) {
    return;
  }
  MakeDirty(*it->second);  // its rows are those of which value_of_ says so
  value_of_.erase(it);
}

void TagGroups::RowWritten(RowIndex row) {
  const std::string_view text = MemberOf(from_.rows.TagOf(row), by_);
  const auto known = value_of_.find(row);
  if (known != value_of_.end() && known->second->text == text) {
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
  const bool last = value.rows.empty() || value.rows.back() < row;
  if (!value.dirty && !last) {
    MakeDirty(value);
  }
  value.rows.push_back(row);
  value_of_[row] = &value;
  if (!value.dirty) {
    RefreshCut(value, value.rows.size() - 1);
  }
}

void TagGroups::RowReady(RowIndex row) {
  const auto it = value_of_.find(row);
  if (it != value_of_.end() && !it->second->dirty) {
    const std::vector<RowIndex>& rows = it->second->rows;
    const auto place = std::lower_bound(rows.begin(), rows.end(), row);
    RefreshCut(*it->second, static_cast<std::size_t>(place - rows.begin()));
  }
}

void TagGroups::RowTaken(RowIndex row) {
  RowReady(row);  // its cut is looked at again
}

void TagGroups::RowGone(RowIndex row) {
  Leave(row);
}

// The cut in which the row at `at` is.
void TagGroups::RefreshCut(Value& value, std::size_t at) {
  const std::size_t begin = at / Size() * Size();
  const std::size_t end = begin + Size();
  bool whole = end <= value.rows.size();
  for (std::size_t i = begin; whole && i < end; ++i) {
    whole = from_.ready.Contains(value.rows[i]);
  }
  const RowIndex first = value.rows[begin];
  if (whole) {
    whole_.try_emplace(first, Cut{.value = &value, .at = begin});
  } else {
    whole_.erase(first);
  }
}

void TagGroups::Refresh() {
  for (Value* const value : dirty_) {
    std::vector<RowIndex>& rows = value->rows;
    std::sort(rows.begin(), rows.end());
    rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
    std::erase_if(rows, [&](RowIndex row) {
      const auto it = value_of_.find(row);
      return it == value_of_.end() || it->second != value;
    });
    value->dirty = false;
    for (std::size_t at = 0; at < rows.size(); at += Size()) {
      RefreshCut(*value, at);
    }
    if (rows.empty()) {
      values_.erase(values_.find(value->text));
    }
  }
  dirty_.clear();
}

std::int64_t TagGroups::Count() {
  Refresh();
  return static_cast<std::int64_t>(whole_.size());
}

void TagGroups::First(std::int64_t count, std::vector<RowIndex>& rows) {
  Refresh();
  rows.reserve(rows.size() + static_cast<std::size_t>(count * size_));
  for (auto it = whole_.begin(); count > 0; ++it, --count) {
    const Cut& cut = it->second;
    const auto begin = cut.value->rows.begin() + static_cast<std::ptrdiff_t>(cut.at);
    rows.insert(rows.end(), begin, begin + size_);
  }
}

std::int64_t TagGroups::Possible(const Sampler::MayCome& may_come) {
  Refresh();
  std::int64_t possible = 0;
  for (const auto& [text, value] : values_) {
    for (std::size_t at = 0; at + Size() <= value.rows.size(); at += Size()) {
      const auto begin = value.rows.begin() + static_cast<std::ptrdiff_t>(at);
      possible += std::all_of(begin, begin + size_, may_come) ? 1 : 0;
    }
  }
  return possible;
}

GroupState TagGroups::StateOf(const Cut& cut, const Sampler::Prospects& prospects) const {
  const std::vector<RowIndex>& rows = cut.value->rows;
  const std::size_t end = std::min(cut.at + Size(), rows.size());
  GroupState state = {.too_few = end - cut.at < Size() && !prospects.more_are_made, .size = size_};
  for (std::size_t i = cut.at; i < end; ++i) {
    state.ready += from_.ready.Contains(rows[i]) ? 1 : 0;
    state.torn = state.torn || !prospects.may_come(rows[i]);
  }
  return state;
}

void TagGroups::Explain(const Sampler::Prospects& prospects, std::vector<std::string>& lines) {
  Refresh();
  std::size_t left = kGroupsExplained;
  for (const auto& [text, value] : values_) {
    for (std::size_t at = 0; at < value.rows.size() && left > 0; at += Size()) {
      const GroupState state = StateOf({.value = &value, .at = at}, prospects);
      if (state.ready > 0 && state.ready < size_) {
        lines.push_back(ExplainGroup(
            fmt::format("{} (from row {})", store::Printable(text), value.rows[at]), state));
        --left;
      }
    }
  }
}

}  // namespace sluice::controller
