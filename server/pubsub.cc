#include "server/pubsub.h"

#include <atomic>
#include <set>
#include <utility>

#include "server/client.h"
#include "server/glob.h"

namespace sluice::server {
namespace {

struct Own {
  std::set<std::string, std::less<>>& names;
  std::atomic<int>& count;
};

Own OwnOf(Channels kind, Client& client) {
  switch (kind) {
    case Channels::kPattern:
      return {client.subscriptions.patterns, client.patterns};
    case Channels::kShard:
      return {client.subscriptions.shards, client.shards};
    case Channels::kPlain:
      break;
  }
  return {client.subscriptions.channels, client.channels};
}

}  // namespace

PubSub::Groups& PubSub::GroupsOf(Channels kind) {
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

void PubSub::Subscribe(Channels kind, std::string_view name, Client& client) {
  const Own own = OwnOf(kind, client);
  const auto [place, is_new] = own.names.emplace(name);
  if (!is_new) {
    return;
  }
  const base::MutexLock lock(mutex_);
  Groups& groups = GroupsOf(kind);
  auto it = groups.find(name);
  try {
    if (it == groups.end()) {
      auto shared = std::make_shared<const std::string>(name);
      it = groups.try_emplace(std::string(name)).first;
      it->second.name = std::move(shared);
    }
    it->second.clients.insert(&client);
  } catch (...) {
    own.names.erase(place);
    if (it != groups.end() && it->second.clients.empty()) {
      groups.erase(it);
    }
    throw;
  }
  own.count = static_cast<int>(own.names.size());
  client.subscriptions.bytes += NameBytes(name);
}

void PubSub::Unsubscribe(Channels kind, std::string_view name, Client& client) noexcept {
  const Own own = OwnOf(kind, client);
  const auto place = own.names.find(name);
  if (place == own.names.end()) {
    return;
  }
  const base::MutexLock lock(mutex_);
  Groups& groups = GroupsOf(kind);
  const auto it = groups.find(name);
  it->second.clients.erase(&client);
  if (it->second.clients.empty()) {
    groups.erase(it);
  }
  client.subscriptions.bytes -= NameBytes(name);
  own.names.erase(place);
  own.count = static_cast<int>(own.names.size());
}

void PubSub::UnsubscribeAll(Client& client) noexcept {
  for (const Channels kind : {Channels::kPlain, Channels::kPattern, Channels::kShard}) {
    const Own own = OwnOf(kind, client);
    while (!own.names.empty()) {
      Unsubscribe(kind, *own.names.begin(), client);
    }
  }
}

std::int64_t PubSub::Publish(Channels kind, std::string_view channel, const RequestArg& payload,
                             std::int64_t waiting_bytes_max) {
  const auto message = std::make_shared<const Message>(
      Message{.kind = kind == Channels::kShard ? Message::Kind::kShard : Message::Kind::kChannel,
              .channel = std::string(channel),
              .text = std::string(payload.blob.IsNull() ? payload.text : std::string_view()),
              .blob = payload.blob});
  std::int64_t receivers = 0;
  const auto send = [&](const Group& group, const std::shared_ptr<const std::string>& pattern) {
    for (Client* const client : group.clients) {
      client->mailbox.Put({.message = message, .pattern = pattern}, waiting_bytes_max);
      ++receivers;
    }
  };
  const base::MutexLock lock(mutex_);
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

std::vector<std::string> PubSub::Names(Channels kind, std::string_view glob) {
  const base::MutexLock lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, group] : GroupsOf(kind)) {
    if (glob.empty() || GlobMatches(glob, name)) {
      names.push_back(name);
    }
  }
  return names;
}

std::int64_t PubSub::Subscribers(Channels kind, std::string_view name) {
  const base::MutexLock lock(mutex_);
  const Groups& groups = GroupsOf(kind);
  const auto it = groups.find(name);
  return it == groups.end() ? 0 : static_cast<std::int64_t>(it->second.clients.size());
}

std::int64_t PubSub::Count(Channels kind) {
  const base::MutexLock lock(mutex_);
  return static_cast<std::int64_t>(GroupsOf(kind).size());
}

}  // namespace sluice::server
