// Slow commands, latency events, and commands as they run: SLOWLOG, LATENCY, MONITOR.
#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/ids.h"
#include "server/arguments/arg_reader.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/context.h"
#include "server/dispatch/help.h"

namespace sluice::server {
namespace {

// SLOWLOG GET [count]
Status SlowLogGet(Context& context, ArgReader& args) {
  constexpr std::int64_t kCount = 10;
  std::int64_t count = kCount;
  const bool valid = !args.HasMore() || ParseInteger(args.Word("count"), count);
  TRY(args.Finish());
  if (!valid || count < -1) {
    return Status(Code::kError, "count should be greater than or equal to -1");
  }
  const auto commands = context.server.slow_log.Last(static_cast<std::size_t>(count));
  context.reply.Array(commands.size());
  for (const SlowCommand& command : commands) {
    context.reply.Array(6);
    context.reply.Integer(command.id);
    context.reply.Integer(command.time_s);
    context.reply.Integer(command.microseconds);
    context.reply.Array(command.args.size());
    for (const std::string& arg : command.args) {
      context.reply.Bulk(arg);
    }
    context.reply.Bulk(command.address);
    context.reply.Bulk(command.name);
  }
  return {};
}

// SLOWLOG LEN
Status SlowLogLen(Context& context, ArgReader& /*args*/) {
  context.reply.Integer(static_cast<std::int64_t>(context.server.slow_log.Size()));
  return {};
}

// SLOWLOG RESET
Status SlowLogReset(Context& context, ArgReader& /*args*/) {
  context.server.slow_log.Reset();
  context.reply.Simple("OK");
  return {};
}

// LATENCY LATEST
Status LatencyLatest(Context& context, ArgReader& /*args*/) {
  const auto latest = context.server.latency.GetLatest();
  context.reply.Array(latest.size());
  for (const LatencyEvents::Latest& event : latest) {
    context.reply.Array(4);
    context.reply.Bulk(event.event);
    context.reply.Integer(event.last.time_s);
    context.reply.Integer(event.last.ms);
    context.reply.Integer(event.max_ms);
  }
  return {};
}

// LATENCY HISTORY event
Status LatencyHistory(Context& context, ArgReader& args) {
  const std::string_view event = args.Word("event");
  TRY(args.Finish());
  const auto samples = context.server.latency.History(event);
  context.reply.Array(samples.size());
  for (const LatencyEvents::Sample& sample : samples) {
    context.reply.Array(2);
    context.reply.Integer(sample.time_s);
    context.reply.Integer(sample.ms);
  }
  return {};
}

// LATENCY GRAPH event: a line for each sample, with a bar as long as its share of the maximum.
Status LatencyGraph(Context& context, ArgReader& args) {
  constexpr std::int64_t kBarMax = 40;
  const std::string_view event = args.Word("event");
  TRY(args.Finish());
  const auto samples = context.server.latency.History(event);
  if (samples.empty()) {
    return Status(Code::kError,
                  fmt::format("No samples available for event '{}'", Printable(event)));
  }
  std::int64_t low = samples.front().ms;
  std::int64_t high = low;
  for (const LatencyEvents::Sample& sample : samples) {
    low = std::min(low, sample.ms);
    high = std::max(high, sample.ms);
  }
  std::string text = fmt::format("{} - high {} ms, low {} ms (all time high {} ms)\n", event, high,
                                 low, context.server.latency.MaxMs(event));
  const std::int64_t now_s = context.server.clock.WallUs() / 1000000;
  for (const LatencyEvents::Sample& sample : samples) {
    const std::int64_t bar = sample.ms * kBarMax / std::max<std::int64_t>(high, 1);
    text += fmt::format("{:>6}s ago {:>8} ms {}\n", now_s - sample.time_s, sample.ms,
                        std::string(static_cast<std::size_t>(bar), '#'));
  }
  context.reply.Verbatim(text);
  return {};
}

// LATENCY RESET [event ...]
Status LatencyReset(Context& context, ArgReader& args) {
  context.reply.Integer(context.server.latency.Reset(args.Remaining()));
  return {};
}

// LATENCY DOCTOR
Status LatencyDoctor(Context& context, ArgReader& /*args*/) {
  if (context.server.config.latency_threshold_ms == 0) {
    context.reply.Verbatim(
        "Latency monitoring is off. CONFIG SET latency-monitor-threshold <milliseconds> records "
        "commands that take at least that long.\n");
    return {};
  }
  std::string text;
  for (const LatencyEvents::Latest& event : context.server.latency.GetLatest()) {
    text += fmt::format("{}: latest {} ms, maximum {} ms. SLOWLOG GET shows the commands.\n",
                        event.event, event.last.ms, event.max_ms);
  }
  context.reply.Verbatim(text.empty() ? "No command took that long.\n" : text);
  return {};
}

void Histogram(Context& context, const Command& row, const CommandTotals& totals) {
  context.reply.Bulk(row.name);
  context.reply.Map(2);
  context.reply.Bulk("calls");
  context.reply.Integer(totals.calls);
  context.reply.Bulk("histogram_usec");
  std::size_t buckets = 0;
  for (const std::int64_t count : totals.histogram) {
    buckets += count > 0 ? 1 : 0;
  }
  context.reply.Map(buckets);
  std::int64_t sum = 0;  // cumulative, as in Redis
  for (std::size_t i = 0; i < totals.histogram.size(); ++i) {
    if (totals.histogram[i] > 0) {
      sum += totals.histogram[i];
      context.reply.Integer(std::int64_t{1} << i);
      context.reply.Integer(sum);
    }
  }
}

// LATENCY HISTOGRAM [command ...]
Status LatencyHistogram(Context& context, ArgReader& args) {
  const auto names = args.Remaining();
  std::vector<std::pair<const Command*, CommandTotals>> found;
  const auto add = [&](const Command& row) {
    CommandTotals totals = context.server.stats.SumOf(OrdinalOf(row));
    if (totals.calls > 0) {
      found.emplace_back(&row, totals);
    }
  };
  context.turn.Enter();
  for (const RequestArg& name : names) {  // a name with subcommands means all of these
    const Command* const row = FindCommand(name.text);
    if (row == nullptr) {
      continue;
    }
    add(*row);
    for (const Command* const child : SubcommandsOf(*row)) {
      add(*child);
    }
  }
  for (const auto family : Families()) {
    for (const Command& row : family) {
      if (names.empty()) {
        add(row);
      }
    }
  }
  context.reply.Map(found.size());
  for (const auto& [row, totals] : found) {
    Histogram(context, *row, totals);
  }
  return {};
}

// MONITOR
Status Monitor(Context& context, ArgReader& /*args*/) {
  if (context.in_transaction) {
    return Status(Code::kError, "MONITOR isn't allowed in a transaction");
  }
  if (!context.connection.monitor.exchange(true)) {
    context.server.monitors.fetch_add(1);
  }
  context.reply.Simple("OK");
  return {};
}

constexpr Arg kSlowLogArgs[] = {{.name = "count", .type = "integer", .optional = true}};
constexpr Arg kEventArgs[] = {{.name = "event", .type = "string"}};
constexpr Arg kEventsArgs[] = {
    {.name = "event", .type = "string", .optional = true, .multiple = true}};
constexpr Arg kCommandsArgs[] = {
    {.name = "command", .type = "string", .optional = true, .multiple = true}};

constexpr Command SlowRow(Command row) {
  row.group = "server";
  row.since = "0.1.0";
  row.flags |= kAdmin | kLoading;
  if (row.complexity.empty()) {
    row.complexity = "O(N) where N is the number of entries";
  }
  return row;
}

constexpr std::array kCommands = {
    Row(SlowRow({.name = "slowlog",
                 .arity = -2,
                 .flags = kContainer,
                 .summary = "Commands about the log of slow commands."})),
    HelpRow("slowlog|help", "server"),
    Row(SlowRow({.name = "slowlog|get",
                 .arity = -2,
                 .handler = SlowLogGet,
                 .summary = "Returns the latest entries of the slow log; -1 returns all entries.",
                 .args = kSlowLogArgs})),
    Row(SlowRow({.name = "slowlog|len",
                 .arity = 2,
                 .handler = SlowLogLen,
                 .complexity = "O(1)",
                 .summary = "Returns the number of entries in the slow log."})),
    Row(SlowRow({.name = "slowlog|reset",
                 .arity = 2,
                 .handler = SlowLogReset,
                 .summary = "Removes all entries from the slow log."})),
    Row(SlowRow({.name = "latency",
                 .arity = -2,
                 .flags = kContainer,
                 .summary = "Commands about latency."})),
    HelpRow("latency|help", "server"),
    Row(SlowRow({.name = "latency|latest",
                 .arity = 2,
                 .handler = LatencyLatest,
                 .summary = "Returns the latest sample of each latency event."})),
    Row(SlowRow({.name = "latency|history",
                 .arity = 3,
                 .handler = LatencyHistory,
                 .summary = "Returns the samples of a latency event: time and duration.",
                 .args = kEventArgs})),
    Row(SlowRow({.name = "latency|graph",
                 .arity = 3,
                 .handler = LatencyGraph,
                 .summary = "Draws the samples of a latency event.",
                 .args = kEventArgs})),
    Row(SlowRow({.name = "latency|reset",
                 .arity = -2,
                 .handler = LatencyReset,
                 .summary = "Removes the samples of the given latency events, or all events.",
                 .args = kEventsArgs})),
    Row(SlowRow({.name = "latency|doctor",
                 .arity = 2,
                 .handler = LatencyDoctor,
                 .summary = "Returns a human-readable report about latency events."})),
    Row(SlowRow({.name = "latency|histogram",
                 .arity = -2,
                 .handler = LatencyHistogram,
                 .complexity = "O(N) where N is the number of commands",
                 .summary = "Returns the distribution of call times, by command.",
                 .args = kCommandsArgs})),
    Row(SlowRow({.name = "monitor",
                 .arity = 1,
                 .handler = Monitor,
                 .complexity = "O(1)",
                 .summary = "Streams every command that the server runs."})),
};

}  // namespace

std::span<const Command> SlowCommands() {
  return kCommands;
}

}  // namespace sluice::server
