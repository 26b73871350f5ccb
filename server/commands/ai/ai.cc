// AI.TENSORSET and AI.TENSORGET with the grammar, replies and error texts of RedisAI, for clients
// of RedisAI. A tensor is stored in field `value` of the row with its key in partition `ai`, where
// all other commands can access it. A STRING tensor is one byte string: its strings, each followed
// by a zero byte. Its shape is in the row's tag.
#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "resp/limits.h"
#include "server/arguments/arg_reader.h"
#include "server/commands/ai/ai_args.h"
#include "server/commands/kv/kv_args.h"
#include "server/commands/kv/kv_block.h"
#include "server/commands/mget/mget_data.h"
#include "server/commands/mget/mget_reply.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/context.h"
#include "store/tensor/dtype.h"
#include "store/tensor/shape.h"

namespace sluice::server {
namespace {

using store::DType;
using store::RowSet;

Status Error(std::string_view text) {
  return Status(Code::kError, std::string(text));
}

// AI.TENSORSET key type [dim ...] [BLOB bytes | VALUES value ...]
Status TensorSet(Context& context, ArgReader& args) {
  const std::string_view key = args.Name("key");
  TRY(args.ok() ? Status() : args.Finish());
  store::ColumnWrite& column = context.scratch.columns.emplace_back();
  TRY_ASSIGN(column.source, ReadTensor(context, args));
  column.retype = true;
  FinishColumn(context, args, column);
  TRY(args.Finish());

  TRY(WriteRows(context,
                {.partition = kAiPartition,
                 .rows = {.kind = RowSet::Kind::kKeys, .keys = std::span(&key, 1), .indexes = {}},
                 .tags = context.scratch.tags,
                 .columns = context.scratch.columns}));
  context.reply.Simple("OK");
  return {};
}

struct TensorFormat {
  bool meta = false;
  bool blob = false;
  bool values = false;
};

TensorFormat ReadFormat(ArgReader& args) {
  TensorFormat format;
  if (!args.HasMore()) {
    return {.meta = true, .blob = true};
  }
  if (args.Left() > 2) {
    args.Fail(Error("wrong number of arguments for 'AI.TENSORGET' command"));
  }
  while (args.HasMore()) {
    if (args.Option("META")) {
      format.meta = true;
    } else if (args.Option("BLOB")) {
      format.blob = true;
    } else if (args.Option("VALUES")) {
      format.values = true;
    } else {
      args.Fail(Error("unsupported data format"));
    }
  }
  if (format.blob && format.values) {
    args.Fail(Error("both BLOB and VALUES specified"));
  }
  return format;
}

void ReplyStrings(resp::Reply& reply, std::string_view bytes) {
  reply.Array(static_cast<std::size_t>(std::count(bytes.begin(), bytes.end(), '\0')));
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\0');
    reply.Bulk(bytes.substr(0, end));
    bytes.remove_prefix(end + 1);
  }
}

void ReplyShape(resp::Reply& reply, store::Dims dims) {
  reply.Array(dims.size());
  for (const std::int64_t dim : dims) {
    reply.Integer(dim);
  }
}

// The tag's shape, unless another command has written the value or the tag since.
std::vector<std::int64_t> ShapeOfStrings(std::string_view bytes, std::string_view tag) {
  const std::int64_t strings = std::count(bytes.begin(), bytes.end(), '\0');
  std::optional<std::int64_t> elements = 1;
  auto shape = StringShape(tag);
  for (const std::int64_t dim : shape.value_or(std::vector<std::int64_t>())) {
    elements = elements ? store::CheckedMul(*elements, dim) : elements;
  }
  return shape && elements == strings ? *std::move(shape) : std::vector<std::int64_t>{strings};
}

template <typename Element>
Element Load(const char* from) {
  Element element;
  std::memcpy(&element, from, sizeof(element));
  return element;
}

void ReplyElement(resp::Reply& reply, DType dtype, const char* element) {
  switch (dtype) {
    case DType::kFloat32:
      return reply.Double(static_cast<double>(Load<float>(element)));
    case DType::kFloat64:
      return reply.Double(Load<double>(element));
    case DType::kInt8:
      return reply.Integer(Load<std::int8_t>(element));
    case DType::kInt16:
      return reply.Integer(Load<std::int16_t>(element));
    case DType::kInt32:
      return reply.Integer(Load<std::int32_t>(element));
    case DType::kInt64:
      return reply.Integer(Load<std::int64_t>(element));
    default:
      return reply.Integer(Load<std::uint8_t>(element));
  }
}

Status CheckValues(const store::ReadResult::Cell& cell, DType dtype) {
  const std::string_view bytes = cell.Bytes();
  if (dtype == DType::kUtf8 && !bytes.empty() && !bytes.ends_with('\0')) {
    return Error("cannot get values for this data type");  // a string written by another command
  }
  return bytes.size() / store::SizeOf(dtype) <= kTextValuesMax
             ? Status()
             : Error("too many values for VALUES: use BLOB");
}

void ReplyData(resp::Reply& reply, store::ReadResult& read, const TensorFormat& format) {
  const DType dtype = read.columns[0].dtype;
  const std::string_view bytes = read.cells[0].Bytes();
  if (format.blob && bytes.size() < resp::kLargeBulkBytes) {
    reply.Bulk(bytes);
  } else if (format.blob) {
    reply.BeginPayload(bytes.size());
    reply.Reference(bytes);
    reply.EndPayload();
    HandOverPins(read, reply);
  } else if (dtype == DType::kUtf8) {
    ReplyStrings(reply, bytes);
  } else {
    const std::size_t size = store::SizeOf(dtype);
    reply.Array(bytes.size() / size);
    for (std::size_t at = 0; at < bytes.size(); at += size) {
      ReplyElement(reply, dtype, bytes.data() + at);
    }
  }
}

// AI.TENSORGET key [META] [BLOB | VALUES]
Status TensorGet(Context& context, ArgReader& args) {
  const std::string_view key = args.Name("key");
  const TensorFormat format = ReadFormat(args);
  TRY(args.Finish());

  store::ReadResult& read = context.scratch.read;
  const RowSet row = {.kind = RowSet::Kind::kKeys, .keys = std::span(&key, 1), .indexes = {}};
  std::vector<Text> tags;
  engine::EngineLock& lock = context.turn.Enter();
  Status status = context.server.store(lock).Read(
      {.partition = kAiPartition, .rows = row, .fields = std::span(&kAiField, 1)}, read);
  if (status.ok() && format.meta && read.columns[0].dtype == DType::kUtf8) {
    status = context.server.store(lock).Tags(kAiPartition, row, tags);
  }
  context.turn.Leave();
  if (!status.ok()) {
    return status.GetCode() == Code::kWrongType
               ? status
               : Error("tensor key is empty or in a different shard");
  }
  const DType dtype = read.columns[0].dtype;
  TRY(AiTypeName(dtype).empty() ? Error("unsupported dtype") : Status());
  TRY(format.values ? CheckValues(read.cells[0], dtype) : Status());
  const bool has_data = format.blob || format.values;
  resp::Reply& reply = context.reply;
  if (format.meta) {
    reply.Array(has_data ? 6 : 4);
    reply.Bulk("dtype");
    reply.Bulk(AiTypeName(dtype));
    reply.Bulk("shape");
    if (dtype == DType::kUtf8) {
      ReplyShape(reply, ShapeOfStrings(read.cells[0].Bytes(), tags.front().View()));
    } else {
      ReplyShape(reply, read.cells[0].Shape());
    }
    if (has_data) {
      reply.Bulk(format.blob ? "blob" : "values");
    }
  }
  if (has_data) {
    ReplyData(reply, read, format);
  }
  return {};
}

constexpr Arg kDataArgs[] = {
    {.name = "bytes", .type = "string", .token = "BLOB"},
    {.name = "value", .type = "string", .token = "VALUES", .multiple = true}};
constexpr Arg kSetArgs[] = {{.name = "key", .type = "key"},
                            {.name = "type", .type = "string"},
                            {.name = "dim", .type = "integer", .optional = true, .multiple = true},
                            {.name = "data", .type = "oneof", .optional = true, .args = kDataArgs}};
constexpr Arg kTensorFormatArgs[] = {{.name = "blob", .type = "pure-token", .token = "BLOB"},
                                     {.name = "values", .type = "pure-token", .token = "VALUES"}};
constexpr Arg kGetArgs[] = {
    {.name = "key", .type = "key"},
    {.name = "meta", .type = "pure-token", .token = "META", .optional = true},
    {.name = "format", .type = "oneof", .optional = true, .args = kTensorFormatArgs}};

constexpr std::array kCommands = {
    Row({.name = "ai.tensorset",
         .arity = -4,
         .flags = kWrite | kDenyOom,
         .keys = {.first = 1, .last = 1, .step = 1},
         .handler = TensorSet,
         .group = "ai",
         .since = "0.1.0",
         .complexity = "O(1); a payload of 16 KiB or more is not copied",
         .summary = "Stores a tensor, as RedisAI does.",
         .args = kSetArgs}),
    Row({.name = "ai.tensorget",
         .arity = -2,
         .flags = kReadOnly,
         .keys = {.first = 1, .last = 1, .step = 1},
         .handler = TensorGet,
         .group = "ai",
         .since = "0.1.0",
         .complexity = "O(1), and O(N) to send the bytes",
         .summary = "Returns a tensor, as RedisAI does.",
         .args = kGetArgs}),
};

}  // namespace

std::span<const Command> AiCommands() {
  return kCommands;
}

}  // namespace sluice::server
