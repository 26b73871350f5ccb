// TASK.READY, CLAIM: the rows that a task can take now, and the taking of rows by their names.
#include <array>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "server/command_table.h"
#include "server/commands/task_args.h"
#include "server/piecewise.h"
#include "store/shape.h"

namespace sluice::server {
namespace {

using controller::Fetched;
using controller::Task;
using store::Status;
using RowsBulk = BulkReply<std::vector<store::RowIndex>>;

// TASK.READY partition task FIELDS list [WHERE ...]
Status TaskReady(Context& context, ArgReader& args) {
  const std::string_view partition = args.Name("partition");
  const std::string_view name = args.Name("task");
  controller::Selection selection;
  bool fields = false;
  bool where = false;
  while (args.HasMore()) {
    if (args.Option("FIELDS")) {
      ReadOnce(args, fields, "FIELDS");
      ReadSelectedFields(context, args, selection);
    } else if (args.Option("WHERE")) {
      ReadOnce(args, where, "WHERE");
      ReadSelectedWhere(args, selection);
    } else {
      args.Unexpected();
    }
  }
  if (!fields) {
    args.Fail(Status(store::Code::kError, "syntax error: FIELDS is expected"));
  }
  TRY(args.Finish());
  TRY_ASSIGN(const StreamAndTask at,
             EnterTask(context, partition, {.task = name, .selection = &selection}));
  NewTask made(context, *at.stream, name, at.is_new);
  controller::RowBits ready;
  ready.CopyFrom(at.stream->Tasks().Ready(*at.task, selection));
  std::vector<store::RowIndex>& rows = context.scratch.indexes;
  LeaveFor(context, *at.stream);
  ready.ForEach([&rows](store::RowIndex row) { rows.push_back(row); });
  Begin(std::make_unique<RowsBulk>(std::move(rows)), context.reply, context.rest);
  made.Keep();
  return {};
}

// TASK.CLAIM partition task KEYS list | ROWS blob | WHERE ... FIELDS list [LEASE ms [BOUND]] [ALL]
Status TaskClaim(Context& context, ArgReader& args) {
  const std::string_view partition = args.Name("partition");
  const std::string_view name = args.Name("task");
  RowChoice choice = ReadRowChoice(context, args);
  controller::Selection selection;
  std::optional<controller::LeaseTerms> lease;
  bool fields = false;
  bool some_lease = false;
  bool all = false;
  while (args.HasMore()) {
    if (args.Option("FIELDS")) {
      ReadOnce(args, fields, "FIELDS");
      ReadSelectedFields(context, args, selection);
    } else if (args.Option("LEASE")) {
      ReadOnce(args, some_lease, "LEASE");
      lease = ReadLease(context, args);
    } else if (args.Option("ALL")) {
      ReadOnce(args, all, "ALL");
    } else {
      args.Unexpected();
    }
  }
  if (!fields) {
    args.Fail(Status(store::Code::kError, "syntax error: FIELDS is expected"));
  }
  TRY(args.Finish());
  const StepWanted wanted = {.task = name, .selection = &selection};
  TRY_ASSIGN(const StreamAndTask before, EnterTask(context, partition, wanted));
  NewTask made(context, *before.stream, name, before.is_new);
  TRY(ChooseRows(context, partition, choice));  // may release the engine lock for a while
  TRY_ASSIGN(const StreamAndTask at, EnterTask(context, partition, wanted));
  NewTask made_again(context, *at.stream, name, at.is_new);
  Stream* const stream = at.stream;
  Task* const task = at.task;
  const bool by_key = choice.rows.kind == store::RowSet::Kind::kKeys;
  const std::size_t named = by_key ? choice.rows.keys.size() : choice.rows.indexes.size();
  IndexesOf(context, *stream, choice.rows);
  const std::vector<store::RowIndex>& rows = context.scratch.indexes;
  context.reply.Reserve(rows.size() * sizeof(store::RowIndex) + 128);  // once it has acted
  Fetched claimed;
  if (!all || rows.size() == named) {  // else a key has no row
    stream->Tasks().ClaimRows(*task,
                              {.selection = selection,
                               .rows = rows,
                               .lease = lease,
                               .all = all,
                               .now_us = context.server.clock.NowUs()},
                              claimed);
  }
  made.Keep();
  made_again.Keep();
  context.server.streams.MarkChanged(context.turn.Enter(), *stream);
  if (!lease) {
    context.server.streams.Evict(context.turn.Enter(), *stream, claimed.rows);
  }
  context.reply.Map(lease ? 2 : 1);
  context.reply.Bulk("rows");
  context.reply.Bulk(store::AsBytes(claimed.rows));
  if (lease) {
    context.reply.Bulk("lease");
    if (claimed.lease != 0) {
      context.reply.Integer(claimed.lease);
    } else {
      context.reply.Null();
    }
  }
  return {};
}

constexpr Arg kReadyArgs[] = {
    kTaskArgs[0],
    kTaskArgs[1],
    {.name = "fields", .type = "block", .token = "FIELDS", .args = kListArgs},
    {.name = "where", .type = "block", .token = "WHERE", .optional = true, .args = kWhereArgs}};
constexpr Arg kClaimArgs[] = {
    kTaskArgs[0],
    kTaskArgs[1],
    {.name = "rows", .type = "oneof", .args = kRowChoiceArgs},
    {.name = "fields", .type = "block", .token = "FIELDS", .args = kListArgs},
    {.name = "lease", .type = "block", .token = "LEASE", .optional = true, .args = kLeaseArgs},
    {.name = "all", .type = "pure-token", .token = "ALL", .optional = true}};
constexpr std::array kCommands = {
    Row(TaskRow({.name = "task.ready",
                 .arity = -6,
                 .flags = kWrite,  // it makes the task
                 .handler = TaskReady,
                 .complexity = "O(N) where N is the number of rows returned",
                 .summary = "Returns the rows that TASK.FETCH could take now.",
                 .args = kReadyArgs})),
    Row(TaskRow({.name = "task.claim",
                 .arity = -8,
                 .flags = kWrite,
                 .handler = TaskClaim,
                 .summary = "Takes those of the named rows that can still be had.",
                 .args = kClaimArgs})),
};

}  // namespace

std::span<const Command> TaskClaimCommands() {
  return kCommands;
}

}  // namespace sluice::server
