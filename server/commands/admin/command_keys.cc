// COMMAND LIST, GETKEYS, GETKEYSANDFLAGS: names of commands, and the keys of a request.
#include <algorithm>
#include <array>
#include <functional>
#include <string_view>
#include <vector>

#include "base/ascii.h"
#include "server/arguments/arg_reader.h"
#include "server/arguments/glob.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/context.h"
#include "server/dispatch/dispatch.h"

namespace sluice::server {
namespace {

// Reads `FILTERBY MODULE name | ACLCAT category | PATTERN pattern`, or nothing: any command.
Result<std::function<bool(const Command&)>> ReadCommandFilter(ArgReader& args) {
  if (!args.HasMore()) {
    return std::function([](const Command& /*row*/) { return true; });
  }
  if (!args.Option("FILTERBY") || args.Left() != 2) {
    return SyntaxError();
  }
  const std::string_view kind = args.Word("kind");
  const std::string_view value = args.Word("value");
  TRY(args.Finish());
  if (EqualsIgnoreCase(kind, "MODULE")) {  // modules are not supported
    return std::function([](const Command& /*row*/) { return false; });
  }
  if (EqualsIgnoreCase(kind, "ACLCAT")) {
    return std::function([value](const Command& row) { return IsOfCategory(row, value); });
  }
  if (!EqualsIgnoreCase(kind, "PATTERN")) {
    return SyntaxError();
  }
  TRY(CheckGlob(value));
  return std::function(
      [value](const Command& row) { return GlobMatches(value, row.name, GlobCase::kIgnore); });
}

// COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN pattern]
Status CommandList(Context& context, ArgReader& args) {
  TRY_ASSIGN(const auto fits, ReadCommandFilter(args));
  std::vector<std::string_view> names;
  for (const auto family : Families()) {
    for (const Command& row : family) {
      if (fits(row)) {
        names.push_back(row.name);
      }
    }
  }
  context.reply.Array(names.size());
  for (const std::string_view name : names) {
    context.reply.Bulk(name);
  }
  return {};
}

struct Keys {
  std::string_view flags;  // what the request does with them
  std::vector<std::string_view> names;
};

// REQUIRES: the request has as many arguments as the row wants.
std::string_view KeyFlagsOf(const Command& row, RequestView request) {
  if (row.key_flags_with_get.empty()) {
    return KeyFlags(row);
  }
  const RequestView options = request.subspan(static_cast<std::size_t>(-row.arity));
  const bool gets = std::any_of(options.begin(), options.end(), [](const RequestArg& option) {
    return EqualsIgnoreCase(option.text, "GET");
  });
  return gets ? row.key_flags_with_get : KeyFlags(row);
}

// Errors: kError with Redis's texts, also if there are no keys.
Result<Keys> KeysOf(RequestView request) {
  const Command* const row = ResolveCommand(request);
  if (row == nullptr) {
    return Status(Code::kError, "Invalid command specified");
  }
  const auto count = static_cast<int>(request.size());
  if (row->keys.first == 0 || KeyFlags(*row) == "not_key") {
    return Status(Code::kError, "The command has no key arguments");
  }
  if (!ArityMatches(*row, request.size())) {
    return Status(Code::kError, "Invalid number of arguments specified for command");
  }
  const int last = row->keys.last < 0 ? count + row->keys.last : row->keys.last;
  Keys keys = {.flags = KeyFlagsOf(*row, request), .names = {}};
  for (int i = row->keys.first; i <= last; i += row->keys.step) {
    keys.names.push_back(request[static_cast<std::size_t>(i)].text);
  }
  if (keys.names.empty()) {
    return Status(Code::kError, "The command has no key arguments");
  }
  return keys;
}

// COMMAND GETKEYS command [arg ...]
Status CommandGetKeys(Context& context, ArgReader& args) {
  TRY_ASSIGN(const Keys keys, KeysOf(args.Remaining()));
  context.reply.Array(keys.names.size());
  for (const std::string_view name : keys.names) {
    context.reply.Bulk(name);
  }
  return {};
}

// COMMAND GETKEYSANDFLAGS command [arg ...]
Status CommandGetKeysAndFlags(Context& context, ArgReader& args) {
  TRY_ASSIGN(const Keys keys, KeysOf(args.Remaining()));
  context.reply.Array(keys.names.size());
  for (const std::string_view name : keys.names) {
    context.reply.Array(2);
    context.reply.Bulk(name);
    const auto flags = SplitWords(keys.flags);
    context.reply.Set(flags.size());
    for (const std::string_view flag : flags) {
      context.reply.Simple(flag);
    }
  }
  return {};
}

// One argument: with its parts COMMAND DOCS would be nested deeper than Debian's hiredis reads.
constexpr Arg kListArgs[] = {{.name = "filter-and-value",
                              .type = "string",
                              .token = "FILTERBY",
                              .optional = true,
                              .multiple = true}};
constexpr Arg kGetKeysArgs[] = {
    {.name = "command", .type = "string"},
    {.name = "arg", .type = "string", .optional = true, .multiple = true}};

constexpr Command KeysRow(Command row) {
  row.group = "server";
  row.since = "0.1.0";
  row.complexity = "O(N) where N is the number of commands described";
  row.flags |= kLoading;
  row.categories = kAclConnection;
  return row;
}

constexpr std::array kCommands = {
    Row(KeysRow({.name = "command|list",
                 .arity = -2,
                 .handler = CommandList,
                 .summary = "Returns the names of the commands and subcommands.",
                 .args = kListArgs})),
    Row(KeysRow({.name = "command|getkeys",
                 .arity = -4,
                 .handler = CommandGetKeys,
                 .summary = "Extracts the key arguments from a command.",
                 .args = kGetKeysArgs})),
    Row(KeysRow({.name = "command|getkeysandflags",
                 .arity = -4,
                 .handler = CommandGetKeysAndFlags,
                 .summary = "Extracts the key arguments from a command, with what the "
                            "command does with them.",
                 .args = kGetKeysArgs})),
};

}  // namespace

std::span<const Command> CommandKeysCommands() {
  return kCommands;
}

}  // namespace sluice::server
