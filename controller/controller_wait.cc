// The part of Controller that is about those that wait.
#include <algorithm>
#include <new>
#include <utility>

#include "controller/controller.h"

namespace sluice::controller {
namespace {

void CountOne(std::map<std::int64_t, std::int64_t>& counts, std::int64_t of) {
  ++counts[of];
}

void UncountOne(std::map<std::int64_t, std::int64_t>& counts, std::int64_t of) noexcept {
  const auto it = counts.find(of);
  if (it != counts.end() && --it->second == 0) {
    counts.erase(it);
  }
}

std::int64_t NeedOf(const Fetch& fetch) {
  return fetch.count * fetch.sampler.ranks;
}

}  // namespace

void Controller::Wait(Waiter& waiter) {
  const Fetch& fetch = waiter.fetch;
  Line& line = ViewOf(GetTask(fetch.task), fetch.selection).LineOf(fetch.sampler);
  const bool first = line.waiters.empty();
  if (first) {
    lines_.reserve(lines_.size() + 1);
  }
  // Each of the three can be undone without its having been done.
  waiter.line_ = &line;
  line.changed = true;
  try {
    CountOne(line.counts, fetch.count);
    CountOne(needs_, NeedOf(fetch));
    line.waiters.emplace(waiter.arrival_, &waiter);
    waiters_.emplace(waiter.arrival_, &waiter);
  } catch (...) {
    Leave(waiter);
    throw;
  }
  if (first) {
    lines_.push_back(&line);
  }
}

void Controller::Leave(Waiter& waiter) noexcept {
  Line* const line = std::exchange(waiter.line_, nullptr);
  if (line == nullptr) {
    return;
  }
  UncountOne(line->counts, waiter.fetch.count);
  UncountOne(needs_, NeedOf(waiter.fetch));
  line->waiters.erase(waiter.arrival_);
  waiters_.erase(waiter.arrival_);
  if (line->waiters.empty()) {
    std::erase(lines_, line);
  }
}

// The one that came first of those whose lines have enough for them.
Waiter* Controller::FirstServable() {
  Waiter* first = nullptr;
  for (Line* const line : lines_) {
    if (!line->changed) {
      continue;
    }
    const std::int64_t available = line->view->SamplerOf(*line).Available();
    auto fits = line->waiters.end();
    if (available >= line->Least()) {
      fits = std::find_if(line->waiters.begin(), line->waiters.end(), [&](const auto& entry) {
        return entry.second->fetch.count <= available;
      });
    }
    if (fits == line->waiters.end()) {
      line->changed = false;
    } else if (first == nullptr || fits->first < first->arrival_) {
      first = fits->second;
    }
  }
  return first;
}

// True where it was answered.
bool Controller::Serve(Waiter& waiter, std::int64_t now_us) noexcept {
  Fetched fetched;
  try {
    auto outcome = TryFetch(waiter.fetch, {.now_us = now_us}, fetched);
    if (outcome.ok() && *outcome == Outcome::kWait) {
      return false;
    }
    Leave(waiter);
    waiter.Answer(std::move(outcome), std::move(fetched));
  } catch (const std::bad_alloc&) {
    Leave(waiter);
    waiter.Answer(store::Status(store::Code::kOom, "there is no memory left for this fetch"), {});
  }
  return true;
}

// Those whose step is remembered by now.
bool Controller::ServeSteps(std::int64_t now_us) {
  new_steps_ = false;
  bool served = false;
  for (auto it = waiters_.begin(); it != waiters_.end();) {
    Waiter& waiter = *it->second;
    ++it;
    Task* const task = waiter.fetch.step ? FindTask(waiter.fetch.task) : nullptr;
    if (task != nullptr && task->GetSteps().Find(*waiter.fetch.step) != nullptr) {
      served = Serve(waiter, now_us) || served;
    }
  }
  return served;
}

// Those for which no more can come, where EXPECT says so.
bool Controller::ServeTail(std::int64_t now_us) {
  if (!expected_ || waiters_.empty()) {
    return false;
  }
  const std::int64_t to_come = StillToCome();
  const std::int64_t most = needs_.rbegin()->first;
  bool near = to_come == 0;
  for (auto it = tasks_.begin(); !near && it != tasks_.end(); ++it) {
    near = Unconsumed(*it->second) + to_come < most && it->second->Waiters() > 0;
  }
  bool served = false;
  for (auto it = waiters_.begin(); near && it != waiters_.end();) {
    Waiter& waiter = *it->second;
    ++it;
    served = Serve(waiter, now_us) || served;
  }
  return served;
}

void Controller::Settle(std::int64_t now_us) noexcept {
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
      served = false;
      while (Waiter* const waiter = FirstServable()) {
        const bool answered = Serve(*waiter, now_us);
        if (!answered) {
          waiter->line_->changed = false;  // its sampler gives less than it said
        }
        served = answered || served;
      }
      served = (new_steps_ && ServeSteps(now_us)) || served;
      served = ServeTail(now_us) || served;
    }
  } catch (const std::bad_alloc&) {
    // Whatever changes next finds them.
  }
}

}  // namespace sluice::controller
