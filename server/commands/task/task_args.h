// The argument forms that TASK and PARTITION commands share, and look-ups of a partition's tasks.
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

// Reads `<list>` of fields, after FIELDS.
void ReadSelectedFields(Context& context, ArgReader& args, controller::Selection& selection);
// Reads `<m> <tag> <op> <value> ...`, after WHERE.
void ReadSelectedWhere(ArgReader& args, controller::Selection& selection);
// Reads `<ms> [BOUND]`, after LEASE.
controller::LeaseTerms ReadLease(Context& context, ArgReader& args);
// Reads an optional `LEASE <id>`, which must be the last argument. Returns 0 if it is absent.
controller::LeaseId ReadLeaseId(ArgReader& args);

// The arguments of TASK.FETCH and TASK.EXPLAIN.
struct FetchArgs {
  std::string partition;
  controller::Fetch fetch;
  Block block;
  ReadFormat format;
};
// Reads and checks all arguments.
void ReadFetch(Context& context, ArgReader& args, FetchArgs& fetch);
inline constexpr Arg kTaskArgs[] = {{.name = "partition", .type = "key"},
                                    {.name = "task", .type = "string"}};
inline constexpr Arg kSamplerArgs[] = {
    {.name = "name", .type = "string"},
    {.name = "size", .type = "integer", .token = "SIZE", .optional = true},
    {.name = "by", .type = "string", .token = "BY", .optional = true},
    {.name = "ranks", .type = "integer", .token = "RANKS", .optional = true},
    {.name = "weight", .type = "string", .token = "WEIGHT", .optional = true},
    {.name = "seed", .type = "integer", .token = "SEED", .optional = true},
    {.name = "tokens", .type = "integer", .token = "TOKENS", .optional = true},
    {.name = "underfill", .type = "pure-token", .token = "UNDERFILL", .optional = true}};
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

// Fills in the properties that all TASK commands share.
constexpr Command TaskRow(Command row) {
  row.keys = {.first = 1, .last = 1, .step = 1};
  row.group = "task";
  row.since = "0.1.0";
  if (row.complexity.empty()) {
    row.complexity = "O(N) where N is the number of rows named";
  }
  return row;
}

// Acquires the engine lock and expires leases whose time is up. Errors: kWrongType, kNoPartition.
Result<controller::Stream*> EnterStream(Context& context, std::string_view partition);
// Errors: kNoTask.
Result<controller::Task*> FindTask(controller::Stream& stream, std::string_view name);
// Creates the task if it does not exist. Errors: kNoTask if the partition is STRICT; kOom.
Result<controller::Task*> GetTask(Context& context, controller::Stream& stream,
                                  std::string_view name);
// Returns the stream of the partition created at revision `made`; null if that partition was
// removed.
controller::Stream* StreamOf(engine::EngineLock& lock, Server& server, std::string_view partition,
                             std::int64_t incarnation) REQUIRES(engine::engine_role);
// Guards a task that GetTask() may create: unless Keep() is called, the destructor removes a task
// that the command created, so that an error leaves nothing behind. The engine lock may be released
// in between; the destructor acquires it if it removes the task. REQUIRES: the engine lock is held
// at construction.
class NewTask {
 public:
  // `name` is borrowed. `is_new`: this command has already created the task.
  NewTask(Context& context, controller::Stream& stream, std::string_view name, bool is_new = false)
      : context_(context),
        partition_(stream.GetPartition().Name()),
        incarnation_(stream.GetPartition().Incarnation()),
        name_(name),
        is_new_(is_new || stream.Tasks().FindTask(name) == nullptr) {}
  NewTask(const NewTask&) = delete;
  NewTask& operator=(const NewTask&) = delete;
  ~NewTask();
  // Returns whether the command created the task.
  bool Keep() noexcept { return std::exchange(is_new_, false); }

 private:
  Context& context_;
  Text partition_;
  std::int64_t incarnation_;
  std::string_view name_;
  bool is_new_;
};
// Creates the task if it does not exist, and examines one step of some thousand rows, which a new
// selection or sampler must know before it can be used. Returns whether there are more steps; the
// engine lock may be released before the next call. REQUIRES: the engine lock is held. Errors:
// kNoTask, kNoField (the partition is STRICT), kOom; std::bad_alloc. An error removes a new task.
struct StepWanted {
  std::string_view task;
  const controller::Selection* selection = nullptr;
  const controller::Fetch* fetch = nullptr;  // null if no sampler is needed
};
Result<bool> StepTask(Context& context, controller::Stream& stream, const StepWanted& wanted,
                      bool& is_new);
// Runs all steps and releases the engine lock between them. Returns the stream and the task, as
// EnterStream() and GetTask() do. `is_new`: the task was created.
struct StreamAndTask {
  controller::Stream* stream = nullptr;
  controller::Task* task = nullptr;
  bool is_new = false;
};
Result<StreamAndTask> EnterTask(Context& context, std::string_view partition,
                                const StepWanted& wanted);
// Releases the engine lock; deferred destruction of the tasks' data runs without the lock.
void LeaveFor(Context& context, controller::Stream& stream);
// Stores the indexes of the rows that exist in context.scratch.indexes. REQUIRES: ChooseRows().
// Errors: kStale.
Status IndexesOf(Context& context, controller::Stream& stream, const store::RowSet& rows);

}  // namespace sluice::server
