// The part of Controller that serves waiters.
#include <algorithm>
#include <iterator>
#include <map>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "controller/controller.h"

namespace sluice::controller {
namespace {

using Counts = std::map<std::int64_t, std::int64_t>;

void UncountOne(Counts& counts, std::int64_t of) noexcept {
  const auto it = counts.find(of);
  if (--it->second == 0) {
    counts.erase(it);
  }
}

std::int64_t NeedOf(const Fetch& fetch) {
  return fetch.count * fetch.sampler.ranks;
}

Wish WishOf(const Waiter& waiter) {
  return {.count = waiter.fetch.count, .last = waiter.fetch.last, .arrival = waiter.Arrival()};
}

}  // namespace

void Line::Join(Waiter& waiter) {
  const auto at = waiters.emplace(WishOf(waiter), &waiter).first;
  try {
    if (at == waiters.begin() || !std::prev(at)->first.WantsAs(at->first)) {
      heads.emplace(waiter.Arrival(), &waiter);
      if (Waiter* const second = After(waiter)) {
        heads.erase(second->Arrival());
      }
    }
  } catch (...) {
    waiters.erase(at);
    throw;
  }
}

void Line::Leave(const Waiter& waiter) noexcept {
  auto head = heads.extract(waiter.Arrival());
  Waiter* const next = After(waiter);
  if (!head.empty() && next != nullptr) {
    head.key() = next->Arrival();
    head.mapped() = next;
    heads.insert(std::move(head));
  }
  waiters.erase(WishOf(waiter));
}

Waiter* Line::After(const Waiter& waiter) const noexcept {
  const auto next = waiters.upper_bound(WishOf(waiter));
  return next != waiters.end() && next->first.WantsAs(WishOf(waiter)) ? next->second : nullptr;
}

void Controller::Wait(Waiter& waiter) {
  const Fetch& fetch = waiter.fetch;
  std::vector<std::string> fields = fetch.selection.fields;
  Task& task = GetTask(fetch.task);
  Line& line = ViewOf(task, fetch.selection).LineOf(fetch.sampler);
  const bool first = line.waiters.empty();
  if (first) {
    lines_.reserve(lines_.size() + 1);
  }
  ++needs_[NeedOf(fetch)];
  try {
    waiters_.emplace(waiter.arrival_, &waiter);
    line.Join(waiter);
  } catch (...) {
    waiters_.erase(waiter.arrival_);
    UncountOne(needs_, NeedOf(fetch));
    throw;
  }
  waiter.line_ = &line;
  line.changed = true;
  if (first) {
    lines_.push_back(&line);
  }
  task.last_fields = std::move(fields);
}

void Controller::Leave(Waiter& waiter) noexcept {
  Line* const line = std::exchange(waiter.line_, nullptr);
  if (line == nullptr) {
    return;
  }
  UncountOne(needs_, NeedOf(waiter.fetch));
  line->Leave(waiter);
  waiters_.erase(waiter.arrival_);
  if (line->waiters.empty()) {
    std::erase(lines_, line);
  }
}

// Returns the earliest waiter whose line has enough rows for it.
Waiter* Controller::FirstServable() {
  Waiter* first = nullptr;
  for (Line* const line : lines_) {
    if (!line->changed || line->view->rebuilt) {
      continue;
    }
    Sampler& sampler = line->view->SamplerOf(*line);
    const auto fits = std::find_if(
        line->heads.begin(), line->heads.end(),
        [&sampler](const auto& head) { return sampler.Has(head.second->fetch.count); });
    if (fits == line->heads.end()) {
      line->changed = false;
    } else if (first == nullptr || fits->first < first->arrival_) {
      first = fits->second;
    }
  }
  return first;
}

Controller::Served Controller::Serve(Waiter& waiter, std::int64_t now_us) noexcept {
  Fetched fetched;
  try {
    const auto known = KnownStep(waiter.fetch);
    if (known.ok() && *known != nullptr) {  // if it cannot be answered, its lease stays unchanged
      Status status = waiter.Prepare((*known)->rows);
      if (!status.ok()) {
        Leave(waiter);
        waiter.Answer(std::move(status), {});
        return Served::kOther;
      }
    }
    if (waiter.fetch.sampler.ranks > 1 && waiter.IsGone()) {
      Leave(waiter);  // before a deal, since the shares of other ranks cannot be given back
      return Served::kOther;
    }
    auto outcome = TryFetch(waiter.fetch, {.now_us = now_us}, fetched);
    if (outcome.ok() && *outcome == Outcome::kWait) {
      return Served::kNo;
    }
    const bool rows = !fetched.rows.empty();
    if (rows && waiter.IsGone()) {  // checked last: it costs a system call
      GiveBack(waiter.fetch, fetched);
      Leave(waiter);
      return Served::kRows;
    }
    Leave(waiter);
    waiter.Answer(std::move(outcome), std::move(fetched));
    return rows ? Served::kRows : Served::kOther;
  } catch (const std::bad_alloc&) {
    Leave(waiter);
    waiter.Answer(Status(Code::kOom, "no memory left for this fetch"), {});
    return Served::kOther;
  }
}

// Serves waiters whose step is remembered by now or was taken by others.
bool Controller::ServeSteps(std::int64_t now_us) {
  new_steps_ = false;
  bool served = false;
  for (auto it = waiters_.begin(); it != waiters_.end();) {
    Waiter& waiter = *it->second;
    ++it;
    if (waiter.line_->view->rebuilt) {
      continue;
    }
    const auto known = KnownStep(waiter.fetch);
    if (!known.ok() || *known != nullptr) {
      served = Serve(waiter, now_us) != Served::kNo || served;
    }
  }
  return served;
}

// Returns true if, by EXPECT, so few rows are still to come that the stream may end for a waiter.
bool Controller::NearEnd() const {
  if (!expected_ || waiters_.empty()) {
    return false;
  }
  const std::int64_t to_come = StillToCome();
  const std::int64_t most = needs_.rbegin()->first;
  return to_come == 0 || std::any_of(tasks_.begin(), tasks_.end(), [&](const auto& entry) {
           return Unconsumed(*entry.second) + to_come < most && entry.second->Waiters() > 0;
         });
}

// Serves the waiters that can be answered, also with fewer rows than they want or none. The rows
// that a waiter takes may end the stream for an earlier waiter of its task, so those that could not
// be answered are looked at again then.
bool Controller::ServeNearEnd(std::int64_t now_us) {
  std::map<std::int64_t, Waiter*> open;
  std::map<std::string, std::vector<Waiter*>> refused;  // by task
  for (const Line* const line : lines_) {
    if (!line->view->rebuilt) {
      open.insert(line->heads.begin(), line->heads.end());
    }
  }
  bool served = false;
  while (!open.empty()) {
    Waiter& waiter = *open.extract(open.begin()).mapped();
    Waiter* const next = waiter.line_->After(waiter);
    std::vector<Waiter*>& same_task = refused[waiter.fetch.task];
    const Served how = Serve(waiter, now_us);
    if (how == Served::kNo) {
      same_task.push_back(&waiter);
      continue;
    }
    served = true;
    if (next != nullptr) {
      open.emplace(next->arrival_, next);
    }
    if (how == Served::kRows) {
      for (Waiter* const again : std::exchange(same_task, {})) {
        open.emplace(again->arrival_, again);
      }
    }
  }
  return served;
}

// Serves the first waiter that can get all rows that it wants.
bool Controller::ServeFirst(std::int64_t now_us) {
  Waiter* const waiter = FirstServable();
  if (waiter == nullptr) {
    return false;
  }
  if (Serve(*waiter, now_us) == Served::kNo) {
    waiter->line_->changed = false;  // its sampler picks fewer rows than Available() returned
  }
  return true;
}

void Controller::ServeWaiters(std::int64_t now_us) noexcept {
  if (waiters_.empty()) {
    return;
  }
  try {
    Refresh();
    for (const auto& [name, task] : tasks_) {
      task->Refill();
    }
    bool served = true;
    while (served) {
      served = NearEnd() ? ServeNearEnd(now_us) : ServeFirst(now_us);
      served = (new_steps_ && ServeSteps(now_us)) || served;
    }
  } catch (const std::bad_alloc&) {  // no waiter may wait for a change that may never come
    while (Waiter* const waiter = FirstWaiter()) {
      Leave(*waiter);
      waiter->Answer(Status(Code::kOom, "no memory left for this fetch"), {});
    }
  }
}

}  // namespace sluice::controller
