// Commands that return byte strings, as in Redis: GET and related commands.
#include <algorithm>
#include <array>
#include <optional>

#include "server/arguments/arg_reader.h"
#include "server/commands/redis/string_args.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/context.h"

namespace sluice::server {
namespace {

// GET key
Status Get(Context& context, ArgReader& args) {
  const std::string_view key = args.Word("key");
  TRY(args.Finish());
  context.turn.Enter();
  TRY_ASSIGN(const auto value, ReadString(context, key));
  ReplyString(context, value);
  return {};
}

// MGET key [key ...]
Status MGet(Context& context, ArgReader& args) {
  const auto keys = args.Remaining();
  context.turn.Enter();
  context.reply.Array(keys.size());
  for (const RequestArg& key : keys) {
    const auto value = ReadString(context, key.text);
    ReplyString(context, value.ok() ? *value : std::nullopt);  // null for a partition
  }
  return {};
}

// STRLEN key
Status StrLen(Context& context, ArgReader& args) {
  const std::string_view key = args.Word("key");
  TRY(args.Finish());
  context.turn.Enter();
  TRY_ASSIGN(const auto value, ReadString(context, key));
  context.reply.Integer(value ? static_cast<std::int64_t>(value->View().size()) : 0);
  return {};
}

// GETRANGE key start end: both are inclusive; negative numbers count from the end.
Status GetRange(Context& context, ArgReader& args) {
  const std::string_view key = args.Word("key");
  std::int64_t start = args.Integer();
  std::int64_t end = args.Integer();
  TRY(args.Finish());
  context.turn.Enter();
  TRY_ASSIGN(const auto value, ReadString(context, key));
  const auto size = value ? static_cast<std::int64_t>(value->View().size()) : 0;
  const bool inside_out = start < 0 && end < 0 && start > end;
  start = std::max<std::int64_t>(start < 0 ? start + size : start, 0);
  end = std::min(std::max<std::int64_t>(end < 0 ? end + size : end, 0), size - 1);
  if (inside_out || start > end) {
    context.reply.Bulk("");
  } else {
    ReplyString(context, *value, static_cast<std::size_t>(start),
                static_cast<std::size_t>(end - start + 1));
  }
  return {};
}

// GETDEL key
Status GetDel(Context& context, ArgReader& args) {
  const std::string_view key = args.Word("key");
  TRY(args.Finish());
  store::RemovedNames removed(context.server.memory);
  engine::EngineLock& lock = context.turn.Enter();
  TRY_ASSIGN(const auto old, ReadString(context, key));
  ReplyString(context, old);
  context.server.store(lock).Remove(key, removed);
  return {};
}

// GETEX key [EX seconds | PX milliseconds | EXAT time | PXAT time | PERSIST]
Status GetEx(Context& context, ArgReader& args) {
  const std::string_view key = args.Word("key");
  std::optional<Expiry> expiry;
  const bool persist = args.Option("PERSIST");
  if (args.HasMore() && (persist || !ReadExpiry(args, expiry))) {
    args.Fail(SyntaxError());
  }
  TRY(args.Finish());
  std::int64_t expires_ms = store::kNoExpiry;
  if (expiry) {
    TRY_ASSIGN(expires_ms, ExpiryMs(context, *expiry));
  }

  store::RemovedNames removed(context.server.memory);
  store::Store& store = context.server.store(context.turn.Enter());
  TRY_ASSIGN(const auto value, ReadString(context, key));
  ReplyString(context, value);
  if (expiry && expires_ms <= store.NowMs()) {
    store.Remove(key, removed);
  } else if (expiry || (persist && store.ExpiryOf(key) != store::kNoExpiry)) {
    store.SetExpiry(key, expires_ms);
  }
  return {};
}

constexpr Arg kKeysArgs[] = {{.name = "key", .type = "key", .multiple = true}};
constexpr Arg kGetExExpirationArgs[] = {
    kExpiryArgs[0],
    kExpiryArgs[1],
    kExpiryArgs[2],
    kExpiryArgs[3],
    {.name = "persist", .type = "pure-token", .token = "PERSIST"}};
constexpr Arg kGetExArgs[] = {
    {.name = "key", .type = "key"},
    {.name = "expiration", .type = "oneof", .optional = true, .args = kGetExExpirationArgs}};
constexpr Arg kRangeArgs[] = {{.name = "key", .type = "key"},
                              {.name = "start", .type = "integer"},
                              {.name = "end", .type = "integer"}};

constexpr std::string_view kSendsBytes = "O(1), and O(N) to send the bytes";

constexpr std::array kCommands = {
    Row(StringRow({.name = "get",
                   .arity = 2,
                   .flags = kReadOnly | kFast,
                   .handler = Get,
                   .complexity = kSendsBytes,
                   .summary = "Returns a byte string.",
                   .args = kKeyArgs})),
    Row(StringRow({.name = "mget",
                   .arity = -2,
                   .flags = kReadOnly | kFast,
                   .keys = {.first = 1, .last = -1, .step = 1},
                   .handler = MGet,
                   .complexity = "O(N) where N is the number of keys",
                   .summary = "Returns several byte strings.",
                   .args = kKeysArgs})),
    Row(StringRow({.name = "strlen",
                   .arity = 2,
                   .flags = kReadOnly | kFast,
                   .key_flags = "RO",
                   .handler = StrLen,
                   .summary = "Returns the length of a byte string.",
                   .args = kKeyArgs})),
    Row(StringRow({.name = "getrange",
                   .arity = 4,
                   .flags = kReadOnly,
                   .handler = GetRange,
                   .complexity = kSendsBytes,
                   .summary = "Returns part of a byte string.",
                   .args = kRangeArgs})),
    Row(StringRow({.name = "getdel",
                   .arity = 2,
                   .flags = kWrite | kFast,
                   .key_flags = "RW access delete",
                   .handler = GetDel,
                   .complexity = kSendsBytes,
                   .summary = "Returns a byte string and removes it.",
                   .args = kKeyArgs})),
    Row(StringRow({.name = "getex",
                   .arity = -2,
                   .flags = kWrite | kFast,
                   .key_flags = "RW access update",
                   .key_notes = "RW and UPDATE because it changes the TTL",
                   .handler = GetEx,
                   .complexity = kSendsBytes,
                   .summary = "Returns a byte string and sets or removes its expiry.",
                   .args = kGetExArgs})),
};

}  // namespace

std::span<const Command> StringGetCommands() {
  return kCommands;
}

}  // namespace sluice::server
