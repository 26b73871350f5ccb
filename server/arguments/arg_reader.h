// Reads a command's arguments in order. The first failure sticks: later reads return a default, so
// a handler reads everything and checks once, with TRY(args.Finish()).
//
// `what` names an argument in error texts, `option` the option that precedes it. The reader borrows
// the arguments and must not outlive the request.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "server/arguments/request.h"

namespace sluice::server {

// Returns kError with Redis's text.
Status SyntaxError();

// Redis's rule: decimal, nothing before or after, no "+", no leading zeros. Returns false
// otherwise.
bool ParseInteger(std::string_view text, std::int64_t& out);

struct IntegerRange {
  std::int64_t min = std::numeric_limits<std::int64_t>::min();
  std::int64_t max = std::numeric_limits<std::int64_t>::max();
};

class ArgReader {
 public:
  // `args` excludes the name of the command (and of the subcommand). `of_redis`: the command is one
  // of Redis, so errors have the text of Redis.
  explicit ArgReader(RequestView args, bool of_redis = false) : rest_(args), of_redis_(of_redis) {}

  [[nodiscard]] bool HasMore() const { return status_.ok() && !rest_.empty(); }
  [[nodiscard]] bool ok() const { return status_.ok(); }
  [[nodiscard]] std::size_t Left() const { return status_.ok() ? rest_.size() : 0; }
  // Returns the next argument's text without consuming it; "" if there is none.
  [[nodiscard]] std::string_view Peek() const;

  std::string_view Word(std::string_view what);
  // As Word(), with the blob if the argument is large.
  RequestArg Take(std::string_view what);
  // Consumes the next argument and returns true if it is `token`.
  bool Option(std::string_view token);
  // A name that is valid by CheckName().
  std::string_view Name(std::string_view what);
  // For numbers that commands of Redis have too.
  // Errors: kError "value is not an integer or out of range", Redis's text.
  std::int64_t Integer(IntegerRange range = {});
  // The number after `option`. Errors: kError; the text names the option and the range.
  std::int64_t Number(std::string_view option, IntegerRange range = {});
  // For SCAN and KV.SCAN. Errors: kError "invalid cursor", Redis's text.
  std::uint64_t Cursor();
  // Returns all remaining arguments, possibly none.
  RequestView Remaining();

  // `<n> <item> ...` or `LINES <blob>` after `option`, into `items` (cleared first).
  // Errors: kError: n is less than 1 or more than the arguments left; LINES is empty or has an
  // empty item.
  void List(std::string_view option, std::vector<std::string_view>& items);
  // The packed little-endian int64 after `option`, into `values` (cleared first).
  // Errors: kShape: not a multiple of 8 bytes.
  void PackedInts(std::string_view option, std::vector<std::int64_t>& values);

  void Fail(Status status);
  // Fails with "syntax error near '<next argument>'".
  void Unexpected();

  // Errors: the first failure; if arguments are left over, as Unexpected(), or "syntax error" for a
  // command of Redis.
  Status Finish();

 private:
  // Fails if no argument is left.
  void Expect(std::string_view what, std::string_view option);

  RequestView rest_;
  Status status_;
  bool of_redis_;
};

}  // namespace sluice::server
