#include "server/observability/stats.h"

#include <utility>

namespace sluice::server {
namespace {

// All counters except current values, such as open connections.
constexpr Counter ThreadStats::*kCounters[] = {&ThreadStats::commands,
                                               &ThreadStats::input_bytes,
                                               &ThreadStats::output_bytes,
                                               &ThreadStats::accepted_connections,
                                               &ThreadStats::rejected_connections,
                                               &ThreadStats::output_limit_disconnections,
                                               &ThreadStats::query_limit_disconnections,
                                               &ThreadStats::protocol_errors,
                                               &ThreadStats::error_replies,
                                               &ThreadStats::keyspace_hits,
                                               &ThreadStats::keyspace_misses};

}  // namespace

void Stats::Reset() {
  const std::size_t commands = threads.front()->by_command.size();
  auto now = std::make_unique<ThreadStats>(commands);
  for (const auto& thread : threads) {
    for (Counter ThreadStats::*const counter : kCounters) {
      ((*now).*counter).Add(((*thread).*counter).Get());
    }
    for (std::size_t i = 0; i < now->errors.size(); ++i) {
      now->errors[i].Add(thread->errors[i].Get());
    }
    thread->disconnect_hold_us.Reset();
    for (CommandStats& command : thread->by_command) {
      command.longest_hold_us.Reset();
    }
    for (std::size_t i = 0; i < commands; ++i) {
      CommandStats& sum = now->by_command[i];
      const CommandStats& part = thread->by_command[i];
      sum.calls.Add(part.calls.Get());
      sum.microseconds.Add(part.microseconds.Get());
      sum.rejected.Add(part.rejected.Get());
      sum.failed.Add(part.failed.Get());
      for (std::size_t bucket = 0; bucket < sum.histogram.size(); ++bucket) {
        sum.histogram[bucket].Add(part.histogram[bucket].Get());
      }
    }
  }
  housekeeper_hold_us.Reset();
  metrics_hold_us.Reset();
  before = std::move(now);
}

}  // namespace sluice::server
