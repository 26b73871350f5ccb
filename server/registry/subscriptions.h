// SubscriptionRegistry: the subscribers by channel, by shard channel, and by pattern.
//
// Thread safety: any thread. A connection's own lists (ConnectionInfo::subscriptions): its I/O
// thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <boost/unordered/unordered_flat_set.hpp>

#include "base/mutex.h"
#include "server/arguments/request.h"

namespace sluice::server {

struct ConnectionInfo;

enum class Channels : std::uint8_t { kPlain, kPattern, kShard };

class SubscriptionRegistry {
 public:
  // Both have no effect if the connection is, or is not, subscribed. A pattern has at most
  // kGlobBytesMax bytes. Errors: std::bad_alloc; nothing changed then.
  void Subscribe(Channels kind, std::string_view name, ConnectionInfo& connection);
  void Unsubscribe(Channels kind, std::string_view name, ConnectionInfo& connection) noexcept;
  void UnsubscribeAll(ConnectionInfo& connection) noexcept;

  // Returns how many connections get the message; a connection with several matching patterns
  // counts once per pattern. A connection for which more than `waiting_bytes_max` (0: no limit)
  // would be pending is closed instead. Errors: std::bad_alloc; no connection got it then.
  std::int64_t Publish(Channels kind, std::string_view channel, const RequestArg& payload,
                       std::int64_t waiting_bytes_max);

  // kPlain or kShard: returns the names that have a subscriber and match `glob` (empty: all).
  [[nodiscard]] std::vector<std::string> Names(Channels kind, std::string_view glob);
  [[nodiscard]] std::int64_t Subscribers(Channels kind, std::string_view name);
  // Returns how many channels or patterns have a subscriber.
  [[nodiscard]] std::int64_t Count(Channels kind);

 private:
  struct Group {
    std::shared_ptr<const std::string> name;
    boost::unordered_flat_set<ConnectionInfo*> connections;
  };
  using Groups = std::map<std::string, Group, std::less<>>;
  Groups& GroupsOf(Channels kind) REQUIRES(mutex_);

  Mutex mutex_;
  Groups plain_ GUARDED_BY(mutex_);
  Groups patterns_ GUARDED_BY(mutex_);
  Groups shards_ GUARDED_BY(mutex_);
};

}  // namespace sluice::server
