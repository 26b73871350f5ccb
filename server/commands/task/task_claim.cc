// TASK.READY lists the rows that a task can take now; TASK.CLAIM takes rows that the client names.
#include <array>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "server/commands/kv/row_steps.h"
#include "server/commands/task/task_args.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/piecewise.h"
#include "store/tensor/shape.h"

namespace sluice::server {
namespace {

using controller::Fetched;
using controller::Task;
using RowsBulk = BulkReply<std::vector<RowIndex>>;

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
    args.Fail(Status(Code::kError, "syntax error: expected FIELDS"));
  }
  TRY(args.Finish());
  TRY_ASSIGN(const StreamAndTask at,
             EnterTask(context, partition, {.task = name, .selection = &selection}));
  NewTask made(context, *at.stream, name, at.is_new);
  controller::RowBits ready;
  ready.CopyFrom(at.stream->Tasks().Ready(*at.task, selection));
  std::vector<RowIndex>& rows = context.scratch.indexes;
  LeaveFor(context, *at.stream);
  ready.ForEach([&rows](RowIndex row) { rows.push_back(row); });
  Begin(std::make_unique<RowsBulk>(std::move(rows)), context.reply, context.rest);
  made.Keep();
  return {};
}

struct ClaimRequest {
  std::string_view partition;
  std::string_view task;
  RowChoice choice;
  controller::Selection selection;
  std::optional<controller::LeaseTerms> lease;
  bool all = false;
};

ClaimRequest ReadClaim(Context& context, ArgReader& args) {
  ClaimRequest claim;
  claim.partition = args.Name("partition");
  claim.task = args.Name("task");
  claim.choice = ReadRowChoice(context, args);
  bool fields = false;
  bool lease = false;
  while (args.HasMore()) {
    if (args.Option("FIELDS")) {
      ReadOnce(args, fields, "FIELDS");
      ReadSelectedFields(context, args, claim.selection);
    } else if (args.Option("LEASE")) {
      ReadOnce(args, lease, "LEASE");
      claim.lease = ReadLease(context, args);
    } else if (args.Option("ALL")) {
      ReadOnce(args, claim.all, "ALL");
    } else {
      args.Unexpected();
    }
  }
  if (!fields) {
    args.Fail(Status(Code::kError, "syntax error: expected FIELDS"));
  }
  return claim;
}

// Claims the rows of this step. Errors: as EnterTask(); kOom; nothing is changed then.
Status ClaimStep(Context& context, const ClaimRequest& claim, RowSteps& steps, Fetched& claimed) {
  TRY_ASSIGN(
      const StreamAndTask at,
      EnterTask(context, claim.partition, {.task = claim.task, .selection = &claim.selection}));
  NewTask made(context, *at.stream, claim.task, at.is_new);
  steps.Recheck();  // EnterTask() may have released the engine lock
  const store::RowSet& chosen = steps.Rows();
  TRY(IndexesOf(context, *at.stream, chosen));
  const std::vector<RowIndex>& rows = context.scratch.indexes;
  const std::size_t before = claimed.rows.size();
  if (!claim.all || rows.size() == chosen.size()) {  // otherwise a key has no row
    at.stream->Tasks().ClaimRows(*at.task,
                                 {.selection = claim.selection,
                                  .rows = rows,
                                  .lease = claim.lease,
                                  .all = claim.all,
                                  .now_us = context.server.clock.NowUs()},
                                 claimed);
  }
  made.Keep();
  engine::EngineLock& lock = context.turn.Enter();
  context.server.streams.MarkChanged(lock, *at.stream);
  if (!claim.lease) {
    context.server.streams.Evict(lock, *at.stream, std::span(claimed.rows).subspan(before));
  }
  return {};
}

// The reply includes the rows that a step has taken, even if a later step fails.
Status ClaimInSteps(Context& context, ClaimRequest& claim, RowSteps& steps, Fetched& claimed) {
  try {
    Status status;
    do {
      status = ClaimStep(context, claim, steps, claimed);
    } while (status.ok() && steps.Next());
    return claimed.rows.empty() ? std::move(status) : Status();
  } catch (const std::bad_alloc&) {
    if (claimed.rows.empty()) {
      throw;
    }
    return {};
  }
}

// TASK.CLAIM partition task KEYS list | ROWS blob | WHERE ... FIELDS list [LEASE ms [BOUND]] [ALL]
Status TaskClaim(Context& context, ArgReader& args) {
  ClaimRequest claim = ReadClaim(context, args);
  TRY(args.Finish());
  TRY_ASSIGN(
      const StreamAndTask at,
      EnterTask(context, claim.partition, {.task = claim.task, .selection = &claim.selection}));
  NewTask made(context, *at.stream, claim.task, at.is_new);
  const std::int64_t incarnation = at.stream->GetPartition().Incarnation();
  RowSteps steps(context, claim.partition);
  TRY(steps.Begin(claim.choice, claim.all));
  Fetched claimed;
  claimed.rows.reserve(steps.RowsMax());  // nothing may fail after a step has taken rows
  context.reply.Reserve(steps.RowsMax() * sizeof(RowIndex) + 128);
  TRY(ClaimInSteps(context, claim, steps, claimed));
  made.Keep();
  context.reply.Map(claim.lease ? 3 : 2);
  context.reply.Bulk("rows");
  context.reply.Bulk(store::AsBytes(claimed.rows));
  context.reply.Bulk("incarnation");
  context.reply.Integer(incarnation);
  if (claim.lease) {
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
                 .flags = kWrite,  // may create the task
                 .handler = TaskReady,
                 .complexity = "O(N) where N is the number of rows returned",
                 .summary = "Returns the rows that TASK.FETCH could take now.",
                 .args = kReadyArgs})),
    Row(TaskRow({.name = "task.claim",
                 .arity = -8,
                 .flags = kWrite,
                 .handler = TaskClaim,
                 .summary = "Takes those of the named rows that are ready for a task.",
                 .args = kClaimArgs})),
};

}  // namespace

std::span<const Command> TaskClaimCommands() {
  return kCommands;
}

}  // namespace sluice::server
