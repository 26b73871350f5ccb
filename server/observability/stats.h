// The server's counters. Each I/O thread has its own; INFO adds them up.
//
// Thread safety: one writer each, any reader. Sums: under the engine lock.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>
#include <tuple>
#include <vector>

#include "base/status.h"

namespace sluice::server {

// A counter with one writer: no locked instruction on the hot path.
class Counter {
 public:
  void Add(std::int64_t count) {
    value_.store(value_.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
  }
  [[nodiscard]] std::int64_t Get() const { return value_.load(std::memory_order_relaxed); }
  void Reset() { value_.store(0, std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> value_{0};
};

// The largest value added.
class Maximum {
 public:
  void Add(std::int64_t value) {
    if (value > Get()) {
      value_.store(value, std::memory_order_relaxed);
    }
  }
  [[nodiscard]] std::int64_t Get() const { return value_.load(std::memory_order_relaxed); }
  // Any thread. A value added during the call may be kept or lost.
  void Reset() { value_.store(0, std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> value_{0};
};

struct CommandStats {
  Counter calls;
  Counter microseconds;     // of answered calls, without the time that they were blocked
  Counter rejected;         // by a check before the handler: arity, memory
  Counter failed;           // by the handler
  Maximum longest_hold_us;  // longest uninterrupted hold of the engine lock
  // Answered calls by time: [i] took less than 2^i microseconds, and at least half of that.
  std::array<Counter, 40> histogram;

  // Call it once per call with the whole time: the histogram's sum is `microseconds`.
  void AddTime(std::int64_t us) {
    microseconds.Add(us);
    const auto width =
        static_cast<std::size_t>(std::bit_width(static_cast<std::uint64_t>(us < 0 ? 0 : us)));
    histogram[width < histogram.size() ? width : histogram.size() - 1].Add(1);
  }
};

// The counters of one I/O thread.
struct ThreadStats {
  explicit ThreadStats(std::size_t command_count) : by_command(command_count) {}

  // Odd while a connection of this thread runs commands, except while CLIENT PAUSE waits for
  // commands of other threads: see WaitForCommands() in commands/admin/client.cc.
  std::atomic<std::uint64_t> runs{0};

  Counter commands;
  Counter input_bytes;
  Counter output_bytes;
  Counter accepted_connections;
  Counter rejected_connections;  // over maxclients, or denied
  Counter connections;           // open now
  Counter output_limit_disconnections;
  Counter query_limit_disconnections;
  Counter protocol_errors;
  Counter error_replies;
  std::array<Counter, 32> errors;  // by Code
  Counter keyspace_hits;
  Counter keyspace_misses;
  Maximum disconnect_hold_us;            // holds of the engine lock when a connection ends
  std::vector<CommandStats> by_command;  // by OrdinalOf()
};

// The totals of one command.
struct CommandTotals {
  std::int64_t calls = 0;
  std::int64_t microseconds = 0;
  std::int64_t rejected = 0;
  std::int64_t failed = 0;
  std::array<std::int64_t, std::tuple_size_v<decltype(CommandStats::histogram)>> histogram = {};

  void Add(const CommandStats& stats, std::int64_t sign) {
    calls += sign * stats.calls.Get();
    microseconds += sign * stats.microseconds.Get();
    rejected += sign * stats.rejected.Get();
    failed += sign * stats.failed.Get();
    for (std::size_t i = 0; i < histogram.size(); ++i) {
      histogram[i] += sign * stats.histogram[i].Get();
    }
  }
};

// All counters, since the last Reset(). `threads` does not change once they run.
struct Stats {
  std::vector<std::unique_ptr<ThreadStats>> threads;
  Maximum housekeeper_hold_us;          // holds of the engine lock by the housekeeper
  Maximum metrics_hold_us;              // the same by a scrape of the metrics page
  std::unique_ptr<ThreadStats> before;  // totals at the last Reset(); null if there was none

  [[nodiscard]] std::int64_t Sum(Counter ThreadStats::*member) const {
    return Total(member) - (before == nullptr ? 0 : ((*before).*member).Get());
  }
  [[nodiscard]] CommandTotals SumOf(std::size_t ordinal) const {
    CommandTotals totals = TotalOf(ordinal);
    if (before != nullptr) {
      totals.Add(before->by_command[ordinal], -1);
    }
    return totals;
  }
  [[nodiscard]] std::int64_t LongestHoldUs(std::size_t ordinal) const {
    std::int64_t longest_us = 0;
    for (const auto& thread : threads) {
      longest_us = std::max(longest_us, thread->by_command[ordinal].longest_hold_us.Get());
    }
    return longest_us;
  }
  [[nodiscard]] std::int64_t LongestDisconnectHoldUs() const {
    std::int64_t longest_us = 0;
    for (const auto& thread : threads) {
      longest_us = std::max(longest_us, thread->disconnect_hold_us.Get());
    }
    return longest_us;
  }
  [[nodiscard]] std::int64_t SumErrors(Code code) const {
    const auto at = static_cast<std::size_t>(code);
    return TotalErrors(code) - (before == nullptr ? 0 : before->errors[at].Get());
  }

  // These three ignore Reset(). Any thread.
  [[nodiscard]] std::int64_t Total(Counter ThreadStats::*member) const {
    std::int64_t sum = 0;
    for (const auto& thread : threads) {
      sum += ((*thread).*member).Get();
    }
    return sum;
  }
  [[nodiscard]] CommandTotals TotalOf(std::size_t ordinal) const {
    CommandTotals totals;
    for (const auto& thread : threads) {
      totals.Add(thread->by_command[ordinal], 1);
    }
    return totals;
  }
  [[nodiscard]] std::int64_t TotalErrors(Code code) const {
    std::int64_t sum = 0;
    for (const auto& thread : threads) {
      sum += thread->errors[static_cast<std::size_t>(code)].Get();
    }
    return sum;
  }

  // Counters have one writer each, so they continue, and their values at the reset are subtracted
  // from now on. REQUIRES: the engine lock is held. Errors: std::bad_alloc.
  void Reset();
};

}  // namespace sluice::server
