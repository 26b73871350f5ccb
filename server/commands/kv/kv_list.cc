// KV.LIST, KV.SCAN, KV.CHANGES: the keys and tags of rows.
#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "server/arguments/arg_reader.h"
#include "server/arguments/glob.h"
#include "server/commands/kv/kv_args.h"
#include "server/commands/rows/row_listing.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/context.h"

namespace sluice::server {
namespace {

// Reads MATCH and WHERE, each at most once. Returns whether one of them was next.
bool ReadFilter(ArgReader& args, RowFilter& filter) {
  if (!filter.glob && args.Option("MATCH")) {
    filter.glob = std::string(args.Word("the pattern"));
    if (args.ok()) {
      args.Fail(CheckGlob(*filter.glob));
    }
    return true;
  }
  if (!filter.where && args.Option("WHERE")) {
    filter.where = ReadWhere(args);
    return true;
  }
  return false;
}

// Writes the first piece of the listing; `context.rest` writes the rest.
Status Begin(Context& context, std::unique_ptr<RowListing> listing) {
  context.turn.Leave();
  if (listing->Write(context.reply)) {
    context.rest = std::move(listing);
  }
  return {};
}

void ReplyPartitions(Context& context) {
  engine::EngineLock& lock = context.turn.Enter();
  std::vector<std::pair<Text, std::size_t>> partitions;
  context.server.store(lock).ListPartitions(partitions);
  context.turn.Leave();
  context.reply.Map(partitions.size());
  for (const auto& [name, rows] : partitions) {
    context.reply.Bulk(name.View());
    context.reply.Integer(static_cast<std::int64_t>(rows));
  }
}

// KV.LIST [partition [MATCH glob] [WHERE ...] [FIELDS list] [FORMAT map | lines]]
Status KvList(Context& context, ArgReader& args) {
  if (!args.HasMore()) {
    ReplyPartitions(context);
    return {};
  }
  const std::string_view partition = args.Name("partition");
  RowFilter filter;
  bool has_fields = false;
  bool has_format = false;
  ListingForm form = ListingForm::kMap;
  while (args.HasMore()) {
    if (ReadFilter(args, filter)) {
      continue;
    }
    if (!has_fields && args.Option("FIELDS")) {
      has_fields = true;
      ReadFields(context, args);
    } else if (!has_format && args.Option("FORMAT")) {
      has_format = true;
      form = args.Option("LINES") ? ListingForm::kLines : ListingForm::kMap;
      if (form == ListingForm::kMap && !args.Option("MAP")) {
        args.Fail(
            Status(Code::kError, fmt::format("syntax error: expected FORMAT map or lines, got '{}'",
                                             Printable(args.Peek()))));
      }
    } else {
      args.Unexpected();
    }
  }
  TRY(args.Finish());

  auto listing = std::make_unique<RowListing>(form, context.server.seed, std::move(filter));
  engine::EngineLock& lock = context.turn.Enter();
  TRY(context.server.store(lock).TakeSnapshot(
      {.partition = partition, .fields = context.scratch.fields}, listing->GetSnapshot()));
  return Begin(context, std::move(listing));
}

// KV.SCAN partition cursor [MATCH glob] [WHERE ...] [COUNT n]
Status KvScan(Context& context, ArgReader& args) {
  constexpr std::int64_t kCountDefault = 10;
  const std::string_view partition = args.Name("partition");
  const std::uint64_t cursor = args.Cursor();
  RowFilter filter;
  std::optional<std::int64_t> count;
  while (args.HasMore()) {
    if (ReadFilter(args, filter)) {
      continue;
    }
    if (!count && args.Option("COUNT")) {
      count = args.Number("COUNT", {.min = 1});
    } else {
      args.Unexpected();
    }
  }
  TRY(args.Finish());

  const auto rows_max = static_cast<std::size_t>(count.value_or(kCountDefault));
  auto listing = std::make_unique<RowListing>(ListingForm::kPage, context.server.seed,
                                              std::move(filter), rows_max);
  engine::EngineLock& lock = context.turn.Enter();
  TRY(context.server.store(lock).TakeSnapshot(
      {.partition = partition, .from = static_cast<RowIndex>(cursor), .rows_max = rows_max},
      listing->GetSnapshot()));
  return Begin(context, std::move(listing));
}

// KV.CHANGES partition revision [FIELDS list]
Status KvChanges(Context& context, ArgReader& args) {
  const std::string_view partition = args.Name("partition");
  const std::int64_t since = args.Number("revision", {.min = 0});
  if (args.Option("FIELDS")) {
    ReadFields(context, args);
  }
  TRY(args.Finish());

  auto listing = std::make_unique<RowListing>(ListingForm::kChanges, context.server.seed);
  engine::EngineLock& lock = context.turn.Enter();
  TRY(context.server.store(lock).TakeSnapshot({.partition = partition,
                                               .fields = context.scratch.fields,
                                               .since = static_cast<Revision>(since),
                                               .removals = true},
                                              listing->GetSnapshot()));
  return Begin(context, std::move(listing));
}

constexpr Arg kListFormatArgs[] = {{.name = "map", .type = "pure-token", .token = "MAP"},
                                   {.name = "lines", .type = "pure-token", .token = "LINES"}};
constexpr Arg kListArgsOfList[] = {
    {.name = "partition", .type = "key", .optional = true},
    {.name = "pattern", .type = "pattern", .token = "MATCH", .optional = true},
    {.name = "where", .type = "block", .token = "WHERE", .optional = true, .args = kWhereArgs},
    {.name = "fields", .type = "block", .token = "FIELDS", .optional = true, .args = kListArgs},
    {.name = "format",
     .type = "oneof",
     .token = "FORMAT",
     .optional = true,
     .args = kListFormatArgs}};
constexpr Arg kScanArgs[] = {
    {.name = "partition", .type = "key"},
    {.name = "cursor", .type = "integer"},
    {.name = "pattern", .type = "pattern", .token = "MATCH", .optional = true},
    {.name = "where", .type = "block", .token = "WHERE", .optional = true, .args = kWhereArgs},
    {.name = "count", .type = "integer", .token = "COUNT", .optional = true}};
constexpr Arg kChangesArgs[] = {
    {.name = "partition", .type = "key"},
    {.name = "revision", .type = "integer"},
    {.name = "fields", .type = "block", .token = "FIELDS", .optional = true, .args = kListArgs}};

constexpr std::array kCommands = {
    Row({.name = "kv.list",
         .arity = -1,
         .flags = kReadOnly,
         .keys = {.first = 1, .last = 1, .step = 1},
         .handler = KvList,
         .group = "kv",
         .since = "0.1.0",
         .complexity = "O(N) where N is the number of rows of the partition",
         .summary = "Returns the partitions, or the keys and tags of a partition's rows.",
         .args = kListArgsOfList}),
    Row({.name = "kv.scan",
         .arity = -3,
         .flags = kReadOnly,
         .keys = {.first = 1, .last = 1, .step = 1},
         .handler = KvScan,
         .group = "kv",
         .since = "0.1.0",
         .complexity = "O(COUNT)",
         .summary = "Iterates over the keys and tags of a partition's rows.",
         .args = kScanArgs}),
    Row({.name = "kv.changes",
         .arity = -3,
         .flags = kReadOnly,
         .keys = {.first = 1, .last = 1, .step = 1},
         .handler = KvChanges,
         .group = "kv",
         .since = "0.1.0",
         .complexity = "O(N) where N is the number of rows that changed",
         .summary = "Returns the rows written and the rows removed since a revision.",
         .args = kChangesArgs}),
};

}  // namespace

std::span<const Command> KvListCommands() {
  return kCommands;
}

}  // namespace sluice::server
