#include "server/registry/subscriptions.h"

#include <atomic>
#include <set>
#include <utility>

#include "server/arguments/glob.h"
#include "server/registry/connections.h"

namespace sluice::server {
namespace {

struct Own {
  std::set<std::string, std::less<>>& names;
  std::atomic<int>& count;
};

Own OwnOf(Channels kind, ConnectionInfo& connection) {
  switch (kind) {
    case Channels::kPattern:
      return {connection.subscriptions.patterns, connection.patterns};
    case Channels::kShard:
      return {connection.subscriptions.shards, connection.shards};
    case Channels::kPlain:
      break;
  }
  return {connection.subscriptions.channels, connection.channels};
}

}  // namespace

SubscriptionRegistry::Groups& SubscriptionRegistry::GroupsOf(Channels kind) {
  switch (kind) {
    case Channels::kPattern:
      return patterns_;
    case Channels::kShard:
      return shards_;
    case Channels::kPlain:
      break;
  }
  return plain_;
}

void SubscriptionRegistry::Subscribe(Channels kind, std::string_view name,
                                     ConnectionInfo& connection) {
  const Own own = OwnOf(kind, connection);
  const auto [place, is_new] = own.names.emplace(name);
  if (!is_new) {
    return;
  }
  const MutexLock lock(mutex_);
  Groups& groups = GroupsOf(kind);
  auto it = groups.find(name);
  try {
    if (it == groups.end()) {
      auto shared = std::make_shared<const std::string>(name);
      it = groups.try_emplace(std::string(name)).first;
      it->second.name = std::move(shared);
    }
    it->second.connections.insert(&connection);
  } catch (...) {
    own.names.erase(place);
    if (it != groups.end() && it->second.connections.empty()) {
      groups.erase(it);
    }
    throw;
  }
  own.count = static_cast<int>(own.names.size());
  connection.subscriptions.bytes += NameBytes(name);
}

void SubscriptionRegistry::Unsubscribe(Channels kind, std::string_view name,
                                       ConnectionInfo& connection) noexcept {
  const Own own = OwnOf(kind, connection);
  const auto place = own.names.find(name);
  if (place == own.names.end()) {
    return;
  }
  const MutexLock lock(mutex_);
  Groups& groups = GroupsOf(kind);
  const auto it = groups.find(name);
  it->second.connections.erase(&connection);
  if (it->second.connections.empty()) {
    groups.erase(it);
  }
  connection.subscriptions.bytes -= NameBytes(name);
  own.names.erase(place);
  own.count = static_cast<int>(own.names.size());
}

void SubscriptionRegistry::UnsubscribeAll(ConnectionInfo& connection) noexcept {
  for (const Channels kind : {Channels::kPlain, Channels::kPattern, Channels::kShard}) {
    const Own own = OwnOf(kind, connection);
    while (!own.names.empty()) {
      Unsubscribe(kind, *own.names.begin(), connection);
    }
  }
}

std::int64_t SubscriptionRegistry::Publish(Channels kind, std::string_view channel,
                                           const RequestArg& payload,
                                           std::int64_t waiting_bytes_max) {
  const auto message = std::make_shared<const Message>(
      Message{.kind = kind == Channels::kShard ? Message::Kind::kShard : Message::Kind::kChannel,
              .channel = std::string(channel),
              .text = std::string(payload.blob.IsNull() ? payload.text : std::string_view()),
              .blob = payload.blob});
  std::int64_t receivers = 0;
  const auto send = [&](const Group& group, const std::shared_ptr<const std::string>& pattern) {
    for (ConnectionInfo* const connection : group.connections) {
      connection->mailbox.Put({.message = message, .pattern = pattern}, waiting_bytes_max);
      ++receivers;
    }
  };
  const MutexLock lock(mutex_);
  const Groups& groups = GroupsOf(kind);
  if (const auto it = groups.find(channel); it != groups.end()) {
    send(it->second, nullptr);
  }
  if (kind == Channels::kPlain) {
    for (const auto& [glob, group] : patterns_) {
      if (GlobMatches(glob, channel)) {
        send(group, group.name);
      }
    }
  }
  return receivers;
}

std::vector<std::string> SubscriptionRegistry::Names(Channels kind, std::string_view glob) {
  const MutexLock lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, group] : GroupsOf(kind)) {
    if (glob.empty() || GlobMatches(glob, name)) {
      names.push_back(name);
    }
  }
  return names;
}

std::int64_t SubscriptionRegistry::Subscribers(Channels kind, std::string_view name) {
  const MutexLock lock(mutex_);
  const Groups& groups = GroupsOf(kind);
  const auto it = groups.find(name);
  return it == groups.end() ? 0 : static_cast<std::int64_t>(it->second.connections.size());
}

std::int64_t SubscriptionRegistry::Count(Channels kind) {
  const MutexLock lock(mutex_);
  return static_cast<std::int64_t>(GroupsOf(kind).size());
}

}  // namespace sluice::server
