// CLIENT, except CLIENT LIST, INFO and KILL, which access other connections (client_list.cc).
#include "server/commands/admin/client.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "base/ascii.h"
#include "base/ids.h"
#include "server/arguments/arg_reader.h"
#include "server/commands/kv/kv_block.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/context.h"
#include "server/dispatch/help.h"

namespace sluice::server {
namespace {

// CLIENT ID
Status ClientId(Context& context, ArgReader& /*args*/) {
  context.reply.Integer(context.connection.id);
  return {};
}

// CLIENT GETNAME
Status ClientGetName(Context& context, ArgReader& /*args*/) {
  if (context.connection.name.empty()) {
    context.reply.Null();
  } else {
    context.reply.Bulk(context.connection.name);
  }
  return {};
}

// CLIENT SETNAME connection-name
Status ClientSetName(Context& context, ArgReader& args) {
  const std::string_view name = args.Word("name");
  TRY(args.Finish());
  TRY(CheckClientName(name));
  context.server.connections.Set(context.connection.name, std::string(name));
  context.reply.Simple("OK");
  return {};
}

// CLIENT SETINFO LIB-NAME|LIB-VER value
Status ClientSetInfo(Context& context, ArgReader& args) {
  const std::string_view attribute = args.Word("attribute");
  const std::string_view value = args.Word("value");
  TRY(args.Finish());
  const bool is_name = EqualsIgnoreCase(attribute, "LIB-NAME");
  if (!is_name && !EqualsIgnoreCase(attribute, "LIB-VER")) {
    return Status(Code::kError, fmt::format("Unrecognized option '{}'", Printable(attribute)));
  }
  if (!IsPlainWord(value)) {
    return Status(Code::kError,
                  fmt::format("{} cannot contain spaces, newlines or special characters.",
                              is_name ? "lib-name" : "lib-ver"));
  }
  ConnectionInfo& connection = context.connection;
  context.server.connections.Set(is_name ? connection.lib_name : connection.lib_version,
                                 std::string(value));
  context.reply.Simple("OK");
  return {};
}

Status SetSwitch(Context& context, ArgReader& args, std::atomic<bool>& value) {
  const bool on = args.Option("ON");
  if (!on && !args.Option("OFF")) {
    return SyntaxError();
  }
  TRY(args.Finish());
  value = on;
  context.reply.Simple("OK");
  return {};
}

// CLIENT NO-EVICT ON|OFF
Status ClientNoEvict(Context& context, ArgReader& args) {
  return SetSwitch(context, args, context.connection.no_evict);
}

// CLIENT NO-TOUCH ON|OFF
Status ClientNoTouch(Context& context, ArgReader& args) {
  return SetSwitch(context, args, context.connection.no_touch);
}

// CLIENT REPLY ON|OFF|SKIP
Status ClientReply(Context& context, ArgReader& args) {
  ReplyMode& mode = context.connection.reply_mode;
  if (args.Option("ON")) {
    mode = ReplyMode::kOn;
    context.reply.Simple("OK");  // the others send nothing
  } else if (args.Option("OFF")) {
    mode = ReplyMode::kOff;
  } else if (args.Option("SKIP")) {
    mode = mode == ReplyMode::kOff ? ReplyMode::kOff : ReplyMode::kSkipNext;
  } else {
    return SyntaxError();
  }
  return {};
}

// CLIENT UNBLOCK client-id [TIMEOUT | ERROR]
Status ClientUnblock(Context& context, ArgReader& args) {
  const std::int64_t id = args.Integer();
  Unblock how = Unblock::kTimeOut;
  if (args.HasMore() && !args.Option("TIMEOUT")) {
    if (!args.Option("ERROR")) {
      return Status(Code::kError, "CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
    }
    how = Unblock::kError;
  }
  TRY(args.Finish());
  bool unblocked = false;
  context.server.connections.With(id, [how, &unblocked](ConnectionInfo& connection) {
    unblocked = connection.blocked && !connection.paused;
    if (unblocked) {
      connection.unblock = how;
      connection.notifier->Notify();
    }
  });
  context.reply.Integer(unblocked ? 1 : 0);
  return {};
}

// Waits until every command that other threads were running at the time of the call has ended, so
// that no write that began before a pause commits after the pause's OK.
void WaitForCommands(Context& context) {
  constexpr std::chrono::microseconds kLook{20};
  context.turn.Leave();             // those commands may be waiting for the engine lock
  context.stats.runs.fetch_add(1);  // two threads in this function do not wait for each other
  for (const auto& thread : context.server.stats.threads) {
    const std::uint64_t run = thread->runs;
    while (run % 2 != 0 && thread->runs == run) {
      std::this_thread::sleep_for(kLook);
    }
  }
  context.stats.runs.fetch_add(1);
}

// As in Redis, an expired name is removed only once the pause has ended.
void KeepExpired(Context& context) {
  store::Store& store = context.server.store(context.turn.Enter());
  const std::int64_t left_us = context.server.pause.until_us - context.server.clock.NowUs();
  store.KeepExpiredUntil(left_us <= 0 ? 0 : store.NowMs() + left_us / 1000 + 1);
}

// CLIENT PAUSE timeout [WRITE | ALL]
Status ClientPause(Context& context, ArgReader& args) {
  const std::int64_t ms = ReadMilliseconds(args);
  const bool writes_only = args.Option("WRITE");
  if (args.HasMore() && !args.Option("ALL")) {
    return Status(Code::kError, "CLIENT PAUSE mode must be WRITE or ALL");
  }
  TRY(args.Finish());
  engine::EngineLock& lock = context.turn.Enter();  // see Connection::WaitsForUnpause()
  engine::Pause& pause = context.server.pause;
  const std::int64_t until_us = ms == 0 ? context.now_us : DeadlineAfter(context.now_us, ms);
  pause.Add(context.now_us, {.until_us = until_us, .writes_only = writes_only});
  KeepExpired(context);
  context.server.wait_queues.Notify(lock, {.kind = engine::WaitKey::Kind::kUnpause});
  if (ms != 0 && !context.in_transaction) {  // EXEC holds the lock that the others may wait for
    WaitForCommands(context);
    context.turn.Enter();
    if (pause.until_us == until_us) {  // the time of the pause begins with the reply
      pause.until_us = DeadlineAfter(context.server.clock.NowUs(), ms);
      KeepExpired(context);
    }
  }
  context.reply.Simple("OK");
  return {};
}

// CLIENT UNPAUSE
Status ClientUnpause(Context& context, ArgReader& /*args*/) {
  engine::EngineLock& lock = context.turn.Enter();  // see Connection::WaitsForUnpause()
  context.server.pause.until_us = 0;
  KeepExpired(context);
  context.server.engine.HasWork(lock);  // waiters that were not served during the pause
  context.server.wait_queues.Notify(lock, {.kind = engine::WaitKey::Kind::kUnpause});
  context.reply.Simple("OK");
  return {};
}

// CLIENT GETREDIR
Status ClientGetRedir(Context& context, ArgReader& /*args*/) {
  context.reply.Integer(-1);
  return {};
}

// CLIENT TRACKING ON|OFF ...
Status ClientTracking(Context& context, ArgReader& args) {
  // Replying OK without tracking would let clients serve stale data from their caches.
  if (!args.Option("OFF")) {
    return Status(Code::kError,
                  "client-side caching is not supported: KV.CHANGES returns the rows that "
                  "changed since a revision");
  }
  TRY(args.Finish());
  context.reply.Simple("OK");
  return {};
}

// CLIENT TRACKINGINFO
Status ClientTrackingInfo(Context& context, ArgReader& /*args*/) {
  context.reply.Map(3);
  context.reply.Bulk("flags");
  context.reply.Set(1);
  context.reply.Bulk("off");
  context.reply.Bulk("redirect");
  context.reply.Integer(-1);
  context.reply.Bulk("prefixes");
  context.reply.Array(0);
  return {};
}

constexpr Arg kSetNameArgs[] = {{.name = "connection-name", .type = "string"}};
constexpr Arg kSetInfoArgs[] = {
    {.name = "libname", .type = "string", .token = "LIB-NAME", .optional = true},
    {.name = "libver", .type = "string", .token = "LIB-VER", .optional = true}};
constexpr Arg kSwitchArgs[] = {{.name = "on|off", .type = "string"}};
constexpr Arg kReplyArgs[] = {{.name = "on|off|skip", .type = "string"}};
constexpr Arg kUnblockArgs[] = {{.name = "client-id", .type = "integer"},
                                {.name = "timeout|error", .type = "string", .optional = true}};
constexpr Arg kPauseArgs[] = {{.name = "timeout", .type = "integer"},
                              {.name = "write|all", .type = "string", .optional = true}};

constexpr Command ClientRow(Command row) {
  row.group = "connection";
  row.since = "0.1.0";
  if (row.complexity.empty()) {
    row.complexity = "O(1)";
  }
  row.flags |= kLoading;
  row.categories = kAclConnection;
  return row;
}

constexpr std::array kCommands = {
    Row(ClientRow({.name = "client",
                   .arity = -2,
                   .flags = kContainer,
                   .summary = "Commands about connections."})),
    HelpRow("client|help", "connection", kAclConnection),
    Row(ClientRow({.name = "client|id",
                   .arity = 2,
                   .handler = ClientId,
                   .summary = "Returns the ID of the connection."})),
    Row(ClientRow({.name = "client|getname",
                   .arity = 2,
                   .handler = ClientGetName,
                   .summary = "Returns the name of the connection."})),
    Row(ClientRow({.name = "client|setname",
                   .arity = 3,
                   .handler = ClientSetName,
                   .summary = "Sets the name of the connection.",
                   .args = kSetNameArgs})),
    Row(ClientRow({.name = "client|setinfo",
                   .arity = 4,
                   .handler = ClientSetInfo,
                   .summary = "Sets the name or version of the client library.",
                   .args = kSetInfoArgs})),
    Row(ClientRow(
        {.name = "client|no-evict",
         .arity = 3,
         .flags = kAdmin,
         .handler = ClientNoEvict,
         .summary = "Sets a flag without effect: connections are never evicted to free memory.",
         .args = kSwitchArgs})),
    Row(ClientRow({.name = "client|no-touch",
                   .arity = 3,
                   .handler = ClientNoTouch,
                   .summary = "Sets a flag without effect: the time of last use is not tracked.",
                   .args = kSwitchArgs})),
    Row(ClientRow({.name = "client|reply",
                   .arity = 3,
                   .handler = ClientReply,
                   .summary = "Turns replies off, on, or off for one command.",
                   .args = kReplyArgs})),
    Row(ClientRow({.name = "client|unblock",
                   .arity = -3,
                   .flags = kAdmin,
                   .handler = ClientUnblock,
                   .summary = "Unblocks the blocked command of another connection.",
                   .args = kUnblockArgs})),
    Row(ClientRow({.name = "client|pause",
                   .arity = -3,
                   .flags = kAdmin,
                   .handler = ClientPause,
                   .summary = "Suspends the commands of all clients.",
                   .args = kPauseArgs})),
    Row(ClientRow({.name = "client|unpause",
                   .arity = 2,
                   .flags = kAdmin,
                   .handler = ClientUnpause,
                   .complexity = "O(N) where N is the number of connections",
                   .summary = "Resumes the commands that CLIENT PAUSE suspended."})),
    Row(ClientRow({.name = "client|getredir",
                   .arity = 2,
                   .handler = ClientGetRedir,
                   .summary = "Returns -1: client-side caching is not supported."})),
    Row(ClientRow({.name = "client|tracking",
                   .arity = -3,
                   .handler = ClientTracking,
                   .summary = "Accepts only OFF: client-side caching is not supported."})),
    Row(ClientRow(
        {.name = "client|trackinginfo",
         .arity = 2,
         .handler = ClientTrackingInfo,
         .summary = "Returns that tracking is off: client-side caching is not supported."})),
};

}  // namespace

bool IsPlainWord(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= '!' && c <= '~'; });
}

Status CheckClientName(std::string_view name) {
  return IsPlainWord(name)
             ? Status()
             : Status(Code::kError,
                      "Client names cannot contain spaces, newlines or special characters.");
}

std::span<const Command> ClientCommands() {
  return kCommands;
}

}  // namespace sluice::server
