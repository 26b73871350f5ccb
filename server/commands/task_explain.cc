// TASK.EXPLAIN.
#include <array>

#include "server/command_table.h"
#include "server/commands/task_args.h"

namespace sluice::server {
namespace {

using store::Status;

// TASK.EXPLAIN: as TASK.FETCH
Status TaskExplain(Context& context, ArgReader& args) {
  FetchArgs fetch;
  ReadFetch(context, args, fetch);
  TRY(args.Finish());

  TRY_ASSIGN(Stream* const stream, EnterStream(context, fetch.partition));
  TRY(CheckTask(stream->GetPartition(), fetch.fetch.task));
  TRY(CheckFields(stream->GetPartition(), fetch.fetch.selection.fields));
  std::vector<std::string> lines;
  stream->Tasks().Explain(
      fetch.fetch, {.now_us = context.server.clock.NowUs(), .time_is_up = !fetch.block.given},
      lines);
  context.turn.Leave();
  std::string text;
  for (const std::string& line : lines) {
    text += line + '\n';
  }
  context.reply.Verbatim(text);
  return {};
}

constexpr std::array kCommands = {
    Row({.name = "task.explain",
         .arity = -8,
         .flags = kReadOnly,
         .keys = {.first = 1, .last = 1, .step = 1},
         .handler = TaskExplain,
         .group = "task",
         .since = "0.1.0",
         .complexity = "O(N) where N is the number of cells looked at",
         .summary = "Says why TASK.FETCH would wait.",
         .args = kFetchArgs}),
};

}  // namespace

std::span<const Command> TaskExplainCommands() {
  return kCommands;
}

}  // namespace sluice::server
