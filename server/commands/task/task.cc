// TASK.ACK, RENEW, RELEASE, STATUS, RESET, LIST.
#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "server/commands/kv/row_steps.h"
#include "server/commands/task/task_args.h"
#include "server/commands/task/task_reply.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/piecewise.h"
#include "store/tensor/shape.h"

namespace sluice::server {
namespace {

using controller::LeaseId;
using controller::Task;
using RowsBulk = BulkReply<std::vector<RowIndex>>;

// The arguments of TASK.ACK and TASK.RELEASE: `partition task rows [LEASE id]`.
struct RowsOfTask {
  std::string_view partition;
  std::string_view task;
  RowChoice rows;
  LeaseId lease = 0;
};

RowsOfTask ReadRowsOfTask(Context& context, ArgReader& args) {
  RowsOfTask read;
  read.partition = args.Name("partition");
  read.task = args.Name("task");
  read.rows = ReadRowChoice(context, args);
  read.lease = ReadLeaseId(args);
  return read;
}

// Calls act(stream, task) with the indexes of the rows in context.scratch.indexes, and returns the
// sum of the results. Runs in steps if WHERE selected many rows. Errors: kWrongType, kNoPartition,
// kNoTask.
template <typename Act>
Result<std::int64_t> WithRows(Context& context, RowsOfTask& read, const Act& act) {
  RowSteps steps(context, read.partition);
  TRY(steps.Begin(read.rows));
  std::int64_t sum = 0;
  do {
    TRY_ASSIGN(controller::Stream* const stream, EnterStream(context, read.partition));
    TRY_ASSIGN(Task* const task, FindTask(*stream, read.task));
    TRY(IndexesOf(context, *stream, steps.Rows()));
    sum += act(*stream, *task);
    context.server.streams.MarkChanged(context.turn.Enter(), *stream);
  } while (steps.Next());
  return sum;
}

// TASK.ACK partition task KEYS list | ROWS blob | WHERE ... [LEASE id]
Status TaskAck(Context& context, ArgReader& args) {
  RowsOfTask read = ReadRowsOfTask(context, args);
  TRY(args.Finish());
  const auto acknowledge = [&](controller::Stream& stream, Task& task) {
    engine::EngineLock& lock = context.turn.Enter();
    const std::vector<RowIndex>& rows = context.scratch.indexes;
    const std::int64_t consumed = stream.Tasks().Acknowledge(task, rows, read.lease);
    context.server.streams.Evict(lock, stream, rows);
    return consumed;
  };
  TRY_ASSIGN(const std::int64_t consumed, WithRows(context, read, acknowledge));
  context.reply.Integer(consumed);
  return {};
}

// TASK.RELEASE partition task KEYS list | ROWS blob | WHERE ... [LEASE id]
Status TaskRelease(Context& context, ArgReader& args) {
  RowsOfTask read = ReadRowsOfTask(context, args);
  TRY(args.Finish());
  const auto release = [&](controller::Stream& stream, Task& task) {
    const std::int64_t released = stream.Tasks().Release(task, context.scratch.indexes, read.lease);
    context.server.streams.EvictLetGo(context.turn.Enter(), stream);
    return released;
  };
  TRY_ASSIGN(const std::int64_t released, WithRows(context, read, release));
  context.reply.Integer(released);
  return {};
}

// TASK.RENEW partition task LEASE id ms
Status TaskRenew(Context& context, ArgReader& args) {
  const std::string_view partition = args.Name("partition");
  const std::string_view name = args.Name("task");
  const LeaseId lease = ReadLeaseId(args);
  if (lease == 0) {
    args.Fail(Status(Code::kError, "syntax error: expected LEASE"));
  }
  const controller::LeaseTerms terms = {.ms = args.Number("LEASE", {.min = 1})};
  TRY(args.Finish());
  TRY_ASSIGN(controller::Stream* const stream, EnterStream(context, partition));
  TRY_ASSIGN(Task* const task, FindTask(*stream, name));
  context.reply.Integer(task->Renew(lease, terms, context.server.clock.NowUs()));
  return {};
}

// TASK.STATUS partition task [FIELDS list] [BITMAP]
Status TaskStatus(Context& context, ArgReader& args) {
  const std::string_view partition = args.Name("partition");
  const std::string_view name = args.Name("task");
  controller::Selection selection;
  bool has_fields = false;
  bool bitmap = false;
  while (args.HasMore()) {
    if (args.Option("FIELDS")) {
      ReadOnce(args, has_fields, "FIELDS");
      ReadSelectedFields(context, args, selection);
    } else if (args.Option("BITMAP")) {
      ReadOnce(args, bitmap, "BITMAP");
    } else {
      args.Unexpected();
    }
  }
  TRY(args.Finish());
  TRY_ASSIGN(controller::Stream * stream, EnterStream(context, partition));
  TRY_ASSIGN(Task * task, FindTask(*stream, name));
  if (!has_fields) {
    selection.fields = task->last_fields;
  }
  while (stream->Tasks().Prepare(*task, selection, nullptr)) {
    LeaveFor(context, *stream);
    TRY_ASSIGN(stream, EnterStream(context, partition));
    TRY_ASSIGN(task, FindTask(*stream, name));
  }
  const controller::TaskReport report = stream->Report(*task, selection);
  controller::RowBits existing;
  controller::RowBits consumed;
  if (bitmap) {
    existing.CopyFrom(stream->Tasks().Rows());
    consumed.CopyFrom(task->Consumed());
  }
  LeaveFor(context, *stream);
  context.reply.Map(kTaskReportPairs + (bitmap ? 2 : 0));
  ReplyTaskReport(report, context.reply);
  if (bitmap) {
    std::vector<RowIndex>& rows = context.scratch.indexes;
    std::string bits;
    existing.ForEach([&](RowIndex row) {
      rows.push_back(row);
      bits.push_back(consumed.Contains(row) ? '\1' : '\0');
    });
    std::vector<std::unique_ptr<LongReply>> parts;
    parts.push_back(std::make_unique<RowsBulk>(std::move(rows), "rows"));
    parts.push_back(std::make_unique<BulkReply<std::string>>(std::move(bits), "consumed_rows"));
    Begin(std::make_unique<Sequence>(std::move(parts)), context.reply, context.rest);
  }
  return {};
}

// TASK.RESET partition [task]
Status TaskReset(Context& context, ArgReader& args) {
  const std::string_view partition = args.Name("partition");
  const bool one = args.HasMore();
  const std::string_view name = one ? args.Name("task") : std::string_view();
  TRY(args.Finish());
  TRY_ASSIGN(controller::Stream * stream, EnterStream(context, partition));
  for (const auto& [known, task] : stream->Tasks().Tasks()) {
    if (!one || known == name) {
      stream->Tasks().Reset(*task);
    }
  }
  while (stream->Tasks().StepRebuild()) {
    LeaveFor(context, *stream);
    engine::EngineLock& lock = context.turn.Enter();
    TRY_ASSIGN(store::Partition* const found, context.server.store(lock).FindPartition(partition));
    stream = found == nullptr ? nullptr : controller::Streams::Find(*found);
    if (stream == nullptr) {  // the partition was removed
      context.reply.Simple("OK");
      return {};
    }
  }
  context.server.streams.MarkChanged(context.turn.Enter(), *stream);
  LeaveFor(context, *stream);
  context.reply.Simple("OK");
  return {};
}

// TASK.LIST partition
Status TaskList(Context& context, ArgReader& args) {
  const std::string_view partition = args.Name("partition");
  TRY(args.Finish());
  TRY_ASSIGN(controller::Stream* const stream, EnterStream(context, partition));
  const auto& tasks = stream->Tasks().Tasks();
  context.reply.Array(tasks.size());
  for (const auto& [name, task] : tasks) {
    context.reply.Bulk(name);
  }
  return {};
}

constexpr Arg kRowsOfTaskArgs[] = {
    kTaskArgs[0],
    kTaskArgs[1],
    {.name = "rows", .type = "oneof", .args = kRowChoiceArgs},
    {.name = "lease-id", .type = "integer", .token = "LEASE", .optional = true}};
constexpr Arg kRenewArgs[] = {kTaskArgs[0],
                              kTaskArgs[1],
                              {.name = "lease-id", .type = "integer", .token = "LEASE"},
                              {.name = "milliseconds", .type = "integer"}};
constexpr Arg kStatusArgs[] = {
    kTaskArgs[0],
    kTaskArgs[1],
    {.name = "fields", .type = "block", .token = "FIELDS", .optional = true, .args = kListArgs},
    {.name = "bitmap", .type = "pure-token", .token = "BITMAP", .optional = true}};
constexpr Arg kResetArgs[] = {kTaskArgs[0], {.name = "task", .type = "string", .optional = true}};
constexpr Arg kPartitionArgs[] = {kTaskArgs[0]};

constexpr std::array kCommands = {
    Row(TaskRow({.name = "task.ack",
                 .arity = -5,
                 .flags = kWrite,
                 .handler = TaskAck,
                 .summary = "Marks rows as consumed by a task.",
                 .args = kRowsOfTaskArgs})),
    Row(TaskRow({.name = "task.renew",
                 .arity = 6,
                 .flags = kWrite | kFast,
                 .handler = TaskRenew,
                 .complexity = "O(log N) where N is the number of the task's leases",
                 .summary = "Renews a lease.",
                 .args = kRenewArgs})),
    Row(TaskRow({.name = "task.release",
                 .arity = -5,
                 .flags = kWrite,
                 .handler = TaskRelease,
                 .summary = "Makes rows that a task has leased or consumed ready again.",
                 .args = kRowsOfTaskArgs})),
    Row(TaskRow({.name = "task.status",
                 .arity = -3,
                 .flags = kReadOnly,
                 .handler = TaskStatus,
                 .complexity = "O(1); with BITMAP, and in the first call with these fields, O(N) "
                               "where N is the number of rows",
                 .summary = "Returns the progress of a task.",
                 .args = kStatusArgs})),
    Row(TaskRow({.name = "task.reset",
                 .arity = -2,
                 .flags = kWrite,
                 .handler = TaskReset,
                 .complexity = "O(N) where N is the number of rows",
                 .summary = "Forgets which rows a task, or every task, has consumed and leased.",
                 .args = kResetArgs})),
    Row(TaskRow({.name = "task.list",
                 .arity = 2,
                 .flags = kReadOnly,
                 .handler = TaskList,
                 .complexity = "O(N) where N is the number of tasks",
                 .summary = "Returns the names of a partition's tasks.",
                 .args = kPartitionArgs})),
};

}  // namespace

std::span<const Command> TaskCommands() {
  return kCommands;
}

}  // namespace sluice::server
