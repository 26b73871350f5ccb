// Commands about names, both of partitions and of strings.
#include <array>
#include <memory>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "base/ascii.h"
#include "server/arguments/arg_reader.h"
#include "server/arguments/glob.h"
#include "server/commands/redis/name_listing.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/context.h"
#include "server/dispatch/destruction_reply.h"
#include "server/dispatch/help.h"

namespace sluice::server {
namespace {

using store::NameKind;

constexpr std::string_view NameOf(NameKind kind) {
  switch (kind) {
    case NameKind::kString:
      return "string";
    case NameKind::kPartition:
      return "partition";
    case NameKind::kNone:
      break;
  }
  return "none";
}

// TYPE key
Status Type(Context& context, ArgReader& args) {
  const std::string_view key = args.Word("key");
  TRY(args.Finish());
  engine::EngineLock& lock = context.turn.Enter();
  context.reply.Simple(NameOf(context.server.store(lock).KindOf(key)));
  return {};
}

// EXISTS key [key ...], TOUCH key [key ...]: a key that is named twice counts twice.
Status Exists(Context& context, ArgReader& args) {
  std::int64_t found = 0;
  engine::EngineLock& lock = context.turn.Enter();
  for (const RequestArg& key : args.Remaining()) {
    found += context.server.store(lock).KindOf(key.text) == NameKind::kNone ? 0 : 1;
  }
  context.reply.Integer(found);
  return {};
}

// DEL key [key ...], UNLINK key [key ...]
Status Del(Context& context, ArgReader& args) {
  auto removed = std::make_unique<store::RemovedNames>(context.server.memory);
  std::int64_t count = 0;
  engine::EngineLock& lock = context.turn.Enter();
  for (const RequestArg& key : args.Remaining()) {
    count += context.server.store(lock).Remove(key.text, *removed) ? 1 : 0;
  }
  context.turn.Leave();
  ReplyAfterDestruction(context, std::move(removed),
                        [count](resp::Reply& reply) { reply.Integer(count); });
  return {};
}

// RANDOMKEY
Status RandomKey(Context& context, ArgReader& /*args*/) {
  engine::EngineLock& lock = context.turn.Enter();
  const Text name = context.server.store(lock).RandomName();
  if (name.IsNull()) {
    context.reply.Null();
  } else {
    context.reply.Bulk(name.View());
  }
  return {};
}

// Replies with a short listing at once, with a long one piece by piece. If the command may not wait
// (MULTI), all names are examined in one hold of the engine lock.
Status List(Context& context, NameFilter filter, const NameListing::Page& page) {
  const Server& server = context.server;
  auto listing = std::make_unique<NameListing>(server.engine, server.clock, server.store,
                                               std::move(filter), page);
  while (listing->Look(context.turn) && !context.may_block) {
  }
  if (listing->Write(context.reply)) {
    context.rest = std::move(listing);
  }
  return {};
}

// KEYS pattern
Status Keys(Context& context, ArgReader& args) {
  const std::string_view pattern = args.Word("the pattern");
  TRY(args.Finish());
  TRY(CheckGlob(pattern));
  return List(context, {.glob = std::string(pattern), .kind = {}}, {});
}

void ReadKind(ArgReader& args, NameFilter& filter) {
  const std::string_view type = args.Word("type");
  filter.kind = NameKind::kNone;
  for (const NameKind kind : {NameKind::kString, NameKind::kPartition}) {
    if (EqualsIgnoreCase(type, NameOf(kind))) {
      filter.kind = kind;
    }
  }
}

// SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]
Status Scan(Context& context, ArgReader& args) {
  NameListing::Page page = {.from = args.Cursor(), .names_max = 10, .with_cursor = true};
  NameFilter filter;
  while (args.HasMore()) {
    const bool pair = args.Left() > 1;
    if (pair && args.Option("MATCH")) {
      filter.glob = std::string(args.Word("the pattern"));
      args.Fail(CheckGlob(*filter.glob));
    } else if (pair && args.Option("COUNT")) {
      const std::int64_t count = args.Integer();
      page.names_max = static_cast<std::size_t>(count);
      if (args.ok() && count < 1) {
        args.Fail(SyntaxError());
      }
    } else if (pair && args.Option("TYPE")) {
      ReadKind(args, filter);
    } else {
      args.Fail(SyntaxError());
    }
  }
  TRY(args.Finish());
  return List(context, std::move(filter), page);
}

// Returns the encoding that Redis would use.
std::string_view EncodingOf(const store::StringValue& string) {
  const std::string_view value = string.View();
  constexpr std::size_t kIntegerBytesMax = 20;
  constexpr std::size_t kEmbeddedBytesMax = 44;
  std::int64_t number = 0;
  if (string.edited) {
    return "raw";
  }
  if (value.size() <= kIntegerBytesMax && ParseInteger(value, number)) {
    return "int";
  }
  return value.size() <= kEmbeddedBytesMax ? "embstr" : "raw";
}

// OBJECT ENCODING key
Status ObjectEncoding(Context& context, ArgReader& args) {
  const std::string_view key = args.Word("key");
  TRY(args.Finish());
  engine::EngineLock& lock = context.turn.Enter();
  const NameKind kind = context.server.store(lock).KindOf(key);
  if (kind == NameKind::kNone) {
    context.reply.Null();
  } else if (kind == NameKind::kPartition) {
    context.reply.Bulk("columns");
  } else {
    TRY_ASSIGN(const auto value, context.server.store(lock).GetString(key));
    context.reply.Bulk(EncodingOf(value.value_or(store::StringValue())));
  }
  return {};
}

// Replies with null if the key does not exist; otherwise with `error`, or with 1 if it is empty.
Status ObjectFact(Context& context, ArgReader& args, std::string_view error) {
  const std::string_view key = args.Word("key");
  TRY(args.Finish());
  engine::EngineLock& lock = context.turn.Enter();
  if (context.server.store(lock).KindOf(key) == NameKind::kNone) {
    context.reply.Null();
    return {};
  }
  if (!error.empty()) {
    return Status(Code::kError, std::string(error));
  }
  context.reply.Integer(1);
  return {};
}

// OBJECT FREQ key
Status ObjectFreq(Context& context, ArgReader& args) {
  return ObjectFact(context, args,
                    "An LFU maxmemory policy is not selected, access frequency not tracked. Please "
                    "note that when switching between policies at runtime LRU and LFU data will "
                    "take some time to adjust.");
}

// OBJECT IDLETIME key
Status ObjectIdleTime(Context& context, ArgReader& args) {
  return ObjectFact(context, args, "idle time is not tracked, since nothing is evicted");
}

// OBJECT REFCOUNT key
Status ObjectRefCount(Context& context, ArgReader& args) {
  return ObjectFact(context, args, {});
}

// MEMORY USAGE key [SAMPLES count]
Status MemoryUsage(Context& context, ArgReader& args) {
  const std::string_view key = args.Word("key");
  if (args.Left() > 1 && args.Option("SAMPLES")) {
    const std::int64_t samples = args.Integer();  // unused: nothing is estimated
    if (args.ok() && samples < 0) {
      args.Fail(SyntaxError());
    }
  }
  TRY(args.Finish());
  engine::EngineLock& lock = context.turn.Enter();
  if (const auto bytes = context.server.store(lock).BytesOf(key); bytes) {
    context.reply.Integer(*bytes);
  } else {
    context.reply.Null();
  }
  return {};
}

constexpr Arg kKeyArgs[] = {{.name = "key", .type = "key"}};
constexpr Arg kKeysArgs[] = {{.name = "key", .type = "key", .multiple = true}};
constexpr Arg kPatternArgs[] = {{.name = "pattern", .type = "pattern"}};
constexpr Arg kScanArgs[] = {
    {.name = "cursor", .type = "integer"},
    {.name = "pattern", .type = "pattern", .token = "MATCH", .optional = true},
    {.name = "count", .type = "integer", .token = "COUNT", .optional = true},
    {.name = "type", .type = "string", .token = "TYPE", .optional = true}};
constexpr Arg kUsageArgs[] = {
    {.name = "key", .type = "key"},
    {.name = "count", .type = "integer", .token = "SAMPLES", .optional = true}};

constexpr std::string_view kByKeys = "O(N) where N is the number of keys";
constexpr std::string_view kByRows = "O(N) where N is the number of rows removed";
constexpr std::string_view kByNames = "O(N) where N is the number of names";

constexpr Command KeysRow(Command row) {
  if (row.group.empty()) {
    row.group = "generic";
  }
  if (row.categories == 0 && row.group == "generic") {
    row.categories = kAclKeyspace;
  }
  row.since = "0.1.0";
  if (row.complexity.empty()) {
    row.complexity = "O(1)";
  }
  return row;
}

constexpr std::array kCommands = {
    Row(KeysRow({.name = "type",
                 .arity = 2,
                 .flags = kReadOnly | kFast,
                 .keys = {.first = 1, .last = 1, .step = 1},
                 .key_flags = "RO",
                 .handler = Type,
                 .summary = "Returns the type of a name.",
                 .args = kKeyArgs})),
    Row(KeysRow({.name = "exists",
                 .arity = -2,
                 .flags = kReadOnly | kFast,
                 .keys = {.first = 1, .last = -1, .step = 1},
                 .key_flags = "RO",
                 .handler = Exists,
                 .complexity = kByKeys,
                 .summary = "Returns how many of the names exist.",
                 .args = kKeysArgs})),
    Row(KeysRow({.name = "touch",
                 .arity = -2,
                 .flags = kReadOnly | kFast,
                 .keys = {.first = 1, .last = -1, .step = 1},
                 .key_flags = "RO",
                 .handler = Exists,
                 .complexity = kByKeys,
                 .summary = "Returns how many of the names exist.",
                 .args = kKeysArgs})),
    Row(KeysRow({.name = "del",
                 .arity = -2,
                 .flags = kWrite,
                 .keys = {.first = 1, .last = -1, .step = 1},
                 .key_flags = "RM delete",
                 .handler = Del,
                 .complexity = kByRows,
                 .summary = "Removes partitions and byte strings.",
                 .args = kKeysArgs})),
    Row(KeysRow({.name = "unlink",
                 .arity = -2,
                 .flags = kWrite | kFast,
                 .keys = {.first = 1, .last = -1, .step = 1},
                 .key_flags = "RM delete",
                 .handler = Del,
                 .complexity = kByRows,
                 .summary = "Removes partitions and byte strings, as DEL does.",
                 .args = kKeysArgs})),
    Row(KeysRow({.name = "randomkey",
                 .arity = 1,
                 .flags = kReadOnly,
                 .handler = RandomKey,
                 .summary = "Returns a random name."})),
    Row(KeysRow({.name = "keys",
                 .arity = 2,
                 .flags = kReadOnly,
                 .categories = kAclKeyspace | kAclDangerous,
                 .handler = Keys,
                 .complexity = kByNames,
                 .summary = "Returns the names that match a pattern.",
                 .args = kPatternArgs})),
    Row(KeysRow({.name = "scan",
                 .arity = -2,
                 .flags = kReadOnly,
                 .handler = Scan,
                 .complexity = "O(COUNT)",
                 .summary = "Iterates over the names.",
                 .args = kScanArgs})),
    Row(KeysRow({.name = "object",
                 .arity = -2,
                 .flags = kContainer,
                 .summary = "Commands about the representation of a value."})),
    HelpRow("object|help", "generic", kAclKeyspace),
    Row(KeysRow({.name = "object|encoding",
                 .arity = 3,
                 .flags = kReadOnly,
                 .keys = {.first = 2, .last = 2, .step = 1},
                 .key_flags = "RO",
                 .handler = ObjectEncoding,
                 .summary = "Returns the encoding of a value.",
                 .args = kKeyArgs})),
    Row(KeysRow({.name = "object|freq",
                 .arity = 3,
                 .flags = kReadOnly,
                 .keys = {.first = 2, .last = 2, .step = 1},
                 .key_flags = "RO",
                 .handler = ObjectFreq,
                 .summary = "Returns an error: access frequency is not tracked.",
                 .args = kKeyArgs})),
    Row(KeysRow({.name = "object|idletime",
                 .arity = 3,
                 .flags = kReadOnly,
                 .keys = {.first = 2, .last = 2, .step = 1},
                 .key_flags = "RO",
                 .handler = ObjectIdleTime,
                 .summary = "Returns an error: idle time is not tracked.",
                 .args = kKeyArgs})),
    Row(KeysRow({.name = "object|refcount",
                 .arity = 3,
                 .flags = kReadOnly,
                 .keys = {.first = 2, .last = 2, .step = 1},
                 .key_flags = "RO",
                 .handler = ObjectRefCount,
                 .summary = "Returns 1, the reference count of every value.",
                 .args = kKeyArgs})),
    Row(KeysRow({.name = "memory|usage",
                 .arity = -3,
                 .flags = kReadOnly,
                 .keys = {.first = 2, .last = 2, .step = 1},
                 .key_flags = "RO",
                 .handler = MemoryUsage,
                 .group = "server",
                 .complexity = "O(N) where N is the number of rows / 4096",
                 .summary = "Returns the memory usage of a partition or byte string, in bytes.",
                 .args = kUsageArgs})),
};

}  // namespace

std::span<const Command> KeysCommands() {
  return kCommands;
}

}  // namespace sluice::server
