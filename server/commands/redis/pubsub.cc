// Publish and subscribe, as in Redis, in both protocols.
#include <array>
#include <vector>

#include "server/arguments/arg_reader.h"
#include "server/arguments/glob.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/context.h"
#include "server/dispatch/help.h"
#include "server/registry/messages.h"
#include "server/registry/subscriptions.h"

namespace sluice::server {
namespace {

struct Words {
  std::string_view subscribe;
  std::string_view unsubscribe;
};

constexpr Words WordsOf(Channels kind) {
  switch (kind) {
    case Channels::kPattern:
      return {"psubscribe", "punsubscribe"};
    case Channels::kShard:
      return {"ssubscribe", "sunsubscribe"};
    case Channels::kPlain:
      break;
  }
  return {"subscribe", "unsubscribe"};
}

std::set<std::string, std::less<>>& NamesOf(ConnectionInfo& connection, Channels kind) {
  switch (kind) {
    case Channels::kPattern:
      return connection.subscriptions.patterns;
    case Channels::kShard:
      return connection.subscriptions.shards;
    case Channels::kPlain:
      break;
  }
  return connection.subscriptions.channels;
}

// As in Redis, channels and patterns are counted together, shard channels separately.
std::int64_t CountOf(const ConnectionInfo& connection, Channels kind) {
  return kind == Channels::kShard ? connection.shards.load()
                                  : connection.channels + connection.patterns;
}

// Appends one confirmation. `name` is null if there was no subscription to end. REQUIRES: the space
// is reserved.
void Confirm(Context& context, Channels kind, std::string_view word, const std::string_view* name) {
  context.pushes = true;
  context.reply.Push(3);
  context.reply.Bulk(word);
  if (name != nullptr) {
    context.reply.Bulk(*name);
  } else {
    context.reply.Null();
  }
  context.reply.Integer(CountOf(context.connection, kind));
}

// Reserves space for the reply, so that nothing can fail after a change. Errors: std::bad_alloc.
void MakeSpace(Context& context, std::span<const std::string_view> names) {
  constexpr std::size_t kOverheadBytes = 128;
  std::size_t bytes = kOverheadBytes;
  for (const std::string_view name : names) {
    bytes += name.size() + kOverheadBytes;
  }
  context.reply.Reserve(bytes);
}

// Unsubscribes from the new subscriptions on destruction, unless Keep() is called.
class NewSubscriptions {
 public:
  // REQUIRES: at most `count` names are added. Errors: std::bad_alloc.
  NewSubscriptions(Context& context, Channels kind, std::size_t count)
      : context_(context), kind_(kind) {
    names_.reserve(count);
  }
  NewSubscriptions(const NewSubscriptions&) = delete;
  NewSubscriptions& operator=(const NewSubscriptions&) = delete;
  ~NewSubscriptions() {
    for (const std::string_view name : names_) {
      context_.server.subscriptions.Unsubscribe(kind_, name, context_.connection);
    }
  }

  // Errors: std::bad_alloc.
  void Add(std::string_view name) {
    if (!NamesOf(context_.connection, kind_).contains(name)) {
      context_.server.subscriptions.Subscribe(kind_, name, context_.connection);
      names_.push_back(name);
    }
  }
  void Keep() { names_.clear(); }

 private:
  Context& context_;
  Channels kind_;
  std::vector<std::string_view> names_;
};

template <Channels kKind>
Status Subscribe(Context& context, ArgReader& args) {
  if (kKind == Channels::kShard && context.in_transaction) {  // Redis's rule and text
    return Status(Code::kError, "SSUBSCRIBE isn't allowed for a DENY BLOCKING client");
  }
  std::vector<std::string_view>& names = context.scratch.keys;
  for (const RequestArg& name : args.Remaining()) {
    TRY(kKind == Channels::kPattern ? CheckGlob(name.text) : Status());
    names.push_back(name.text);
  }
  MakeSpace(context, names);
  NewSubscriptions subscriptions(context, kKind, names.size());
  for (const std::string_view name : names) {
    subscriptions.Add(name);
    Confirm(context, kKind, WordsOf(kKind).subscribe, &name);
  }
  subscriptions.Keep();
  return {};
}

// The confirmations come behind the messages that the client has published before them in the same
// transaction. In RESP2 there are none, and another client's message in the array of EXEC would be
// taken for a reply; so would the lines of MONITOR in RESP3.
template <Channels kKind>
Status Unsubscribe(Context& context, ArgReader& args) {
  std::vector<std::string_view>& names = context.scratch.keys;
  std::vector<std::string> own;
  for (const RequestArg& name : args.Remaining()) {
    names.push_back(name.text);
  }
  if (names.empty()) {
    const auto& all = NamesOf(context.connection, kKind);
    own.assign(all.begin(), all.end());
    names.assign(own.begin(), own.end());
  }
  MakeSpace(context, names);
  if (context.reply.GetVersion() == resp::Version::k3 && !context.connection.monitor &&
      !WriteMessages(context.connection, context.reply)) {
    context.connection.close_now = true;
  }
  for (const std::string_view name : names) {
    context.server.subscriptions.Unsubscribe(kKind, name, context.connection);
    Confirm(context, kKind, WordsOf(kKind).unsubscribe, &name);
  }
  if (names.empty()) {
    Confirm(context, kKind, WordsOf(kKind).unsubscribe, nullptr);
  }
  return {};
}

template <Channels kKind>
Status Publish(Context& context, ArgReader& args) {
  const std::string_view channel = args.Word("channel");
  const RequestArg message = args.Take("message");
  TRY(args.Finish());
  context.turn.Leave();  // publishing may take long and does not need the engine lock
  context.reply.Integer(context.server.subscriptions.Publish(
      kKind, channel, message, context.server.config.output_pubsub.hard_bytes));
  return {};
}

template <Channels kKind>
Status PubSubChannels(Context& context, ArgReader& args) {
  const std::string_view glob = args.HasMore() ? args.Word("pattern") : std::string_view();
  TRY(args.Finish());
  TRY(CheckGlob(glob));
  const std::vector<std::string> names = context.server.subscriptions.Names(kKind, glob);
  context.reply.Array(names.size());
  for (const std::string& name : names) {
    context.reply.Bulk(name);
  }
  return {};
}

template <Channels kKind>
Status PubSubNumSub(Context& context, ArgReader& args) {
  const auto names = args.Remaining();
  context.reply.Array(names.size() * 2);
  for (const RequestArg& name : names) {
    context.reply.Bulk(name.text);
    context.reply.Integer(context.server.subscriptions.Subscribers(kKind, name.text));
  }
  return {};
}

// PUBSUB NUMPAT
Status PubSubNumPat(Context& context, ArgReader& /*args*/) {
  context.reply.Integer(context.server.subscriptions.Count(Channels::kPattern));
  return {};
}

constexpr Arg kChannelsArgs[] = {{.name = "channel", .type = "string", .multiple = true}};
constexpr Arg kPatternsArgs[] = {{.name = "pattern", .type = "pattern", .multiple = true}};
constexpr Arg kSomeChannelsArgs[] = {
    {.name = "channel", .type = "string", .optional = true, .multiple = true}};
constexpr Arg kSomePatternsArgs[] = {
    {.name = "pattern", .type = "pattern", .optional = true, .multiple = true}};
constexpr Arg kPublishArgs[] = {{.name = "channel", .type = "string"},
                                {.name = "message", .type = "string"}};
constexpr Arg kPatternArgs[] = {{.name = "pattern", .type = "pattern", .optional = true}};

// GCC 12 with -fsanitize=undefined assumes that the function of a template may be null, but not
// that a lambda may be.
template <Handler kFunction>
constexpr Handler kCalls =
    [](Context& context, ArgReader& args) { return kFunction(context, args); };

constexpr Command PubSubRow(Command row) {
  row.group = "pubsub";
  row.since = "0.1.0";
  row.flags |= kLoading | kPubSub;
  if (row.complexity.empty()) {
    row.complexity = "O(N) where N is the number of channels";
  }
  return row;
}

constexpr std::array kCommands = {
    Row(PubSubRow({.name = "subscribe",
                   .arity = -2,
                   .flags = kSubscribed,
                   .handler = kCalls<Subscribe<Channels::kPlain>>,
                   .summary = "Subscribes to channels.",
                   .args = kChannelsArgs})),
    Row(PubSubRow({.name = "unsubscribe",
                   .arity = -1,
                   .flags = kSubscribed,
                   .handler = kCalls<Unsubscribe<Channels::kPlain>>,
                   .summary = "Unsubscribes from the given channels, or from all.",
                   .args = kSomeChannelsArgs})),
    Row(PubSubRow({.name = "psubscribe",
                   .arity = -2,
                   .flags = kSubscribed,
                   .handler = kCalls<Subscribe<Channels::kPattern>>,
                   .summary = "Subscribes to the channels that match patterns.",
                   .args = kPatternsArgs})),
    Row(PubSubRow({.name = "punsubscribe",
                   .arity = -1,
                   .flags = kSubscribed,
                   .handler = kCalls<Unsubscribe<Channels::kPattern>>,
                   .summary = "Unsubscribes from the given patterns, or from all.",
                   .args = kSomePatternsArgs})),
    Row(PubSubRow({.name = "ssubscribe",
                   .arity = -2,
                   .flags = kSubscribed,
                   .keys = {.first = 1, .last = -1, .step = 1},
                   .key_flags = "not_key",
                   .handler = kCalls<Subscribe<Channels::kShard>>,
                   .summary = "Subscribes to shard channels.",
                   .args = kChannelsArgs})),
    Row(PubSubRow({.name = "sunsubscribe",
                   .arity = -1,
                   .flags = kSubscribed,
                   .keys = {.first = 1, .last = -1, .step = 1},
                   .key_flags = "not_key",
                   .handler = kCalls<Unsubscribe<Channels::kShard>>,
                   .summary = "Unsubscribes from the given shard channels, or from all.",
                   .args = kSomeChannelsArgs})),
    Row(PubSubRow(
        {.name = "publish",
         .arity = 3,
         .flags = kFast | kMayReplicate,
         .handler = kCalls<Publish<Channels::kPlain>>,
         .complexity = "O(N+M) where N is the number of receivers and M is the number of patterns",
         .summary = "Sends a message to the subscribers of a channel.",
         .args = kPublishArgs})),
    Row(PubSubRow({.name = "spublish",
                   .arity = 3,
                   .flags = kFast | kMayReplicate,
                   .keys = {.first = 1, .last = 1, .step = 1},
                   .key_flags = "not_key",
                   .handler = kCalls<Publish<Channels::kShard>>,
                   .complexity = "O(N) where N is the number of receivers",
                   .summary = "Sends a message to the subscribers of a shard channel.",
                   .args = kPublishArgs})),
    Row(PubSubRow({.name = "pubsub",
                   .arity = -2,
                   .flags = kContainer,
                   .summary = "Commands about subscriptions."})),
    HelpRow("pubsub|help", "pubsub"),
    Row(PubSubRow({.name = "pubsub|channels",
                   .arity = -2,
                   .handler = kCalls<PubSubChannels<Channels::kPlain>>,
                   .summary = "Lists the channels that have subscribers.",
                   .args = kPatternArgs})),
    Row(PubSubRow({.name = "pubsub|numsub",
                   .arity = -2,
                   .handler = kCalls<PubSubNumSub<Channels::kPlain>>,
                   .summary = "Returns the number of subscribers of each channel.",
                   .args = kSomeChannelsArgs})),
    Row(PubSubRow({.name = "pubsub|numpat",
                   .arity = 2,
                   .handler = PubSubNumPat,
                   .complexity = "O(1)",
                   .summary = "Returns the number of patterns that have subscribers."})),
    Row(PubSubRow({.name = "pubsub|shardchannels",
                   .arity = -2,
                   .handler = kCalls<PubSubChannels<Channels::kShard>>,
                   .summary = "Lists the shard channels that have subscribers.",
                   .args = kPatternArgs})),
    Row(PubSubRow({.name = "pubsub|shardnumsub",
                   .arity = -2,
                   .handler = kCalls<PubSubNumSub<Channels::kShard>>,
                   .summary = "Returns the number of subscribers of each shard channel.",
                   .args = kSomeChannelsArgs})),
};

}  // namespace

std::span<const Command> PubSubCommands() {
  return kCommands;
}

}  // namespace sluice::server
