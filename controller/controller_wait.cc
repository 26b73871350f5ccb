// The part of Controller that serves waiters.
#include <algorithm>
#include <new>
#include <set>
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
    line.waiters.emplace(WishOf(waiter), &waiter);
    waiters_.emplace(waiter.arrival_, &waiter);
  } catch (...) {
    line.waiters.erase(WishOf(waiter));
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
  line->waiters.erase(WishOf(waiter));
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
    const std::int64_t available = line->view->SamplerOf(*line).Available();
    line->changed = false;
    line->ForEachWish([&](Waiter& waiter) {
      const bool fits = waiter.fetch.count <= available;
      line->changed = line->changed || fits;
      if (fits && (first == nullptr || waiter.arrival_ < first->arrival_)) {
        first = &waiter;
      }
      return fits;
    });
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

// Serves waiters that can be answered, also with fewer rows than they want or none: of each wish
// the first. The rows that a waiter takes may end the stream for an earlier waiter of its task, so
// the task's other waiters are looked at in the next call.
bool Controller::ServeNearEnd(std::int64_t now_us) {
  std::vector<Waiter*> waiters;
  for (const Line* const line : lines_) {
    line->ForEachWish([&](Waiter& waiter) {
      if (!line->view->rebuilt) {
        waiters.push_back(&waiter);
      }
      return true;
    });
  }
  const auto earlier = [](const Waiter* a, const Waiter* b) { return a->arrival_ < b->arrival_; };
  std::sort(waiters.begin(), waiters.end(), earlier);
  bool served = false;
  std::set<std::string> changed;  // tasks
  for (Waiter* const waiter : waiters) {
    std::string task = waiter->fetch.task;  // the waiter ends with its answer
    if (changed.contains(task)) {
      continue;
    }
    const Served how = Serve(*waiter, now_us);
    served = how != Served::kNo || served;
    if (how == Served::kRows) {
      changed.insert(std::move(task));
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
