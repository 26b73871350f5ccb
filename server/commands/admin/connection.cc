// The connection itself: PING, HELLO, AUTH and the like.
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/ascii.h"
#include "base/ids.h"
#include "base/version.h"
#include "server/arguments/arg_reader.h"
#include "server/commands/admin/client.h"
#include "server/dispatch/close_transaction.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/context.h"
#include "server/dispatch/server.h"

namespace sluice::server {
namespace {

// PING [message]
Status Ping(Context& context, ArgReader& args) {
  const bool has_message = args.HasMore();
  const std::string_view message = has_message ? args.Word("message") : std::string_view();
  if (args.HasMore()) {
    return Status(Code::kError, "wrong number of arguments for 'ping' command");
  }
  if (context.connection.Subscribed() && context.reply.GetVersion() == resp::Version::k2) {
    context.reply.Array(2);
    context.reply.Bulk("pong");
    context.reply.Bulk(message);
  } else if (has_message) {
    context.reply.Bulk(message);
  } else {
    context.reply.Simple("PONG");
  }
  return {};
}

// ECHO message
Status Echo(Context& context, ArgReader& args) {
  const std::string_view message = args.Word("message");
  TRY(args.Finish());
  context.reply.Bulk(message);
  return {};
}

struct Login {
  std::string_view user;
  std::string_view password;
};

// Compares in a time that does not depend on where the two differ.
bool SameSecret(std::string_view given, std::string_view secret) {
  unsigned different = given.size() == secret.size() ? 0 : 1;
  for (std::size_t i = 0; i < given.size(); ++i) {
    const char expected = secret.empty() ? '\0' : secret[i % secret.size()];
    different |= static_cast<unsigned char>(given[i] ^ expected);
  }
  return different == 0;
}

// The only user is "default". Without `requirepass` every password is accepted. Acquires the engine
// lock.
Status CheckLogin(Context& context, const Login& login) {
  context.turn.Enter();
  const std::string& secret = context.server.config.requirepass;
  const bool right =
      login.user == "default" && (secret.empty() || SameSecret(login.password, secret));
  return right ? Status()
               : Status(Code::kWrongPass, "invalid username-password pair or user is disabled.");
}

// AUTH [username] password
Status Auth(Context& context, ArgReader& args) {
  if (args.Left() > 2) {
    return SyntaxError();
  }
  const bool has_user = args.Left() == 2;
  const std::string_view user = has_user ? args.Word("username") : "default";
  const std::string_view password = args.Word("password");
  TRY(args.Finish());
  if (!has_user && !context.server.wants_password) {
    return Status(Code::kError,
                  "AUTH <password> called without any password configured for the default user. "
                  "Are you sure your configuration is correct?");
  }
  TRY(CheckLogin(context, {user, password}));
  context.connection.authenticated = true;
  context.reply.Simple("OK");
  return {};
}

struct HelloOptions {
  std::int64_t version = 0;  // 0: keep the current version
  std::string_view name;
  bool has_name = false;
  Login login;
  bool has_login = false;
};

// Reads `AUTH username password` or `SETNAME clientname`.
Status ReadHelloOption(ArgReader& args, HelloOptions& options) {
  const std::string_view option = args.Word("option");
  if (EqualsIgnoreCase(option, "AUTH") && args.Left() >= 2) {
    options.has_login = true;
    options.login.user = args.Word("username");
    options.login.password = args.Word("password");
    return {};
  }
  if (EqualsIgnoreCase(option, "SETNAME") && args.Left() >= 1) {
    options.has_name = true;
    options.name = args.Word("clientname");
    return CheckClientName(options.name);
  }
  return Status(Code::kError, fmt::format("Syntax error in HELLO option '{}'", Printable(option)));
}

Status ReadHello(ArgReader& args, HelloOptions& options) {
  if (!args.HasMore()) {
    return {};
  }
  if (!ParseInteger(args.Word("protover"), options.version)) {
    return Status(Code::kError, "Protocol version is not an integer or out of range");
  }
  if (options.version != 2 && options.version != 3) {
    return Status(Code::kNoProto, "unsupported protocol version");
  }
  while (args.HasMore()) {
    TRY(ReadHelloOption(args, options));
  }
  return args.Finish();
}

void SetVersion(Context& context, resp::Version version) {
  context.reply.SetVersion(version);
  context.connection.version = static_cast<int>(version);
}

// HELLO [protover [AUTH username password] [SETNAME clientname]]
Status Hello(Context& context, ArgReader& args) {
  HelloOptions options;
  TRY(ReadHello(args, options));
  ConnectionInfo& connection = context.connection;
  if (options.has_login) {
    TRY(CheckLogin(context, options.login));
  } else if (!connection.authenticated) {
    return Status(Code::kNoAuth,
                  "HELLO must be called with the client already authenticated, otherwise the HELLO "
                  "AUTH <user> <pass> option can be used to authenticate the client and select the "
                  "RESP protocol version at the same time");
  }
  std::string name(options.name);
  connection.authenticated = true;
  if (options.has_name) {
    context.server.connections.Set(connection.name, std::move(name));
  }
  resp::Reply& reply = context.reply;
  if (options.version != 0) {
    SetVersion(context, options.version == 3 ? resp::Version::k3 : resp::Version::k2);
  }
  reply.Map(8);
  reply.Bulk("server");
  reply.Bulk("redis");
  reply.Bulk("version");
  reply.Bulk(kRedisVersion);
  reply.Bulk("proto");
  reply.Integer(static_cast<std::int64_t>(reply.GetVersion()));
  reply.Bulk("id");
  reply.Integer(context.connection.id);
  reply.Bulk("mode");
  reply.Bulk("standalone");
  reply.Bulk("role");
  reply.Bulk("master");
  reply.Bulk("modules");
  reply.Array(0);
  reply.Bulk("sluice_version");
  reply.Bulk(kSluiceVersion);
  return {};
}

// QUIT
Status Quit(Context& context, ArgReader& /*args*/) {
  context.connection.close_after_reply = true;
  context.reply.Simple("OK");
  return {};
}

// RESET
Status Reset(Context& context, ArgReader& args) {
  TRY(args.Finish());
  ConnectionInfo& connection = context.connection;
  context.turn.Enter();
  CloseTransaction(context);
  context.server.subscriptions.UnsubscribeAll(connection);
  context.server.monitors.fetch_sub(connection.monitor.exchange(false) ? 1 : 0);
  context.server.connections.Set(connection.name, {});
  connection.no_evict = false;
  connection.no_touch = false;
  connection.reply_mode = ReplyMode::kOn;
  connection.authenticated = !context.server.wants_password;
  SetVersion(context, resp::Version::k2);
  context.reply.Simple("RESET");
  return {};
}

// SELECT index
Status Select(Context& context, ArgReader& args) {
  const std::int64_t index = args.Integer();
  TRY(args.Finish());
  if (index != 0) {
    return Status(Code::kError, "DB index is out of range");
  }
  context.reply.Simple("OK");
  return {};
}

constexpr Arg kPingArgs[] = {{.name = "message", .type = "string", .optional = true}};
constexpr Arg kEchoArgs[] = {{.name = "message", .type = "string"}};
constexpr Arg kHelloAuthArgs[] = {{.name = "username", .type = "string"},
                                  {.name = "password", .type = "string"}};
constexpr Arg kHelloArgs[] = {
    {.name = "protover", .type = "integer", .optional = true},
    {.name = "auth", .type = "block", .token = "AUTH", .optional = true, .args = kHelloAuthArgs},
    {.name = "clientname", .type = "string", .token = "SETNAME", .optional = true}};
constexpr Arg kSelectArgs[] = {{.name = "index", .type = "integer"}};
constexpr Arg kAuthArgs[] = {{.name = "username", .type = "string", .optional = true},
                             {.name = "password", .type = "string"}};

constexpr Command ConnectionRow(Command row) {
  row.group = "connection";
  row.since = "0.1.0";
  row.complexity = "O(1)";
  row.flags |= kFast | (row.name == "ping" ? 0U : kLoading);
  row.categories = kAclConnection;
  return row;
}

constexpr std::array kCommands = {
    Row(ConnectionRow({.name = "ping",
                       .arity = -1,
                       .flags = kSubscribed,
                       .handler = Ping,
                       .summary = "Returns PONG, or the message.",
                       .args = kPingArgs})),
    Row(ConnectionRow({.name = "echo",
                       .arity = 2,
                       .handler = Echo,
                       .summary = "Returns the message.",
                       .args = kEchoArgs})),
    Row(ConnectionRow({.name = "auth",
                       .arity = -2,
                       .flags = kNoAuth | kSecret,
                       .handler = Auth,
                       .summary = "Authenticates the connection.",
                       .args = kAuthArgs})),
    Row(ConnectionRow(
        {.name = "hello",
         .arity = -1,
         .flags = kNoAuth | kSecret,
         .handler = Hello,
         .summary = "Sets the protocol version and returns information about the server.",
         .args = kHelloArgs})),
    Row(ConnectionRow({.name = "quit",
                       .arity = -1,
                       .flags = kNoAuth | kSubscribed | kInMulti,
                       .handler = Quit,
                       .summary = "Replies OK and closes the connection."})),
    Row(ConnectionRow({.name = "reset",
                       .arity = 1,
                       .flags = kNoAuth | kSubscribed | kInMulti,
                       .handler = Reset,
                       .summary = "Resets the connection."})),
    Row(ConnectionRow({.name = "select",
                       .arity = 2,
                       .handler = Select,
                       .summary = "Selects the database. The only one is 0.",
                       .args = kSelectArgs})),
};

}  // namespace

std::span<const Command> ConnectionCommands() {
  return kCommands;
}

}  // namespace sluice::server
