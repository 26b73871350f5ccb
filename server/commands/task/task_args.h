// The argument forms that TASK and PARTITION commands share, and how they find a partition's tasks.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>

#include "controller/fetch.h"
#include "controller/streams.h"
#include "server/arguments/arg_reader.h"
#include "server/commands/kv/kv_args.h"
#include "server/commands/kv/kv_block.h"
#include "server/commands/mget/read_format.h"
#include "server/dispatch/command.h"
#include "server/dispatch/context.h"

namespace sluice::server {

// An integer of an option, named in the message. Errors: kError.
std::int64_t ReadNumber(ArgReader& args, std::string_view option, IntegerRange range);

// `<list>` of fields, behind FIELDS.
void ReadSelectedFields(Context& context, ArgReader& args, controller::Selection& selection);
// `<m> <tag> <op> <value> ...`, behind WHERE.
void ReadSelectedWhere(ArgReader& args, controller::Selection& selection);
// `<ms> [BOUND]`, behind LEASE.
controller::LeaseTerms ReadLease(Context& context, ArgReader& args);
// `LEASE <id>`, where it is next, and nothing else may follow; 0: it is not.
controller::LeaseId ReadLeaseId(ArgReader& args);

// What TASK.FETCH and TASK.EXPLAIN take.
struct FetchArgs {
  std::string partition;
  controller::Fetch fetch;
  Block block;
  ReadFormat format;
};
// All of it, with its checks.
void ReadFetch(Context& context, ArgReader& args, FetchArgs& fetch);
inline constexpr Arg kTaskArgs[] = {{.name = "partition", .type = "key"},
                                    {.name = "task", .type = "string"}};
inline constexpr Arg kSamplerArgs[] = {
    {.name = "name", .type = "string"},
    {.name = "size", .type = "integer", .token = "SIZE", .optional = true},
    {.name = "by", .type = "string", .token = "BY", .optional = true},
    {.name = "ranks", .type = "integer", .token = "RANKS", .optional = true},
    {.name = "weight", .type = "string", .token = "WEIGHT", .optional = true},
    {.name = "seed", .type = "integer", .token = "SEED", .optional = true}};
inline constexpr Arg kLeaseArgs[] = {
    {.name = "milliseconds", .type = "integer"},
    {.name = "bound", .type = "pure-token", .token = "BOUND", .optional = true}};
inline constexpr Arg kFetchArgs[] = {
    {.name = "partition", .type = "key"},
    {.name = "task", .type = "string"},
    {.name = "fields", .type = "block", .token = "FIELDS", .args = kListArgs},
    {.name = "count", .type = "integer", .token = "COUNT"},
    {.name = "min", .type = "integer", .token = "MIN", .optional = true},
    {.name = "sampler",
     .type = "block",
     .token = "SAMPLER",
     .optional = true,
     .args = kSamplerArgs},
    {.name = "where", .type = "block", .token = "WHERE", .optional = true, .args = kWhereArgs},
    {.name = "rank", .type = "integer", .token = "RANK", .optional = true},
    {.name = "step", .type = "integer", .token = "STEP", .optional = true},
    {.name = "block-milliseconds", .type = "integer", .token = "BLOCK", .optional = true},
    {.name = "lease", .type = "block", .token = "LEASE", .optional = true, .args = kLeaseArgs},
    {.name = "keep", .type = "pure-token", .token = "KEEP", .optional = true},
    kFormatArg,
    kPaddingArg,
    kDictArg};

// The parts of a command's row that all commands of one task have in common.
constexpr Command TaskRow(Command row) {
  row.keys = {.first = 1, .last = 1, .step = 1};
  row.group = "task";
  row.since = "0.1.0";
  if (row.complexity.empty()) {
    row.complexity = "O(N) where N is the number of rows named";
  }
  return row;
}

// Enters the engine. Leases whose time is up are over. Errors: kWrongType, kNoPartition.
Result<controller::Stream*> EnterStream(Context& context, std::string_view partition);
// Errors: kNoTask.
Result<controller::Task*> FindTask(controller::Stream& stream, std::string_view name);
// Made where there is none. Errors: kNoTask, where the partition is STRICT; kOom.
Result<controller::Task*> GetTask(Context& context, controller::Stream& stream,
                                  std::string_view name);
// The stream of the partition that was made at revision `made`; null if that partition was removed.
controller::Stream* StreamOf(engine::EngineLock& lock, Server& server, std::string_view partition,
                             Revision made) REQUIRES(engine::engine_role);
// Beside GetTask(): a task that the command made is removed again unless the command comes to
// Keep(), so that an error leaves nothing. The engine lock may be released in between; the
// destructor of a task that is not kept acquires it. REQUIRES: the engine lock is held at first.
class NewTask {
 public:
  // `name` is borrowed. `is_new`: this command made the task before.
  NewTask(Context& context, controller::Stream& stream, std::string_view name, bool is_new = false)
      : context_(context),
        partition_(stream.GetPartition().Name()),
        made_(stream.GetPartition().Made()),
        name_(name),
        is_new_(is_new || stream.Tasks().FindTask(name) == nullptr) {}
  NewTask(const NewTask&) = delete;
  NewTask& operator=(const NewTask&) = delete;
  ~NewTask();
  // Returns whether the command made the task.
  bool Keep() noexcept { return std::exchange(is_new_, false); }

 private:
  Context& context_;
  Text partition_;
  Revision made_;
  std::string_view name_;
  bool is_new_;
};
// Lets the task, made where there is none, look at some thousand rows that it must know before it
// can be asked, of a new selection or sampler. True: there are more, and the engine may be left
// before the next call. REQUIRES: the engine. Errors: kNoTask, kNoField (the partition is STRICT),
// kOom; std::bad_alloc; a task that is new goes then.
struct StepWanted {
  std::string_view task;
  const controller::Selection* selection = nullptr;
  const controller::Fetch* fetch = nullptr;  // null: no sampler is asked for
};
Result<bool> StepTask(Context& context, controller::Stream& stream, const StepWanted& wanted,
                      bool& is_new);
// The same to the end, the engine left between the steps: the partition's tasks, and the task, as
// EnterStream() and GetTask(). `is_new`: it was made.
struct StreamAndTask {
  controller::Stream* stream = nullptr;
  controller::Task* task = nullptr;
  bool is_new = false;
};
Result<StreamAndTask> EnterTask(Context& context, std::string_view partition,
                                const StepWanted& wanted);
// Leaves the engine; what the tasks are done with ends without it.
void LeaveFor(Context& context, controller::Stream& stream);
// The indexes of those that there are, into context.scratch.indexes. REQUIRES: ChooseRows().
void IndexesOf(Context& context, controller::Stream& stream, const store::RowSet& rows);

}  // namespace sluice::server
