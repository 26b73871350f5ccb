// Commands that modify byte strings, as in Redis: APPEND, SETRANGE, INCR and related commands.
#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "resp/limits.h"
#include "server/arguments/arg_reader.h"
#include "server/commands/redis/string_args.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/context.h"

namespace sluice::server {
namespace {

using store::Blob;
using store::StringValue;

// Overwrites part of a string, or appends to it; a gap is filled with zeros. Small strings are
// copied. A large string is copied to a new blob without the engine lock, since replies may refer
// to the old blob; but appended bytes use the space that an earlier APPEND has reserved.
class Editor {
 public:
  Editor(Context& context, std::string_view key, std::string_view bytes)
      : context_(context), key_(key), bytes_(bytes) {}

  // Returns the new size. `offset` is nullopt to append. Errors: kWrongType, kError, kOom.
  Result<std::size_t> Run(std::optional<std::size_t> offset) {
    for (;;) {
      TRY_ASSIGN(const Value old, context_.server.store(context_.turn.Enter()).GetString(key_));
      const std::string_view bytes = old ? old->View() : std::string_view();
      const std::size_t at = offset.value_or(bytes.size());
      if (bytes_.empty() && offset) {
        return bytes.size();
      }
      const std::size_t size = std::max(bytes.size(), at + bytes_.size());
      TRY(CheckSize(size));
      TRY_ASSIGN(Value edited, Make(old, at, size));
      if (!edited) {
        continue;
      }
      edited->edited = offset || old;
      store::StringWrite write = {
          .key = key_, .value = *std::move(edited), .expires_ms = store::StringWrite::kKeepExpiry};
      engine::EngineLock& lock = context_.turn.Enter();
      TRY(context_.server.store(lock).SetStrings(std::span(&write, 1)).GetStatus());
      return size;
    }
  }

 private:
  using Value = std::optional<StringValue>;

  [[nodiscard]] Status CheckSize(std::size_t size) const {
    const std::int64_t most = context_.server.config.proto_max_bulk_len;
    return size <= static_cast<std::size_t>(most)
               ? Status()
               : Status(Code::kError, "string exceeds maximum allowed size (proto-max-bulk-len)");
  }

  // Returns nullopt if the string was changed in between.
  Result<Value> Make(const Value& old, std::size_t at, std::size_t size) {
    if (old && bytes_.empty()) {
      return old;
    }
    return size < resp::kLargeBulkBytes ? MakeSmall(old, at, size) : MakeLarge(old, at, size);
  }

  Result<Value> MakeSmall(const Value& old, std::size_t at, std::size_t size) {
    std::string& text = context_.scratch.Bytes();
    text.assign(old ? old->View() : std::string_view());
    text.resize(size);
    std::copy(bytes_.begin(), bytes_.end(), text.begin() + static_cast<std::ptrdiff_t>(at));
    StringValue edited;
    edited.text = Text(text);
    return Value(std::move(edited));
  }

  Result<Value> MakeLarge(const Value& old, std::size_t at, std::size_t size) {
    StringValue edited = ClaimTail(old, at, size);
    context_.turn.Leave();  // other commands run during the copy
    TRY(Fill(old ? old->View() : std::string_view(), at, size, edited));
    TRY_ASSIGN(const Value now, context_.server.store(context_.turn.Enter()).GetString(key_));
    const bool same = now.has_value() == old.has_value() && (!now || now->Same(*old));
    return same ? Value(std::move(edited)) : Value();
  }

  // Returns the old blob with the bytes after the old value claimed; null if that is not possible.
  static StringValue ClaimTail(const Value& old, std::size_t at, std::size_t size) {
    StringValue claimed;
    if (!old || old->blob.IsNull() || at != old->blob_bytes) {
      return claimed;
    }
    Blob blob = old->blob;
    if (blob.ClaimTail(at, size - at)) {
      claimed.blob = std::move(blob);
      claimed.blob_bytes = size;
    }
    return claimed;
  }

  Status Fill(std::string_view old, std::size_t at, std::size_t size, StringValue& edited) const {
    if (edited.blob.IsNull()) {
      // More bytes may follow an append: reserve space to double the size.
      const bool grows = at == old.size() && !old.empty();
      edited.blob =
          context_.server.memory.Allocate(store::Arena::RunBytes(grows ? 2 * size : size));
      if (edited.blob.IsNull()) {
        return store::OutOfMemory();
      }
      edited.blob.SetClaimed(size);
      edited.blob_bytes = size;
      std::copy(old.begin(), old.end(), edited.blob.data());
      std::fill(edited.blob.data() + old.size(), edited.blob.data() + std::max(at, old.size()),
                '\0');
    }
    std::copy(bytes_.begin(), bytes_.end(), edited.blob.data() + at);
    return {};
  }

  Context& context_;
  std::string_view key_;
  std::string_view bytes_;
};

// APPEND key value
Status Append(Context& context, ArgReader& args) {
  const std::string_view key = ReadNewKey(args);
  const RequestArg value = args.Take("value");
  TRY(args.Finish());
  TRY_ASSIGN(const std::size_t size, Editor(context, key, value.text).Run(std::nullopt));
  context.reply.Integer(static_cast<std::int64_t>(size));
  return {};
}

// SETRANGE key offset value
Status SetRange(Context& context, ArgReader& args) {
  const std::string_view key = ReadNewKey(args);
  const std::int64_t offset = args.Integer();
  const RequestArg value = args.Take("value");
  TRY(args.Finish());
  if (offset < 0) {
    return Status(Code::kError, "offset is out of range");
  }
  TRY_ASSIGN(const std::size_t size,
             Editor(context, key, value.text).Run(static_cast<std::size_t>(offset)));
  context.reply.Integer(static_cast<std::int64_t>(size));
  return {};
}

Status AddTo(Context& context, std::string_view key, std::int64_t difference) {
  using Limits = std::numeric_limits<std::int64_t>;
  engine::EngineLock& lock = context.turn.Enter();
  TRY_ASSIGN(const std::optional<StringValue> old, context.server.store(lock).GetString(key));
  std::int64_t number = 0;
  if (old && !ParseInteger(old->View(), number)) {
    return Status(Code::kError, "value is not an integer or out of range");
  }
  if (difference < 0 ? number < Limits::min() - difference : number > Limits::max() - difference) {
    return Status(Code::kError, "increment or decrement would overflow");
  }
  number += difference;
  std::array<char, 24> digits = {};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  store::StringWrite write = {
      .key = key, .value = {}, .expires_ms = store::StringWrite::kKeepExpiry};
  write.value.text = Text({digits.data(), static_cast<std::size_t>(end - digits.data())});
  TRY(context.server.store(lock).SetStrings(std::span(&write, 1)).GetStatus());
  context.reply.Integer(number);
  return {};
}

// INCR key
Status Incr(Context& context, ArgReader& args) {
  const std::string_view key = ReadNewKey(args);
  TRY(args.Finish());
  return AddTo(context, key, 1);
}

// DECR key
Status Decr(Context& context, ArgReader& args) {
  const std::string_view key = ReadNewKey(args);
  TRY(args.Finish());
  return AddTo(context, key, -1);
}

// INCRBY key increment
Status IncrBy(Context& context, ArgReader& args) {
  const std::string_view key = ReadNewKey(args);
  const std::int64_t increment = args.Integer();
  TRY(args.Finish());
  return AddTo(context, key, increment);
}

// DECRBY key decrement
Status DecrBy(Context& context, ArgReader& args) {
  const std::string_view key = ReadNewKey(args);
  const std::int64_t decrement = args.Integer();
  TRY(args.Finish());
  if (decrement == std::numeric_limits<std::int64_t>::min()) {
    return Status(Code::kError, "decrement would overflow");
  }
  return AddTo(context, key, -decrement);
}

constexpr Arg kSetRangeArgs[] = {{.name = "key", .type = "key"},
                                 {.name = "offset", .type = "integer"},
                                 {.name = "value", .type = "string"}};
constexpr Arg kIncrByArgs[] = {{.name = "key", .type = "key"},
                               {.name = "increment", .type = "integer"}};
constexpr Arg kDecrByArgs[] = {{.name = "key", .type = "key"},
                               {.name = "decrement", .type = "integer"}};

constexpr Command EditRow(Command row) {
  row.flags = kWrite | kDenyOom | (row.name == "setrange" ? 0U : kFast);
  return StringRow(row);
}

constexpr std::array kCommands = {
    Row(EditRow({.name = "append",
                 .arity = 3,
                 .key_flags = "RW insert",
                 .handler = Append,
                 .complexity = "O(N) where N is the number of bytes appended, amortized",
                 .summary = "Appends bytes to a byte string.",
                 .args = kKeyValueArgs})),
    Row(EditRow({.name = "setrange",
                 .arity = 4,
                 .handler = SetRange,
                 .complexity = "O(N) where N is the length of the byte string",
                 .summary = "Overwrites part of a byte string.",
                 .args = kSetRangeArgs})),
    Row(EditRow({.name = "incr",
                 .arity = 2,
                 .key_flags = "RW access update",
                 .handler = Incr,
                 .summary = "Increments a number by 1.",
                 .args = kKeyArgs})),
    Row(EditRow({.name = "decr",
                 .arity = 2,
                 .key_flags = "RW access update",
                 .handler = Decr,
                 .summary = "Decrements a number by 1.",
                 .args = kKeyArgs})),
    Row(EditRow({.name = "incrby",
                 .arity = 3,
                 .key_flags = "RW access update",
                 .handler = IncrBy,
                 .summary = "Increments a number by the given amount.",
                 .args = kIncrByArgs})),
    Row(EditRow({.name = "decrby",
                 .arity = 3,
                 .key_flags = "RW access update",
                 .handler = DecrBy,
                 .summary = "Decrements a number by the given amount.",
                 .args = kDecrByArgs})),
};

}  // namespace

std::span<const Command> StringEditCommands() {
  return kCommands;
}

}  // namespace sluice::server
