// Byte strings as in Redis: SET and GET.
#include <array>

#include <fmt/format.h>

#include "server/arg_reader.h"
#include "server/command_table.h"
#include "server/context.h"

namespace sluice::server {
namespace {

using store::Code;
using store::Status;

constexpr std::size_t kKeyBytesMax = std::size_t{16} << 20;

store::StringValue ValueOf(RequestArg arg) {
  store::StringValue value;
  if (arg.blob.IsNull()) {
    value.text = store::Text(arg.text);
  } else {
    value.blob_bytes = arg.blob.size();
    value.blob = std::move(arg.blob);
  }
  return value;
}

// SET key value
Status Set(Context& context, ArgReader& args) {
  const std::string_view key = args.Word("key");
  RequestArg value = args.Take("value");
  TRY(args.Finish());
  if (key.size() > kKeyBytesMax) {
    return Status(Code::kError, fmt::format("key too long: at most {} bytes", kKeyBytesMax));
  }
  store::StringWrite write = {.key = key, .value = ValueOf(std::move(value))};
  context.turn.Enter();
  TRY(context.server.store.SetStrings(std::span(&write, 1)).GetStatus());
  context.reply.Simple("OK");
  return {};
}

// GET key
Status Get(Context& context, ArgReader& args) {
  const std::string_view key = args.Word("key");
  TRY(args.Finish());
  context.turn.Enter();
  TRY_ASSIGN(std::optional<store::StringValue> value, context.server.store.GetString(key));
  if (!value) {
    context.stats.keyspace_misses.Add(1);
    context.reply.Null();
    return {};
  }
  context.stats.keyspace_hits.Add(1);
  const std::string_view bytes = value->View();
  if (value->blob.IsNull()) {
    context.reply.Bulk(bytes);
    return {};
  }
  context.reply.BeginPayload(bytes.size());
  context.reply.Reference(bytes);
  context.reply.EndPayload();
  context.reply.Hold(resp::Pin(value->blob.Detach(), store::Blob::ReleasePin));
  return {};
}

constexpr Arg kSetArgs[] = {{.name = "key", .type = "key"}, {.name = "value", .type = "string"}};
constexpr Arg kGetArgs[] = {{.name = "key", .type = "key"}};

constexpr std::array kCommands = {
    Row({.name = "set",
         .arity = -3,
         .flags = kWrite | kDenyOom,
         .keys = {.first = 1, .last = 1, .step = 1},
         .handler = Set,
         .group = "string",
         .since = "0.1.0",
         .complexity = "O(1)",
         .summary = "Sets a byte string.",
         .args = kSetArgs}),
    Row({.name = "get",
         .arity = 2,
         .flags = kReadOnly | kFast,
         .keys = {.first = 1, .last = 1, .step = 1},
         .handler = Get,
         .group = "string",
         .since = "0.1.0",
         .complexity = "O(1), and O(N) to send the bytes",
         .summary = "Returns a byte string.",
         .args = kGetArgs}),
};

}  // namespace

std::span<const Command> StringCommands() {
  return kCommands;
}

}  // namespace sluice::server
