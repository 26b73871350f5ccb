// The expiry of partitions and strings: EXPIRE and related commands.
#include <array>
#include <memory>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "base/ids.h"
#include "server/arguments/arg_reader.h"
#include "server/commands/redis/string_args.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/context.h"
#include "server/dispatch/destruction_reply.h"

namespace sluice::server {
namespace {

using store::kNoExpiry;

struct ExpireOptions {
  bool nx = false;  // only if the name has no expiry
  bool xx = false;  // only if the name has an expiry
  bool gt = false;  // only if the new expiry is later; no expiry counts as the latest
  bool lt = false;  // only if the new expiry is earlier

  // Returns whether `expires_ms` may replace `old`.
  [[nodiscard]] bool Allow(std::int64_t old, std::int64_t expires_ms) const {
    return !(nx && old != kNoExpiry) && !(xx && old == kNoExpiry) && !(gt && expires_ms <= old) &&
           !(lt && expires_ms >= old);
  }
};

ExpireOptions ReadExpireOptions(ArgReader& args) {
  ExpireOptions options;
  while (args.HasMore()) {
    if (args.Option("NX")) {
      options.nx = true;
    } else if (args.Option("XX")) {
      options.xx = true;
    } else if (args.Option("GT")) {
      options.gt = true;
    } else if (args.Option("LT")) {
      options.lt = true;
    } else {
      args.Fail(Status(Code::kError, fmt::format("Unsupported option {}", Printable(args.Peek()))));
    }
  }
  if (options.nx && (options.xx || options.gt || options.lt)) {
    args.Fail(
        Status(Code::kError, "NX and XX, GT or LT options at the same time are not compatible"));
  } else if (options.gt && options.lt) {
    args.Fail(Status(Code::kError, "GT and LT options at the same time are not compatible"));
  }
  return options;
}

// The expiry is in the past: removes the name, as DEL does.
Status RemoveNow(Context& context, std::string_view key) {
  auto removed = std::make_unique<store::RemovedNames>(context.server.memory);
  context.server.store(context.turn.Enter()).Remove(key, *removed);
  context.turn.Leave();
  ReplyAfterDestruction(context, std::move(removed), [](resp::Reply& reply) { reply.Integer(1); });
  return {};
}

// EXPIRE, PEXPIRE, EXPIREAT, PEXPIREAT key time [NX | XX] [GT | LT]
Status SetExpiry(Context& context, ArgReader& args, Expiry expiry) {
  constexpr std::int64_t kAnyTime = std::numeric_limits<std::int64_t>::min();
  const std::string_view key = args.Word("key");
  expiry.text = args.Word("the time");
  const ExpireOptions options = ReadExpireOptions(args);
  TRY(args.Finish());
  TRY_ASSIGN(const std::int64_t expires_ms, ExpiryMs(context, expiry, kAnyTime));

  store::Store& store = context.server.store(context.turn.Enter());
  const std::optional<std::int64_t> old = store.ExpiryOf(key);
  if (!old || !options.Allow(*old, expires_ms)) {
    context.reply.Integer(0);
    return {};
  }
  if (expires_ms <= store.NowMs()) {
    return RemoveNow(context, key);
  }
  store.SetExpiry(key, expires_ms);
  context.reply.Integer(1);
  return {};
}

Status Expire(Context& context, ArgReader& args) {
  return SetExpiry(context, args, {.text = {}, .seconds = true});
}

Status PExpire(Context& context, ArgReader& args) {
  return SetExpiry(context, args, {});
}

Status ExpireAt(Context& context, ArgReader& args) {
  return SetExpiry(context, args, {.text = {}, .seconds = true, .absolute = true});
}

Status PExpireAt(Context& context, ArgReader& args) {
  return SetExpiry(context, args, {.text = {}, .absolute = true});
}

// PERSIST key
Status Persist(Context& context, ArgReader& args) {
  const std::string_view key = args.Word("key");
  TRY(args.Finish());
  engine::EngineLock& lock = context.turn.Enter();
  const std::optional<std::int64_t> old = context.server.store(lock).ExpiryOf(key);
  const bool expires = old && *old != kNoExpiry;
  if (expires) {
    context.server.store(lock).SetExpiry(key, kNoExpiry);
  }
  context.reply.Integer(expires ? 1 : 0);
  return {};
}

// TTL, PTTL, EXPIRETIME, PEXPIRETIME key: -1 if the name has no expiry, -2 if it does not exist.
Status GetExpiry(Context& context, ArgReader& args, Expiry form) {
  constexpr std::int64_t kSecondMs = 1000;
  const std::string_view key = args.Word("key");
  TRY(args.Finish());
  store::Store& store = context.server.store(context.turn.Enter());
  const std::optional<std::int64_t> expires_ms = store.ExpiryOf(key);
  if (!expires_ms || *expires_ms == kNoExpiry) {
    context.reply.Integer(expires_ms ? -1 : -2);
    return {};
  }
  const std::int64_t now_ms = form.absolute ? 0 : store.NowMs();
  const std::int64_t ms = std::max<std::int64_t>(*expires_ms - now_ms, 0);
  context.reply.Integer(form.seconds ? ms / kSecondMs + (ms % kSecondMs >= kSecondMs / 2 ? 1 : 0)
                                     : ms);
  return {};
}

Status Ttl(Context& context, ArgReader& args) {
  return GetExpiry(context, args, {.text = {}, .seconds = true});
}

Status PTtl(Context& context, ArgReader& args) {
  return GetExpiry(context, args, {});
}

Status ExpireTime(Context& context, ArgReader& args) {
  return GetExpiry(context, args, {.text = {}, .seconds = true, .absolute = true});
}

Status PExpireTime(Context& context, ArgReader& args) {
  return GetExpiry(context, args, {.text = {}, .absolute = true});
}

constexpr Arg kKeyArgs[] = {{.name = "key", .type = "key"}};
constexpr Arg kConditionArgs[] = {{.name = "nx", .type = "pure-token", .token = "NX"},
                                  {.name = "xx", .type = "pure-token", .token = "XX"},
                                  {.name = "gt", .type = "pure-token", .token = "GT"},
                                  {.name = "lt", .type = "pure-token", .token = "LT"}};
constexpr Arg kSecondsArgs[] = {
    {.name = "key", .type = "key"},
    {.name = "seconds", .type = "integer"},
    {.name = "condition", .type = "oneof", .optional = true, .args = kConditionArgs}};
constexpr Arg kMillisecondsArgs[] = {
    {.name = "key", .type = "key"}, {.name = "milliseconds", .type = "integer"}, kSecondsArgs[2]};
constexpr Arg kUnixSecondsArgs[] = {{.name = "key", .type = "key"},
                                    {.name = "unix-time-seconds", .type = "unix-time"},
                                    kSecondsArgs[2]};
constexpr Arg kUnixMillisecondsArgs[] = {{.name = "key", .type = "key"},
                                         {.name = "unix-time-milliseconds", .type = "unix-time"},
                                         kSecondsArgs[2]};

constexpr Command ExpiryRow(Command row) {
  const bool writes = row.arity != 2;
  row.flags = (writes ? kWrite : kReadOnly) | kFast;
  row.categories = kAclKeyspace;
  row.keys = {.first = 1, .last = 1, .step = 1};
  row.group = "generic";
  row.since = "0.1.0";
  row.complexity = "O(log N) where N is the number of names that expire";
  row.args = row.args.empty() ? std::span<const Arg>(kKeyArgs) : row.args;
  return row;
}

constexpr Command PersistRow() {
  Command row = ExpiryRow({.name = "persist",
                           .arity = 2,
                           .handler = Persist,
                           .summary = "Removes the expiry of a name."});
  row.flags = kWrite | kFast;
  return row;
}

constexpr std::array kCommands = {
    Row(ExpiryRow({.name = "expire",
                   .arity = -3,
                   .handler = Expire,
                   .summary = "Sets the time to live of a name, in seconds.",
                   .args = kSecondsArgs})),
    Row(ExpiryRow({.name = "pexpire",
                   .arity = -3,
                   .handler = PExpire,
                   .summary = "Sets the time to live of a name, in milliseconds.",
                   .args = kMillisecondsArgs})),
    Row(ExpiryRow({.name = "expireat",
                   .arity = -3,
                   .handler = ExpireAt,
                   .summary = "Sets the expiry time of a name, as a Unix time in seconds.",
                   .args = kUnixSecondsArgs})),
    Row(ExpiryRow({.name = "pexpireat",
                   .arity = -3,
                   .handler = PExpireAt,
                   .summary = "Sets the expiry time of a name, as a Unix time in milliseconds.",
                   .args = kUnixMillisecondsArgs})),
    Row(PersistRow()),
    Row(ExpiryRow({.name = "ttl",
                   .arity = 2,
                   .handler = Ttl,
                   .summary = "Returns the time to live of a name, in seconds."})),
    Row(ExpiryRow({.name = "pttl",
                   .arity = 2,
                   .handler = PTtl,
                   .summary = "Returns the time to live of a name, in milliseconds."})),
    Row(ExpiryRow({.name = "expiretime",
                   .arity = 2,
                   .handler = ExpireTime,
                   .summary = "Returns the expiry time of a name, as a Unix time in seconds."})),
    Row(ExpiryRow(
        {.name = "pexpiretime",
         .arity = 2,
         .handler = PExpireTime,
         .summary = "Returns the expiry time of a name, as a Unix time in milliseconds."})),
};

}  // namespace

std::span<const Command> ExpireCommands() {
  return kCommands;
}

}  // namespace sluice::server
