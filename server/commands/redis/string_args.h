// Functions that the string commands share: reading keys, values and expiry times, and replying
// with a value.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "server/arguments/arg_reader.h"
#include "server/dispatch/command.h"
#include "server/dispatch/context.h"

namespace sluice::server {

// The arguments, for COMMAND DOCS.
inline constexpr Arg kExpiryArgs[] = {
    {.name = "seconds", .type = "integer", .token = "EX"},
    {.name = "milliseconds", .type = "integer", .token = "PX"},
    {.name = "unix-time-seconds", .type = "unix-time", .token = "EXAT"},
    {.name = "unix-time-milliseconds", .type = "unix-time", .token = "PXAT"}};
inline constexpr Arg kKeyArgs[] = {{.name = "key", .type = "key"}};
inline constexpr Arg kKeyValueArgs[] = {{.name = "key", .type = "key"},
                                        {.name = "value", .type = "string"}};

// Fills in the properties that all string commands share. A row without keys gets one key.
constexpr Command StringRow(Command row) {
  row.group = "string";
  row.categories = kAclString;
  row.since = "0.1.0";
  if (row.complexity.empty()) {
    row.complexity = "O(1)";
  }
  if (row.keys.step == 0) {
    row.keys = {.first = 1, .last = 1, .step = 1};
  }
  return row;
}

// Reads a key that the command may create. Errors: kError "key too long".
std::string_view ReadNewKey(ArgReader& args);

// Returns the argument as a value. A large argument is not copied. Errors: std::bad_alloc.
store::StringValue ValueOf(RequestArg arg);

// Returns the string and counts a hit or a miss. REQUIRES: the engine lock is held.
// Errors: kWrongType.
Result<std::optional<store::StringValue>> ReadString(Context& context, std::string_view key);

// Replies with the value, or with `bytes` bytes of it from `offset`, as a bulk string; with null if
// there is no value.
void ReplyString(Context& context, const std::optional<store::StringValue>& value);
void ReplyString(Context& context, const store::StringValue& value, std::size_t offset,
                 std::size_t bytes);

// An expiry time as given in a request.
struct Expiry {
  std::string_view text;  // a number
  bool seconds = false;   // false: milliseconds
  bool absolute = false;  // true: Unix time; false: relative to now
};
// Reads `EX n`, `PX n`, `EXAT n` or `PXAT n`. Returns whether one of them was next.
bool ReadExpiry(ArgReader& args, std::optional<Expiry>& expiry);
// Returns the Unix time in milliseconds, less than store::kNoExpiry. Errors: kError with Redis's
// texts, which name the command; "invalid expire time" also if the number is less than `min`.
Result<std::int64_t> ExpiryMs(const Context& context, const Expiry& expiry, std::int64_t min = 1);

}  // namespace sluice::server
