// Byte strings as in Redis: those that are read, and written whole.
#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "server/arg_reader.h"
#include "server/command_table.h"
#include "server/commands/string_args.h"
#include "server/context.h"
#include "server/dismantling.h"

namespace sluice::server {
namespace {

using store::Code;
using store::SetIf;
using store::Status;
using store::StringValue;
using store::StringWrite;

Status SyntaxError() {
  return Status(Code::kError, "syntax error");
}

struct SetOptions {
  SetIf condition = SetIf::kAlways;
  bool get = false;
  bool keep_ttl = false;
  std::optional<Expiry> expiry;
};

bool ReadCondition(ArgReader& args, SetIf& condition) {
  if (condition != SetIf::kPresent && args.Option("NX")) {
    condition = SetIf::kMissing;
    return true;
  }
  if (condition != SetIf::kMissing && args.Option("XX")) {
    condition = SetIf::kPresent;
    return true;
  }
  return false;
}

SetOptions ReadSetOptions(ArgReader& args) {
  SetOptions options;
  while (args.HasMore()) {
    if (ReadCondition(args, options.condition)) {
      continue;
    }
    if (args.Option("GET")) {
      options.get = true;
    } else if (!options.expiry && args.Option("KEEPTTL")) {
      options.keep_ttl = true;
    } else if (options.keep_ttl || !ReadExpiry(args, options.expiry)) {
      args.Fail(SyntaxError());
    }
  }
  return options;
}

// False where `condition` says no. Enters the engine.
store::Result<bool> SetOne(Context& context, StringWrite write, SetIf condition = SetIf::kAlways) {
  context.turn.Enter();
  return context.server.store.SetStrings(std::span(&write, 1), condition);
}

// SET key value [NX | XX] [GET] [EX seconds | PX milliseconds | EXAT time | PXAT time | KEEPTTL]
Status Set(Context& context, ArgReader& args) {
  const std::string_view key = ReadNewKey(args);
  RequestArg value = args.Take("value");
  const SetOptions options = ReadSetOptions(args);
  TRY(args.Finish());
  StringWrite write = {.key = key, .value = ValueOf(std::move(value))};
  if (options.expiry) {
    TRY_ASSIGN(write.expires_ms, ExpiryMs(context, *options.expiry));
  } else if (options.keep_ttl) {
    write.expires_ms = StringWrite::kKeepExpiry;
  }

  context.turn.Enter();
  if (options.get) {  // the answer is written first: it may fail
    TRY_ASSIGN(const auto old, context.server.store.GetString(key));
    ReplyString(context, old);
  }
  TRY_ASSIGN(const bool done, SetOne(context, std::move(write), options.condition));
  if (!options.get) {
    if (done) {
      context.reply.Simple("OK");
    } else {
      context.reply.Null();
    }
  }
  return {};
}

// SETNX key value
Status SetNx(Context& context, ArgReader& args) {
  const std::string_view key = ReadNewKey(args);
  RequestArg value = args.Take("value");
  TRY(args.Finish());
  TRY_ASSIGN(const bool done,
             SetOne(context, {.key = key, .value = ValueOf(std::move(value))}, SetIf::kMissing));
  context.reply.Integer(done ? 1 : 0);
  return {};
}

Status SetWithExpiry(Context& context, ArgReader& args, Expiry expiry) {
  StringWrite write;
  write.key = ReadNewKey(args);
  expiry.text = args.Word("the time");
  RequestArg value = args.Take("value");
  TRY(args.Finish());
  TRY_ASSIGN(write.expires_ms, ExpiryMs(context, expiry));
  write.value = ValueOf(std::move(value));
  TRY(SetOne(context, std::move(write)).GetStatus());
  context.reply.Simple("OK");
  return {};
}

// SETEX key seconds value
Status SetEx(Context& context, ArgReader& args) {
  return SetWithExpiry(context, args, {.text = {}, .seconds = true});
}

// PSETEX key milliseconds value
Status PSetEx(Context& context, ArgReader& args) {
  return SetWithExpiry(context, args, {});
}

// GETSET key value
Status GetSet(Context& context, ArgReader& args) {
  const std::string_view key = ReadNewKey(args);
  RequestArg value = args.Take("value");
  TRY(args.Finish());
  StringWrite write = {.key = key, .value = ValueOf(std::move(value))};
  context.turn.Enter();
  TRY_ASSIGN(const auto old, ReadString(context, key));
  ReplyString(context, old);
  return SetOne(context, std::move(write)).GetStatus();
}

// GETDEL key
Status GetDel(Context& context, ArgReader& args) {
  const std::string_view key = args.Word("key");
  TRY(args.Finish());
  store::RemovedNames removed(context.server.memory);
  context.turn.Enter();
  TRY_ASSIGN(const auto old, ReadString(context, key));
  ReplyString(context, old);
  context.server.store.Remove(key, removed);
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
  store::Store& store = context.server.store;
  context.turn.Enter();
  TRY_ASSIGN(const auto value, ReadString(context, key));
  ReplyString(context, value);
  if (expiry && expires_ms <= store.NowMs()) {
    store.Remove(key, removed);
  } else if (expiry || (persist && store.ExpiryOf(key) != store::kNoExpiry)) {
    store.SetExpiry(key, expires_ms);
  }
  return {};
}

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
    ReplyString(context, value.ok() ? *value : std::nullopt);  // a partition is none
  }
  return {};
}

// `key value [key value ...]`, all of them or none. Enters the engine.
store::Result<bool> SetMany(Context& context, ArgReader& args, SetIf condition) {
  std::vector<StringWrite> writes;
  writes.reserve(args.Left() / 2);
  const bool odd = args.Left() % 2 != 0;
  while (!odd && args.HasMore()) {
    const std::string_view key = ReadNewKey(args);
    writes.push_back({.key = key, .value = ValueOf(args.Take("value"))});
  }
  if (odd) {
    return Status(Code::kError, fmt::format("wrong number of arguments for '{}' command",
                                            condition == SetIf::kMissing ? "msetnx" : "mset"));
  }
  TRY(args.Finish());
  context.turn.Enter();
  return context.server.store.SetStrings(writes, condition);
}

// MSET key value [key value ...]
Status MSet(Context& context, ArgReader& args) {
  TRY(SetMany(context, args, SetIf::kAlways).GetStatus());
  context.reply.Simple("OK");
  return {};
}

// MSETNX key value [key value ...]
Status MSetNx(Context& context, ArgReader& args) {
  TRY_ASSIGN(const bool done, SetMany(context, args, SetIf::kMissing));
  context.reply.Integer(done ? 1 : 0);
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

// GETRANGE key start end: both inclusive, from the end where negative.
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

constexpr Arg kKeyArgs[] = {{.name = "key", .type = "key"}};
constexpr Arg kKeysArgs[] = {{.name = "key", .type = "key", .multiple = true}};
constexpr Arg kKeyValueArgs[] = {{.name = "key", .type = "key"},
                                 {.name = "value", .type = "string"}};
constexpr Arg kPairsArgs[] = {
    {.name = "key-value", .type = "block", .multiple = true, .args = kKeyValueArgs}};
constexpr Arg kConditionArgs[] = {{.name = "nx", .type = "pure-token", .token = "NX"},
                                  {.name = "xx", .type = "pure-token", .token = "XX"}};
constexpr Arg kExpirationArgs[] = {
    {.name = "seconds", .type = "integer", .token = "EX"},
    {.name = "milliseconds", .type = "integer", .token = "PX"},
    {.name = "unix-time-seconds", .type = "unix-time", .token = "EXAT"},
    {.name = "unix-time-milliseconds", .type = "unix-time", .token = "PXAT"},
    {.name = "keepttl", .type = "pure-token", .token = "KEEPTTL"}};
constexpr Arg kSetArgs[] = {
    {.name = "key", .type = "key"},
    {.name = "value", .type = "string"},
    {.name = "condition", .type = "oneof", .optional = true, .args = kConditionArgs},
    {.name = "get", .type = "pure-token", .token = "GET", .optional = true},
    {.name = "expiration", .type = "oneof", .optional = true, .args = kExpirationArgs}};
constexpr Arg kGetExExpirationArgs[] = {
    kExpirationArgs[0],
    kExpirationArgs[1],
    kExpirationArgs[2],
    kExpirationArgs[3],
    {.name = "persist", .type = "pure-token", .token = "PERSIST"}};
constexpr Arg kGetExArgs[] = {
    {.name = "key", .type = "key"},
    {.name = "expiration", .type = "oneof", .optional = true, .args = kGetExExpirationArgs}};
constexpr Arg kSetExArgs[] = {{.name = "key", .type = "key"},
                              {.name = "seconds", .type = "integer"},
                              {.name = "value", .type = "string"}};
constexpr Arg kPSetExArgs[] = {{.name = "key", .type = "key"},
                               {.name = "milliseconds", .type = "integer"},
                               {.name = "value", .type = "string"}};
constexpr Arg kRangeArgs[] = {{.name = "key", .type = "key"},
                              {.name = "start", .type = "integer"},
                              {.name = "end", .type = "integer"}};

constexpr Command StringRow(Command row) {
  row.group = "string";
  row.since = "0.1.0";
  if (row.complexity.empty()) {
    row.complexity = "O(1)";
  }
  if (row.keys.step == 0) {
    row.keys = {.first = 1, .last = 1, .step = 1};
  }
  return row;
}

constexpr std::string_view kSendsBytes = "O(1), and O(N) to send the bytes";

constexpr std::array kCommands = {
    Row(StringRow({.name = "set",
                   .arity = -3,
                   .flags = kWrite | kDenyOom,
                   .handler = Set,
                   .summary = "Sets a byte string.",
                   .args = kSetArgs})),
    Row(StringRow({.name = "setnx",
                   .arity = 3,
                   .flags = kWrite | kDenyOom | kFast,
                   .handler = SetNx,
                   .summary = "Sets a byte string where the key does not exist.",
                   .args = kKeyValueArgs})),
    Row(StringRow({.name = "setex",
                   .arity = 4,
                   .flags = kWrite | kDenyOom,
                   .handler = SetEx,
                   .summary = "Sets a byte string that expires after some seconds.",
                   .args = kSetExArgs})),
    Row(StringRow({.name = "psetex",
                   .arity = 4,
                   .flags = kWrite | kDenyOom,
                   .handler = PSetEx,
                   .summary = "Sets a byte string that expires after some milliseconds.",
                   .args = kPSetExArgs})),
    Row(StringRow({.name = "getset",
                   .arity = 3,
                   .flags = kWrite | kDenyOom | kFast,
                   .handler = GetSet,
                   .summary = "Sets a byte string and returns the old one.",
                   .args = kKeyValueArgs})),
    Row(StringRow({.name = "getdel",
                   .arity = 2,
                   .flags = kWrite | kFast,
                   .handler = GetDel,
                   .complexity = kSendsBytes,
                   .summary = "Returns a byte string and removes it.",
                   .args = kKeyArgs})),
    Row(StringRow({.name = "getex",
                   .arity = -2,
                   .flags = kWrite | kFast,
                   .handler = GetEx,
                   .complexity = kSendsBytes,
                   .summary = "Returns a byte string and sets or drops its expiry.",
                   .args = kGetExArgs})),
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
    Row(StringRow({.name = "mset",
                   .arity = -3,
                   .flags = kWrite | kDenyOom,
                   .keys = {.first = 1, .last = -1, .step = 2},
                   .handler = MSet,
                   .complexity = "O(N) where N is the number of keys",
                   .summary = "Sets several byte strings, all of them or none.",
                   .args = kPairsArgs})),
    Row(StringRow({.name = "msetnx",
                   .arity = -3,
                   .flags = kWrite | kDenyOom,
                   .keys = {.first = 1, .last = -1, .step = 2},
                   .handler = MSetNx,
                   .complexity = "O(N) where N is the number of keys",
                   .summary = "Sets several byte strings where none of the keys exists.",
                   .args = kPairsArgs})),
    Row(StringRow({.name = "strlen",
                   .arity = 2,
                   .flags = kReadOnly | kFast,
                   .handler = StrLen,
                   .summary = "Returns the length of a byte string.",
                   .args = kKeyArgs})),
    Row(StringRow({.name = "getrange",
                   .arity = 4,
                   .flags = kReadOnly,
                   .handler = GetRange,
                   .complexity = kSendsBytes,
                   .summary = "Returns a part of a byte string.",
                   .args = kRangeArgs})),
};

}  // namespace

std::span<const Command> StringCommands() {
  return kCommands;
}

}  // namespace sluice::server
