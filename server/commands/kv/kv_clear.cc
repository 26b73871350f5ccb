// KV.CLEAR.
#include <array>
#include <memory>
#include <utility>

#include "server/arguments/arg_reader.h"
#include "server/commands/kv/kv_args.h"
#include "server/commands/kv/row_steps.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/context.h"
#include "server/dispatch/destruction_reply.h"

namespace sluice::server {
namespace {

Status ClearPartition(Context& context, std::string_view partition) {
  engine::EngineLock& lock = context.turn.Enter();
  TRY_ASSIGN(store::Store::RemovedPartition removed,
             context.server.store(lock).RemovePartition(partition));
  context.turn.Leave();
  ReplyAfterDestruction(context, std::move(removed.remains),
                        [rows = removed.rows](resp::Reply& reply) { reply.Integer(rows); });
  return {};
}

// KV.CLEAR partition [KEYS list | ROWS blob | WHERE ... [FIELDS list]]
Status KvClear(Context& context, ArgReader& args) {
  const std::string_view partition = args.Name("partition");
  if (args.ok() && !args.HasMore()) {
    return ClearPartition(context, partition);
  }
  RowChoice choice = ReadRowChoice(context, args);
  const bool has_fields = args.Option("FIELDS");
  if (has_fields) {
    ReadFields(context, args);
  }
  TRY(args.Finish());

  RowSteps steps(context, partition);
  TRY(steps.Begin(choice));
  std::int64_t removed = 0;
  do {
    store::Store& store = context.server.store(context.turn.Enter());
    TRY_ASSIGN(const std::int64_t now,
               has_fields ? store.ClearCells(partition, steps.Rows(), context.scratch.fields)
                          : store.ClearRows(partition, steps.Rows()));
    removed += now;
  } while (steps.Next());
  context.reply.Integer(removed);
  return {};
}

constexpr Arg kClearArgs[] = {
    {.name = "partition", .type = "key"},
    {.name = "rows", .type = "oneof", .optional = true, .args = kRowChoiceArgs},
    {.name = "fields", .type = "block", .token = "FIELDS", .optional = true, .args = kListArgs}};

constexpr std::array kCommands = {
    Row({.name = "kv.clear",
         .arity = -2,
         .flags = kWrite,
         .keys = {.first = 1, .last = 1, .step = 1},
         .handler = KvClear,
         .group = "kv",
         .since = "0.1.0",
         .complexity = "O(N) where N is the number of cells removed",
         .summary = "Removes a partition, rows, or fields of rows.",
         .args = kClearArgs}),
};

}  // namespace

std::span<const Command> KvClearCommands() {
  return kCommands;
}

}  // namespace sluice::server
