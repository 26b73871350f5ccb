// Commands that Redis clients and tools send, with fixed or trivial replies: ROLE, TIME, LASTSAVE,
// WAIT, MODULE, ACL, CLUSTER.
#include <array>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "base/ids.h"
#include "server/arguments/arg_reader.h"
#include "server/commands/kv/kv_block.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/context.h"
#include "server/dispatch/error_reply.h"
#include "server/dispatch/help.h"

namespace sluice::server {
namespace {

// ROLE
Status Role(Context& context, ArgReader& /*args*/) {
  context.reply.Array(3);
  context.reply.Bulk("master");
  context.reply.Integer(0);
  context.reply.Array(0);
  return {};
}

// TIME
Status Time(Context& context, ArgReader& /*args*/) {
  const std::int64_t now_us = context.server.clock.WallUs();
  context.reply.Array(2);
  context.reply.Bulk(fmt::format("{}", now_us / 1000000));
  context.reply.Bulk(fmt::format("{}", now_us % 1000000));
  return {};
}

// LASTSAVE
Status LastSave(Context& context, ArgReader& /*args*/) {
  const Server& server = context.server;
  const std::int64_t up_us = server.clock.NowUs() - server.started_us;
  context.reply.Integer((server.clock.WallUs() - up_us) / 1000000);  // start time, as in Redis
  return {};
}

// WAIT numreplicas timeout
Status Wait(Context& context, ArgReader& args) {
  args.Integer();
  ReadMilliseconds(args);
  TRY(args.Finish());
  context.reply.Integer(0);  // there are no replicas
  return {};
}

// MODULE LIST
Status ModuleList(Context& context, ArgReader& /*args*/) {
  context.reply.Array(0);
  return {};
}

// FUNCTION LIST [LIBRARYNAME pattern] [WITHCODE]
Status FunctionList(Context& context, ArgReader& args) {
  bool has_pattern = false;
  bool has_code = false;
  while (args.HasMore()) {
    if (!has_code && args.Option("WITHCODE")) {
      has_code = true;
    } else if (!has_pattern && args.Option("LIBRARYNAME")) {
      if (!args.HasMore()) {
        return Status(Code::kError, "library name argument was not given");
      }
      args.Word("pattern");
      has_pattern = true;
    } else {
      return Status(Code::kError, fmt::format("Unknown argument {}", Printable(args.Peek())));
    }
  }
  context.reply.Array(0);
  return {};
}

// FUNCTION FLUSH [ASYNC | SYNC]
Status FunctionFlush(Context& context, ArgReader& args) {
  if (args.HasMore() && !args.Option("ASYNC") && !args.Option("SYNC")) {
    return Status(Code::kError, "FUNCTION FLUSH only supports SYNC|ASYNC option");
  }
  TRY(args.Finish());
  context.reply.Simple("OK");
  return {};
}

// ACL WHOAMI
Status AclWhoAmI(Context& context, ArgReader& /*args*/) {
  context.reply.Bulk("default");
  return {};
}

// ACL USERS
Status AclUsers(Context& context, ArgReader& /*args*/) {
  context.reply.Array(1);
  context.reply.Bulk("default");
  return {};
}

// ACL LIST
Status AclList(Context& context, ArgReader& /*args*/) {
  context.reply.Array(1);
  context.reply.Bulk(context.server.wants_password ? "user default on ~* &* +@all"
                                                   : "user default on nopass ~* &* +@all");
  return {};
}

// ACL CAT [category]
Status AclCat(Context& context, ArgReader& args) {
  if (args.Left() > 1) {
    return Status(
        Code::kError,
        fmt::format("unknown subcommand or wrong number of arguments for '{}'. Try ACL HELP.",
                    Echo(context.request[1].text)));
  }
  const bool all = !args.HasMore();
  const std::string_view category = all ? std::string_view() : args.Word("category");
  TRY(args.Finish());
  if (all) {
    context.reply.Array(Categories().size());
    for (const std::string_view name : Categories()) {
      context.reply.Bulk(name.substr(1));
    }
    return {};
  }
  std::vector<std::string_view> names;
  for (const auto family : Families()) {
    for (const Command& row : family) {
      if (IsOfCategory(row, category)) {
        names.push_back(row.name);
      }
    }
  }
  if (names.empty()) {
    return Status(Code::kError, fmt::format("Unknown category '{}'", Echo(category)));
  }
  context.reply.Array(names.size());
  for (const std::string_view name : names) {
    context.reply.Bulk(name);
  }
  return {};
}

// CLUSTER ..., READONLY, READWRITE, ASKING
Status NoCluster(Context& /*context*/, ArgReader& /*args*/) {
  return Status(Code::kError, "This instance has cluster support disabled");
}

constexpr Arg kWaitArgs[] = {{.name = "numreplicas", .type = "integer"},
                             {.name = "timeout", .type = "integer"}};
constexpr Arg kFunctionListArgs[] = {
    {.name = "library-name-pattern", .type = "string", .token = "LIBRARYNAME", .optional = true},
    {.name = "withcode", .type = "pure-token", .token = "WITHCODE", .optional = true}};
constexpr Arg kCategoryArgs[] = {{.name = "category", .type = "string", .optional = true}};
constexpr Arg kAnyArgs[] = {{.name = "arg", .type = "string", .optional = true, .multiple = true}};

constexpr Command RedisRow(Command row) {
  row.group = "server";
  row.since = "0.1.0";
  row.complexity = "O(1)";
  return row;
}

constexpr Command FunctionRow(Command row) {
  row.categories = kAclScripting;
  return RedisRow(row);
}

constexpr Command ClusterRow(Command row) {
  row.group = "cluster";
  row.since = "0.1.0";
  row.complexity = "O(1)";
  row.handler = NoCluster;
  row.summary = "Returns an error: cluster support is disabled.";
  return row;
}

constexpr std::array kCommands = {
    Row(RedisRow({.name = "role",
                  .arity = 1,
                  .flags = kFast | kLoading,
                  .categories = kAclAdmin | kAclDangerous,
                  .handler = Role,
                  .summary = "Returns the server's role: a master without replicas."})),
    Row(RedisRow({.name = "time",
                  .arity = 1,
                  .flags = kFast | kLoading,
                  .handler = Time,
                  .summary = "Returns the server's time: seconds and microseconds."})),
    Row(RedisRow({.name = "lastsave",
                  .arity = 1,
                  .flags = kFast | kLoading,
                  .categories = kAclAdmin | kAclDangerous,
                  .handler = LastSave,
                  .summary = "Returns the start time of the server, since data is never saved."})),
    Row(RedisRow({.name = "wait",
                  .arity = 3,
                  .categories = kAclConnection,
                  .handler = Wait,
                  .summary = "Returns 0: there are no replicas.",
                  .args = kWaitArgs})),
    Row(RedisRow({.name = "module",
                  .arity = -2,
                  .flags = kContainer,
                  .summary = "Commands about modules."})),
    HelpRow("module|help", "server"),
    Row(RedisRow({.name = "module|list",
                  .arity = 2,
                  .flags = kAdmin,
                  .handler = ModuleList,
                  .summary = "Returns an empty list: modules are not supported."})),
    Row(RedisRow({.name = "function",
                  .arity = -2,
                  .flags = kContainer,
                  .summary = "Commands about functions."})),
    HelpRow("function|help", "server", kAclScripting),
    Row(FunctionRow({.name = "function|list",
                     .arity = -2,
                     .handler = FunctionList,
                     .summary = "Returns an empty list: functions are not supported.",
                     .args = kFunctionListArgs})),
    Row(FunctionRow({.name = "function|flush",
                     .arity = -2,
                     .flags = kWrite,
                     .handler = FunctionFlush,
                     .summary = "Does nothing: functions are not supported."})),
    Row(RedisRow(
        {.name = "acl", .arity = -2, .flags = kContainer, .summary = "Commands about users."})),
    HelpRow("acl|help", "server"),
    Row(RedisRow({.name = "acl|whoami",
                  .arity = 2,
                  .flags = kLoading,
                  .handler = AclWhoAmI,
                  .summary = "Returns the name of the connection's user."})),
    Row(RedisRow({.name = "acl|users",
                  .arity = 2,
                  .flags = kAdmin | kLoading,
                  .handler = AclUsers,
                  .summary = "Lists the users. The only one is default."})),
    Row(RedisRow({.name = "acl|list",
                  .arity = 2,
                  .flags = kAdmin | kLoading,
                  .handler = AclList,
                  .summary = "Lists the users and their permissions."})),
    Row(RedisRow({.name = "acl|cat",
                  .arity = -2,
                  .flags = kLoading,
                  .handler = AclCat,
                  .summary = "Lists the command categories, or the commands in one category.",
                  .args = kCategoryArgs})),
    Row(ClusterRow({.name = "cluster", .arity = -2, .args = kAnyArgs})),
    Row(ClusterRow(
        {.name = "readonly", .arity = 1, .flags = kFast | kLoading, .categories = kAclConnection})),
    Row(ClusterRow({.name = "readwrite",
                    .arity = 1,
                    .flags = kFast | kLoading,
                    .categories = kAclConnection})),
    Row(ClusterRow({.name = "asking", .arity = 1, .flags = kFast, .categories = kAclConnection})),
};

}  // namespace

std::span<const Command> RedisCommands() {
  return kCommands;
}

}  // namespace sluice::server
