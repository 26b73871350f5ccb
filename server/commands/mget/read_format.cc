#include "server/commands/mget/read_format.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "server/commands/mget/mget_reply.h"
#include "store/tensor/torch/loader.h"

namespace sluice::server {
namespace {

struct FormatName {
  std::string_view name;
  Format format;
};
constexpr std::array<FormatName, 4> kFormats = {{{"COLUMNS", Format::kColumns},
                                                 {"ROWS", Format::kRows},
                                                 {"VALUES", Format::kValues},
                                                 {"SAFETENSORS", Format::kSafetensors}}};

// Up to this many cells are rendered under the engine lock: small replies are quick.
constexpr std::size_t kCellsHeldMax = 64;

Format ReadFormatName(ArgReader& args) {
  for (const FormatName& row : kFormats) {
    if (args.Option(row.name)) {
      return row.format;
    }
  }
  args.Fail(Status(Code::kError, fmt::format("syntax error: expected FORMAT columns, rows, values "
                                             "or safetensors, got '{}'",
                                             Printable(args.Peek()))));
  return Format::kColumns;
}

// Reads `left | right <value>`, after PAD.
void ReadPadding(ArgReader& args, Padding& padding) {
  padding.left = args.Option("LEFT");
  if (!padding.left && !args.Option("RIGHT")) {
    args.Fail(Status(Code::kError, fmt::format("syntax error: expected PAD left or right, got '{}'",
                                               Printable(args.Peek()))));
  }
  padding.value = args.Word("the padding");
}

// Returns libtorch if a column needs it to convert between text and values.
Result<const SluiceTorchApi*> TorchForText(Context& context, const store::ReadResult& read) {
  for (const store::ReadResult::Column& column : read.columns) {
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

// Returns the maximum size of a padded column: a client could send an argument of that size back,
// and the memory budget has space for it.
std::int64_t PaddedBytesMax(const Context& context) {
  const store::Budget& budget = context.server.memory.GetBudget();
  return std::clamp<std::int64_t>(budget.Limit() - budget.Used(), 0,
                                  context.server.config.proto_max_bulk_len);
}

}  // namespace

void ReadOnce(ArgReader& args, bool& seen, std::string_view name) {
  if (seen) {
    args.Fail(Status(Code::kError, fmt::format("syntax error: {} is given twice", name)));
  }
  seen = true;
}

bool ReadFormatOption(ArgReader& args, ReadFormat& format) {
  if (args.Option("FORMAT")) {
    ReadOnce(args, format.has_format, "FORMAT");
    format.format = ReadFormatName(args);
  } else if (args.Option("PAD")) {
    ReadOnce(args, format.options.padding.given, "PAD");
    ReadPadding(args, format.options.padding);
  } else if (args.Option("DICT")) {
    ReadOnce(args, format.options.dict, "DICT");
  } else {
    return false;
  }
  return true;
}

void CheckFormat(ArgReader& args, const ReadFormat& format) {
  const bool columns = format.format == Format::kColumns;
  if (format.options.dict && !columns) {
    args.Fail(Status(Code::kError, "syntax error: DICT requires FORMAT columns"));
  }
  if (format.options.padding.given && !columns && format.format != Format::kSafetensors) {
    args.Fail(Status(Code::kError, "syntax error: PAD requires FORMAT columns or safetensors"));
  }
}

Status ReplyInFormat(Context& context, std::string_view partition, ReadFormat& format,
                     store::ReadResult& read) {
  const bool quick = read.cells.size() <= kCellsHeldMax && !format.options.padding.given &&
                     (format.format == Format::kColumns || format.format == Format::kRows);
  if (!quick) {
    context.turn.Leave();
  }
  if (format.options.padding.given) {
    format.options.bytes_max = PaddedBytesMax(context);
    const auto torch = TorchForText(context, read);
    format.options.torch = torch.ok() ? *torch : nullptr;
  }
  switch (format.format) {
    case Format::kColumns:
      return ReplyColumns(read, format.options, context.reply, context.rest);
    case Format::kSafetensors:
      return ReplySafetensors(read, partition, format.options, context.reply, context.rest);
    case Format::kRows:
      ReplyRows(read, context.reply, context.rest);
      return {};
    case Format::kValues:
      break;
  }
  TRY_ASSIGN(const SluiceTorchApi* const torch, TorchForText(context, read));
  return ReplyValues(read, torch, context.reply, context.rest);
}

}  // namespace sluice::server
