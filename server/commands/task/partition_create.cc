// PARTITION.CREATE.
#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "server/commands/task/task_args.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/dispatch.h"
#include "store/tensor/shape.h"

namespace sluice::server {
namespace {

using store::FieldTerms;
using store::PartitionTerms;

// The arguments of PARTITION.CREATE. Options that are not named stay unchanged.
struct NewTerms {
  PartitionTerms terms;
  bool expect = false;
  bool rows_max = false;
  bool bytes_max = false;
  bool ttl = false;
  bool tasks = false;

  [[nodiscard]] PartitionTerms On(PartitionTerms old) && {
    old.expect = expect ? terms.expect : old.expect;
    old.rows_max = rows_max ? terms.rows_max : old.rows_max;
    old.bytes_max = bytes_max ? terms.bytes_max : old.bytes_max;
    old.ttl_ms = ttl ? terms.ttl_ms : old.ttl_ms;
    old.strict = old.strict || terms.strict;
    old.autoevict = old.autoevict || terms.autoevict;
    if (tasks) {
      old.tasks = std::move(terms.tasks);
    }
    for (FieldTerms& field : terms.fields) {
      std::erase_if(old.fields, [&](const FieldTerms& one) { return one.name == field.name; });
      old.fields.push_back(std::move(field));
    }
    return old;
  }
};

// Reads a limit; 0 means no limit.
std::optional<std::int64_t> ReadLimit(ArgReader& args, std::string_view option) {
  const std::int64_t limit = args.Number(option, {.min = 0});
  return limit == 0 ? std::nullopt : std::optional(limit);
}

// Reads `<name> <dtype> [<dim> ...]`, after FIELD.
void ReadFieldTerms(Context& context, ArgReader& args, PartitionTerms& terms) {
  store::ColumnSource source;
  source.field = args.Word("the field's name");
  if (args.ok()) {
    args.Fail(CheckName("field", source.field));
  }
  ReadFieldShape(context, args, source);
  if (!args.ok()) {
    return;
  }
  FieldTerms field = {.name = std::string(source.field),
                      .dtype = source.dtype,
                      .dims = {source.dims.begin(), source.dims.end()}};
  if (store::IsByteString(field.dtype) && !field.dims.empty()) {
    args.Fail(Status(Code::kShape, fmt::format("field '{}': {} has no dims in a schema", field.name,
                                               store::NameOf(field.dtype))));
  } else if (field.dims.size() > store::kRankMax) {
    args.Fail(Status(Code::kShape, fmt::format("field '{}': rank {} is more than {}", field.name,
                                               field.dims.size(), store::kRankMax)));
  } else if (std::any_of(field.dims.begin(), field.dims.end(),
                         [](std::int64_t dim) { return dim < -1; })) {
    args.Fail(Status(
        Code::kShape,
        fmt::format("field '{}': a dim must be at least 0, or -1 if it varies", field.name)));
  } else if (terms.FindField(field.name) != nullptr) {
    args.Fail(Status(Code::kError, fmt::format("field '{}' is named twice", field.name)));
  }
  terms.fields.push_back(std::move(field));
}

void ReadTasks(Context& context, ArgReader& args, PartitionTerms& terms) {
  args.List("TASKS", context.scratch.words);
  for (const std::string_view task : context.scratch.words) {
    if (args.ok()) {
      args.Fail(CheckName("task", task));
      terms.tasks.emplace_back(task);
    }
  }
  std::vector<std::string_view> names = context.scratch.words;
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (args.ok() && twice != names.end()) {
    args.Fail(Status(Code::kError, fmt::format("task '{}' is named twice", *twice)));
  }
}

NewTerms ReadTerms(Context& context, ArgReader& args) {
  NewTerms read;
  PartitionTerms& terms = read.terms;
  while (args.HasMore()) {
    if (args.Option("EXPECT")) {
      ReadOnce(args, read.expect, "EXPECT");
      terms.expect = ReadLimit(args, "EXPECT");
    } else if (args.Option("MAXROWS")) {
      ReadOnce(args, read.rows_max, "MAXROWS");
      terms.rows_max = ReadLimit(args, "MAXROWS");
    } else if (args.Option("MAXBYTES")) {
      ReadOnce(args, read.bytes_max, "MAXBYTES");
      terms.bytes_max = ReadLimit(args, "MAXBYTES");
    } else if (args.Option("TTL")) {
      ReadOnce(args, read.ttl, "TTL");
      terms.ttl_ms = ReadLimit(args, "TTL");
    } else if (args.Option("TASKS")) {
      ReadOnce(args, read.tasks, "TASKS");
      ReadTasks(context, args, terms);
    } else if (args.Option("STRICT")) {
      ReadOnce(args, terms.strict, "STRICT");
    } else if (args.Option("AUTOEVICT")) {
      ReadOnce(args, terms.autoevict, "AUTOEVICT");
    } else if (args.Option("FIELD")) {
      ReadFieldTerms(context, args, terms);
    } else {
      args.Unexpected();
    }
  }
  return read;
}

// Applies `terms`. Errors: as Store::SetTerms; nothing is changed then.
Status Apply(Context& context, std::string_view partition, PartitionTerms terms) {
  engine::EngineLock& lock = context.turn.Enter();
  store::Store& store = context.server.store(lock);
  TRY_ASSIGN(const store::Partition* const before, store.FindPartition(partition));
  std::optional<PartitionTerms> old;
  if (before != nullptr) {
    old = before->Terms();
  }
  const bool tasks = !terms.tasks.empty();
  TRY(store.SetTerms(partition, std::move(terms)));
  try {
    TRY_ASSIGN(store::Partition* const now, store.FindPartition(partition));
    // Null if the name had an expiry that has passed by now.
    if (now != nullptr && (tasks || controller::Streams::Find(*now) != nullptr)) {
      controller::Stream& stream = context.server.streams.Of(lock, *now);
      context.server.streams.OnTermsChanged(lock, stream);
    }
  } catch (const std::bad_alloc&) {
    if (old) {
      static_cast<void>(store.SetTerms(partition, *std::move(old)));
    } else {
      static_cast<void>(store.RemovePartition(partition));
    }
    throw;
  }
  return {};
}

// Evicts one step of rows; other commands run between steps. Returns whether there are more.
bool EvictsLater(Context& context, std::string_view partition) {
  auto found = context.server.store(context.turn.Enter()).FindPartition(partition);
  controller::Stream* const stream =
      found.ok() && *found != nullptr ? controller::Streams::Find(**found) : nullptr;
  if (stream == nullptr || !stream->EvictsLater()) {
    return false;
  }
  context.turn.Leave();
  engine::EngineLock& lock = context.turn.Enter();
  found = context.server.store(lock).FindPartition(partition);
  if (found.ok() && *found != nullptr) {
    context.server.streams.Of(lock, **found);
  }
  return true;
}

// PARTITION.CREATE partition [EXPECT n] [MAXROWS n] [MAXBYTES n] [FIELD name dtype [dim ...]]...
//                  [STRICT] [TASKS list] [AUTOEVICT] [TTL ms]
Status PartitionCreate(Context& context, ArgReader& args) {
  const std::string_view partition = args.Name("partition");
  NewTerms read = ReadTerms(context, args);
  TRY(args.Finish());

  engine::EngineLock& lock = context.turn.Enter();
  TRY_ASSIGN(const store::Partition* const known,
             context.server.store(lock).FindPartition(partition));
  if (known == nullptr) {
    TRY(CheckMemory(context));  // new partitions only: changed limits may help to free memory
  }
  PartitionTerms terms = std::move(read).On(known == nullptr ? PartitionTerms() : known->Terms());
  const auto rows = static_cast<std::int64_t>(known == nullptr ? 0 : known->Rows());
  if (terms.autoevict && terms.tasks.empty()) {
    return Status(Code::kError,
                  "AUTOEVICT requires TASKS: it removes the rows that all of them have consumed");
  }
  TRY(Apply(context, partition, std::move(terms)));
  for (auto steps = rows / controller::Controller::kStepRows + 1;
       steps > 0 && EvictsLater(context, partition); --steps) {
  }
  context.reply.Simple("OK");
  return {};
}

constexpr Arg kFieldArgs[] = {
    {.name = "name", .type = "string"},
    {.name = "dtype", .type = "string"},
    {.name = "dim", .type = "integer", .optional = true, .multiple = true}};
constexpr Arg kCreateArgs[] = {
    {.name = "partition", .type = "key"},
    {.name = "expect", .type = "integer", .token = "EXPECT", .optional = true},
    {.name = "maxrows", .type = "integer", .token = "MAXROWS", .optional = true},
    {.name = "maxbytes", .type = "integer", .token = "MAXBYTES", .optional = true},
    {.name = "field",
     .type = "block",
     .token = "FIELD",
     .optional = true,
     .multiple = true,
     .args = kFieldArgs},
    {.name = "strict", .type = "pure-token", .token = "STRICT", .optional = true},
    {.name = "tasks", .type = "block", .token = "TASKS", .optional = true, .args = kListArgs},
    {.name = "autoevict", .type = "pure-token", .token = "AUTOEVICT", .optional = true},
    {.name = "ttl-milliseconds", .type = "integer", .token = "TTL", .optional = true}};
constexpr std::array kCommands = {
    Row({.name = "partition.create",
         .arity = -2,
         .flags = kWrite,
         .keys = {.first = 1, .last = 1, .step = 1},
         .handler = PartitionCreate,
         .group = "partition",
         .since = "0.1.0",
         .complexity = "O(1); with TASKS O(N) where N is the number of rows",
         .summary = "Creates a partition, or changes its limits, schema and tasks.",
         .args = kCreateArgs}),
};

}  // namespace

std::span<const Command> PartitionCreateCommands() {
  return kCommands;
}

}  // namespace sluice::server
