#include "server/dispatch/observe.h"

#include <new>
#include <string>

#include <fmt/format.h>

#include "base/ids.h"
#include "server/dispatch/command_table.h"

namespace sluice::server {
namespace {

constexpr std::string_view kRedacted = "(redacted)";
constexpr std::size_t kMonitorArgBytesMax = 1024;  // tensors are not shown whole

// The part that may be shown: of a secret command only its name.
RequestView Shown(const RanCommand& ran) {
  const std::size_t name = IsSubcommand(ran.command) ? 2 : 1;
  const bool secret = (ran.command.flags & kSecret) != 0;
  return secret ? ran.request.first(name) : ran.request;
}

void Show(std::string_view text, std::string& out) {
  out += Quoted(text.substr(0, kMonitorArgBytesMax));
  if (text.size() > kMonitorArgBytesMax) {
    out += fmt::format("... ({} more bytes)", text.size() - kMonitorArgBytesMax);
  }
}

void SendToMonitors(const RanCommand& ran) {
  Server& server = ran.context.server;
  const std::int64_t now_us = server.clock.WallUs();
  std::string line = fmt::format("{}.{:06} [0 {}]", now_us / 1000000, now_us % 1000000,
                                 ran.context.connection.address.peer);
  const auto shown = Shown(ran);
  for (const RequestArg& arg : shown) {
    line += ' ';
    Show(arg.text, line);
  }
  if (shown.size() < ran.request.size()) {
    line += fmt::format(" \"{}\"", kRedacted);
  }
  const auto message = std::make_shared<const Message>(
      Message{.kind = Message::Kind::kMonitor, .channel = {}, .text = std::move(line), .blob = {}});
  const std::int64_t bytes_max = server.config.output_pubsub.hard_bytes;
  server.connections.ForEach([&](ConnectionInfo& connection) {
    if (connection.monitor) {
      connection.mailbox.Put({.message = message, .pattern = nullptr}, bytes_max);
    }
  });
}

void AddToSlowLog(const RanCommand& ran) {
  Server& server = ran.context.server;
  const auto shown = Shown(ran);
  SlowCommand slow = {.time_s = server.clock.WallUs() / 1000000,
                      .microseconds = ran.microseconds,
                      .args = CutArgs(shown),
                      .address = ran.context.connection.address.peer,
                      .name = ran.context.connection.name};
  if (shown.size() < ran.request.size()) {
    slow.args.emplace_back(kRedacted);
  }
  server.slow_log.Add(std::move(slow), static_cast<std::size_t>(server.config.slowlog_entries_max));
}

}  // namespace

void Observe(const RanCommand& ran) noexcept {
  Server& server = ran.context.server;
  const Config& config = server.config;
  const std::int64_t slow_us = config.slowlog_us.load(std::memory_order_relaxed);
  const std::int64_t latency_ms = config.latency_threshold_ms.load(std::memory_order_relaxed);
  const bool admin = (ran.command.flags & kAdmin) != 0;
  try {
    if (server.monitors.load(std::memory_order_relaxed) > 0 && !admin) {
      SendToMonitors(ran);
    }
    if (slow_us >= 0 && ran.microseconds >= slow_us && ran.command.name != "exec") {
      AddToSlowLog(ran);
    }
    if (latency_ms > 0 && ran.microseconds >= latency_ms * 1000) {
      server.latency.Add(
          (ran.command.flags & kFast) != 0 ? "fast-command" : "command",
          {.time_s = server.clock.WallUs() / 1000000, .ms = ran.microseconds / 1000});
    }
  } catch (const std::bad_alloc&) {
  }
}

void ObserveBlocked(Context& context, const BlockedTimes& times) noexcept {
  Server& server = context.server;
  const Command* const command = context.connection.last_command.load(std::memory_order_relaxed);
  if (command == nullptr) {
    return;
  }
  context.stats.by_command[OrdinalOf(*command)].AddTime(times.before_us + times.worked_us);
  const std::int64_t slow_us = server.config.slowlog_us.load(std::memory_order_relaxed);
  const std::int64_t latency_us =
      server.config.latency_threshold_ms.load(std::memory_order_relaxed) * 1000;
  const std::int64_t time_s = server.clock.WallUs() / 1000000;
  try {
    if (slow_us >= 0 && times.worked_us >= slow_us) {
      const RequestArg name = {.text = command->name, .blob = {}};  // the arguments are freed
      AddToSlowLog({.context = context,
                    .command = *command,
                    .request = std::span(&name, 1),
                    .microseconds = times.worked_us});
    }
    if (latency_us > 0 && times.worked_us >= latency_us) {
      server.latency.Add("command", {.time_s = time_s, .ms = times.worked_us / 1000});
    }
    if (latency_us > 0 && times.blocked_us >= latency_us) {
      server.latency.Add("blocked", {.time_s = time_s, .ms = times.blocked_us / 1000});
    }
  } catch (const std::bad_alloc&) {
  }
}

}  // namespace sluice::server
