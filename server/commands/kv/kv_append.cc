// KV.APPEND.
#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "resp/limits.h"
#include "server/arguments/arg_reader.h"
#include "server/commands/kv/kv_args.h"
#include "server/commands/kv/kv_block.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/context.h"
#include "server/dispatch/dispatch.h"
#include "store/partition/partition.h"
#include "store/tensor/shape.h"

namespace sluice::server {
namespace {

using store::Blob;
using store::ColumnSource;
using store::ColumnWrite;
using store::Dims;
using store::GrowingCell;
using store::RowSet;

struct Append {
  std::string_view partition;
  std::string_view key;
  Block block;
  bool more = false;
};

// Reads `<name> <dtype> [<dim> ...] BLOB <bytes>`, after FIELD: the data to append.
void ReadAdded(Context& context, ArgReader& args, ColumnSource& added) {
  added.field = args.Word("the field's name");
  if (args.ok()) {
    args.Fail(CheckName("field", added.field));
  }
  ReadFieldShape(context, args, added);
  if (args.ok() && !args.Option("BLOB")) {
    args.Fail(
        Status(Code::kError, fmt::format("syntax error: field '{}': expected BLOB", added.field)));
  }
  RequestArg blob = args.Take("the blob");
  added.bytes = blob.text;
  added.blob = std::move(blob.blob);
  if (store::IsByteString(added.dtype) && added.rank == 0) {
    std::vector<std::int64_t>& length = context.scratch.Ints();
    length.push_back(static_cast<std::int64_t>(added.bytes.size()));
    added.dims = length;
    added.rank = 1;
  }
  if (args.ok() && added.rank > 0) {
    args.Fail(store::CheckColumn(added));
  }
}

// Without dims, uses the dims of the cell; the first follows from the number of bytes.
// Errors: kShape.
Status InferDims(const GrowingCell& cell, const ColumnSource& added,
                 std::vector<std::int64_t>& dims) {
  if (!cell.chunk || cell.chunk->Rank() == 0) {
    return Status(Code::kShape,
                  fmt::format("field '{}': {}", added.field,
                              cell.chunk ? "a scalar can't grow"
                                         : "dims are required, since there is no cell yet"));
  }
  const Dims old = cell.chunk->DimsOf(cell.slot);
  dims.assign(old.begin(), old.end());
  dims[0] = 1;
  TRY_ASSIGN(const std::int64_t row, store::TensorBytes(added.field, added.dtype, dims));
  const auto bytes = static_cast<std::int64_t>(added.bytes.size());
  if (row == 0 || bytes % row != 0) {
    return Status(Code::kShape, fmt::format("field '{}': {} grows by multiples of {} bytes, got {}",
                                            added.field, store::ShapeText(old), row, bytes));
  }
  dims[0] = bytes / row;
  return {};
}

// Returns in `dims` the dims of `cell` grown by those of `added`. Errors: kShape.
Status GrownDims(const GrowingCell& cell, const ColumnSource& added,
                 std::vector<std::int64_t>& dims) {
  if (added.rank == 0) {
    TRY(InferDims(cell, added, dims));
  } else {
    dims.assign(added.dims.begin(), added.dims.end());
  }
  if (!cell.chunk) {
    return {};
  }
  const Dims old = cell.chunk->DimsOf(cell.slot);
  const bool alike = old.size() == dims.size() && !old.empty() &&
                     std::equal(old.begin() + 1, old.end(), dims.begin() + 1);
  const auto first = alike ? store::CheckedAdd(old[0], dims[0]) : std::nullopt;
  if (!first) {
    return Status(Code::kShape,
                  fmt::format("field '{}': {} can't grow by {}: rank and all dims except the first "
                              "must match",
                              added.field, store::ShapeText(old), store::ShapeText(dims)));
  }
  dims[0] = *first;
  return {};
}

// Where the grown value is stored: in place, if the blob of the old value has unclaimed space after
// that value; otherwise in a new blob of twice the size, after a copy of the old value.
struct Target {
  Blob blob;
  std::size_t offset = 0;     // of the value in the blob
  std::size_t old_bytes = 0;  // bytes of the old value to copy: all or 0
};

// Returns null if the blob does not have the space. REQUIRES: the engine lock is held.
Blob ClaimTail(const GrowingCell& cell, std::size_t bytes, Target& target) {
  Blob& blob = cell.chunk->GetBlob();
  const std::string_view old = cell.chunk->BytesOf(cell.slot);
  if (blob.IsNull()) {
    return {};
  }
  target.offset = static_cast<std::size_t>(old.data() - blob.data());
  return blob.ClaimTail(target.offset + old.size(), bytes) ? blob : Blob();
}

class Appender {
 public:
  Appender(Context& context, const Append& append, const ColumnSource& added)
      : context_(context), append_(append), added_(added) {}

  // Returns the new size of the first dim.
  Result<std::int64_t> Run() {
    for (;;) {
      TRY_ASSIGN(const GrowingCell cell, Find());
      TRY(GrownDims(cell, added_, dims_));
      TRY(CheckMemory(context_));
      const std::string_view old = OldBytes(cell);
      TRY(CheckLimits(old.size()));
      Target target;
      target.blob = cell.chunk ? ClaimTail(cell, added_.bytes.size(), target) : Blob();
      const bool in_place = !target.blob.IsNull();
      const bool large = added_.bytes.size() + (in_place ? 0 : old.size()) > resp::kLargeBulkBytes;
      if (large) {
        context_.turn.Leave();  // the copy takes long, and the cell may change in between
      }
      TRY(Fill(old, target));
      TRY_ASSIGN(store::ChunkRef grown, MakeChunk(old.size(), target));
      if (large) {
        TRY_ASSIGN(const GrowingCell now, Find());
        if (!(now == cell)) {
          continue;
        }
      }
      TRY(Put(std::move(grown)));
      return dims_[0];
    }
  }

 private:
  Result<GrowingCell> Find() const {
    return context_.server.store(context_.turn.Enter())
        .CellToGrow({.partition = append_.partition,
                     .key = append_.key,
                     .field = added_.field,
                     .dtype = added_.dtype});
  }

  // A write that exceeds a limit of its partition must not copy anything, however often it is
  // retried.
  Status CheckLimits(std::size_t old_bytes) const {
    store::Store& store = context_.server.store(context_.turn.Enter());
    TRY_ASSIGN(store::Partition* const partition, store.FindPartition(append_.partition));
    if (partition == nullptr) {
      return {};
    }
    const auto old_size = static_cast<std::int64_t>(old_bytes);
    const auto added = static_cast<std::int64_t>(added_.bytes.size());
    return partition->CheckGrowth({.key = append_.key,
                                   .field = added_.field,
                                   .dtype = added_.dtype,
                                   .dims = dims_,
                                   .old_bytes = old_size,
                                   .new_bytes = old_size + added},
                                  context_.scratch.write.wants);
  }

  static std::string_view OldBytes(const GrowingCell& cell) {
    return cell.chunk ? cell.chunk->BytesOf(cell.slot) : std::string_view();
  }

  Status Fill(std::string_view old, Target& target) const {
    if (target.blob.IsNull()) {
      const std::size_t needed = old.size() + added_.bytes.size();
      // The first piece gets no space beyond its page: most values come in one piece.
      const std::size_t capacity = store::Arena::RunBytes(old.empty() ? needed : 2 * needed);
      target.blob = context_.server.memory.Allocate(capacity);
      if (target.blob.IsNull()) {
        return store::OutOfMemory();
      }
      target.blob.SetClaimed(needed);
      target.offset = 0;
      Copy(target.blob.data(), old);
    }
    Copy(target.blob.data() + target.offset + old.size(), added_.bytes);
    return {};
  }

  static void Copy(char* to, std::string_view bytes) {
    if (!bytes.empty()) {
      std::memcpy(to, bytes.data(), bytes.size());
    }
  }

  Result<store::ChunkRef> MakeChunk(std::size_t old_bytes, const Target& target) const {
    return store::Chunk::Make(context_.server.memory, {.field = added_.field,
                                                       .dtype = added_.dtype,
                                                       .rank = dims_.size(),
                                                       .dims = dims_,
                                                       .bytes = {target.blob.data() + target.offset,
                                                                 old_bytes + added_.bytes.size()},
                                                       .blob = target.blob});
  }

  Status Put(store::ChunkRef grown) {
    ColumnWrite column;
    column.source = {.field = added_.field,
                     .dtype = added_.dtype,
                     .rank = dims_.size(),
                     .dims = dims_,
                     .bytes = {},
                     .blob = {}};
    column.chunk = std::move(grown);
    column.pending = append_.more;
    column.appended = &added_;
    return WriteRows(
        context_,
        {.partition = append_.partition,
         .rows = {.kind = RowSet::Kind::kKeys, .keys = std::span(&append_.key, 1), .indexes = {}},
         .tags = {},
         .columns = std::span(&column, 1)});
  }

  Context& context_;
  const Append& append_;
  const ColumnSource& added_;
  std::vector<std::int64_t> dims_;  // of the grown value
};

// KV.APPEND partition key [BLOCK ms] [MORE] FIELD name dtype [dim ...] BLOB bytes
Status KvAppend(Context& context, ArgReader& args) {
  Append append;
  append.partition = args.Name("partition");
  append.key = args.Name("key");
  ColumnSource added;
  bool has_field = false;
  while (args.HasMore()) {
    if (!has_field && args.Option("FIELD")) {
      has_field = true;
      ReadAdded(context, args, added);
    } else if (!append.more && args.Option("MORE")) {
      append.more = true;
    } else if (!ReadBlock(args, append.block)) {
      args.Unexpected();
    }
  }
  if (!has_field) {
    args.Fail(Status(Code::kError, "syntax error: expected FIELD"));
  }
  TRY(args.Finish());

  const auto size = Appender(context, append, added).Run();
  if (!size.ok()) {
    return OrWait(context, append.block, size.GetStatus());
  }
  context.reply.Integer(*size);
  return {};
}

constexpr Arg kAddedArgs[] = {
    {.name = "name", .type = "string"},
    {.name = "dtype", .type = "string"},
    {.name = "dim", .type = "integer", .optional = true, .multiple = true},
    {.name = "bytes", .type = "string", .token = "BLOB"}};
constexpr Arg kAppendArgs[] = {
    {.name = "partition", .type = "key"},
    {.name = "row-key", .type = "string"},
    {.name = "milliseconds", .type = "integer", .token = "BLOCK", .optional = true},
    {.name = "more", .type = "pure-token", .token = "MORE", .optional = true},
    {.name = "field", .type = "block", .token = "FIELD", .args = kAddedArgs}};

constexpr std::array kCommands = {
    Row({.name = "kv.append",
         .arity = -8,
         .flags = kWrite | kDenyOom | kBlocking,
         .keys = {.first = 1, .last = 1, .step = 1},
         .handler = KvAppend,
         .group = "kv",
         .since = "0.1.0",
         .complexity = "O(N) where N is the number of bytes appended, amortized",
         .summary = "Appends data to a cell along its first dim.",
         .args = kAppendArgs}),
};

}  // namespace

std::span<const Command> KvAppendCommands() {
  return kCommands;
}

}  // namespace sluice::server
