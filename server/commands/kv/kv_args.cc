#include "server/commands/kv/kv_args.h"

#include <algorithm>
#include <utility>

#include <boost/unordered/unordered_flat_set.hpp>
#include <fmt/format.h>

#include "base/hash.h"
#include "server/commands/rows/row_selection.h"
#include "store/tags/tag.h"
#include "store/tensor/chunk.h"
#include "store/tensor/shape.h"

namespace sluice::server {
namespace {

constexpr std::int64_t kConditionsMax = 64;

using store::ColumnSource;
using store::ColumnWrite;
using store::RowSet;

// Up to this many items, comparing all pairs is fastest, and it does not allocate.
constexpr std::size_t kQuadraticMax = 16;

// Clients choose the items: without a seed they could choose items that collide.
struct SeededHash {
  using is_avalanching = void;
  std::uint64_t seed = 0;
  std::size_t operator()(std::string_view item) const { return HashBytes(item, seed); }
  std::size_t operator()(const RowIndex& item) const {
    return HashBytes(store::AsBytes(std::span(&item, 1)), seed);
  }
};

// Returns the first item that occurs twice, or null.
template <typename Item>
const Item* FirstDuplicate(std::span<const Item> items, std::uint64_t seed) {
  if (items.size() <= kQuadraticMax) {
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (std::find(items.begin(), items.begin() + static_cast<std::ptrdiff_t>(i), items[i]) !=
          items.begin() + static_cast<std::ptrdiff_t>(i)) {
        return &items[i];
      }
    }
    return nullptr;
  }
  boost::unordered_flat_set<Item, SeededHash> seen(items.size(), SeededHash{seed});
  for (const Item& item : items) {
    if (!seen.insert(item).second) {
      return &item;
    }
  }
  return nullptr;
}

bool IsDigits(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

bool ReadRows(Context& context, ArgReader& args, RowSet& rows) {
  Scratch& scratch = context.scratch;
  if (args.Option("KEYS")) {
    args.List("KEYS", scratch.keys);
    for (const std::string_view key : scratch.keys) {
      if (args.ok()) {
        args.Fail(CheckName("key", key));
      }
    }
    rows = {.kind = RowSet::Kind::kKeys, .keys = scratch.keys, .indexes = {}};
    return true;
  }
  if (args.Option("ROWS")) {
    args.PackedInts("ROWS", scratch.indexes);
    rows = {.kind = RowSet::Kind::kIndexes, .keys = {}, .indexes = scratch.indexes};
    if (args.Option("OF")) {
      rows.incarnation = args.Number("OF", {.min = 1});
    }
    return true;
  }
  return false;
}

std::optional<store::Where> ReadWhere(ArgReader& args) {
  // With a blocked fetch, every write checks the conditions.
  const std::int64_t count = args.Number("WHERE", {.min = 1, .max = kConditionsMax});
  if (args.ok() && static_cast<std::size_t>(count) > args.Left() / 3) {
    args.Fail(Status(Code::kError,
                     fmt::format("syntax error: WHERE: expected {} conditions of tag, op and "
                                 "value, got {} arguments",
                                 count, args.Left())));
  }
  std::vector<store::Where::Condition> conditions;
  for (std::int64_t i = 0; args.ok() && i < count; ++i) {
    store::Where::Condition& condition = conditions.emplace_back();
    condition.tag = args.Word("the tag's name");
    condition.op = args.Word("the operator");
    condition.value = args.Word("the value");
  }
  if (!args.ok()) {
    return std::nullopt;
  }
  auto where = store::Where::Make(conditions);
  if (!where.ok()) {
    args.Fail(where.GetStatus());
    return std::nullopt;
  }
  return *std::move(where);
}

RowChoice ReadRowChoice(Context& context, ArgReader& args) {
  RowChoice choice;
  if (args.Option("WHERE")) {
    choice.where = ReadWhere(args);
  } else if (!ReadRows(context, args, choice.rows)) {
    args.Fail(Status(Code::kError, "syntax error: expected KEYS, ROWS or WHERE"));
  }
  return choice;
}

Status ChooseRows(Context& context, std::string_view partition, RowChoice& choice) {
  if (!choice.where) {
    context.turn.Enter();
    return {};
  }
  std::vector<RowIndex>& indexes = context.scratch.indexes;
  TRY(SelectRows(context, partition, *choice.where, indexes));
  choice.rows = {.kind = RowSet::Kind::kIndexes, .keys = {}, .indexes = indexes};
  return {};
}

void ReadFields(Context& context, ArgReader& args) {
  args.List("FIELDS", context.scratch.fields);
  for (const std::string_view field : context.scratch.fields) {
    if (args.ok()) {
      args.Fail(CheckName("field", field));
    }
  }
}

void RejectDuplicateRows(Context& context, ArgReader& args, const RowSet& rows) {
  if (!args.ok()) {
    return;
  }
  if (const std::string_view* const key = FirstDuplicate(rows.keys, context.server.seed)) {
    args.Fail(Status(Code::kError, fmt::format("key '{}' is named twice", *key)));
  }
  if (const RowIndex* const index = FirstDuplicate(rows.indexes, context.server.seed)) {
    args.Fail(Status(Code::kError, fmt::format("index {} is named twice", *index)));
  }
}

void RejectDuplicateFields(Context& context, ArgReader& args) {
  std::vector<std::string_view>& names = context.scratch.words;
  names.clear();
  for (const ColumnWrite& column : context.scratch.columns) {
    names.push_back(column.source.field);
  }
  if (const std::string_view* const name =
          FirstDuplicate(std::span<const std::string_view>(names), context.server.seed)) {
    args.Fail(Status(Code::kError, fmt::format("field '{}' is named twice", *name)));
  }
}

void ReadFieldShape(Context& context, ArgReader& args, ColumnSource& source) {
  const std::string_view dtype_name = args.Word("the dtype");
  if (!args.ok()) {
    return;
  }
  const auto dtype = store::ParseDType(dtype_name);
  if (!dtype.ok()) {
    args.Fail(Status(Code::kDType,
                     fmt::format("field '{}': {}", source.field, dtype.GetStatus().Message())));
    return;
  }
  source.dtype = *dtype;
  std::vector<std::int64_t>& dims = context.scratch.Ints();
  std::int64_t dim = 0;
  while (args.HasMore() && ParseInteger(args.Peek(), dim)) {
    dims.push_back(dim);
    static_cast<void>(args.Word("dim"));
  }
  if (IsDigits(args.Peek())) {
    args.Fail(Status(Code::kShape, fmt::format("field '{}': dim {} is too large", source.field,
                                               Printable(args.Peek()))));
  }
  source.dims = dims;
  source.rank = dims.size();
}

void FinishColumn(Context& context, ArgReader& args, ColumnWrite& column) {
  if (!args.ok()) {
    return;
  }
  args.Fail(store::CheckColumn(column.source));
  if (args.ok() && column.source.bytes.size() >= store::kSmallBytes) {
    auto chunk = store::Chunk::Make(context.server.memory, column.source);
    if (chunk.ok()) {
      column.chunk = *std::move(chunk);
    } else {
      args.Fail(chunk.GetStatus());
    }
  }
}

void AddTag(Context& context, ArgReader& args, std::string_view patch) {
  if (!args.ok()) {
    return;
  }
  auto fresh = store::FreshTag(patch);
  if (fresh.ok()) {
    context.scratch.tags.push_back({.patch = patch, .fresh = *std::move(fresh)});
  } else {
    args.Fail(fresh.GetStatus());
  }
}

}  // namespace sluice::server
