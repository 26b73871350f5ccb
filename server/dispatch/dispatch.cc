#include "server/dispatch/dispatch.h"

#include <new>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "base/ascii.h"
#include "server/arguments/arg_reader.h"
#include "server/dispatch/close_transaction.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/error_reply.h"
#include "server/dispatch/observe.h"
#include "server/dispatch/output_budget.h"

namespace sluice::server {
namespace {

// Redis's text, with the echoed input cut to about 128 bytes.
Status UnknownCommand(RequestView request) {
  std::string args;
  for (const RequestArg& arg : request.subspan(1)) {
    if (args.size() >= kEchoedBytesMax) {
      break;
    }
    args += fmt::format("'{}' ", Echo(arg.text, kEchoedBytesMax - args.size()));
  }
  return Status(Code::kError, fmt::format("unknown command '{}', with args beginning with: {}",
                                          Echo(request.front().text), args));
}

Status UnknownSubcommand(const Command& parent, RequestView request) {
  return Status(Code::kError, fmt::format("unknown subcommand '{}'. Try {} HELP.",
                                          Echo(request[1].text), UpperCased(parent.name)));
}

bool IsQueued(const Context& context, const Command& command) {
  return context.connection.transaction.active && !context.in_transaction &&
         (command.flags & kInMulti) == 0;
}

// The flags of what the command runs: for EXEC those of the queued commands.
std::uint32_t RunFlags(const Command& command, const Transaction& transaction) {
  return command.name == "exec" ? transaction.flags : command.flags;
}

// The gates: each returns why the request does not run, or ok.
Status KnownGate(const Command* command, RequestView request) {
  if (command != nullptr) {
    return {};
  }
  const Command* const parent = FindCommand(request.front().text);
  // "client|id" is a name of the table that a client may not send.
  return parent == nullptr || IsSubcommand(*parent) ? UnknownCommand(request)
                                                    : UnknownSubcommand(*parent, request);
}

Status ArityGate(const Command& command, std::size_t args) {
  if (ArityMatches(command, args)) {
    return {};
  }
  return Status(Code::kError,
                fmt::format("wrong number of arguments for '{}' command", command.name));
}

Status TransactionGate(const Command& command, const ConnectionInfo& connection) {
  const bool refused = connection.transaction.active && (command.flags & kNoMulti) != 0;
  return refused ? Status(Code::kError, "Command not allowed inside a transaction") : Status();
}

// Commands that may wait for memory check it themselves, except in MULTI, where nothing waits: see
// WriteRows() in commands/kv/kv_block.h. Every command needs memory to be queued; EXEC needs some
// if one of its commands does.
Status MemoryGate(const Command& command, const Context& context) {
  const Transaction& transaction = context.connection.transaction;
  const bool waits = (command.flags & kBlocking) != 0 && !transaction.active;
  const bool needs_memory =
      (RunFlags(command, transaction) & kDenyOom) != 0 || IsQueued(context, command);
  return needs_memory && !waits ? CheckMemory(context) : Status();
}

// Inside EXEC a reply cannot wait until output is sent, so a read-only command does not run if
// there is no space for its reply. A write does run, so that it is not skipped because of other
// replies: its reply fits into the space of Prepare(), or the command checks the space itself.
Status OutputGate(const Command& command, const Context& context) {
  const bool runs =
      !context.in_transaction || (command.flags & kWrite) != 0 || context.reply.HasSpace();
  return runs ? Status() : ReplyTooLong(context);
}

Status LoginGate(const Command* command, const ConnectionInfo& connection) {
  const bool allowed =
      connection.authenticated || (command != nullptr && (command->flags & kNoAuth) != 0);
  return allowed ? Status() : Status(Code::kNoAuth, "Authentication required.");
}

// In RESP2 a reply cannot be distinguished from a message. In EXEC it can: it is in the array.
Status SubscriberGate(const Command& command, const Context& context) {
  if (!context.connection.Subscribed() || context.in_transaction ||
      context.reply.GetVersion() == resp::Version::k3 || (command.flags & kSubscribed) != 0) {
    return {};
  }
  return Status(Code::kError,
                fmt::format("Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / "
                            "QUIT / RESET are allowed in this context",
                            command.name));
}

Status PassGates(const Context& context, const Command* command, RequestView request,
                 const Status& drained) {
  TRY(LoginGate(command, context.connection));
  TRY(KnownGate(command, request));
  TRY(CheckCommand(context, *command, request.size()));
  return drained;
}

void Queue(Context& context, const Command& command) {
  Transaction& transaction = context.connection.transaction;
  transaction.requests.emplace_back(context.request);
  transaction.bytes += transaction.requests.back().Bytes();
  transaction.flags |= command.flags;
  context.connection.queued = static_cast<std::int64_t>(transaction.requests.size());
  context.reply.Simple("QUEUED");
}

// A gate refused the command. Returns the error to reply: in MULTI the transaction will fail, and
// EXEC ends it. REQUIRES: !why.ok().
Status AbortTransaction(Context& context, const Command* command, Status why) {
  Transaction& transaction = context.connection.transaction;
  if (transaction.active && command != nullptr && command->name == "exec") {
    context.turn.Enter();
    CloseTransaction(context);
    // As in Redis, the code is named unless it is ERR.
    return Status(Code::kExecAbort,
                  fmt::format("Transaction discarded because of: {}",
                              why.GetCode() == Code::kError ? why.Message() : ErrorLine(why)));
  }
  transaction.failed = true;  // no effect outside MULTI
  return why;
}

void Refuse(Context& context, resp::Reply::Mark mark, const Status& status) {
  context.Forget();
  context.reply.Rewind(mark);
  ErrorReply(context.reply, status);
  context.stats.error_replies.Add(1);
  context.stats.errors[static_cast<std::size_t>(status.GetCode())].Add(1);
}

// Discards the partial reply of the command and replies with an error.
void NoSpace(Context& context, resp::Reply::Mark mark) {
  Refuse(context, mark, ReplyTooLong(context));
}

void NoMemory(Context& context, resp::Reply::Mark mark) {
  context.Forget();
  context.reply.Rewind(mark);
  context.reply.Error("OOM the machine has no memory left for this command");
  context.stats.error_replies.Add(1);
}

// Counts this hold for the blocked command, which is the connection's last command.
void NoteHold(Context& context) {
  const std::int64_t hold_us = context.turn.TakeLongestHold();
  const Command* const command = context.connection.last_command.load(std::memory_order_relaxed);
  if (command != nullptr) {
    context.stats.by_command[OrdinalOf(*command)].longest_hold_us.Add(hold_us);
  }
}

}  // namespace

Status ReplyTooLong(const Context& context) {
  if (context.reply.CapacityBytes() < OutputBudget::kBytesMax) {
    return store::OutOfMemory();
  }
  return Status(Code::kOom, fmt::format("the reply would need more than {} MB of output buffer: "
                                        "request less",
                                        OutputBudget::kBytesMax >> 20));
}

Status CheckMemory(const Context& context) {
  const store::Budget& budget = context.server.memory.GetBudget();
  return budget.Used() <= budget.Limit() ? Status() : store::OutOfMemory();
}

const Command* ResolveCommand(RequestView request) {
  const Command* const command = FindCommand(request.front().text);
  if (command == nullptr || IsSubcommand(*command)) {
    return nullptr;
  }
  if ((command->flags & kContainer) != 0 && request.size() > 1) {
    return FindSubcommand(*command, request[1].text);
  }
  return command;
}

BlockedCommand::Next ResumeCommand(Context& context, BlockedCommand& blocked, bool time_is_up) {
  const resp::Reply::Mark mark = context.reply.Prepare();
  auto next = BlockedCommand::Next::kAnswered;
  try {
    const Result<BlockedCommand::Next> resumed = blocked.Resume(context, time_is_up);
    if (resumed.ok()) {
      next = *resumed;
    } else {
      Refuse(context, mark, resumed.GetStatus());
    }
  } catch (const resp::NoSpace&) {
    NoSpace(context, mark);
  } catch (const std::bad_alloc&) {
    NoMemory(context, mark);
  }
  context.scratch.Reset();
  context.now_us = context.server.clock.NowUs();
  context.turn.EndCommand(context.now_us);
  NoteHold(context);
  return next;
}

bool Pausable(const Command& command, const ConnectionInfo& connection, bool writes_only) {
  if (command.name.starts_with("client")) {
    return false;  // CLIENT UNPAUSE
  }
  return !writes_only ||
         (RunFlags(command, connection.transaction) & (kWrite | kMayReplicate)) != 0;
}

Status CheckCommand(const Context& context, const Command& command, std::size_t args) {
  TRY(LoginGate(&command, context.connection));
  TRY(ArityGate(command, args));
  TRY(TransactionGate(command, context.connection));
  TRY(MemoryGate(command, context));
  TRY(OutputGate(command, context));
  return SubscriberGate(command, context);
}

void Dispatch(Context& context, const Status& drained) {
  const RequestView request = context.request;
  const std::int64_t started_us = context.now_us;
  const resp::Reply::Mark mark = context.reply.Prepare();
  const Command* command = nullptr;
  bool ran = false;
  Status status;
  try {
    command = ResolveCommand(request);
    status = PassGates(context, command, request, drained);
    if (status.ok() && IsQueued(context, *command)) {
      Queue(context, *command);
    } else if (status.ok()) {
      ran = true;
      context.connection.last_command.store(command, std::memory_order_relaxed);
      store::Budget::BeginAttempt();
      ArgReader args(request.subspan(IsSubcommand(*command) ? 2 : 1), IsOfRedis(*command));
      status = command->handler(context, args);
    } else {
      status = AbortTransaction(context, command, std::move(status));
    }
    if (!status.ok()) {
      Refuse(context, mark, status);
    }
  } catch (const resp::NoSpace&) {
    NoSpace(context, mark);
    ran = true;
    status = {};
  } catch (const std::bad_alloc&) {
    context.connection.transaction.failed = true;
    NoMemory(context, mark);
    ran = true;
    status = {};
  }
  context.scratch.Reset();
  context.now_us = context.server.clock.NowUs();
  context.turn.EndCommand(context.now_us);
  context.stats.commands.Add(1);
  if (command != nullptr) {
    CommandStats& stats = context.stats.by_command[OrdinalOf(*command)];
    stats.longest_hold_us.Add(context.turn.TakeLongestHold());
    stats.rejected.Add(ran || status.ok() ? 0 : 1);
    stats.failed.Add(ran && !status.ok() ? 1 : 0);
    if (ran) {
      const std::int64_t worked_us = context.now_us - started_us;
      stats.calls.Add(1);
      if (context.blocked == nullptr) {
        stats.AddTime(worked_us);
      } else {
        context.blocked->worked_us = worked_us;
      }
      Observe({.context = context,
               .command = *command,
               .request = request,
               .microseconds = context.now_us - started_us});
    }
  }
}

}  // namespace sluice::server
