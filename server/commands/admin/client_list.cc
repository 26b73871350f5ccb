// CLIENT LIST, INFO, KILL: listing and closing connections.
#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/ascii.h"
#include "base/ids.h"
#include "server/arguments/arg_reader.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/context.h"

namespace sluice::server {
namespace {

std::string Flags(const ConnectionInfo& connection) {
  std::string flags;
  const auto add = [&flags](bool holds, char letter) {
    if (holds) {
      flags += letter;
    }
  };
  add(connection.monitor, 'O');
  add(connection.Subscribed(), 'P');
  add(connection.queued >= 0, 'x');
  add(connection.blocked, 'b');
  add(connection.dirty, 'd');
  add(connection.mailbox.Killed(), 'A');
  add(connection.address.unix_socket, 'U');
  add(connection.no_evict, 'e');
  add(connection.no_touch, 'T');
  return flags.empty() ? "N" : flags;
}

// Appends the line of CLIENT LIST, as in Redis. REQUIRES: called by Clients::ForEach(), or for the
// connection of this command.
void AddLine(const ConnectionInfo& connection, std::int64_t now_us, std::string& out) {
  constexpr std::int64_t kSecondUs = 1000000;
  const Command* const command = connection.last_command.load();
  const std::int64_t query = connection.query_bytes;
  const std::int64_t total = connection.input_bytes + connection.output_bytes +
                             connection.payload_bytes +
                             static_cast<std::int64_t>(sizeof(ConnectionInfo));
  out += fmt::format(
      "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} db=0 sub={} psub={} ssub={} "
      "multi={} qbuf={} qbuf-free={} argv-mem=0 multi-mem=0 rbs={} rbp={} obl=0 oll=0 omem={} "
      "tot-mem={} events=r cmd={} user=default redir=-1 resp={} lib-name={} lib-ver={}\n",
      connection.id, connection.address.peer, connection.address.local,
      connection.address.descriptor, connection.name,
      (now_us - connection.connected_us) / kSecondUs, (now_us - connection.active_us) / kSecondUs,
      Flags(connection), connection.channels.load(), connection.patterns.load(),
      connection.shards.load(), connection.queued.load(), query,
      std::max<std::int64_t>(0, connection.input_bytes - query), connection.output_bytes.load(),
      connection.output_bytes.load(), connection.pending_bytes.load(), total,
      command == nullptr ? "NULL" : command->name, connection.version.load(), connection.lib_name,
      connection.lib_version);
}

enum class Type : std::uint8_t { kNormal, kPubSub, kReplica };

// Errors: kError.
Result<Type> ReadType(ArgReader& args) {
  const std::string_view word = args.Word("type");
  if (EqualsIgnoreCase(word, "normal")) {
    return Type::kNormal;
  }
  if (EqualsIgnoreCase(word, "pubsub")) {
    return Type::kPubSub;
  }
  for (const std::string_view other : {"master", "slave", "replica"}) {
    if (EqualsIgnoreCase(word, other)) {
      return Type::kReplica;  // matches no connection
    }
  }
  return Status(Code::kError, fmt::format("Unknown client type '{}'", Printable(word)));
}

bool IsOf(const ConnectionInfo& connection, Type type) {
  return type != Type::kReplica && connection.Subscribed() == (type == Type::kPubSub);
}

// The connections of CLIENT LIST and CLIENT KILL: those that match all given conditions.
struct Filter {
  std::optional<Type> type;
  std::vector<std::int64_t> ids;
  std::optional<std::string_view> peer;
  std::optional<std::string_view> local;
  std::optional<std::string_view> user;
  std::optional<std::int64_t> age_s;  // minimum age
  bool skip_me = false;

  [[nodiscard]] bool Fits(const ConnectionInfo& connection, std::int64_t now_us) const {
    return (!type || IsOf(connection, *type)) &&
           (ids.empty() || std::find(ids.begin(), ids.end(), connection.id) != ids.end()) &&
           (!peer || *peer == connection.address.peer) &&
           (!local || *local == connection.address.local) && (!user || *user == "default") &&
           (!age_s || now_us - connection.connected_us >= *age_s * 1000000);
  }
};

// Reads `id [id ...]`, up to the last argument.
Status ReadIds(ArgReader& args, std::vector<std::int64_t>& ids) {
  while (args.HasMore()) {
    std::int64_t id = 0;
    if (!ParseInteger(args.Word("id"), id)) {
      return Status(Code::kError, "Invalid client ID");
    }
    ids.push_back(id);
  }
  return {};
}

// Reads `TYPE type` or `ID id [id ...]`.
Status ReadListFilter(ArgReader& args, Filter& filter) {
  if (args.Option("TYPE")) {
    TRY_ASSIGN(filter.type, ReadType(args));
    return {};
  }
  return args.Option("ID") && args.HasMore() ? ReadIds(args, filter.ids) : SyntaxError();
}

// CLIENT LIST [TYPE type] [ID id ...]
Status ClientList(Context& context, ArgReader& args) {
  Filter filter;
  while (args.HasMore()) {
    TRY(ReadListFilter(args, filter));
  }
  TRY(args.Finish());
  std::string text;
  context.server.connections.ForEach([&](const ConnectionInfo& connection) {
    if (filter.Fits(connection, context.now_us)) {
      AddLine(connection, context.now_us, text);
    }
  });
  context.reply.Verbatim(text);
  return {};
}

// CLIENT INFO
Status ClientInfo(Context& context, ArgReader& /*args*/) {
  std::string text;
  AddLine(context.connection, context.now_us, text);
  context.reply.Verbatim(text);
  return {};
}

Status ReadKillFilter(ArgReader& args, Filter& filter) {
  filter.skip_me = true;
  while (args.HasMore()) {
    if (args.Left() < 2) {
      return SyntaxError();
    }
    if (args.Option("ID")) {
      std::int64_t id = 0;
      if (!ParseInteger(args.Word("id"), id) || id < 1) {
        return Status(Code::kError, "client-id should be greater than 0");
      }
      filter.ids = {id};
    } else if (args.Option("TYPE")) {
      TRY_ASSIGN(filter.type, ReadType(args));
    } else if (args.Option("ADDR")) {
      filter.peer = args.Word("address");
    } else if (args.Option("LADDR")) {
      filter.local = args.Word("address");
    } else if (args.Option("USER")) {
      filter.user = args.Word("username");
      if (*filter.user != "default") {
        return Status(Code::kError, fmt::format("No such user '{}'", Printable(*filter.user)));
      }
    } else if (args.Option("MAXAGE")) {
      filter.age_s = args.Integer({.min = 1});
    } else if (args.Option("SKIPME")) {
      filter.skip_me = args.Option("YES");
      if (!filter.skip_me && !args.Option("NO")) {
        return SyntaxError();
      }
    } else {
      return SyntaxError();
    }
  }
  return args.Finish();
}

std::int64_t Kill(Context& context, const Filter& filter) {
  std::int64_t killed = 0;
  context.server.connections.ForEach([&](ConnectionInfo& connection) {
    const bool self = &connection == &context.connection;
    const bool left_out = connection.mailbox.Killed() || (self && filter.skip_me);
    if (filter.Fits(connection, context.now_us) && !left_out) {
      ++killed;
      if (self) {
        connection.close_after_reply = true;
      } else {
        connection.mailbox.Kill();
      }
    }
  });
  return killed;
}

// CLIENT KILL address | [ID id] [TYPE type] [ADDR address] [LADDR address] [USER user] [MAXAGE s]
//   [SKIPME YES|NO]
Status ClientKill(Context& context, ArgReader& args) {
  Filter filter;
  if (args.Left() == 1) {
    filter.peer = args.Word("address");
    if (Kill(context, filter) == 0) {
      return Status(Code::kError, "No such client");
    }
    context.reply.Simple("OK");
    return {};
  }
  TRY(ReadKillFilter(args, filter));
  context.reply.Integer(Kill(context, filter));
  return {};
}

constexpr Arg kListArgs[] = {
    {.name = "client-type", .type = "string", .token = "TYPE", .optional = true},
    {.name = "client-id", .type = "integer", .token = "ID", .optional = true, .multiple = true}};
constexpr Arg kKillArgs[] = {
    {.name = "old-format", .type = "string", .optional = true},
    {.name = "client-id", .type = "integer", .token = "ID", .optional = true},
    {.name = "client-type", .type = "string", .token = "TYPE", .optional = true},
    {.name = "addr", .type = "string", .token = "ADDR", .optional = true},
    {.name = "laddr", .type = "string", .token = "LADDR", .optional = true},
    {.name = "username", .type = "string", .token = "USER", .optional = true},
    {.name = "maxage", .type = "integer", .token = "MAXAGE", .optional = true},
    {.name = "skipme", .type = "string", .token = "SKIPME", .optional = true}};

constexpr Command ClientListRow(Command row) {
  row.group = "connection";
  row.since = "0.1.0";
  row.complexity = "O(N) where N is the number of connections";
  row.flags |= kLoading;
  row.categories = kAclConnection;
  return row;
}

constexpr std::array kCommands = {
    Row(ClientListRow({.name = "client|list",
                       .arity = -2,
                       .flags = kAdmin,
                       .handler = ClientList,
                       .summary = "Lists the connections, one per line.",
                       .args = kListArgs})),
    Row(ClientListRow({.name = "client|info",
                       .arity = 2,
                       .handler = ClientInfo,
                       .summary = "Returns this connection's line of CLIENT LIST."})),
    Row(ClientListRow({.name = "client|kill",
                       .arity = -3,
                       .flags = kAdmin,
                       .handler = ClientKill,
                       .summary = "Closes connections.",
                       .args = kKillArgs})),
};

}  // namespace

std::span<const Command> ClientListCommands() {
  return kCommands;
}

}  // namespace sluice::server
