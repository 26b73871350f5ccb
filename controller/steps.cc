#include "controller/steps.h"

#include <algorithm>
#include <iterator>
#include <new>
#include <utility>

namespace sluice::controller {
namespace {

constexpr std::int64_t kEndedRows = 2048;  // of the holds that one call ends, about
constexpr RowIndex kListRows = 64;         // rows that share a list of by_rows_

}  // namespace

std::int64_t Steps::BytesOf(const Step& step) {
  constexpr std::size_t kNodeBytes = 64;
  return static_cast<std::int64_t>(sizeof(Known) + kNodeBytes +
                                   step.rows.size() * (sizeof(RowIndex) + sizeof(RowOfDeal)) +
                                   step.weights.size() * sizeof(double));
}

Steps::Known* Steps::FindKnown(const RankStep& at) noexcept {
  const auto rank = ranks_.find(at.rank);
  if (rank == ranks_.end()) {
    return nullptr;
  }
  const auto it = rank->second.steps.find(at.step);
  return it == rank->second.steps.end() ? nullptr : &it->second;
}

Step* Steps::Find(const RankStep& at) noexcept {
  return FindKnown(at);
}

bool Steps::IsForgotten(const RankStep& at) const noexcept {
  const auto rank = ranks_.find(at.rank);
  return rank != ranks_.end() && at.step <= rank->second.forgotten &&
         !rank->second.steps.contains(at.step);
}

// Creates the deal if there is none. Errors: std::bad_alloc; nothing changed then.
Steps::Deal& Steps::DealOf(const RankStep& at, const Step& step) {
  const auto [it, made] = deals_.try_emplace({step.deal, at.step});
  try {
    it->second.step = at.step;
    it->second.ranks.push_back(at.rank);
  } catch (...) {
    if (made) {
      deals_.erase(it);
    }
    throw;
  }
  return it->second;
}

void Steps::Index(const RankStep& at, const Step& step) {
  Deal& deal = DealOf(at, step);
  RowIndex number = kNoRow;
  std::vector<RowOfDeal>* list = nullptr;
  for (const RowIndex row : step.rows) {
    if (list == nullptr || row / kListRows != number) {
      number = row / kListRows;
      list = &by_rows_[number];
    }
    list->push_back({.deal = &deal, .row = row});
  }
}

// Also for a step that was only partly indexed.
void Steps::Unindex(const RankStep& at, const Step& step) noexcept {
  const auto found = deals_.find({step.deal, at.step});
  if (found == deals_.end()) {
    return;
  }
  Deal& deal = found->second;
  for (const RowIndex row : step.rows) {
    const auto list = by_rows_.find(row / kListRows);
    if (list == by_rows_.end()) {
      continue;
    }
    std::vector<RowOfDeal>& rows = list->second;
    const auto it = std::find_if(rows.begin(), rows.end(), [&](const RowOfDeal& entry) {
      return entry.deal == &deal && entry.row == row;
    });
    if (it != rows.end()) {
      *it = rows.back();
      rows.pop_back();
    }
    if (rows.empty()) {
      by_rows_.erase(list);
    }
  }
  std::erase(deal.ranks, at.rank);
  if (deal.ranks.empty()) {
    deals_.erase(found);
  }
}

void Steps::Erase(Ranks::iterator rank, KnownSteps::iterator step) noexcept {
  EndHold(rank->second, step->second);
  bytes_ -= BytesOf(step->second);
  Unindex({.rank = rank->first, .step = step->first}, step->second);
  rank->second.steps.erase(step);
}

void Steps::Add(const RankStep& at, Step step) {
  const auto [rank, made] = ranks_.try_emplace(at.rank);
  auto it = rank->second.steps.end();
  try {
    it = rank->second.steps.emplace(at.step, std::move(step)).first;
    Index(at, it->second);
    if (it->second.holds) {
      held_.Hold(it->second.rows);
    }
  } catch (...) {
    if (it != rank->second.steps.end()) {
      Unindex(at, it->second);
      rank->second.steps.erase(it);
    }
    if (made) {
      ranks_.erase(rank);
    }
    throw;
  }
  bytes_ += BytesOf(it->second);
  if (rank->second.steps.size() > kKept) {
    const auto oldest = rank->second.steps.begin();
    rank->second.forgotten = std::max(rank->second.forgotten, oldest->first);
    Erase(rank, oldest);
  }
}

void Steps::Forget(const RankStep& at) noexcept {
  const auto rank = ranks_.find(at.rank);
  if (rank == ranks_.end()) {
    return;
  }
  if (const auto it = rank->second.steps.find(at.step); it != rank->second.steps.end()) {
    Erase(rank, it);
  }
  if (rank->second.steps.empty() && rank->second.forgotten < 0) {
    ranks_.erase(rank);
  }
}

void Steps::ForgetRows(const RowBits& rows) noexcept {
  if (deals_.empty()) {
    return;
  }
  Deal* forgotten = nullptr;
  RowIndex number = kNoRow;
  auto list = by_rows_.end();
  rows.ForEach([&](RowIndex row) {
    if (row / kListRows != number) {
      number = row / kListRows;
      list = by_rows_.find(number);
    }
    for (std::size_t i = 0; list != by_rows_.end() && i < list->second.size(); ++i) {
      Deal& deal = *list->second[i].deal;
      if (list->second[i].row == row && !deal.forget) {
        deal.forget = true;
        deal.next = std::exchange(forgotten, &deal);
      }
    }
  });
  while (forgotten != nullptr) {
    Deal* const next = forgotten->next;
    const std::int64_t step = forgotten->step;
    for (std::size_t left = forgotten->ranks.size(); left > 0; --left) {
      Forget({.rank = forgotten->ranks.back(), .step = step});  // the last one erases the deal
    }
    forgotten = next;
  }
}

void Steps::LeaseEnded(const RankStep& at, LeaseId lease, std::vector<RowIndex> returned) noexcept {
  if (Step* const step = Find(at); step != nullptr && step->lease == lease) {
    step->returned = std::move(returned);
  }
}

void Steps::Ask(const RankStep& at, std::int64_t rows_max) noexcept {
  Known* const step = FindKnown(at);
  if (step == nullptr || !step->holds) {
    return;
  }
  Rank& rank = ranks_.find(at.rank)->second;
  if (step->in_asked.is_linked()) {
    step->in_asked.unlink();
  } else {
    rank.asked_rows += std::ssize(step->rows);
  }
  rank.asked.push_back(*step);
  // A few at a time: when the part of the rank has become smaller, later calls end the others.
  for (std::int64_t rows = 0;
       rows < kEndedRows &&
       (rank.asked.size() > kHeld || rank.asked_rows > rows_max / std::ssize(ranks_));) {
    rows += std::ssize(rank.asked.front().rows);
    EndHold(rank, rank.asked.front());
  }
}

void Steps::HoldReturned(const RankStep& at) {
  Step& step = *Find(at);
  held_.Hold(step.returned);
  step.holds = true;
}

void Steps::EndHold(const RankStep& at) noexcept {
  if (Known* const step = FindKnown(at)) {
    EndHold(ranks_.find(at.rank)->second, *step);
  }
}

void Steps::EndHold(Rank& rank, Known& step) noexcept {
  if (!std::exchange(step.holds, false)) {
    return;
  }
  if (step.in_asked.is_linked()) {
    step.in_asked.unlink();
    rank.asked_rows -= std::ssize(step.rows);
  }
  for (const RowIndex row : step.rows) {
    if (held_.Release(row)) {
      try {
        let_go_.push_back(row);
      } catch (const std::bad_alloc&) {
        let_go_incomplete_ = true;
      }
    }
  }
}

std::vector<RowIndex> Steps::TakeLetGo(bool& incomplete) noexcept {
  incomplete = std::exchange(let_go_incomplete_, false) || incomplete;
  return std::exchange(let_go_, {});
}

}  // namespace sluice::controller
