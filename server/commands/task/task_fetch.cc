// TASK.FETCH.
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "server/commands/task/blocked_fetch.h"
#include "server/commands/task/task_args.h"
#include "server/commands/task/task_fetch_answer.h"
#include "server/dispatch/command_table.h"
#include "store/partition/partition.h"

namespace sluice::server {
namespace {

using controller::Outcome;

// Fetches from a partition that exists. REQUIRES: StepTask() is done. Errors: as TryFetchNow and
// DeliverAnswer.
Status FetchFrom(engine::EngineLock& lock, Context& context, controller::Stream& stream,
                 FetchArgs& fetch, bool is_new) REQUIRES(engine::engine_role) {
  NewTask made(context, stream, fetch.fetch.task, is_new);
  FetchAnswer answer;
  std::vector<std::string> fields = fetch.fetch.selection.fields;
  const bool time_is_up = !fetch.block.given || !context.may_block;
  TRY_ASSIGN(const Outcome outcome, TryFetchNow(lock, context.server, stream,
                                                {.args = fetch, .time_is_up = time_is_up}, answer));
  stream.Tasks().FindTask(fetch.fetch.task)->last_fields = std::move(fields);
  if (outcome == Outcome::kWait) {
    BlockFetch(lock, context, fetch);
    made.Keep();
    return {};
  }
  answer.new_task = made.Keep();
  if (outcome == Outcome::kRows) {
    return DeliverAnswer(context, fetch, answer);
  }
  context.reply.NullArray();
  return {};
}

// TASK.FETCH partition task FIELDS list COUNT n [MIN m] [SAMPLER name [option value ...]]
//            [WHERE ...] [RANK r STEP s] [BLOCK ms] [LEASE ms [BOUND]] [KEEP] [FORMAT ...] [PAD
//            ...] [DICT]
Status TaskFetch(Context& context, ArgReader& args) {
  FetchArgs fetch;
  ReadFetch(context, args, fetch);
  TRY(args.Finish());

  const StepWanted wanted = {
      .task = fetch.fetch.task, .selection = &fetch.fetch.selection, .fetch = &fetch.fetch};
  engine::EngineLock& lock = context.turn.Enter();
  TRY_ASSIGN(store::Partition * partition,
             context.server.store(lock).FindPartition(fetch.partition));
  for (bool is_new = false; partition != nullptr;) {
    controller::Stream& stream = context.server.streams.Of(lock, *partition);
    TRY_ASSIGN(const bool more, StepTask(context, stream, wanted, is_new));
    if (!more) {
      return FetchFrom(lock, context, stream, fetch, is_new);
    }
    LeaveFor(context, stream);
    TRY_ASSIGN(partition,
               context.server.store(context.turn.Enter()).FindPartition(fetch.partition));
  }
  if (!fetch.block.given || !context.may_block) {
    context.reply.NullArray();
    return {};
  }
  BlockFetch(lock, context, std::move(fetch));
  return {};
}

constexpr std::array kCommands = {
    Row({.name = "task.fetch",
         .arity = -8,
         .flags = kWrite | kBlocking,
         .keys = {.first = 1, .last = 1, .step = 1},
         .handler = TaskFetch,
         .group = "task",
         .since = "0.1.0",
         .complexity = "O(N) where N is the number of rows taken; in the first call with these "
                       "fields, the number of all rows",
         .summary = "Takes the next rows that are ready for a task, or waits for them.",
         .args = kFetchArgs}),
};

}  // namespace

std::span<const Command> TaskFetchCommands() {
  return kCommands;
}

}  // namespace sluice::server
