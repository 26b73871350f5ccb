#include "controller/steps.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace sluice::controller {

std::int64_t Steps::BytesOf(const Step& step) {
  constexpr std::size_t kNodeBytes = 64;
  return static_cast<std::int64_t>(sizeof(Step) + kNodeBytes + step.rows.size() * sizeof(RowIndex) +
                                   step.weights.size() * sizeof(double));
}

Step* Steps::Find(const RankStep& at) noexcept {
  const auto rank = ranks_.find(at.rank);
  if (rank == ranks_.end()) {
    return nullptr;
  }
  const auto it = rank->second.steps.find(at.step);
  return it == rank->second.steps.end() ? nullptr : &it->second;
}

bool Steps::IsForgotten(const RankStep& at) const noexcept {
  const auto rank = ranks_.find(at.rank);
  return rank != ranks_.end() && at.step <= rank->second.forgotten &&
         !rank->second.steps.contains(at.step);
}

void Steps::Add(const RankStep& at, Step step) {
  const std::int64_t bytes = BytesOf(step);
  Rank& rank = ranks_[at.rank];
  rank.steps.emplace(at.step, std::move(step));
  bytes_ += bytes;
  if (rank.steps.size() > kKept) {
    const auto oldest = rank.steps.begin();
    rank.forgotten = std::max(rank.forgotten, oldest->first);
    bytes_ -= BytesOf(oldest->second);
    rank.steps.erase(oldest);
  }
}

void Steps::Forget(const RankStep& at) noexcept {
  const auto rank = ranks_.find(at.rank);
  if (rank == ranks_.end()) {
    return;
  }
  const auto it = rank->second.steps.find(at.step);
  if (it != rank->second.steps.end()) {
    bytes_ -= BytesOf(it->second);
    rank->second.steps.erase(it);
  }
}

bool Steps::HasForgottenSibling(std::int64_t at, const Step& step) const noexcept {
  return std::any_of(ranks_.begin(), ranks_.end(), [&](const auto& entry) {
    const auto it = entry.second.steps.find(at);
    return it != entry.second.steps.end() && it->second.deal == step.deal && it->second.forget;
  });
}

void Steps::ForgetRows(const RowBits& rows) noexcept {
  const auto is_one = [&rows](RowIndex row) { return rows.Contains(row); };
  bool some = false;
  for (auto& [number, rank] : ranks_) {
    for (auto& [at, step] : rank.steps) {
      step.forget = std::any_of(step.rows.begin(), step.rows.end(), is_one);
      some = some || step.forget;
    }
  }
  for (auto& [number, rank] : ranks_) {
    for (auto& [at, step] : rank.steps) {
      step.forget = some && (step.forget || HasForgottenSibling(at, step));
    }
  }
  for (auto& [number, rank] : ranks_) {
    for (auto it = rank.steps.begin(); it != rank.steps.end();) {
      bytes_ -= it->second.forget ? BytesOf(it->second) : 0;
      it = it->second.forget ? rank.steps.erase(it) : std::next(it);
    }
  }
}

void Steps::LeaseEnded(const RankStep& at, LeaseId lease, std::vector<RowIndex> returned) noexcept {
  if (Step* const step = Find(at); step != nullptr && step->lease == lease) {
    step->returned = std::move(returned);
  }
}

}  // namespace sluice::controller
