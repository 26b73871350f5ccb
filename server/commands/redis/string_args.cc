#include "server/commands/redis/string_args.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "resp/limits.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/dispatch.h"

namespace sluice::server {
namespace {

using store::StringValue;

constexpr std::size_t kKeyBytesMax = std::size_t{16} << 20;
constexpr std::int64_t kSecondMs = 1000;

}  // namespace

std::string_view ReadNewKey(ArgReader& args) {
  const std::string_view key = args.Word("key");
  if (key.size() > kKeyBytesMax) {
    args.Fail(Status(Code::kError, fmt::format("key too long: at most {} bytes", kKeyBytesMax)));
  }
  return key;
}

StringValue ValueOf(RequestArg arg) {
  StringValue value;
  if (arg.blob.IsNull()) {
    value.text = Text(arg.text);
  } else {
    value.blob_bytes = arg.blob.size();
    value.blob = std::move(arg.blob);
  }
  return value;
}

Result<std::optional<StringValue>> ReadString(Context& context, std::string_view key) {
  TRY_ASSIGN(std::optional<StringValue> value,
             context.server.store(context.turn.Enter()).GetString(key));
  (value ? context.stats.keyspace_hits : context.stats.keyspace_misses).Add(1);
  return value;
}

void ReplyString(Context& context, const std::optional<StringValue>& value) {
  if (value) {
    ReplyString(context, *value, 0, value->View().size());
  } else {
    context.reply.Null();
  }
}

void ReplyString(Context& context, const StringValue& value, std::size_t offset,
                 std::size_t bytes) {
  const std::string_view slice = value.View().substr(offset, bytes);
  if (value.blob.IsNull() || slice.size() < resp::kLargeBulkBytes) {
    context.reply.Bulk(slice);
    return;
  }
  context.reply.BeginPayload(slice.size());
  context.reply.Reference(slice);
  context.reply.EndPayload();
  context.reply.Hold(resp::Pin(store::Blob(value.blob).Detach(), store::Blob::ReleasePin));
}

bool ReadExpiry(ArgReader& args, std::optional<Expiry>& expiry) {
  constexpr std::array kForms = {
      std::pair("EX", Expiry{.text = {}, .seconds = true}), std::pair("PX", Expiry{}),
      std::pair("EXAT", Expiry{.text = {}, .seconds = true, .absolute = true}),
      std::pair("PXAT", Expiry{.text = {}, .absolute = true})};
  for (const auto& [token, form] : kForms) {
    if (!expiry && args.Left() > 1 && args.Option(token)) {
      expiry = form;
      expiry->text = args.Word("the time");
      return true;
    }
  }
  return false;
}

Result<std::int64_t> ExpiryMs(const Context& context, const Expiry& expiry, std::int64_t min) {
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  std::int64_t time = 0;
  if (!ParseInteger(expiry.text, time)) {
    return Status(Code::kError, "value is not an integer or out of range");
  }
  const std::int64_t base =
      expiry.absolute ? 0 : context.server.store(context.turn.Enter()).NowMs();
  const std::int64_t unit = expiry.seconds ? kSecondMs : 1;
  if (time < min || time > (kMax - base) / unit || time < -(kMax / unit)) {
    return Status(Code::kError, fmt::format("invalid expire time in '{}' command",
                                            ResolveCommand(context.request)->name));
  }
  return std::min(base + time * unit, store::kNoExpiry - 1);
}

}  // namespace sluice::server
