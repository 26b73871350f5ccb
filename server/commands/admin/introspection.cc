// COMMAND and its subcommands: the command table for clients.
#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/ascii.h"
#include "server/arguments/arg_reader.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/context.h"
#include "server/dispatch/dispatch.h"
#include "server/dispatch/help.h"
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
                             {kNoAuth, "no_auth"}, {kBlocking, "blocking"}, {kNoMulti, "no_multi"},
                             {kPubSub, "pubsub"}};
  std::vector<std::string_view> names;
  for (const Name& name : kNames) {
    if ((row.flags & name.flag) != 0) {
      names.push_back(name.text);
    }
  }
  return names;
}

void Simples(Reply& reply, const std::vector<std::string_view>& names) {
  reply.Set(names.size());
  for (const std::string_view name : names) {
    reply.Simple(name);
  }
}

std::vector<std::string_view> KeyFlagNames(const Command& row) {
  if (row.key_flags_with_get.empty()) {
    return SplitWords(KeyFlags(row));
  }
  std::vector<std::string_view> names = SplitWords(row.key_flags_with_get);
  names.push_back("variable_flags");
  return names;
}

// The key specification, as in COMMAND since Redis 7: where keys begin, and where they end.
void KeySpec(Reply& reply, const Command& row) {
  reply.Map(row.key_notes.empty() ? 3 : 4);
  if (!row.key_notes.empty()) {
    reply.Bulk("notes");
    reply.Bulk(row.key_notes);
  }
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

enum class Place { kTop, kInContainer };

// In the reply of its container, a subcommand has no key specification: Debian's hiredis does not
// read replies nested so deeply.
void Info(Reply& reply, const Command& row, Place place) {
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
  const bool has_spec = row.keys.first != 0 && place == Place::kTop;
  reply.Set(has_spec ? 1 : 0);
  if (has_spec) {
    KeySpec(reply, row);
  }
  const std::vector<const Command*> children = SubcommandsOf(row);
  reply.Array(children.size());
  for (const Command* const child : children) {
    Info(reply, *child, Place::kInContainer);
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
      count,
      [rows = std::move(rows)](Reply& reply, std::size_t i) { Info(reply, *rows[i], Place::kTop); },
      context.reply, context.rest);
  return {};
}

// COMMAND COUNT
Status CommandCountCommand(Context& context, ArgReader& /*args*/) {
  context.reply.Integer(static_cast<std::int64_t>(TopLevel().size()));
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
      Info(context.reply, *row, Place::kTop);
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

constexpr Arg kNamesArgs[] = {
    {.name = "command-name", .type = "string", .optional = true, .multiple = true}};

constexpr Command IntrospectionRow(Command row) {
  row.group = "server";
  row.since = "0.1.0";
  row.complexity = "O(N) where N is the number of commands described";
  row.flags |= kLoading;
  row.categories = kAclConnection;
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
    HelpRow("command|help", "server", kAclConnection),
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
};

}  // namespace

std::span<const Command> IntrospectionCommands() {
  return kCommands;
}

}  // namespace sluice::server
