// Publish and subscribe, as in Redis, in both protocols.
#include <array>
#include <vector>

#include "server/arguments/arg_reader.h"
#include "server/arguments/glob.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/context.h"
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

// Redis counts channels and patterns together, shard channels for themselves.
std::int64_t CountOf(const ConnectionInfo& connection, Channels kind) {
  return kind == Channels::kShard ? connection.shards.load()
                                  : connection.channels + connection.patterns;
}

// One confirmation; room for it was made. `name` null: there was nothing to end.
void Confirm(Context& context, Channels kind, std::string_view word, const std::string_view* name) {
  context.reply.Push(3);
  context.reply.Bulk(word);
  if (name != nullptr) {
    context.reply.Bulk(*name);
  } else {
    context.reply.Null();
  }
  context.reply.Integer(CountOf(context.connection, kind));
}

// So that nothing fails once something was changed. Errors: std::bad_alloc.
void MakeSpace(Context& context, std::span<const std::string_view> names) {
  constexpr std::size_t kOverheadBytes = 128;
  std::size_t bytes = kOverheadBytes;
  for (const std::string_view name : names) {
    bytes += name.size() + kOverheadBytes;
  }
  context.reply.Reserve(bytes);
}

// Takes back, unless they are kept, what was subscribed to.
class NewSubscriptions {
 public:
  // Of `count` names at most. Errors: std::bad_alloc.
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
  context.turn.Leave();  // this may take a while, and needs no engine
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

// To GCC 12 with -fsanitize=undefined a template's function, but not a lambda, may be null.
template <Handler kFunction>
constexpr Handler kCalls =
    [](Context& context, ArgReader& args) { return kFunction(context, args); };

constexpr Command PubSubRow(Command row) {
  row.group = "pubsub";
  row.since = "0.1.0";
  row.flags |= kLoading;
  if (row.complexity.empty()) {
    row.complexity = "O(N) where N is the number of channels";
  }
  return row;
}

constexpr std::array kCommands = {
    Row(PubSubRow({.name = "subscribe",
                   .arity = -2,
                   .flags = kPubSub,
                   .handler = kCalls<Subscribe<Channels::kPlain>>,
                   .summary = "Subscribes to channels.",
                   .args = kChannelsArgs})),
    Row(PubSubRow({.name = "unsubscribe",
                   .arity = -1,
                   .flags = kPubSub,
                   .handler = kCalls<Unsubscribe<Channels::kPlain>>,
                   .summary = "Ends subscriptions to channels, or to all.",
                   .args = kSomeChannelsArgs})),
    Row(PubSubRow({.name = "psubscribe",
                   .arity = -2,
                   .flags = kPubSub,
                   .handler = kCalls<Subscribe<Channels::kPattern>>,
                   .summary = "Subscribes to the channels that fit patterns.",
                   .args = kPatternsArgs})),
    Row(PubSubRow({.name = "punsubscribe",
                   .arity = -1,
                   .flags = kPubSub,
                   .handler = kCalls<Unsubscribe<Channels::kPattern>>,
                   .summary = "Ends subscriptions by pattern, or all of them.",
                   .args = kSomePatternsArgs})),
    Row(PubSubRow({.name = "ssubscribe",
                   .arity = -2,
                   .flags = kPubSub,
                   .handler = kCalls<Subscribe<Channels::kShard>>,
                   .summary = "Subscribes to shard channels.",
                   .args = kChannelsArgs})),
    Row(PubSubRow({.name = "sunsubscribe",
                   .arity = -1,
                   .flags = kPubSub,
                   .handler = kCalls<Unsubscribe<Channels::kShard>>,
                   .summary = "Ends subscriptions to shard channels, or to all.",
                   .args = kSomeChannelsArgs})),
    Row(PubSubRow({.name = "publish",
                   .arity = 3,
                   .flags = kFast,
                   .handler = kCalls<Publish<Channels::kPlain>>,
                   .complexity = "O(N+M) where N is the number of receivers and M that of patterns",
                   .summary = "Sends a message to those that subscribe to the channel.",
                   .args = kPublishArgs})),
    Row(PubSubRow({.name = "spublish",
                   .arity = 3,
                   .flags = kFast,
                   .handler = kCalls<Publish<Channels::kShard>>,
                   .complexity = "O(N) where N is the number of receivers",
                   .summary = "Sends a message to those that subscribe to the shard channel.",
                   .args = kPublishArgs})),
    Row(PubSubRow({.name = "pubsub",
                   .arity = -2,
                   .flags = kContainer,
                   .summary = "Commands about subscriptions."})),
    Row(PubSubRow({.name = "pubsub|channels",
                   .arity = -2,
                   .handler = kCalls<PubSubChannels<Channels::kPlain>>,
                   .summary = "Lists the channels with a subscriber.",
                   .args = kPatternArgs})),
    Row(PubSubRow({.name = "pubsub|numsub",
                   .arity = -2,
                   .handler = kCalls<PubSubNumSub<Channels::kPlain>>,
                   .summary = "Counts the subscribers of channels.",
                   .args = kSomeChannelsArgs})),
    Row(PubSubRow({.name = "pubsub|numpat",
                   .arity = 2,
                   .handler = PubSubNumPat,
                   .complexity = "O(1)",
                   .summary = "Counts the patterns with a subscriber."})),
    Row(PubSubRow({.name = "pubsub|shardchannels",
                   .arity = -2,
                   .handler = kCalls<PubSubChannels<Channels::kShard>>,
                   .summary = "Lists the shard channels with a subscriber.",
                   .args = kPatternArgs})),
    Row(PubSubRow({.name = "pubsub|shardnumsub",
                   .arity = -2,
                   .handler = kCalls<PubSubNumSub<Channels::kShard>>,
                   .summary = "Counts the subscribers of shard channels.",
                   .args = kSomeChannelsArgs})),
};

}  // namespace

std::span<const Command> PubSubCommands() {
  return kCommands;
}

}  // namespace sluice::server
