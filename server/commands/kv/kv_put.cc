// KV.PUT.
#include <array>
#include <utility>

#include <fmt/format.h>

#include "base/ascii.h"
#include "server/arguments/arg_reader.h"
#include "server/commands/kv/kv_args.h"
#include "server/commands/kv/kv_block.h"
#include "server/commands/kv/kv_return.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/context.h"
#include "store/tensor/shape.h"
#include "store/tensor/torch/loader.h"
#include "store/tensor/values.h"

namespace sluice::server {
namespace {

using store::ColumnSource;
using store::ColumnWrite;
using store::RowSet;

constexpr std::size_t kReplyBytesMax = 32;  // an integer reply

// Reads `<v> ...`, after VALUES: as many values as the dims require.
void ReadValues(Context& context, ArgReader& args, ColumnSource& source) {
  if (store::IsByteString(source.dtype)) {
    RequestArg value = args.Take("the value");
    source.bytes = value.text;
    source.blob = std::move(value.blob);
    return;
  }
  const auto bytes = store::TensorBytes(source.field, source.dtype, source.dims);
  if (!bytes.ok()) {
    args.Fail(bytes.GetStatus());
    return;
  }
  const std::size_t count = static_cast<std::size_t>(*bytes) / store::SizeOf(source.dtype);
  const SluiceTorchApi* torch = nullptr;
  if (store::IsSmallFloat(source.dtype)) {
    context.turn.Leave();  // loading libtorch takes long
    std::string why_not = "this server was built without it";
    torch = context.server.torch == nullptr ? nullptr : context.server.torch->Get(&why_not);
    if (torch == nullptr) {
      args.Fail(
          Status(Code::kError, fmt::format("field '{}': VALUES of {} needs libtorch: {}",
                                           source.field, store::NameOf(source.dtype), why_not)));
      return;
    }
  }
  if (count > args.Left()) {
    args.Fail(Status(Code::kError, fmt::format("field '{}': {} {} needs {} values, got {}",
                                               source.field, store::NameOf(source.dtype),
                                               store::ShapeText(source.dims), count, args.Left())));
    return;
  }
  std::vector<std::string_view>& texts = context.scratch.words;
  texts.clear();
  for (std::size_t i = 0; i < count; ++i) {
    texts.push_back(args.Word("value"));
  }
  std::string& parsed = context.scratch.Bytes();
  parsed.resize(static_cast<std::size_t>(*bytes));
  args.Fail(store::ParseValues(source.field, source.dtype, texts, torch, parsed.data()));
  source.bytes = parsed;
  const std::string_view next = args.Peek();
  if (args.HasMore() && !EqualsIgnoreCase(next, "FIELD") && !EqualsIgnoreCase(next, "TAG") &&
      !EqualsIgnoreCase(next, "BLOCK") && !EqualsIgnoreCase(next, "RETURN")) {
    args.Fail(Status(Code::kError,
                     fmt::format("syntax error: field '{}': unexpected '{}' after the values of {} "
                                 "{}",
                                 source.field, Printable(next), store::NameOf(source.dtype),
                                 store::ShapeText(source.dims))));
  }
}

// Reads `<name> <dtype> [<dim> ...] BLOB <bytes> | VALUES <v> ... | SAME <key>`, after FIELD.
void ReadField(Context& context, ArgReader& args) {
  ColumnWrite column;
  ColumnSource& source = column.source;
  source.field = args.Word("the field's name");
  if (args.ok()) {
    args.Fail(CheckName("field", source.field));
  }
  if (args.Option("SAME")) {
    column.same = true;
    column.same_key = args.Name("key");
    context.scratch.columns.push_back(std::move(column));
    return;
  }
  ReadFieldShape(context, args, source);
  if (args.Option("BLOB")) {
    RequestArg blob = args.Take("the blob");
    source.bytes = blob.text;
    source.blob = std::move(blob.blob);
  } else if (args.Option("VALUES")) {
    ReadValues(context, args, source);
  } else if (args.ok()) {
    args.Fail(Status(
        Code::kError,
        fmt::format("syntax error: field '{}': expected BLOB, VALUES or SAME{}", source.field,
                    args.HasMore() ? fmt::format(", got '{}'", Printable(args.Peek())) : "")));
  }
  if (store::IsByteString(source.dtype) &&
      source.rank == 0) {  // the shape of a byte string is its length
    std::vector<std::int64_t>& length = context.scratch.Ints();
    length.push_back(static_cast<std::int64_t>(source.bytes.size()));
    source.dims = length;
    source.rank = 1;
  }
  FinishColumn(context, args, column);
  context.scratch.columns.push_back(std::move(column));
}

// KV.PUT partition key [BLOCK ms] [RETURN FIELDS | TAGS | BOTH | INCARNATION] [TAG json]
//        [FIELD name dtype [dim ...] BLOB bytes | VALUES v ... | SAME key] ...
Status KvPut(Context& context, ArgReader& args) {
  Scratch& scratch = context.scratch;
  const std::string_view partition = args.Name("partition");
  const std::string_view key = args.Name("key");
  Block block;
  Return returned;
  while (args.HasMore()) {
    if (args.Option("FIELD")) {
      ReadField(context, args);
    } else if (args.Option("TAG")) {
      if (!scratch.tags.empty()) {
        args.Fail(Status(Code::kError, "syntax error: TAG is given twice"));
      }
      AddTag(context, args, args.Word("the tag"));
    } else if (!ReadBlock(args, block) && !ReadReturn(args, returned)) {
      args.Unexpected();
    }
  }
  if (scratch.tags.empty() && scratch.columns.empty()) {
    args.Fail(Status(Code::kError, "syntax error: expected TAG or FIELD"));
  }
  RejectDuplicateFields(context, args);
  Status status = args.Finish();
  if (status.ok()) {
    store::WriteRequest write = {
        .partition = partition,
        .rows = {.kind = RowSet::Kind::kKeys, .keys = std::span(&key, 1), .indexes = {}},
        .tags = scratch.tags,
        .columns = scratch.columns};
    if (returned.Given()) {  // otherwise the reply fits in the space for an error
      ReserveReply(returned, kReplyBytesMax, context.reply, write);
    }
    status = WriteRows(context, write);
  }
  if (!status.ok()) {
    return OrWait(context, block, std::move(status));
  }
  BeginReturned(returned, context.reply);
  context.reply.Integer(scratch.write.new_rows);
  ReplyReturned(returned, scratch.write, context.reply);
  return {};
}

constexpr Arg kFieldArgs[] = {
    {.name = "name", .type = "string"},
    {.name = "dtype", .type = "string"},
    {.name = "dim", .type = "integer", .optional = true, .multiple = true},
    {.name = "bytes", .type = "string", .token = "BLOB", .optional = true},
    {.name = "value", .type = "string", .token = "VALUES", .optional = true, .multiple = true},
    {.name = "same-key", .type = "string", .token = "SAME", .optional = true}};
constexpr Arg kPutArgs[] = {
    {.name = "partition", .type = "key"},
    {.name = "row-key", .type = "string"},
    {.name = "milliseconds", .type = "integer", .token = "BLOCK", .optional = true},
    {.name = "return", .type = "oneof", .token = "RETURN", .optional = true, .args = kReturnArgs},
    {.name = "tag", .type = "string", .token = "TAG", .optional = true},
    {.name = "field",
     .type = "block",
     .token = "FIELD",
     .optional = true,
     .multiple = true,
     .args = kFieldArgs}};

constexpr std::array kCommands = {
    Row({.name = "kv.put",
         .arity = -4,
         .flags = kWrite | kDenyOom | kBlocking,
         .keys = {.first = 1, .last = 1, .step = 1},
         .handler = KvPut,
         .group = "kv",
         .since = "0.1.0",
         .complexity =
             "O(N) where N is the number of fields; payloads of 16 KiB and more are not copied",
         .summary = "Inserts or updates one row.",
         .args = kPutArgs}),
};

}  // namespace

std::span<const Command> KvPutCommands() {
  return kCommands;
}

}  // namespace sluice::server
