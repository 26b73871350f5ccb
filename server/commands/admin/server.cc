// Commands about the server as a whole: INFO, MEMORY, DBSIZE, FLUSHALL, SHUTDOWN.
#include <array>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <malloc.h>

#include "server/arguments/arg_reader.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/context.h"
#include "server/dispatch/destruction_reply.h"
#include "server/dispatch/help.h"
#include "server/reports/info.h"
#include "server/reports/memory_report.h"

namespace sluice::server {
namespace {

// INFO [section ...]
Status Info(Context& context, ArgReader& args) {
  const auto sections = args.Remaining();
  context.turn.Enter();
  context.reply.Verbatim(InfoText(context, sections));
  return {};
}

// MEMORY STATS: names as in Redis if the meaning is the same.
Status MemoryStats(Context& context, ArgReader& /*args*/) {
  engine::EngineLock& lock = context.turn.Enter();
  const MemoryReport memory = ReportMemory(context.server);
  const auto keys = static_cast<std::int64_t>(context.server.store(lock).Names());
  context.turn.Leave();
  const std::pair<std::string_view, std::int64_t> lines[] = {
      {"peak.allocated", memory.peak},
      {"total.allocated", memory.used},
      {"clients.normal", memory.connections},
      {"overhead.total", memory.bookkeeping + memory.connections},
      {"keys.count", keys},
      {"dataset.bytes", memory.stored},
      {"payload.stored", memory.stored},
      {"payload.in-flight", memory.in_flight},
      {"bookkeeping", memory.bookkeeping},
      {"arena.free", memory.arena_free},
      {"arena.touched-ahead", memory.arena_touched_ahead},
      {"arena.reserved", memory.arena_reserved},
      {"process.resident", memory.resident}};
  context.reply.Map(std::size(lines));
  for (const auto& [name, bytes] : lines) {
    context.reply.Bulk(name);
    context.reply.Integer(bytes);
  }
  return {};
}

// MEMORY DOCTOR
Status MemoryDoctor(Context& context, ArgReader& /*args*/) {
  context.turn.Enter();
  const MemoryReport memory = ReportMemory(context.server);
  context.turn.Leave();
  std::string text;
  const auto add = [&text](bool holds, std::string_view advice) {
    text += holds ? fmt::format("- {}\n", advice) : "";
  };
  constexpr std::int64_t kLittle = std::int64_t{64} << 20;
  add(memory.limit > 0 && memory.used > memory.limit / 10 * 9,
      "More than 90 % of maxmemory is used: writes will soon get OOM.");
  add(memory.arena_free > memory.payload + kLittle,
      "More payload memory is free than used: MEMORY PURGE releases it, arena-keep limits it.");
  add(memory.in_flight > memory.stored + kLittle,
      "More payload is in flight than stored: clients that do not read their replies hold it. "
      "CLIENT LIST shows them (omem).");
  add(memory.bookkeeping > memory.stored + kLittle,
      "Bookkeeping uses more memory than payload: there are many small rows. KV.CLEAR removes rows "
      "that are no longer needed.");
  context.reply.Verbatim(text.empty() ? "No memory problems found.\n" : text);
  return {};
}

// MEMORY PURGE
Status MemoryPurge(Context& context, ArgReader& /*args*/) {
  context.turn.Leave();  // held since earlier commands; both calls take long and do not need it
  context.server.memory.GetArena().Purge();
  malloc_trim(0);
  context.reply.Simple("OK");
  return {};
}

// DBSIZE
Status DbSize(Context& context, ArgReader& /*args*/) {
  engine::EngineLock& lock = context.turn.Enter();
  context.reply.Integer(static_cast<std::int64_t>(context.server.store(lock).Names()));
  return {};
}

// FLUSHALL [ASYNC | SYNC]
Status FlushAll(Context& context, ArgReader& args) {
  if (args.HasMore() && !args.Option("ASYNC") && !args.Option("SYNC")) {
    return SyntaxError();
  }
  TRY(args.Finish());
  engine::EngineLock& lock = context.turn.Enter();
  std::unique_ptr<store::DeferredDestruction> remains = context.server.store(lock).Flush();
  context.turn.Leave();
  ReplyAfterDestruction(context, std::move(remains),
                        [](resp::Reply& reply) { reply.Simple("OK"); });
  return {};
}

// SHUTDOWN [NOSAVE | SAVE]
Status Shutdown(Context& context, ArgReader& args) {
  if (args.HasMore() && !args.Option("NOSAVE")) {
    const bool save = args.Option("SAVE");
    return Status(Code::kError,
                  save ? "saving is not supported: use SHUTDOWN NOSAVE" : "syntax error");
  }
  TRY(args.Finish());
  context.connection.close_after_reply =
      true;  // as in Redis, the server closes the connection instead of replying
  context.server.stop();
  return {};
}

constexpr Arg kInfoArgs[] = {
    {.name = "section", .type = "string", .optional = true, .multiple = true}};
constexpr Arg kFlushTypeArgs[] = {{.name = "async", .type = "pure-token", .token = "ASYNC"},
                                  {.name = "sync", .type = "pure-token", .token = "SYNC"}};
constexpr Arg kFlushArgs[] = {
    {.name = "flush-type", .type = "oneof", .optional = true, .args = kFlushTypeArgs}};
constexpr Arg kShutdownArgs[] = {
    {.name = "nosave", .type = "pure-token", .token = "NOSAVE", .optional = true}};

constexpr Command ServerRow(Command row) {
  row.group = "server";
  row.since = "0.1.0";
  if (row.complexity.empty()) {
    row.complexity = "O(1)";
  }
  return row;
}

constexpr std::array kCommands = {
    Row(ServerRow({.name = "info",
                   .arity = -1,
                   .flags = kLoading,
                   .categories = kAclDangerous,
                   .handler = Info,
                   .summary = "Returns information about the server.",
                   .args = kInfoArgs})),
    Row(ServerRow(
        {.name = "memory", .arity = -2, .flags = kContainer, .summary = "Commands about memory."})),
    HelpRow("memory|help", "server"),
    Row(ServerRow({.name = "memory|stats",
                   .arity = 2,
                   .handler = MemoryStats,
                   .summary = "Returns memory usage by purpose, in bytes."})),
    Row(ServerRow({.name = "memory|doctor",
                   .arity = 2,
                   .handler = MemoryDoctor,
                   .summary = "Returns a human-readable report about memory problems."})),
    Row(ServerRow({.name = "memory|purge",
                   .arity = 2,
                   .handler = MemoryPurge,
                   .complexity = "O(N) where N is the free memory",
                   .summary = "Releases free memory to the operating system."})),
    Row(ServerRow({.name = "dbsize",
                   .arity = 1,
                   .flags = kReadOnly | kFast,
                   .categories = kAclKeyspace,
                   .handler = DbSize,
                   .summary = "Returns the number of partitions and byte strings."})),
    Row(ServerRow({.name = "flushall",
                   .arity = -1,
                   .flags = kWrite,
                   .categories = kAclKeyspace | kAclDangerous,
                   .handler = FlushAll,
                   .complexity = "O(N) where N is the number of rows",
                   .summary = "Removes everything.",
                   .args = kFlushArgs})),
    Row(ServerRow({.name = "flushdb",
                   .arity = -1,
                   .flags = kWrite,
                   .categories = kAclKeyspace | kAclDangerous,
                   .handler = FlushAll,
                   .complexity = "O(N) where N is the number of rows",
                   .summary = "Removes everything, as FLUSHALL does.",
                   .args = kFlushArgs})),
    Row(ServerRow({.name = "shutdown",
                   .arity = -1,
                   .flags = kAdmin | kLoading | kNoMulti,
                   .handler = Shutdown,
                   .summary = "Stops the server.",
                   .args = kShutdownArgs})),
};

}  // namespace

std::span<const Command> ServerCommands() {
  return kCommands;
}

}  // namespace sluice::server
