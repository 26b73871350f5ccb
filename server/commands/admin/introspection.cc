// COMMAND and its subcommands: the command table for clients.
#include <algorithm>
#include <array>
#include <functional>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/ascii.h"
#include "server/arguments/arg_reader.h"
#include "server/arguments/glob.h"
#include "server/commands/admin/help.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/context.h"
#include "server/dispatch/dispatch.h"
#include "server/dispatch/piecewise.h"

namespace sluice::server {
namespace {

using resp::Reply;

template <typename Function>
void ForEachRow(const Function& function) {
  for (const auto family : Families()) {
    for (const Command& row : family) {
      function(row);
    }
  }
}

std::vector<const Command*> TopLevel() {
  std::vector<const Command*> rows;
  ForEachRow([&rows](const Command& row) {
    if (!IsSubcommand(row)) {
      rows.push_back(&row);
    }
  });
  return rows;
}

std::vector<std::string_view> FlagNames(const Command& row) {
  struct Name {
    Flag flag;
    std::string_view text;
  };
  constexpr Name kNames[] = {{kWrite, "write"},    {kReadOnly, "readonly"}, {kDenyOom, "denyoom"},
                             {kAdmin, "admin"},    {kLoading, "loading"},   {kFast, "fast"},
                             {kNoAuth, "no_auth"}, {kBlocking, "blocking"}, {kNoMulti, "no_multi"}};
  std::vector<std::string_view> names;
  for (const Name& name : kNames) {
    if ((row.flags & name.flag) != 0) {
      names.push_back(name.text);
    }
  }
  if (row.group == "pubsub" && row.handler != nullptr) {
    names.push_back("pubsub");
  }
  return names;
}

void Simples(Reply& reply, const std::vector<std::string_view>& names) {
  reply.Set(names.size());
  for (const std::string_view name : names) {
    reply.Simple(name);
  }
}

// What the command does with its keys: read (RO), write (RW), replace (OW) or remove (RM) them, and
// what with their values.
std::vector<std::string_view> KeyFlagNames(const Command& row) {
  const bool writes = (row.flags & kWrite) != 0;
  std::string_view words = !row.key_flags.empty() ? row.key_flags
                           : writes               ? "RW update"
                                                  : "RO access";
  std::vector<std::string_view> names;
  while (!words.empty()) {
    const std::size_t end = std::min(words.find(' '), words.size());
    names.push_back(words.substr(0, end));
    words.remove_prefix(std::min(end + 1, words.size()));
  }
  return names;
}

// Key specifications, as in COMMAND since Redis 7: where keys begin, and where they end.
// Subcommands have none: Debian's hiredis does not read replies nested so deeply.
void KeySpecs(Reply& reply, const Command& row) {
  const bool has_keys = row.keys.first != 0 && !IsSubcommand(row);
  reply.Set(has_keys ? 1 : 0);
  if (!has_keys) {
    return;
  }
  reply.Map(3);
  reply.Bulk("flags");
  Simples(reply, KeyFlagNames(row));
  reply.Bulk("begin_search");
  reply.Map(2);
  reply.Bulk("type");
  reply.Bulk("index");
  reply.Bulk("spec");
  reply.Map(1);
  reply.Bulk("index");
  reply.Integer(row.keys.first);
  reply.Bulk("find_keys");
  reply.Map(2);
  reply.Bulk("type");
  reply.Bulk("range");
  reply.Bulk("spec");
  reply.Map(3);
  reply.Bulk("lastkey");
  reply.Integer(row.keys.last < 0 ? row.keys.last : row.keys.last - row.keys.first);
  reply.Bulk("keystep");
  reply.Integer(row.keys.step);
  reply.Bulk("limit");
  reply.Integer(0);
}

// Subcommands have no key specifications: see KeySpecs().
void Info(Reply& reply, const Command& row) {
  reply.Array(10);
  reply.Bulk(row.name);
  reply.Integer(row.arity);
  Simples(reply, FlagNames(row));
  reply.Integer(row.keys.first);
  reply.Integer(row.keys.last);
  reply.Integer(row.keys.step);
  std::vector<std::string_view> categories;
  for (const std::string_view name : Categories()) {
    if (IsOfCategory(row, name.substr(1))) {
      categories.push_back(name);
    }
  }
  Simples(reply, categories);
  reply.Set(0);  // tips
  if (IsSubcommand(row)) {
    reply.Set(0);
  } else {
    KeySpecs(reply, row);
  }
  const std::vector<const Command*> children = SubcommandsOf(row);
  reply.Array(children.size());
  for (const Command* const child : children) {
    Info(reply, *child);
  }
}

void ArgDocs(Reply& reply, std::span<const Arg> args) {
  reply.Array(args.size());
  for (const Arg& arg : args) {
    const bool has_flags = arg.optional || arg.multiple;
    reply.Map(2 + (arg.token.empty() ? 0U : 1U) + (has_flags ? 1U : 0U) +
              (arg.args.empty() ? 0U : 1U));
    reply.Bulk("name");
    reply.Bulk(arg.name);
    reply.Bulk("type");
    reply.Bulk(arg.type);
    if (!arg.token.empty()) {
      reply.Bulk("token");
      reply.Bulk(arg.token);
    }
    if (has_flags) {
      reply.Bulk("flags");
      reply.Array((arg.optional ? 1U : 0U) + (arg.multiple ? 1U : 0U));
      if (arg.optional) {
        reply.Simple("optional");
      }
      if (arg.multiple) {
        reply.Simple("multiple");
      }
    }
    if (!arg.args.empty()) {
      reply.Bulk("arguments");
      ArgDocs(reply, arg.args);
    }
  }
}

void Docs(Reply& reply, const Command& row) {
  const std::vector<const Command*> children = SubcommandsOf(row);
  reply.Bulk(row.name);
  reply.Map(4 + (row.args.empty() ? 0U : 1U) + (children.empty() ? 0U : 1U));
  reply.Bulk("summary");
  reply.Bulk(row.summary);
  reply.Bulk("since");
  reply.Bulk(row.since);
  reply.Bulk("group");
  reply.Bulk(row.group);
  reply.Bulk("complexity");
  reply.Bulk(row.complexity);
  if (!row.args.empty()) {
    reply.Bulk("arguments");
    ArgDocs(reply, row.args);
  }
  if (!children.empty()) {
    reply.Bulk("subcommands");
    reply.Map(children.size());
    for (const Command* const child : children) {
      Docs(reply, *child);
    }
  }
}

// COMMAND
Status CommandAll(Context& context, ArgReader& /*args*/) {
  std::vector<const Command*> rows = TopLevel();
  const std::size_t count = rows.size();
  context.reply.Array(count);
  ReplyEach(
      count, [rows = std::move(rows)](Reply& reply, std::size_t i) { Info(reply, *rows[i]); },
      context.reply, context.rest);
  return {};
}

// COMMAND COUNT
Status CommandCountCommand(Context& context, ArgReader& /*args*/) {
  context.reply.Integer(static_cast<std::int64_t>(TopLevel().size()));
  return {};
}

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
  ForEachRow([&](const Command& row) {
    if (fits(row)) {
      names.push_back(row.name);
    }
  });
  context.reply.Array(names.size());
  for (const std::string_view name : names) {
    context.reply.Bulk(name);
  }
  return {};
}

// COMMAND INFO [name ...]
Status CommandInfo(Context& context, ArgReader& args) {
  if (!args.HasMore()) {
    return CommandAll(context, args);
  }
  const auto names = args.Remaining();
  context.reply.Array(names.size());
  for (const RequestArg& name : names) {
    const Command* const row = FindCommand(name.text);
    if (row == nullptr) {
      context.reply.NullArray();
    } else {
      Info(context.reply, *row);
    }
  }
  return {};
}

// COMMAND DOCS [name ...]
Status CommandDocs(Context& context, ArgReader& args) {
  std::vector<const Command*> rows;
  if (!args.HasMore()) {
    rows = TopLevel();
  }
  for (const RequestArg& name : args.Remaining()) {
    if (const Command* const row = FindCommand(name.text)) {
      rows.push_back(row);
    }
  }
  context.reply.Map(rows.size());
  const std::size_t count = rows.size();
  ReplyEach(
      count, [rows = std::move(rows)](Reply& reply, std::size_t i) { Docs(reply, *rows[i]); },
      context.reply, context.rest);
  return {};
}

struct Keys {
  const Command* command = nullptr;
  std::vector<std::string_view> names;
};

// Errors: kError with Redis's texts, also if there are no keys.
Result<Keys> KeysOf(RequestView request) {
  const Command* const row = ResolveCommand(request);
  if (row == nullptr) {
    return Status(Code::kError, "Invalid command specified");
  }
  const auto count = static_cast<int>(request.size());
  if (row->keys.first == 0) {
    return Status(Code::kError, "The command has no key arguments");
  }
  if (!ArityMatches(*row, request.size())) {
    return Status(Code::kError, "Invalid number of arguments specified for command");
  }
  const int last = row->keys.last < 0 ? count + row->keys.last : row->keys.last;
  Keys keys = {.command = row, .names = {}};
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
    Simples(context.reply, KeyFlagNames(*keys.command));
  }
  return {};
}

}  // namespace

Status Help(Context& context, ArgReader& /*args*/) {
  const Command* const parent = FindCommand(context.request.front().text);
  const std::vector<const Command*> children = SubcommandsOf(*parent);
  context.reply.Array(children.size() * 2 + 1);
  context.reply.Simple(fmt::format("{} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
                                   UpperCased(parent->name)));
  for (const Command* const child : children) {
    context.reply.Simple(UpperCased(child->name.substr(parent->name.size() + 1)));
    context.reply.Simple(fmt::format("    {}", child->summary));
  }
  return {};
}

namespace {

constexpr Arg kFilterArgs[] = {{.name = "module-name", .type = "string", .token = "MODULE"},
                               {.name = "category", .type = "string", .token = "ACLCAT"},
                               {.name = "pattern", .type = "pattern", .token = "PATTERN"}};
constexpr Arg kListArgs[] = {{.name = "filterby",
                              .type = "oneof",
                              .token = "FILTERBY",
                              .optional = true,
                              .args = kFilterArgs}};
constexpr Arg kNamesArgs[] = {
    {.name = "command-name", .type = "string", .optional = true, .multiple = true}};
constexpr Arg kGetKeysArgs[] = {
    {.name = "command", .type = "string"},
    {.name = "arg", .type = "string", .optional = true, .multiple = true}};

constexpr Command IntrospectionRow(Command row) {
  row.group = "server";
  row.since = "0.1.0";
  row.complexity = "O(N) where N is the number of commands described";
  row.flags |= kLoading;
  return row;
}

constexpr std::array kCommands = {
    Row(IntrospectionRow({.name = "command",
                          .arity = -1,
                          .flags = kContainer,
                          .handler = CommandAll,
                          .summary = "Returns details about all commands."})),
    Row(IntrospectionRow({.name = "command|count",
                          .arity = 2,
                          .handler = CommandCountCommand,
                          .summary = "Returns the number of commands."})),
    Row(IntrospectionRow({.name = "command|list",
                          .arity = -2,
                          .handler = CommandList,
                          .summary = "Returns the names of the commands and subcommands.",
                          .args = kListArgs})),
    HelpRow("command|help", "server"),
    Row(IntrospectionRow({.name = "command|info",
                          .arity = -2,
                          .handler = CommandInfo,
                          .summary = "Returns details about the given commands, or all commands.",
                          .args = kNamesArgs})),
    Row(IntrospectionRow(
        {.name = "command|docs",
         .arity = -2,
         .handler = CommandDocs,
         .summary = "Returns documentation of the given commands, or all commands.",
         .args = kNamesArgs})),
    Row(IntrospectionRow({.name = "command|getkeys",
                          .arity = -4,
                          .handler = CommandGetKeys,
                          .summary = "Extracts the key arguments from a command.",
                          .args = kGetKeysArgs})),
    Row(IntrospectionRow({.name = "command|getkeysandflags",
                          .arity = -4,
                          .handler = CommandGetKeysAndFlags,
                          .summary = "Extracts the key arguments from a command, with what the "
                                     "command does with them.",
                          .args = kGetKeysArgs})),
};

}  // namespace

std::span<const Command> IntrospectionCommands() {
  return kCommands;
}

}  // namespace sluice::server
