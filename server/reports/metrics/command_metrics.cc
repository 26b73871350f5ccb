// Metrics of commands, by name, and of errors, by code.
#include <array>
#include <vector>

#include "server/dispatch/command_table.h"
#include "server/dispatch/error_reply.h"
#include "server/reports/metrics/families.h"

namespace sluice::server {
namespace {

// The bounds of the histogram are powers of 2, in microseconds. A call that took longer than the
// last bound, 67 s, waited or had a very large reply.
constexpr auto kBounds = [] {
  std::array<double, 27> bounds = {};
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    bounds[i] = SecondsOf(std::int64_t{1} << i);
  }
  return bounds;
}();

struct Called {
  const Command* command;
  CommandTotals totals;
};

// Returns the commands that clients have sent.
std::vector<Called> CalledCommands(const Stats& stats) {
  std::vector<Called> called;
  for (const auto family : Families()) {
    for (const Command& row : family) {
      const CommandTotals totals = stats.TotalOf(OrdinalOf(row));
      if (totals.calls + totals.rejected > 0) {
        called.push_back({&row, totals});
      }
    }
  }
  return called;
}

}  // namespace

void CommandMetrics(Server& server, PrometheusText& text) {
  const std::vector<Called> called = CalledCommands(server.stats);
  text.Histogram("command_duration_seconds", "Time of calls, by command.");
  for (const auto& [command, totals] : called) {
    text.Sample(
        {{"command", command->name}},
        {.bounds = kBounds, .counts = totals.histogram, .sum = SecondsOf(totals.microseconds)});
  }
  text.Counter("commands_failed_total", "Calls that returned an error, by command.");
  for (const auto& [command, totals] : called) {
    text.Sample({{"command", command->name}}, totals.failed);
  }
  text.Counter("commands_rejected_total",
               "Requests that were refused before they ran (number of arguments, memory), by "
               "command.");
  for (const auto& [command, totals] : called) {
    text.Sample({{"command", command->name}}, totals.rejected);
  }
  text.Counter("errors_total", "Error replies, by code.");
  for (const ErrorPrefix& prefix : ErrorPrefixes()) {
    text.Sample({{"code", prefix.text}}, server.stats.TotalErrors(prefix.code));
  }
}

}  // namespace sluice::server
