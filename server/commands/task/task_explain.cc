// TASK.EXPLAIN.
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "server/commands/task/task_args.h"
#include "server/dispatch/command_table.h"
#include "store/partition/snapshot.h"

namespace sluice::server {
namespace {

using Obstacles = controller::Controller::Obstacles;

// Returns why the task cannot take the rows that it has not taken. Does not need the engine lock.
Obstacles FindObstacles(const store::Snapshot& snapshot, const std::vector<bool>& known,
                        const controller::RowBits& taken) {
  Obstacles found;
  found.missing.resize(known.size());
  for (std::size_t segment = 0; segment < snapshot.segments.size(); ++segment) {
    const store::Segment& cells = *snapshot.segments[segment];
    const RowIndex first = cells.Number() * store::Segment::kRows;
    snapshot.ForEach(segment, [&](RowIndex row, const store::Row& /*row*/, bool /*ready*/) {
      if (taken.Contains(row)) {
        return;
      }
      bool complete = true;
      for (std::size_t i = 0; i < known.size(); ++i) {
        const auto offset = static_cast<std::uint32_t>(row - first);
        const bool ready = known[i] && cells.GetCell(snapshot.field_ids[i], offset).Ready();
        Obstacles::Missing& missing = found.missing[i];
        missing.first = !ready && missing.rows == 0 ? row : missing.first;
        missing.rows += ready ? 0 : 1;
        complete = complete && ready;
      }
      found.complete += complete ? 1 : 0;
    });
  }
  return found;
}

// A consistent snapshot of the rows.
struct RowsNow {
  store::Snapshot snapshot;
  controller::RowBits taken;
  std::vector<bool> known;  // by field: whether the field exists
};

struct Answer {
  std::vector<std::string> lines;
  std::optional<RowsNow> now;
};

// Errors: std::bad_alloc.
Status LookAtRows(Context& context, controller::Stream& stream, const FetchArgs& fetch,
                  RowsNow& now) {
  controller::Controller::CopyTaken(*stream.Tasks().FindTask(fetch.fetch.task), now.taken);
  const std::vector<std::string_view> fields(fetch.fetch.selection.fields.begin(),
                                             fetch.fetch.selection.fields.end());
  for (const std::string_view field : fields) {
    now.known.push_back(stream.GetPartition().FieldId(field).has_value());
  }
  return context.server.store(context.turn.Enter())
      .TakeSnapshot({.partition = fetch.partition, .fields = fields}, now.snapshot);
}

// Returns false if all rows, which are now in `answer.now`, must be examined first. Errors: as
// LookAtRows().
Result<bool> Say(Context& context, const StreamAndTask& at, const FetchArgs& fetch,
                 const std::optional<Obstacles>& found, Answer& answer) {
  const NewTask made(context, *at.stream, fetch.fetch.task, at.is_new);  // removes a new task
  const bool said = at.stream->Tasks().Explain(
      fetch.fetch, {.now_us = context.server.clock.NowUs(), .time_is_up = !fetch.block.given},
      found ? &*found : nullptr, answer.lines);
  if (!said) {
    TRY(LookAtRows(context, *at.stream, fetch, answer.now.emplace()));
  }
  return said;
}

// TASK.EXPLAIN: the arguments of TASK.FETCH
Status TaskExplain(Context& context, ArgReader& args) {
  FetchArgs fetch;
  ReadFetch(context, args, fetch);
  TRY(args.Finish());

  const StepWanted wanted = {
      .task = fetch.fetch.task, .selection = &fetch.fetch.selection, .fetch = &fetch.fetch};
  Answer answer;
  std::optional<Obstacles> found;
  for (bool said = false; !said;) {
    TRY_ASSIGN(const StreamAndTask at, EnterTask(context, fetch.partition, wanted));
    TRY_ASSIGN(said, Say(context, at, fetch, found, answer));
    if (!said) {
      LeaveFor(context, *at.stream);
      found = FindObstacles(answer.now->snapshot, answer.now->known, answer.now->taken);
      answer.now.reset();  // without the engine lock
    }
  }
  context.turn.Leave();
  std::string text;
  for (const std::string& line : answer.lines) {
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
         .complexity = "O(N) where N is the number of cells examined",
         .summary = "Explains why TASK.FETCH would wait.",
         .args = kFetchArgs}),
};

}  // namespace

std::span<const Command> TaskExplainCommands() {
  return kCommands;
}

}  // namespace sluice::server
