// KV.FIELDS and KV.SHOW: the contents of a partition and of a row.
#include <array>
#include <utility>
#include <vector>

#include <boost/container_hash/hash.hpp>
#include <boost/unordered/unordered_flat_set.hpp>
#include <fmt/format.h>

#include "server/arguments/arg_reader.h"
#include "server/commands/kv/field_reply.h"
#include "server/commands/kv/kv_args.h"
#include "server/commands/kv/row_steps.h"
#include "server/commands/rows/row_page.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/context.h"
#include "server/dispatch/piecewise.h"
#include "store/tensor/shape.h"

namespace sluice::server {
namespace {

using store::FieldSummary;
using store::ReadResult;

struct FieldsReply {
  std::vector<FieldSummary> fields;
  std::vector<RowShapes> shapes;  // by field, with SHAPES
};

// REQUIRES: all cells are ready.
RowShapes ShapesOf(std::span<const ReadResult::Cell> cells) {
  const std::size_t rank = cells.front().Shape().size();
  std::vector<std::int64_t> shapes;
  shapes.reserve(cells.size() * rank);
  for (const ReadResult::Cell& cell : cells) {
    const store::Dims shape = cell.Shape();
    if (shape.size() != rank) {
      return std::nullopt;
    }
    shapes.insert(shapes.end(), shape.begin(), shape.end());
  }
  return shapes;
}

// REQUIRES: all cells of the column are ready.
FieldSummary Summarize(const ReadResult::Column& column, std::span<const ReadResult::Cell> cells) {
  FieldSummary summary = {.name = column.name, .dtype = column.dtype, .dims = {}};
  boost::unordered_flat_set<std::pair<const store::Chunk*, std::uint32_t>> seen;
  store::CommonShape shape;
  for (const ReadResult::Cell& cell : cells) {
    shape.Add(cell.Shape());
    if (seen.emplace(cell.chunk, cell.slot).second) {
      summary.bytes += cell.Bytes().size();
    }
  }
  summary.ready_rows = static_cast<std::int64_t>(cells.size());
  summary.dims =
      store::IsByteString(column.dtype) ? std::vector<std::int64_t>{-1} : std::move(shape).Take();
  return summary;
}

Status FieldsOfRows(Context& context, std::string_view partition, RowChoice& choice,
                    bool with_shapes, FieldsReply& out) {
  ReadResult& read = context.scratch.read;
  TRY(ReadChosen(
      context, choice,
      {.partition = partition, .rows = {}, .fields = {}, .all_fields = true, .strict = true},
      read));
  context.turn.Leave();
  for (std::size_t c = 0; !read.indexes.empty() && c < read.columns.size(); ++c) {
    const std::span cells(read.CellsOf(c), read.indexes.size());
    out.fields.push_back(Summarize(read.columns[c], cells));
    if (with_shapes) {
      out.shapes.push_back(ShapesOf(cells));
    }
  }
  return {};
}

// KV.FIELDS partition [KEYS list | ROWS blob | WHERE ... [SHAPES]]
Status KvFields(Context& context, ArgReader& args) {
  const std::string_view partition = args.Name("partition");
  const bool has_rows = args.HasMore();
  RowChoice choice;
  if (has_rows) {
    choice = ReadRowChoice(context, args);
  }
  const bool with_shapes = has_rows && args.Option("SHAPES");
  TRY(args.Finish());

  FieldsReply out;
  if (has_rows) {
    TRY(FieldsOfRows(context, partition, choice, with_shapes, out));
  } else {
    TRY(context.server.store(context.turn.Enter()).Summarize(partition, out.fields));
    context.turn.Leave();
  }
  context.reply.Array(out.fields.size());
  const std::size_t count = out.fields.size();
  ReplyEach(
      count,
      [kept = std::move(out), with_shapes](resp::Reply& reply, std::size_t i) {
        ReplyField(kept.fields[i], with_shapes ? &kept.shapes[i] : nullptr, reply);
      },
      context.reply, context.rest);
  return {};
}

// KV.SHOW partition key [field]
Status KvShow(Context& context, ArgReader& args) {
  const std::string_view partition = args.Name("partition");
  const std::string_view key = args.Name("key");
  const bool one_field = args.HasMore();
  if (one_field) {
    context.scratch.fields.push_back(args.Name("field"));
  }
  TRY(args.Finish());

  engine::EngineLock& lock = context.turn.Enter();
  const store::RowSet rows = {
      .kind = store::RowSet::Kind::kKeys, .keys = std::span(&key, 1), .indexes = {}};
  ReadResult& read = context.scratch.read;
  TRY(context.server.store(lock).Read({.partition = partition,
                                       .rows = rows,
                                       .fields = context.scratch.fields,
                                       .all_fields = !one_field,
                                       .strict = true},
                                      read));
  std::vector<Text>& tags = context.scratch.texts;
  TRY(context.server.store(lock).Tags(partition, rows, tags));
  context.turn.Leave();  // statistics take long
  context.reply.Verbatim(
      RowPage({.partition = partition, .key = key, .tag = tags.front().View(), .whole = one_field},
              read, context.server.torch));
  return {};
}

constexpr Arg kFieldsArgs[] = {
    {.name = "partition", .type = "key"},
    {.name = "rows", .type = "oneof", .optional = true, .args = kRowChoiceArgs},
    {.name = "shapes", .type = "pure-token", .token = "SHAPES", .optional = true}};
constexpr Arg kShowArgs[] = {{.name = "partition", .type = "key"},
                             {.name = "row-key", .type = "string"},
                             {.name = "field", .type = "string", .optional = true}};

constexpr std::array kCommands = {
    Row({.name = "kv.fields",
         .arity = -2,
         .flags = kReadOnly,
         .keys = {.first = 1, .last = 1, .step = 1},
         .handler = KvFields,
         .group = "kv",
         .since = "0.1.0",
         .complexity = "O(N) where N is the number of fields, or of cells if rows are named",
         .summary = "Returns the fields of a partition or of rows: dtype, shape, ready rows and "
                    "bytes; SHAPES adds the shape of each row.",
         .args = kFieldsArgs}),
    Row({.name = "kv.show",
         .arity = -3,
         .flags = kReadOnly,
         .keys = {.first = 1, .last = 1, .step = 1},
         .handler = KvShow,
         .group = "kv",
         .since = "0.1.0",
         .complexity = "O(N) where N is the number of values",
         .summary = "Returns a human-readable page about one row.",
         .args = kShowArgs}),
};

}  // namespace

std::span<const Command> KvFieldsCommands() {
  return kCommands;
}

}  // namespace sluice::server
