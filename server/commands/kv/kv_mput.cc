// KV.MPUT.
#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "server/arguments/arg_reader.h"
#include "server/commands/kv/kv_args.h"
#include "server/commands/kv/kv_block.h"
#include "server/commands/kv/kv_return.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/context.h"
#include "store/safetensors/safetensors.h"
#include "store/tags/tag.h"
#include "store/tensor/shape.h"

namespace sluice::server {
namespace {

using store::ColumnSource;
using store::ColumnWrite;
using store::RowSet;

// Returns m, the largest position plus 1. Fails unless each of 0..m-1 is used.
std::size_t CountDistinct(ArgReader& args, std::string_view field,
                          std::span<const std::int64_t> dict, std::vector<std::int64_t>& seen) {
  const auto rows = static_cast<std::int64_t>(dict.size());
  for (const std::int64_t slot : dict) {
    if (slot < 0 || slot >= rows) {
      args.Fail(Status(Code::kShape,
                       fmt::format("field '{}': DICT: {} is not in 0..{}", field, slot, rows - 1)));
      return 0;
    }
    if (static_cast<std::size_t>(slot) >= seen.size()) {
      seen.resize(static_cast<std::size_t>(slot) + 1);
    }
    seen[static_cast<std::size_t>(slot)] = 1;
  }
  for (std::size_t slot = 0; slot < seen.size(); ++slot) {
    if (seen[slot] == 0) {
      args.Fail(Status(Code::kShape, fmt::format("field '{}': DICT: {} is not used", field, slot)));
    }
  }
  return seen.size();
}

// Reads `[DICT <blob>] BLOB <bytes>` of a column for `rows` rows.
void ReadColumnPayload(Context& context, ArgReader& args, std::size_t rows, ColumnWrite& column) {
  ColumnSource& source = column.source;
  source.slots = rows;
  if (args.Option("DICT")) {
    std::vector<std::int64_t>& dict = context.scratch.Ints();
    args.PackedInts("DICT", dict);
    if (args.ok() && dict.size() != rows) {
      args.Fail(Status(Code::kShape, fmt::format("field '{}': DICT has {} positions, expected {}",
                                                 source.field, dict.size(), rows)));
    }
    if (args.ok()) {
      source.slots = CountDistinct(args, source.field, dict, context.scratch.Ints());
      column.dict = dict;
    }
  }
  if (args.ok() && !args.Option("BLOB")) {
    args.Fail(Status(
        Code::kError,
        fmt::format("syntax error: field '{}': expected BLOB{}", source.field,
                    args.HasMore() ? fmt::format(", got '{}'", Printable(args.Peek())) : "")));
  }
  RequestArg blob = args.Take("the blob");
  source.bytes = blob.text;
  source.blob = std::move(blob.blob);
}

// Reads the rank, after SHAPES.
std::size_t ReadRank(ArgReader& args, std::string_view field) {
  std::int64_t rank = 0;
  const std::string_view text = args.Word("the rank after SHAPES");
  if (args.ok() && (!ParseInteger(text, rank) || rank < 0)) {
    args.Fail(Status(Code::kError, fmt::format("field '{}': SHAPES: expected a rank from 0 to {}, "
                                               "got '{}'",
                                               field, store::kRankMax, Printable(text))));
  } else if (std::cmp_greater(rank, store::kRankMax)) {
    args.Fail(Status(Code::kShape, fmt::format("field '{}': rank {} is more than {}", field, rank,
                                               store::kRankMax)));
  }
  return args.ok() ? static_cast<std::size_t>(rank) : 0;
}

// Reads `<name> <dtype> [<dim> ...] | SHAPES <rank> <blob>, [DICT <blob>] BLOB <bytes>`, after
// COLUMN.
void ReadColumn(Context& context, ArgReader& args, std::size_t rows) {
  ColumnWrite column;
  ColumnSource& source = column.source;
  source.field = args.Word("the field's name");
  if (args.ok()) {
    args.Fail(CheckName("field", source.field));
  }
  ReadFieldShape(context, args, source);
  if (args.Option("SHAPES")) {
    if (source.rank != 0) {
      args.Fail(
          Status(Code::kError,
                 fmt::format("syntax error: field '{}': dims or SHAPES, not both", source.field)));
    }
    source.ragged = true;
    source.rank = ReadRank(args, source.field);
    std::vector<std::int64_t>& shapes = context.scratch.Ints();
    args.PackedInts("SHAPES", shapes);
    source.dims = shapes;
  }
  ReadColumnPayload(context, args, rows, column);
  if (args.ok() && source.ragged && source.dims.size() != source.slots * source.rank) {
    args.Fail(Status(Code::kShape,
                     fmt::format("field '{}': SHAPES of {} rows of rank {} need {} numbers, got {}",
                                 source.field, source.slots, source.rank,
                                 source.slots * source.rank, source.dims.size())));
  }
  FinishColumn(context, args, column);
  context.scratch.columns.push_back(std::move(column));
}

void ReadTags(Context& context, ArgReader& args, std::size_t rows) {
  Scratch& scratch = context.scratch;
  if (!scratch.tags.empty()) {
    args.Fail(Status(Code::kError, "syntax error: TAGS is given twice"));
  }
  args.List("TAGS", scratch.words);
  if (args.ok() && scratch.words.size() != rows) {
    args.Fail(Status(Code::kShape, fmt::format("TAGS: expected one tag for each of {} rows, got {}",
                                               rows, scratch.words.size())));
  }
  for (const std::string_view patch : scratch.words) {
    AddTag(context, args, patch);
  }
}

// Reads `<bytes>`, after SAFETENSORS. The columns refer to the bytes of the argument.
void ReadSafetensorsColumns(Context& context, ArgReader& args, std::size_t rows) {
  const RequestArg file = args.Take("the safetensors file");
  if (!args.ok()) {
    return;
  }
  auto read = store::ReadSafetensors(file.text, rows);
  if (!read.ok()) {
    args.Fail(read.GetStatus());
    return;
  }
  context.scratch.safetensors = *std::move(read);
  for (const store::SafetensorsColumn& from : context.scratch.safetensors) {
    ColumnWrite column;
    column.source = {.field = from.field,
                     .dtype = from.dtype,
                     .slots = rows,
                     .ragged = from.ragged,
                     .rank = from.rank,
                     .dims = from.dims,
                     .bytes = from.bytes,
                     .blob = file.blob};
    FinishColumn(context, args, column);
    context.scratch.columns.push_back(std::move(column));
  }
}

// Reads `KEYS <list> | ROWS <blob> | NEW <n>`.
RowSet ReadRowsToWrite(Context& context, ArgReader& args) {
  RowSet rows;
  if (args.Option("NEW")) {
    rows = {.kind = RowSet::Kind::kNew,
            .keys = {},
            .indexes = {},
            .count = args.Number("NEW", {.min = 1})};
  } else if (!ReadRows(context, args, rows)) {
    args.Fail(Status(Code::kError, "syntax error: expected KEYS, ROWS or NEW"));
  }
  if (rows.size() > static_cast<std::size_t>(store::kRowsPerWriteMax)) {
    args.Fail(Status(Code::kError, fmt::format("a write has at most {} rows, got {}",
                                               store::kRowsPerWriteMax, rows.size())));
  }
  RejectDuplicateRows(context, args, rows);
  return rows;
}

// For more rows and tags, as much work as possible is done without the engine lock.
constexpr std::size_t kStepRows = 1024;
constexpr std::size_t kTagsMergedUnderLock = 8;  // each tag may have 64 KiB
constexpr std::size_t kKeysAheadMax = std::size_t{1} << 17;

// Merges many tags without the engine lock, from copies of the rows' tags. Only tags that change in
// between are merged again under the lock. Errors: std::bad_alloc.
void MergeTagsAhead(Context& context, std::string_view partition, const RowSet& rows) {
  std::vector<store::TagWrite>& tags = context.scratch.tags;
  if (tags.size() <= kTagsMergedUnderLock || rows.kind == RowSet::Kind::kNew ||
      context.in_transaction) {
    return;
  }
  std::vector<Text> old;
  for (std::size_t begin = 0; begin < tags.size(); begin += kStepRows) {
    const std::size_t count = std::min(kStepRows, tags.size() - begin);
    old.clear();
    auto found = context.server.store(context.turn.Enter()).FindPartition(partition);
    if (!found.ok() || *found == nullptr ||
        !(*found)->Tags(rows.Part(begin, count), false, old).ok()) {
      context.turn.Leave();
      return;
    }
    context.turn.Leave();
    for (std::size_t i = 0; i < count; ++i) {
      store::TagWrite& tag = tags[begin + i];
      auto merged =
          old[i].IsNull() ? Result<Text>(Text()) : store::MergeTag(old[i].View(), tag.patch);
      if (merged.ok()) {  // otherwise the write returns the error
        tag.old = std::move(old[i]);
        tag.merged = *std::move(merged);
      }
    }
  }
}

// Makes the keys of many new rows without the engine lock, at most kKeysAheadMax, since the write
// may fail before it needs them. They are of use unless other commands insert rows in between.
// Errors: std::bad_alloc.
std::optional<store::NumberedKeys> MakeKeysAhead(Context& context, std::string_view partition,
                                                 const RowSet& rows) {
  if (rows.size() <= kStepRows || rows.kind != RowSet::Kind::kNew || context.in_transaction) {
    return std::nullopt;
  }
  auto found = context.server.store(context.turn.Enter()).FindPartition(partition);
  const RowIndex first = found.ok() && *found != nullptr ? (*found)->NextIndex() : 0;
  context.turn.Leave();
  return store::NumberedKeys(first, std::min(rows.size(), kKeysAheadMax));
}

// KV.MPUT partition KEYS list | ROWS blob | NEW n [BLOCK ms] [RETURN FIELDS | TAGS | BOTH |
// INCARNATION]
//         [TAGS list] [COLUMN ...] ... [SAFETENSORS bytes]
Status KvMput(Context& context, ArgReader& args) {
  Scratch& scratch = context.scratch;
  const std::string_view partition = args.Name("partition");
  const RowSet rows = ReadRowsToWrite(context, args);
  Block block;
  Return returned;
  bool has_file = false;
  while (args.HasMore()) {
    if (args.Option("COLUMN")) {
      ReadColumn(context, args, rows.size());
    } else if (args.Option("TAGS")) {
      ReadTags(context, args, rows.size());
    } else if (!has_file && args.Option("SAFETENSORS")) {
      has_file = true;
      ReadSafetensorsColumns(context, args, rows.size());
    } else if (!ReadBlock(args, block) && !ReadReturn(args, returned)) {
      args.Unexpected();
    }
  }
  RejectDuplicateFields(context, args);
  Status status = args.Finish();
  if (status.ok()) {
    store::WriteRequest write = {
        .partition = partition, .rows = rows, .tags = scratch.tags, .columns = scratch.columns};
    ReserveReply(returned, rows.size() * sizeof(RowIndex) + 64, context.reply, write);
    MergeTagsAhead(context, partition, rows);
    std::optional<store::NumberedKeys> keys = MakeKeysAhead(context, partition, rows);
    write.ahead = keys ? &*keys : nullptr;
    status = WriteRows(context, write);
  }
  if (!status.ok()) {
    return OrWait(context, block, std::move(status));
  }
  if (rows.size() > kStepRows) {
    context.turn.Leave();  // only the reply is left to do
  }
  BeginReturned(returned, context.reply);
  context.reply.Array(2);
  context.reply.Integer(scratch.write.new_rows);
  context.reply.Bulk(store::AsBytes(scratch.write.indexes));
  ReplyReturned(returned, scratch.write, context.reply);
  return {};
}

constexpr Arg kNewRowsArgs[] = {
    {.name = "numkeys-key", .type = "string", .token = "KEYS", .multiple = true},
    {.name = "indexes-of-incarnation", .type = "string", .token = "ROWS", .multiple = true},
    {.name = "count", .type = "integer", .token = "NEW"}};
constexpr Arg kColumnArgs[] = {
    {.name = "name", .type = "string"},
    {.name = "dtype", .type = "string"},
    {.name = "dim", .type = "integer", .optional = true, .multiple = true},
    {.name = "rank-and-shapes",
     .type = "string",
     .token = "SHAPES",
     .optional = true,
     .multiple = true},
    {.name = "dict", .type = "string", .token = "DICT", .optional = true},
    {.name = "bytes", .type = "string", .token = "BLOB"}};
constexpr Arg kMputArgs[] = {
    {.name = "partition", .type = "key"},
    {.name = "rows", .type = "oneof", .args = kNewRowsArgs},
    {.name = "milliseconds", .type = "integer", .token = "BLOCK", .optional = true},
    {.name = "return", .type = "oneof", .token = "RETURN", .optional = true, .args = kReturnArgs},
    {.name = "tags", .type = "block", .token = "TAGS", .optional = true, .args = kListArgs},
    {.name = "column",
     .type = "block",
     .token = "COLUMN",
     .optional = true,
     .multiple = true,
     .args = kColumnArgs},
    {.name = "file", .type = "string", .token = "SAFETENSORS", .optional = true}};
constexpr std::array kCommands = {
    Row({.name = "kv.mput",
         .arity = -4,
         .flags = kWrite | kDenyOom | kBlocking,
         .keys = {.first = 1, .last = 1, .step = 1},
         .handler = KvMput,
         .group = "kv",
         .since = "0.1.0",
         .complexity =
             "O(N) where N is the number of cells; payloads of 16 KiB and more are not copied",
         .summary = "Inserts or updates rows, column by column, in one atomic write.",
         .args = kMputArgs}),
};

}  // namespace

std::span<const Command> KvMputCommands() {
  return kCommands;
}

}  // namespace sluice::server
