// What the string commands share: keys and values of requests, expiry times, and the reply of a
// value.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "server/arguments/arg_reader.h"
#include "server/dispatch/command.h"
#include "server/dispatch/context.h"

namespace sluice::server {

// The same times for COMMAND DOCS.
inline constexpr Arg kExpiryArgs[] = {
    {.name = "seconds", .type = "integer", .token = "EX"},
    {.name = "milliseconds", .type = "integer", .token = "PX"},
    {.name = "unix-time-seconds", .type = "unix-time", .token = "EXAT"},
    {.name = "unix-time-milliseconds", .type = "unix-time", .token = "PXAT"}};
inline constexpr Arg kKeyArgs[] = {{.name = "key", .type = "key"}};
inline constexpr Arg kKeyValueArgs[] = {{.name = "key", .type = "key"},
                                        {.name = "value", .type = "string"}};

// What the rows of byte strings have in common; one key, where the row names none.
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

// A key that may be made. Errors: kError "key too long".
std::string_view ReadNewKey(ArgReader& args);

// The argument as a value; a large one stays where it was received. Errors: std::bad_alloc.
store::StringValue ValueOf(RequestArg arg);

// The string of a command that reads it; counts a hit or a miss. REQUIRES: the engine.
// Errors: kWrongType.
Result<std::optional<store::StringValue>> ReadString(Context& context, std::string_view key);

// A value, or `bytes` of it from `offset` on, as a bulk string; null where there is none.
void ReplyString(Context& context, const std::optional<store::StringValue>& value);
void ReplyString(Context& context, const store::StringValue& value, std::size_t offset,
                 std::size_t bytes);

// A time as a command gives it.
struct Expiry {
  std::string_view text;  // a number
  bool seconds = false;   // or else milliseconds
  bool absolute = false;  // since 1970, or else from now on
};
// `EX n`, `PX n`, `EXAT n` or `PXAT n`. True where one of them was next.
bool ReadExpiry(ArgReader& args, std::optional<Expiry>& expiry);
// In milliseconds since 1970, less than store::kNoExpiry. Errors: kError with Redis's texts, which
// name the command; "invalid expire time" also for one that is less than `min`.
Result<std::int64_t> ExpiryMs(const Context& context, const Expiry& expiry, std::int64_t min = 1);

}  // namespace sluice::server
