// KV.MGET, KV.TAGS.
#include <array>

#include <fmt/format.h>

#include "server/arg_reader.h"
#include "server/command_table.h"
#include "server/commands/kv_args.h"
#include "server/context.h"
#include "server/mget_reply.h"
#include "store/torch/loader.h"

namespace sluice::server {
namespace {

using store::Code;
using store::RowSet;
using store::Status;

enum class Format : std::uint8_t { kColumns, kRows, kValues };

// Rows up to this many are rendered without letting go of the engine: small replies are quick.
constexpr std::size_t kCellsHeldMax = 64;

struct MgetOptions {
  Format format = Format::kColumns;
  bool some_fields = false;
  bool dict = false;
};

Format ReadFormat(ArgReader& args) {
  if (args.Option("COLUMNS")) {
    return Format::kColumns;
  }
  if (args.Option("ROWS")) {
    return Format::kRows;
  }
  if (args.Option("VALUES")) {
    return Format::kValues;
  }
  args.Fail(Status(Code::kError,
                   fmt::format("syntax error: FORMAT columns, rows or values is expected, not '{}'",
                               store::Printable(args.Peek()))));
  return Format::kColumns;
}

MgetOptions ReadMgetOptions(Context& context, ArgReader& args) {
  MgetOptions options;
  bool some_format = false;
  const auto once = [&args](bool& seen, std::string_view name) {
    if (seen) {
      args.Fail(Status(Code::kError, fmt::format("syntax error: {} is given twice", name)));
    }
    seen = true;
  };
  while (args.HasMore()) {
    if (args.Option("FIELDS")) {
      once(options.some_fields, "FIELDS");
      ReadFields(context, args);
    } else if (args.Option("FORMAT")) {
      once(some_format, "FORMAT");
      options.format = ReadFormat(args);
    } else if (args.Option("DICT")) {
      once(options.dict, "DICT");
    } else {
      args.Unexpected();
    }
  }
  if (options.dict && options.format != Format::kColumns) {
    args.Fail(Status(Code::kError, "syntax error: DICT goes with FORMAT columns only"));
  }
  return options;
}

// libtorch, where one of the columns needs it for its text.
store::Result<const SluiceTorchApi*> TorchForText(Context& context) {
  for (const store::ReadResult::Column& column : context.scratch.read.columns) {
    if (!store::IsSmallFloat(column.dtype)) {
      continue;
    }
    std::string why_not = "this server was built without it";
    store::TorchLoader* const loader = context.server.torch;
    const SluiceTorchApi* const torch = loader == nullptr ? nullptr : loader->Get(&why_not);
    if (torch == nullptr) {
      return Status(Code::kError,
                    fmt::format("field '{}': FORMAT values of {} needs libtorch: {}",
                                column.name.View(), store::NameOf(column.dtype), why_not));
    }
    return torch;
  }
  return static_cast<const SluiceTorchApi*>(nullptr);
}

// KV.MGET partition KEYS list | ROWS blob [FIELDS list] [FORMAT columns | rows | values] [DICT]
Status KvMget(Context& context, ArgReader& args) {
  const std::string_view partition = args.Name("partition");
  RowSet rows;
  if (!ReadRows(context, args, rows)) {
    args.Fail(Status(Code::kError, "syntax error: KEYS or ROWS is expected"));
  }
  const MgetOptions options = ReadMgetOptions(context, args);
  TRY(args.Finish());

  context.turn.Enter();
  store::ReadResult& read = context.scratch.read;
  TRY(context.server.store.Read({.partition = partition,
                                 .rows = rows,
                                 .fields = context.scratch.fields,
                                 .all_fields = !options.some_fields,
                                 .strict = options.format == Format::kColumns},
                                read));
  if (read.cells.size() > kCellsHeldMax || options.format == Format::kValues) {
    context.turn.Leave();
  }
  switch (options.format) {
    case Format::kColumns:
      return ReplyColumns(read, options.dict, context.reply);
    case Format::kRows:
      ReplyRows(read, context.reply);
      return {};
    case Format::kValues:
      break;
  }
  TRY_ASSIGN(const SluiceTorchApi* const torch, TorchForText(context));
  return ReplyValues(read, torch, context.reply);
}

// KV.TAGS partition KEYS list | ROWS blob
Status KvTags(Context& context, ArgReader& args) {
  const std::string_view partition = args.Name("partition");
  RowSet rows;
  if (!ReadRows(context, args, rows)) {
    args.Fail(Status(Code::kError, "syntax error: KEYS or ROWS is expected"));
  }
  TRY(args.Finish());

  context.turn.Enter();
  std::vector<store::Text>& tags = context.scratch.texts;
  TRY(context.server.store.Tags(partition, rows, tags));
  if (tags.size() > kCellsHeldMax) {
    context.turn.Leave();
  }
  context.reply.Array(tags.size());
  for (const store::Text& tag : tags) {
    if (tag.IsNull()) {
      context.reply.Null();
    } else {
      context.reply.Bulk(tag.View());
    }
  }
  return {};
}

constexpr Arg kFormatArgs[] = {{.name = "columns", .type = "pure-token", .token = "COLUMNS"},
                               {.name = "rows", .type = "pure-token", .token = "ROWS"},
                               {.name = "values", .type = "pure-token", .token = "VALUES"}};
constexpr Arg kMgetArgs[] = {
    {.name = "partition", .type = "key"},
    {.name = "rows", .type = "oneof", .args = kRowsArgs},
    {.name = "fields", .type = "block", .token = "FIELDS", .optional = true, .args = kListArgs},
    {.name = "format", .type = "oneof", .token = "FORMAT", .optional = true, .args = kFormatArgs},
    {.name = "dict", .type = "pure-token", .token = "DICT", .optional = true}};
constexpr Arg kTagsArgs[] = {{.name = "partition", .type = "key"},
                             {.name = "rows", .type = "oneof", .args = kRowsArgs}};

constexpr std::array kCommands = {
    Row({.name = "kv.mget",
         .arity = -4,
         .flags = kReadOnly,
         .keys = {.first = 1, .last = 1, .step = 1},
         .handler = KvMget,
         .group = "kv",
         .since = "0.1.0",
         .complexity =
             "O(N) where N is the number of cells; payloads of 16 KiB and more are not copied",
         .summary = "Returns fields of rows, as columns, row by row, or as text.",
         .args = kMgetArgs}),
    Row({.name = "kv.tags",
         .arity = -4,
         .flags = kReadOnly,
         .keys = {.first = 1, .last = 1, .step = 1},
         .handler = KvTags,
         .group = "kv",
         .since = "0.1.0",
         .complexity = "O(N) where N is the number of rows",
         .summary = "Returns the tags of rows.",
         .args = kTagsArgs}),
};

}  // namespace

std::span<const Command> KvReadCommands() {
  return kCommands;
}

}  // namespace sluice::server
