// KV.MGET, KV.TAGS.
#include <algorithm>
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

enum class Format : std::uint8_t { kColumns, kRows, kValues, kSafetensors };

struct FormatName {
  std::string_view name;
  Format format;
};
constexpr std::array<FormatName, 4> kFormats = {{{"COLUMNS", Format::kColumns},
                                                 {"ROWS", Format::kRows},
                                                 {"VALUES", Format::kValues},
                                                 {"SAFETENSORS", Format::kSafetensors}}};

// Rows up to this many are rendered without letting go of the engine: small replies are quick.
constexpr std::size_t kCellsHeldMax = 64;

struct Mget {
  bool some_fields = false;
  Format format = Format::kColumns;
  MgetOptions options;
};

Format ReadFormat(ArgReader& args) {
  for (const FormatName& row : kFormats) {
    if (args.Option(row.name)) {
      return row.format;
    }
  }
  args.Fail(Status(Code::kError, fmt::format("syntax error: FORMAT columns, rows, values or "
                                             "safetensors is expected, not '{}'",
                                             store::Printable(args.Peek()))));
  return Format::kColumns;
}

// `left | right <value>`, behind PAD.
void ReadPadding(ArgReader& args, Padding& padding) {
  padding.left = args.Option("LEFT");
  if (!padding.left && !args.Option("RIGHT")) {
    args.Fail(
        Status(Code::kError, fmt::format("syntax error: PAD left or right is expected, not '{}'",
                                         store::Printable(args.Peek()))));
  }
  padding.value = args.Word("the padding");
}

Mget ReadMget(Context& context, ArgReader& args) {
  Mget mget;
  bool some_format = false;
  const auto once = [&args](bool& seen, std::string_view name) {
    if (seen) {
      args.Fail(Status(Code::kError, fmt::format("syntax error: {} is given twice", name)));
    }
    seen = true;
  };
  while (args.HasMore()) {
    if (args.Option("FIELDS")) {
      once(mget.some_fields, "FIELDS");
      ReadFields(context, args);
    } else if (args.Option("FORMAT")) {
      once(some_format, "FORMAT");
      mget.format = ReadFormat(args);
    } else if (args.Option("PAD")) {
      once(mget.options.padding.given, "PAD");
      ReadPadding(args, mget.options.padding);
    } else if (args.Option("DICT")) {
      once(mget.options.dict, "DICT");
    } else {
      args.Unexpected();
    }
  }
  const bool columns = mget.format == Format::kColumns;
  if (mget.options.dict && !columns) {
    args.Fail(Status(Code::kError, "syntax error: DICT goes with FORMAT columns only"));
  }
  if (mget.options.padding.given && !columns && mget.format != Format::kSafetensors) {
    args.Fail(Status(Code::kError, "syntax error: PAD goes with FORMAT columns or safetensors"));
  }
  return mget;
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

// What a padded column may take: an argument that large could be sent back, and memory there is.
std::int64_t PaddedBytesMax(const Context& context) {
  const store::Budget& budget = context.server.memory.GetBudget();
  return std::clamp<std::int64_t>(budget.Limit() - budget.Used(), 0,
                                  context.server.config.proto_max_bulk_len);
}

// KV.MGET partition KEYS list | ROWS blob | WHERE ... [FIELDS list]
//         [FORMAT columns | rows | values | safetensors] [PAD left | right value] [DICT]
Status KvMget(Context& context, ArgReader& args) {
  const std::string_view partition = args.Name("partition");
  RowChoice choice = ReadRowChoice(context, args);
  Mget mget = ReadMget(context, args);
  TRY(args.Finish());

  TRY(ChooseRows(context, partition, choice));
  store::ReadResult& read = context.scratch.read;
  const bool strict = mget.format == Format::kColumns || mget.format == Format::kSafetensors;
  TRY(context.server.store.Read({.partition = partition,
                                 .rows = choice.rows,
                                 .fields = context.scratch.fields,
                                 .all_fields = !mget.some_fields,
                                 .strict = strict,
                                 .keys = mget.format == Format::kSafetensors},
                                read));
  const bool quick = read.cells.size() <= kCellsHeldMax && !mget.options.padding.given &&
                     (mget.format == Format::kColumns || mget.format == Format::kRows);
  if (!quick) {
    context.turn.Leave();
  }
  if (mget.options.padding.given) {
    mget.options.bytes_max = PaddedBytesMax(context);
    const auto torch = TorchForText(context);
    mget.options.torch = torch.ok() ? *torch : nullptr;
  }
  switch (mget.format) {
    case Format::kColumns:
      return ReplyColumns(read, mget.options, context.reply);
    case Format::kSafetensors:
      return ReplySafetensors(read, partition, mget.options, context.reply);
    case Format::kRows:
      ReplyRows(read, context.reply);
      return {};
    case Format::kValues:
      break;
  }
  TRY_ASSIGN(const SluiceTorchApi* const torch, TorchForText(context));
  return ReplyValues(read, torch, context.reply);
}

// KV.TAGS partition KEYS list | ROWS blob | WHERE ...
Status KvTags(Context& context, ArgReader& args) {
  const std::string_view partition = args.Name("partition");
  RowChoice choice = ReadRowChoice(context, args);
  TRY(args.Finish());

  TRY(ChooseRows(context, partition, choice));
  std::vector<store::Text>& tags = context.scratch.texts;
  TRY(context.server.store.Tags(partition, choice.rows, tags));
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

constexpr Arg kFormatArgs[] = {
    {.name = "columns", .type = "pure-token", .token = "COLUMNS"},
    {.name = "rows", .type = "pure-token", .token = "ROWS"},
    {.name = "values", .type = "pure-token", .token = "VALUES"},
    {.name = "safetensors", .type = "pure-token", .token = "SAFETENSORS"}};
constexpr Arg kPadArgs[] = {{.name = "left-or-right", .type = "string"},
                            {.name = "value", .type = "string"}};
constexpr Arg kMgetArgs[] = {
    {.name = "partition", .type = "key"},
    {.name = "rows", .type = "oneof", .args = kRowChoiceArgs},
    {.name = "fields", .type = "block", .token = "FIELDS", .optional = true, .args = kListArgs},
    {.name = "format", .type = "oneof", .token = "FORMAT", .optional = true, .args = kFormatArgs},
    {.name = "padding", .type = "block", .token = "PAD", .optional = true, .args = kPadArgs},
    {.name = "dict", .type = "pure-token", .token = "DICT", .optional = true}};
constexpr Arg kTagsArgs[] = {{.name = "partition", .type = "key"},
                             {.name = "rows", .type = "oneof", .args = kRowChoiceArgs}};

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
         .summary =
             "Returns fields of rows, as columns, row by row, as text, or as a safetensors file.",
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
