// PARTITION.LIST, INFO, READY, EVICT.
#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "server/commands/kv/field_reply.h"
#include "server/commands/task/task_args.h"
#include "server/commands/task/task_reply.h"
#include "server/dispatch/command_table.h"
#include "store/partition/snapshot.h"
#include "store/tensor/shape.h"

namespace sluice::server {
namespace {

using store::FieldTerms;
using store::PartitionTerms;

// PARTITION.LIST
Status PartitionList(Context& context, ArgReader& args) {
  TRY(args.Finish());
  std::vector<std::pair<Text, std::size_t>> partitions;
  engine::EngineLock& lock = context.turn.Enter();
  context.server.store(lock).ListPartitions(partitions);
  context.turn.Leave();
  context.reply.Array(partitions.size());
  for (const auto& [name, rows] : partitions) {
    context.reply.Bulk(name.View());
  }
  return {};
}

void ReplyTerms(const PartitionTerms& terms, resp::Reply& reply) {
  reply.Map(8);
  const std::pair<std::string_view, std::optional<std::int64_t>> limits[] = {
      {"expect", terms.expect},
      {"maxrows", terms.rows_max},
      {"maxbytes", terms.bytes_max},
      {"ttl", terms.ttl_ms}};
  for (const auto& [name, limit] : limits) {
    reply.Bulk(name);
    ReplyOptional(limit, reply);
  }
  reply.Bulk("strict");
  reply.Integer(terms.strict ? 1 : 0);
  reply.Bulk("autoevict");
  reply.Integer(terms.autoevict ? 1 : 0);
  reply.Bulk("tasks");
  reply.Array(terms.tasks.size());
  for (const std::string& task : terms.tasks) {
    reply.Bulk(task);
  }
  reply.Bulk("fields");
  reply.Array(terms.fields.size());
  for (const FieldTerms& field : terms.fields) {
    reply.Array(3);
    reply.Bulk(field.name);
    reply.Bulk(store::NameOf(field.dtype));
    reply.Array(field.dims.size());
    for (const std::int64_t dim : field.dims) {
      reply.Integer(dim);
    }
  }
}

struct OneTask {
  std::string name;
  controller::TaskReport report;
  std::optional<std::int64_t> oldest_ms;
};

// Returns the stream of the partition while it is the same; null if it has none, or is another.
controller::Stream* SameStream(Context& context, std::string_view name, std::int64_t incarnation) {
  auto found = context.server.store(context.turn.Enter()).FindPartition(name);
  const bool same = found.ok() && *found != nullptr && (*found)->Incarnation() == incarnation;
  return same ? controller::Streams::Find(**found) : nullptr;
}

// The view of a task that was not used for long reads all rows: in steps, between which other
// commands act.
std::vector<OneTask> ReportTasks(Context& context, store::Partition& partition) {
  const std::int64_t now_ms = context.server.clock.WallUs() / 1000;
  const std::int64_t incarnation = partition.Incarnation();
  const std::string name(partition.Name().View());
  controller::Stream* stream = controller::Streams::Find(partition);
  std::vector<OneTask> reports;
  if (stream != nullptr) {
    for (const auto& entry : stream->Tasks().Tasks()) {
      reports.push_back({.name = entry.first, .report = {}, .oldest_ms = {}});
    }
  }
  for (OneTask& report : reports) {
    controller::Task* task = nullptr;
    controller::Selection selection;
    while ((stream = SameStream(context, name, incarnation)) != nullptr &&
           (task = stream->Tasks().FindTask(report.name)) != nullptr) {
      selection.fields = task->last_fields;
      if (!stream->Tasks().Prepare(*task, selection, nullptr)) {
        report.report = stream->Report(*task, selection);
        report.oldest_ms = stream->OldestUnconsumedMs(*task, now_ms);
        break;
      }
      LeaveFor(context, *stream);
    }
  }
  return reports;
}

void ReplyTasks(const std::vector<OneTask>& tasks, resp::Reply& reply) {
  reply.Map(tasks.size());
  for (const OneTask& task : tasks) {
    reply.Bulk(task.name);
    reply.Map(kTaskReportPairs + 1);
    ReplyTaskReport(task.report, reply);
    reply.Bulk("oldest_unconsumed_ms");
    ReplyOptional(task.oldest_ms, reply);
  }
}

// PARTITION.INFO partition
Status PartitionInfo(Context& context, ArgReader& args) {
  const std::string_view name = args.Name("partition");
  TRY(args.Finish());

  const auto find = [&]() -> Result<store::Partition*> {
    TRY_ASSIGN(store::Partition* const found,
               context.server.store(context.turn.Enter()).FindPartition(name));
    if (found == nullptr) {
      return Status(Code::kNoPartition, fmt::format("partition '{}' does not exist", name));
    }
    return found;
  };
  store::Store& store = context.server.store(context.turn.Enter());
  const std::int64_t now_ms = store.NowMs();
  std::optional<std::int64_t> touched_ms = store.TouchedMs(name);  // before the look-up touches it
  TRY_ASSIGN(store::Partition * partition, find());
  if (controller::Stream* const stream = controller::Streams::Find(*partition)) {
    std::int64_t most = controller::Controller::kStepRows;
    stream->EndLeases(context.server.clock.NowUs(), most);
  }
  const std::vector<OneTask> tasks = ReportTasks(context, *partition);
  TRY_ASSIGN(partition, find());
  std::vector<store::FieldSummary> fields;
  partition->Summarize(fields);
  resp::Reply& reply = context.reply;
  reply.Map(9);
  reply.Bulk("rows");
  reply.Integer(static_cast<std::int64_t>(partition->Rows()));
  reply.Bulk("bytes");
  reply.Integer(partition->ValueBytes());
  reply.Bulk("fields");
  ReplyFields(fields, reply);
  reply.Bulk("tasks");
  ReplyTasks(tasks, reply);
  reply.Bulk("limits");
  ReplyTerms(partition->Terms(), reply);
  reply.Bulk("made");
  reply.Integer(partition->RowsMade());
  reply.Bulk("created");
  reply.Integer(partition->CreatedMs());
  reply.Bulk("idle");
  reply.Integer(std::max<std::int64_t>(0, now_ms - touched_ms.value_or(now_ms)));
  reply.Bulk("incarnation");
  reply.Integer(partition->Incarnation());
  return {};
}

// PARTITION.READY partition FIELDS list
Status PartitionReady(Context& context, ArgReader& args) {
  const std::string_view partition = args.Name("partition");
  if (args.Option("FIELDS")) {
    ReadFields(context, args);
  } else {
    args.Fail(Status(Code::kError, "syntax error: expected FIELDS"));
  }
  TRY(args.Finish());

  engine::EngineLock& lock = context.turn.Enter();
  TRY_ASSIGN(const store::Partition* const found,
             context.server.store(lock).FindPartition(partition));
  if (found == nullptr) {
    return Status(Code::kNoPartition, fmt::format("partition '{}' does not exist", partition));
  }
  store::Snapshot snapshot;
  TRY(context.server.store(lock).TakeSnapshot(
      {.partition = partition, .fields = context.scratch.fields}, snapshot));
  context.turn.Leave();
  std::vector<RowIndex>& rows = context.scratch.indexes;
  std::string& ready_rows = context.scratch.Bytes();
  for (std::size_t segment = 0; segment < snapshot.segments.size(); ++segment) {
    snapshot.ForEach(segment, [&](RowIndex row, const store::Row& /*row*/, bool ready) {
      rows.push_back(row);
      ready_rows.push_back(ready ? '\1' : '\0');
    });
  }
  context.reply.Array(2);
  context.reply.Bulk(store::AsBytes(rows));
  context.reply.Bulk(ready_rows);
  return {};
}

// Appends rows, beginning at `from`, that all these tasks have consumed. Returns the row at which
// to continue; kNoRow if there are no more.
RowIndex ConsumedByAll(std::span<const controller::Task* const> tasks, RowIndex from,
                       std::vector<RowIndex>& rows) {
  const controller::RowBits& first = tasks.front()->Consumed();
  RowIndex row = first.NextFrom(from);
  for (std::int64_t left = controller::Controller::kStepRows; row != kNoRow && left > 0; --left) {
    if (std::all_of(tasks.begin(), tasks.end(), [row](const controller::Task* task) {
          return task->Consumed().Contains(row);
        })) {
      rows.push_back(row);
    }
    row = first.NextFrom(row + 1);
  }
  return row;
}

// PARTITION.EVICT partition task [task ...]
Status PartitionEvict(Context& context, ArgReader& args) {
  const std::string_view partition = args.Name("partition");
  std::vector<std::string_view>& names = context.scratch.words;
  do {
    names.push_back(args.Name("task"));
  } while (args.HasMore());
  TRY(args.Finish());

  std::int64_t removed = 0;
  RowIndex from = 0;
  do {  // some thousand rows per step
    TRY_ASSIGN(controller::Stream* const stream, EnterStream(context, partition));
    std::vector<const controller::Task*> tasks;
    for (const std::string_view name : names) {
      TRY_ASSIGN(const controller::Task* const task, FindTask(*stream, name));
      tasks.push_back(task);
    }
    std::vector<RowIndex>& rows = context.scratch.indexes;
    rows.clear();
    from = ConsumedByAll(tasks, from, rows);
    TRY_ASSIGN(
        const std::int64_t now,
        context.server.store(context.turn.Enter())
            .ClearRows(partition,
                       {.kind = store::RowSet::Kind::kIndexes, .keys = {}, .indexes = rows}));
    removed += now;
    if (from != kNoRow) {
      LeaveFor(context, *stream);
    }
  } while (from != kNoRow);
  context.reply.Integer(removed);
  return {};
}

constexpr Arg kInfoArgs[] = {{.name = "partition", .type = "key"}};
constexpr Arg kReadyArgs[] = {
    {.name = "partition", .type = "key"},
    {.name = "fields", .type = "block", .token = "FIELDS", .args = kListArgs}};
constexpr Arg kEvictArgs[] = {{.name = "partition", .type = "key"},
                              {.name = "task", .type = "string", .multiple = true}};

constexpr Command PartitionRow(Command row) {
  if (row.arity != 1) {
    row.keys = {.first = 1, .last = 1, .step = 1};
  }
  row.group = "partition";
  row.since = "0.1.0";
  return row;
}

constexpr std::array kCommands = {
    Row(PartitionRow({.name = "partition.list",
                      .arity = 1,
                      .flags = kReadOnly,
                      .handler = PartitionList,
                      .complexity = "O(N) where N is the number of partitions",
                      .summary = "Returns the names of all partitions."})),
    Row(PartitionRow(
        {.name = "partition.info",
         .arity = 2,
         .flags = kReadOnly,
         .handler = PartitionInfo,
         .complexity = "O(N) where N is the number of fields and tasks",
         .summary = "Returns the contents of a partition and the progress of its tasks.",
         .args = kInfoArgs})),
    Row(PartitionRow(
        {.name = "partition.ready",
         .arity = -5,
         .flags = kReadOnly,
         .handler = PartitionReady,
         .complexity = "O(N) where N is the number of rows",
         .summary = "Returns all rows, and whether the given fields are ready in each.",
         .args = kReadyArgs})),
    Row(PartitionRow({.name = "partition.evict",
                      .arity = -3,
                      .flags = kWrite,
                      .handler = PartitionEvict,
                      .complexity = "O(N) where N is the number of rows consumed",
                      .summary = "Removes the rows that all the named tasks have consumed.",
                      .args = kEvictArgs})),
};

}  // namespace

std::span<const Command> PartitionCommands() {
  return kCommands;
}

}  // namespace sluice::server
