// Commands that set byte strings, as in Redis: SET and related commands.
#include <array>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "server/arguments/arg_reader.h"
#include "server/commands/redis/string_args.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/context.h"

namespace sluice::server {
namespace {

using store::SetIf;
using store::StringValue;
using store::StringWrite;

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

// Returns false if `condition` does not hold. Acquires the engine lock.
Result<bool> SetOne(Context& context, StringWrite write, SetIf condition = SetIf::kAlways) {
  engine::EngineLock& lock = context.turn.Enter();
  return context.server.store(lock).SetStrings(std::span(&write, 1), condition);
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

  engine::EngineLock& lock = context.turn.Enter();
  if (options.get) {  // the reply is written first: writing it may fail
    TRY_ASSIGN(const auto old, context.server.store(lock).GetString(key));
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

// Sets `key value [key value ...]`, all or none. Acquires the engine lock.
Result<bool> SetMany(Context& context, ArgReader& args, SetIf condition) {
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
  engine::EngineLock& lock = context.turn.Enter();
  return context.server.store(lock).SetStrings(writes, condition);
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

constexpr Arg kPairsArgs[] = {
    {.name = "key-value", .type = "block", .multiple = true, .args = kKeyValueArgs}};
constexpr Arg kConditionArgs[] = {{.name = "nx", .type = "pure-token", .token = "NX"},
                                  {.name = "xx", .type = "pure-token", .token = "XX"}};
constexpr Arg kExpirationArgs[] = {kExpiryArgs[0],
                                   kExpiryArgs[1],
                                   kExpiryArgs[2],
                                   kExpiryArgs[3],
                                   {.name = "keepttl", .type = "pure-token", .token = "KEEPTTL"}};
constexpr Arg kSetArgs[] = {
    {.name = "key", .type = "key"},
    {.name = "value", .type = "string"},
    {.name = "condition", .type = "oneof", .optional = true, .args = kConditionArgs},
    {.name = "get", .type = "pure-token", .token = "GET", .optional = true},
    {.name = "expiration", .type = "oneof", .optional = true, .args = kExpirationArgs}};
constexpr Arg kSetExArgs[] = {{.name = "key", .type = "key"},
                              {.name = "seconds", .type = "integer"},
                              {.name = "value", .type = "string"}};
constexpr Arg kPSetExArgs[] = {{.name = "key", .type = "key"},
                               {.name = "milliseconds", .type = "integer"},
                               {.name = "value", .type = "string"}};
constexpr std::array kCommands = {
    Row(StringRow({.name = "set",
                   .arity = -3,
                   .flags = kWrite | kDenyOom,
                   .key_flags = "OW update",
                   .key_flags_with_get = "RW access update",
                   .key_notes = "RW and ACCESS due to the optional `GET` argument",
                   .handler = Set,
                   .summary = "Sets a byte string.",
                   .args = kSetArgs})),
    Row(StringRow({.name = "setnx",
                   .arity = 3,
                   .flags = kWrite | kDenyOom | kFast,
                   .key_flags = "OW insert",
                   .handler = SetNx,
                   .summary = "Sets a byte string if the key does not exist.",
                   .args = kKeyValueArgs})),
    Row(StringRow({.name = "setex",
                   .arity = 4,
                   .flags = kWrite | kDenyOom,
                   .key_flags = "OW update",
                   .handler = SetEx,
                   .summary = "Sets a byte string and its time to live, in seconds.",
                   .args = kSetExArgs})),
    Row(StringRow({.name = "psetex",
                   .arity = 4,
                   .flags = kWrite | kDenyOom,
                   .key_flags = "OW update",
                   .handler = PSetEx,
                   .summary = "Sets a byte string and its time to live, in milliseconds.",
                   .args = kPSetExArgs})),
    Row(StringRow({.name = "getset",
                   .arity = 3,
                   .flags = kWrite | kDenyOom | kFast,
                   .key_flags = "RW access update",
                   .handler = GetSet,
                   .summary = "Sets a byte string and returns the old value.",
                   .args = kKeyValueArgs})),
    Row(StringRow({.name = "mset",
                   .arity = -3,
                   .flags = kWrite | kDenyOom,
                   .keys = {.first = 1, .last = -1, .step = 2},
                   .key_flags = "OW update",
                   .handler = MSet,
                   .complexity = "O(N) where N is the number of keys",
                   .summary = "Sets several byte strings, all of them or none.",
                   .args = kPairsArgs})),
    Row(StringRow({.name = "msetnx",
                   .arity = -3,
                   .flags = kWrite | kDenyOom,
                   .keys = {.first = 1, .last = -1, .step = 2},
                   .key_flags = "OW insert",
                   .handler = MSetNx,
                   .complexity = "O(N) where N is the number of keys",
                   .summary = "Sets several byte strings if none of the keys exists.",
                   .args = kPairsArgs})),
};

}  // namespace

std::span<const Command> StringSetCommands() {
  return kCommands;
}

}  // namespace sluice::server
