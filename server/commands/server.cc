// Commands about the server as a whole: INFO, CONFIG, MEMORY, DBSIZE, FLUSHALL, SHUTDOWN.
#include <array>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <malloc.h>

#include "server/arg_reader.h"
#include "server/command_table.h"
#include "server/context.h"
#include "server/dismantling.h"
#include "server/glob.h"
#include "server/info.h"
#include "server/memory_report.h"
#include "server/runtime.h"
#include "store/ids.h"

namespace sluice::server {
namespace {

using store::Code;
using store::Status;

// INFO [section ...]
Status Info(Context& context, ArgReader& args) {
  const auto sections = args.Remaining();
  context.turn.Enter();
  context.reply.Verbatim(InfoText(context, sections));
  return {};
}

// CONFIG GET pattern ...
Status ConfigGet(Context& context, ArgReader& args) {
  const auto patterns = args.Remaining();
  for (const RequestArg& pattern : patterns) {
    TRY(CheckGlob(pattern.text));
  }
  std::vector<const Option*> found;
  for (const Option& option : Options()) {
    for (const RequestArg& pattern : patterns) {
      if (GlobMatches(pattern.text, option.name, GlobCase::kIgnore)) {
        found.push_back(&option);
        break;
      }
    }
  }
  context.turn.Enter();
  context.reply.Map(found.size());
  for (const Option* const option : found) {
    context.reply.Bulk(option->name);
    context.reply.Bulk(context.server.config.Get(*option));
  }
  return {};
}

Status ConfigSetFailed(std::string_view name, std::string_view why) {
  return Status(Code::kError,
                fmt::format("CONFIG SET failed (possibly related to argument '{}') - {}",
                            store::Printable(name), why));
}

struct Setting {
  const Option* option;
  Config::Value value;
};

Status ReadSetting(ArgReader& args, std::vector<Setting>& settings) {
  const std::string_view name = args.Word("option");
  const Option* const option = FindOption(name);
  if (option == nullptr || !args.HasMore()) {
    return Status(Code::kError,
                  fmt::format("Unknown option or number of arguments for CONFIG SET - '{}'",
                              store::Printable(name)));
  }
  auto value = Config::Parse(*option, args.Word("value"));
  for (const Setting& earlier : settings) {
    if (earlier.option == option) {
      return ConfigSetFailed(name, "duplicate parameter");
    }
  }
  if (option->immutable) {
    return ConfigSetFailed(name, "can't set immutable config");
  }
  if (!value.ok()) {
    return ConfigSetFailed(name, value.GetStatus().Message());
  }
  settings.push_back({option, *std::move(value)});
  return {};
}

// CONFIG SET option value [option value ...]
Status ConfigSet(Context& context, ArgReader& args) {
  std::vector<Setting> settings;
  while (args.HasMore()) {
    TRY(ReadSetting(args, settings));
  }
  context.turn.Enter();
  for (Setting& setting : settings) {
    context.server.config.Apply(*setting.option, std::move(setting.value));
  }
  ApplyConfig(context.server);
  context.reply.Simple("OK");
  return {};
}

// MEMORY STATS: Redis's names where the meaning is Redis's.
Status MemoryStats(Context& context, ArgReader& /*args*/) {
  context.turn.Enter();
  const MemoryReport memory = ReportMemory(context.server);
  const auto keys = static_cast<std::int64_t>(context.server.store.Names());
  context.turn.Leave();
  const std::pair<std::string_view, std::int64_t> lines[] = {
      {"peak.allocated", memory.peak},
      {"total.allocated", memory.used},
      {"clients.normal", memory.clients},
      {"overhead.total", memory.bookkeeping + memory.clients},
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

// MEMORY PURGE
Status MemoryPurge(Context& context, ArgReader& /*args*/) {
  context.server.memory.GetArena().Purge();
  malloc_trim(0);
  context.reply.Simple("OK");
  return {};
}

// DBSIZE
Status DbSize(Context& context, ArgReader& /*args*/) {
  context.turn.Enter();
  context.reply.Integer(static_cast<std::int64_t>(context.server.store.Names()));
  return {};
}

// FLUSHALL [ASYNC | SYNC]
Status FlushAll(Context& context, ArgReader& args) {
  if (args.HasMore() && !args.Option("ASYNC") && !args.Option("SYNC")) {
    return Status(Code::kError, "syntax error");
  }
  TRY(args.Finish());
  context.turn.Enter();
  std::unique_ptr<store::Remains> remains = context.server.store.Flush();
  context.turn.Leave();
  Dismantle(context, std::move(remains), [](resp::Reply& reply) { reply.Simple("OK"); });
  return {};
}

// SHUTDOWN [NOSAVE | SAVE]
Status Shutdown(Context& context, ArgReader& args) {
  if (args.HasMore() && !args.Option("NOSAVE")) {
    const bool save = args.Option("SAVE");
    return Status(Code::kError,
                  save ? "there is nothing to save to yet: use SHUTDOWN NOSAVE" : "syntax error");
  }
  TRY(args.Finish());
  context.client.close_after_reply = true;  // as in Redis, the answer is the end of the connection
  context.server.stop();
  return {};
}

constexpr Arg kInfoArgs[] = {
    {.name = "section", .type = "string", .optional = true, .multiple = true}};
constexpr Arg kConfigGetArgs[] = {{.name = "parameter", .type = "pattern", .multiple = true}};
constexpr Arg kConfigSetArgs[] = {
    {.name = "parameter", .type = "string"},
    {.name = "value", .type = "string"},
    {.name = "parameter-value", .type = "string", .optional = true, .multiple = true}};
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
                   .handler = Info,
                   .summary = "Tells how the server is.",
                   .args = kInfoArgs})),
    Row(ServerRow({.name = "config",
                   .arity = -2,
                   .flags = kContainer,
                   .summary = "Commands about the configuration."})),
    Row(ServerRow({.name = "config|get",
                   .arity = -3,
                   .flags = kAdmin | kLoading,
                   .handler = ConfigGet,
                   .complexity = "O(N) where N is the number of options",
                   .summary = "Returns the options that match.",
                   .args = kConfigGetArgs})),
    Row(ServerRow({.name = "config|set",
                   .arity = -4,
                   .flags = kAdmin | kLoading,
                   .handler = ConfigSet,
                   .summary = "Changes options, all of them or none.",
                   .args = kConfigSetArgs})),
    Row(ServerRow(
        {.name = "memory", .arity = -2, .flags = kContainer, .summary = "Commands about memory."})),
    Row(ServerRow({.name = "memory|stats",
                   .arity = 2,
                   .handler = MemoryStats,
                   .summary = "Tells where memory is, in bytes."})),
    Row(ServerRow({.name = "memory|purge",
                   .arity = 2,
                   .handler = MemoryPurge,
                   .complexity = "O(N) where N is the free memory",
                   .summary = "Gives free memory back to the system."})),
    Row(ServerRow({.name = "dbsize",
                   .arity = 1,
                   .flags = kReadOnly | kFast,
                   .handler = DbSize,
                   .summary = "Counts partitions and strings."})),
    Row(ServerRow({.name = "flushall",
                   .arity = -1,
                   .flags = kWrite,
                   .handler = FlushAll,
                   .complexity = "O(N) where N is the number of rows",
                   .summary = "Removes everything.",
                   .args = kFlushArgs})),
    Row(ServerRow({.name = "flushdb",
                   .arity = -1,
                   .flags = kWrite,
                   .handler = FlushAll,
                   .complexity = "O(N) where N is the number of rows",
                   .summary = "Removes everything, as FLUSHALL does.",
                   .args = kFlushArgs})),
    Row(ServerRow({.name = "shutdown",
                   .arity = -1,
                   .flags = kAdmin | kLoading,
                   .handler = Shutdown,
                   .summary = "Ends the server.",
                   .args = kShutdownArgs})),
};

}  // namespace

std::span<const Command> ServerCommands() {
  return kCommands;
}

}  // namespace sluice::server
