#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "server/arg_reader.h"
#include "server/command_table.h"
#include "server/context.h"
#include "server/runtime.h"
#include "store/ids.h"

namespace sluice::server {
namespace {

using store::Code;
using store::Status;

// Redis's rule for names of clients and libraries: what prints and is no space.
bool IsPlainWord(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= '!' && c <= '~'; });
}

Status CheckClientName(std::string_view name) {
  return IsPlainWord(name)
             ? Status()
             : Status(Code::kError,
                      "Client names cannot contain spaces, newlines or special characters.");
}

// PING [message]
Status Ping(Context& context, ArgReader& args) {
  const bool has_message = args.HasMore();
  const std::string_view message = has_message ? args.Word("message") : std::string_view();
  if (args.HasMore()) {
    return Status(Code::kError, "wrong number of arguments for 'ping' command");
  }
  if (has_message) {
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

struct HelloOptions {
  std::int64_t version = 0;  // 0: as it is
  std::string_view name;
  bool has_name = false;
};

// The one user that there is has no password, as Redis's default user without `requirepass`.
Status CheckUser(std::string_view user) {
  return user == "default"
             ? Status()
             : Status(Code::kWrongPass, "invalid username-password pair or user is disabled.");
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
    const std::string_view option = args.Word("option");
    const std::size_t values = EqualsIgnoreCase(option, "AUTH") ? 2 : 1;
    if (values == 1 && !EqualsIgnoreCase(option, "SETNAME")) {
      return Status(Code::kError,
                    fmt::format("Syntax error in HELLO option '{}'", store::Printable(option)));
    }
    const std::string_view value = args.Word("value");
    if (values == 2) {
      static_cast<void>(args.Word("password"));
    }
    if (!args.ok()) {
      return Status(Code::kError,
                    fmt::format("Syntax error in HELLO option '{}'", store::Printable(option)));
    }
    TRY(values == 2 ? CheckUser(value) : CheckClientName(value));
    if (values == 1) {
      options.name = value;
      options.has_name = true;
    }
  }
  return args.Finish();
}

// HELLO [protover [AUTH username password] [SETNAME clientname]]
Status Hello(Context& context, ArgReader& args) {
  HelloOptions options;
  TRY(ReadHello(args, options));
  if (options.has_name) {
    context.client.name = std::string(options.name);
  }
  resp::Reply& reply = context.reply;
  if (options.version != 0) {
    reply.SetVersion(options.version == 3 ? resp::Version::k3 : resp::Version::k2);
  }
  reply.Map(8);
  reply.Bulk("server");
  reply.Bulk("redis");
  reply.Bulk("version");
  reply.Bulk(kRedisVersion);
  reply.Bulk("proto");
  reply.Integer(static_cast<std::int64_t>(reply.GetVersion()));
  reply.Bulk("id");
  reply.Integer(context.client.id);
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
  context.client.close_after_reply = true;
  context.reply.Simple("OK");
  return {};
}

// RESET
Status Reset(Context& context, ArgReader& args) {
  TRY(args.Finish());
  context.client.name.clear();
  context.reply.SetVersion(resp::Version::k2);
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

// CLIENT ID
Status ClientId(Context& context, ArgReader& /*args*/) {
  context.reply.Integer(context.client.id);
  return {};
}

// CLIENT GETNAME
Status ClientGetName(Context& context, ArgReader& /*args*/) {
  if (context.client.name.empty()) {
    context.reply.Null();
  } else {
    context.reply.Bulk(context.client.name);
  }
  return {};
}

// CLIENT SETNAME connection-name
Status ClientSetName(Context& context, ArgReader& args) {
  const std::string_view name = args.Word("name");
  TRY(args.Finish());
  TRY(CheckClientName(name));
  context.client.name = std::string(name);
  context.reply.Simple("OK");
  return {};
}

// CLIENT SETINFO LIB-NAME|LIB-VER value
Status ClientSetInfo(Context& context, ArgReader& args) {
  const std::string_view attribute = args.Word("attribute");
  const std::string_view value = args.Word("value");
  TRY(args.Finish());
  const bool is_name = EqualsIgnoreCase(attribute, "LIB-NAME");
  if (!is_name && !EqualsIgnoreCase(attribute, "LIB-VER")) {
    return Status(Code::kError,
                  fmt::format("Unrecognized option '{}'", store::Printable(attribute)));
  }
  if (!IsPlainWord(value)) {
    return Status(Code::kError,
                  fmt::format("{} cannot contain spaces, newlines or special characters.",
                              is_name ? "lib-name" : "lib-ver"));
  }
  (is_name ? context.client.lib_name : context.client.lib_version) = std::string(value);
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
constexpr Arg kSetNameArgs[] = {{.name = "connection-name", .type = "string"}};
constexpr Arg kSetInfoArgs[] = {
    {.name = "libname", .type = "string", .token = "LIB-NAME", .optional = true},
    {.name = "libver", .type = "string", .token = "LIB-VER", .optional = true}};

constexpr Command ConnectionRow(Command row) {
  row.group = "connection";
  row.since = "0.1.0";
  row.complexity = "O(1)";
  row.flags |= kFast | kLoading;
  return row;
}

constexpr std::array kCommands = {
    Row(ConnectionRow({.name = "ping",
                       .arity = -1,
                       .handler = Ping,
                       .summary = "Returns PONG, or the message.",
                       .args = kPingArgs})),
    Row(ConnectionRow({.name = "echo",
                       .arity = 2,
                       .handler = Echo,
                       .summary = "Returns the message.",
                       .args = kEchoArgs})),
    Row(ConnectionRow({.name = "hello",
                       .arity = -1,
                       .flags = kNoAuth,
                       .handler = Hello,
                       .summary = "Chooses the protocol version and describes the server.",
                       .args = kHelloArgs})),
    Row(ConnectionRow({.name = "quit",
                       .arity = -1,
                       .flags = kNoAuth,
                       .handler = Quit,
                       .summary = "Answers OK and closes the connection."})),
    Row(ConnectionRow({.name = "reset",
                       .arity = 1,
                       .flags = kNoAuth,
                       .handler = Reset,
                       .summary = "Makes the connection as it was when it was new."})),
    Row(ConnectionRow({.name = "select",
                       .arity = 2,
                       .handler = Select,
                       .summary = "Chooses the database; there is one, number 0.",
                       .args = kSelectArgs})),
    Row(ConnectionRow({.name = "client",
                       .arity = -2,
                       .flags = kContainer,
                       .summary = "Commands about the connection."})),
    Row(ConnectionRow({.name = "client|id",
                       .arity = 2,
                       .handler = ClientId,
                       .summary = "Returns the connection's number."})),
    Row(ConnectionRow({.name = "client|getname",
                       .arity = 2,
                       .handler = ClientGetName,
                       .summary = "Returns the connection's name."})),
    Row(ConnectionRow({.name = "client|setname",
                       .arity = 3,
                       .handler = ClientSetName,
                       .summary = "Names the connection.",
                       .args = kSetNameArgs})),
    Row(ConnectionRow({.name = "client|setinfo",
                       .arity = 4,
                       .handler = ClientSetInfo,
                       .summary = "Tells which client library is at the other end.",
                       .args = kSetInfoArgs})),
};

}  // namespace

std::span<const Command> ConnectionCommands() {
  return kCommands;
}

}  // namespace sluice::server
