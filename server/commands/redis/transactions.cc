// Transactions: MULTI, EXEC, DISCARD, WATCH, UNWATCH.
#include <algorithm>
#include <array>
#include <iterator>
#include <new>
#include <string_view>
#include <utility>
#include <vector>

#include "server/arguments/arg_reader.h"
#include "server/dispatch/close_transaction.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/dispatch.h"
#include "server/dispatch/error_reply.h"
#include "server/dispatch/output_budget.h"

namespace sluice::server {
namespace {

// MULTI
Status Multi(Context& context, ArgReader& /*args*/) {
  if (context.connection.transaction.active) {
    return Status(Code::kError, "MULTI calls can not be nested");
  }
  context.connection.transaction.active = true;
  context.connection.transaction.failed = false;
  context.connection.queued = 0;
  context.reply.Simple("OK");
  return {};
}

// Handles a reply that is too long. A write that was executed must not get an error: the connection
// is closed instead.
void AnswerTooLong(Context& context, resp::Reply::Mark mark) {
  const Command* const command = context.connection.last_command.load(std::memory_order_relaxed);
  context.rest = nullptr;
  if ((command->flags & kWrite) != 0) {
    throw resp::NoSpace();
  }
  const Status why = ReplyTooLong(context);
  context.reply.Rewind(mark);
  ErrorReply(context.reply, why);
}

// Runs one command of the transaction. Its reply is complete before the next command begins, so
// that the limit for output (OutputBudget) applies to all replies together.
// Errors: std::bad_alloc: not even the error reply could be written.
void RunQueued(Context& context, const KeptRequest& request) {
  const resp::Reply::Mark mark = context.reply.Prepare();
  context.request = request.Args();
  context.pushes = false;
  Dispatch(context, {});
  while (context.rest != nullptr) {
    const std::size_t before = context.reply.PendingBytes();
    if (!context.rest->Write(context.reply)) {
      context.rest = nullptr;
    } else if (context.reply.PendingBytes() == before && context.reply.Refused()) {
      AnswerTooLong(context, mark);
    }
  }
  if (Discards(context.connection.reply_mode) && !context.pushes) {
    context.reply.Rewind(mark);
  }
}

// Keeps the deliveries of the commands so far: a later command that fails must not give them back.
class Handed {
 public:
  explicit Handed(Context& context) : context_(context) {}
  Handed(const Handed&) = delete;
  Handed& operator=(const Handed&) = delete;
  ~Handed() { context_.deliveries.swap(deliveries_); }

  // Errors: std::bad_alloc.
  void TakeFromContext() {
    deliveries_.reserve(deliveries_.size() + context_.deliveries.size());
    std::move(context_.deliveries.begin(), context_.deliveries.end(),
              std::back_inserter(deliveries_));
    context_.deliveries.clear();
  }

 private:
  Context& context_;
  std::vector<std::unique_ptr<Delivery>> deliveries_;
};

// EXEC
Status Exec(Context& context, ArgReader& /*args*/) {
  Transaction& transaction = context.connection.transaction;
  if (!transaction.active) {
    return Status(Code::kError, "EXEC without MULTI");
  }
  const std::vector<KeptRequest> requests = std::move(transaction.requests);
  const bool failed = transaction.failed;
  const auto request = context.request;
  engine::EngineLock& lock = context.turn.Pin();
  for (const std::string& name : transaction.watched) {
    static_cast<void>(context.server.store(lock).KindOf(name));  // removes an expired name now
  }
  const bool dirty = transaction.dirty;
  CloseTransaction(context);
  if (failed || dirty) {
    context.turn.Unpin();
  }
  if (failed) {
    return Status(Code::kExecAbort, "Transaction discarded because of previous errors.");
  }
  if (dirty) {
    context.reply.NullArray();
    return {};
  }
  context.in_transaction = true;
  context.may_block = false;
  Handed handed(context);
  try {
    if (!Discards(context.connection.reply_mode)) {
      context.reply.Array(requests.size());
    }
    for (const KeptRequest& queued : requests) {
      const resp::Reply::Mark mark = context.reply.Prepare();
      RunQueued(context, queued);
      handed.TakeFromContext();
      if (context.connection.close_now) {  // the remaining commands still run
        context.reply.Rewind(mark);
      }
    }
  } catch (const std::bad_alloc&) {  // commands were executed: an error reply would be wrong
    context.rest = nullptr;
    context.connection.close_now = true;
  }
  context.pushes = true;  // CLIENT REPLY was applied to each reply
  context.in_transaction = false;
  context.may_block = true;
  context.request = request;
  context.turn.Unpin();
  return {};
}

// DISCARD
Status Discard(Context& context, ArgReader& /*args*/) {
  if (!context.connection.transaction.active) {
    return Status(Code::kError, "DISCARD without MULTI");
  }
  context.turn.Enter();
  CloseTransaction(context);
  context.reply.Simple("OK");
  return {};
}

// Stops watching the names that were not watched before on destruction, unless Keep() is called.
class NewWatches {
 public:
  // REQUIRES: at most `count` names are added. Errors: std::bad_alloc.
  NewWatches(Context& context, std::size_t count) : context_(context) { names_.reserve(count); }
  NewWatches(const NewWatches&) = delete;
  NewWatches& operator=(const NewWatches&) = delete;
  ~NewWatches() {
    for (const std::string_view name : names_) {
      context_.server.key_watchers.Forget(context_.turn.Enter(), name, context_.connection);
    }
  }

  // Errors: std::bad_alloc.
  void Add(std::string_view name) {
    if (context_.server.key_watchers.Watch(context_.turn.Enter(), name, context_.connection)) {
      names_.push_back(name);
    }
  }
  void Keep() { names_.clear(); }

 private:
  Context& context_;
  std::vector<std::string_view> names_;
};

// WATCH key ...
Status Watch(Context& context, ArgReader& args) {
  if (context.connection.transaction.active) {
    return Status(Code::kError, "WATCH inside MULTI is not allowed");
  }
  const auto keys = args.Remaining();
  engine::EngineLock& lock = context.turn.Enter();
  NewWatches watches(context, keys.size());
  for (const RequestArg& key : keys) {
    static_cast<void>(
        context.server.store(lock).KindOf(key.text));  // removes an expired name before
    watches.Add(key.text);
  }
  watches.Keep();
  context.reply.Simple("OK");
  return {};
}

// UNWATCH
Status Unwatch(Context& context, ArgReader& /*args*/) {
  ForgetWatched(context);
  context.reply.Simple("OK");
  return {};
}

constexpr Arg kWatchArgs[] = {{.name = "key", .type = "key", .multiple = true}};

constexpr Command TransactionRow(Command row) {
  row.group = "transactions";
  row.categories = kAclTransaction;
  row.since = "0.1.0";
  row.flags |= kLoading | (row.name == "exec" ? 0U : kFast);
  if (row.complexity.empty()) {
    row.complexity = "O(1)";
  }
  return row;
}

constexpr std::array kCommands = {
    Row(TransactionRow({.name = "multi",
                        .arity = 1,
                        .flags = kInMulti,
                        .handler = Multi,
                        .summary = "Starts a transaction: commands are queued until EXEC."})),
    Row(TransactionRow({.name = "exec",
                        .arity = 1,
                        .flags = kInMulti,
                        .handler = Exec,
                        .complexity = "that of the queued commands",
                        .summary = "Runs the queued commands atomically."})),
    Row(TransactionRow({.name = "discard",
                        .arity = 1,
                        .flags = kInMulti,
                        .handler = Discard,
                        .complexity = "O(N) where N is the number of queued commands",
                        .summary = "Discards the queued commands."})),
    Row(TransactionRow(
        {.name = "watch",
         .arity = -2,
         .flags = kInMulti,
         .keys = {.first = 1, .last = -1, .step = 1},
         .key_flags = "RO",
         .handler = Watch,
         .complexity = "O(1) for each key",
         .summary = "Watches names: the next EXEC does nothing if one of them changes.",
         .args = kWatchArgs})),
    Row(TransactionRow({.name = "unwatch",
                        .arity = 1,
                        .handler = Unwatch,
                        .complexity = "O(1) for each key",
                        .summary = "Stops watching all names."})),
};

}  // namespace

std::span<const Command> TransactionCommands() {
  return kCommands;
}

}  // namespace sluice::server
