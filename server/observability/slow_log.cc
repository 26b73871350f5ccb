#include "server/observability/slow_log.h"

#include <algorithm>

#include <fmt/format.h>

namespace sluice::server {
namespace {

constexpr std::size_t kArgsMax = 32;
constexpr std::size_t kArgBytesMax = 128;
constexpr std::size_t kSamplesMax = 160;

}  // namespace

std::vector<std::string> CutArgs(RequestView request) {
  std::vector<std::string> args;
  const bool cut = request.size() > kArgsMax;
  const std::size_t count = cut ? kArgsMax - 1 : request.size();
  for (const RequestArg& arg : request.first(count)) {
    std::string& text = args.emplace_back(arg.text.substr(0, kArgBytesMax));
    if (arg.text.size() > kArgBytesMax) {
      text += fmt::format("... ({} more bytes)", arg.text.size() - kArgBytesMax);
    }
  }
  if (cut) {
    args.push_back(fmt::format("... ({} more arguments)", request.size() - count));
  }
  return args;
}

void SlowLog::Add(SlowCommand command, std::size_t entries_max) {
  const MutexLock lock(mutex_);
  command.id = next_id_;
  commands_.push_front(std::move(command));
  ++next_id_;
  while (commands_.size() > entries_max) {
    commands_.pop_back();
  }
}

std::vector<SlowCommand> SlowLog::Last(std::size_t count) {
  const MutexLock lock(mutex_);
  const auto end =
      commands_.begin() + static_cast<std::ptrdiff_t>(std::min(count, commands_.size()));
  return {commands_.begin(), end};
}

std::size_t SlowLog::Size() {
  const MutexLock lock(mutex_);
  return commands_.size();
}

void SlowLog::Reset() {
  const MutexLock lock(mutex_);
  commands_.clear();
}

void LatencyEvents::Add(std::string_view name, Sample sample) {
  const MutexLock lock(mutex_);
  auto it = events_.find(name);
  if (it == events_.end()) {
    it = events_.emplace(name, Event()).first;
  }
  Event& event = it->second;
  event.max_ms = std::max(event.max_ms, sample.ms);
  if (!event.samples.empty() && event.samples.back().time_s == sample.time_s) {
    event.samples.back().ms = std::max(event.samples.back().ms, sample.ms);
    return;
  }
  event.samples.push_back(sample);
  if (event.samples.size() > kSamplesMax) {
    event.samples.pop_front();
  }
}

std::vector<LatencyEvents::Latest> LatencyEvents::GetLatest() {
  const MutexLock lock(mutex_);
  std::vector<Latest> latest;
  for (const auto& [name, event] : events_) {
    latest.push_back({.event = name, .last = event.samples.back(), .max_ms = event.max_ms});
  }
  return latest;
}

std::vector<LatencyEvents::Sample> LatencyEvents::History(std::string_view name) {
  const MutexLock lock(mutex_);
  const auto it = events_.find(name);
  return it == events_.end()
             ? std::vector<Sample>()
             : std::vector<Sample>(it->second.samples.begin(), it->second.samples.end());
}

std::int64_t LatencyEvents::MaxMs(std::string_view name) {
  const MutexLock lock(mutex_);
  const auto it = events_.find(name);
  return it == events_.end() ? 0 : it->second.max_ms;
}

std::int64_t LatencyEvents::Reset(RequestView names) {
  const MutexLock lock(mutex_);
  auto before = static_cast<std::int64_t>(events_.size());
  if (names.empty()) {
    events_.clear();
  }
  for (const RequestArg& name : names) {
    if (const auto it = events_.find(name.text); it != events_.end()) {
      events_.erase(it);
    }
  }
  return before - static_cast<std::int64_t>(events_.size());
}

}  // namespace sluice::server
