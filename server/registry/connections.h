// Client: one connection as commands see it. Clients: all of them, so that one can look at another
// (CLIENT LIST), end it (CLIENT KILL) or wake it (CLIENT UNBLOCK).
//
// Thread safety: a client's own I/O thread, but for what says otherwise below. Clients: any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "engine/notifier.h"
#include "server/arguments/request.h"
#include "server/registry/mailbox.h"

namespace sluice::server {

struct Command;

// What a name that a client watches or subscribes to is taken to cost: it stands with the client,
// and where all clients of that name do.
inline std::size_t NameBytes(std::string_view name) {
  constexpr std::size_t kOverhead = 256;
  return 2 * name.size() + kOverhead;
}

// MULTI: what is queued until EXEC.
struct Transaction {
  bool active = false;
  bool failed = false;  // a command was refused instead of queued
  std::vector<KeptRequest> requests;
  std::size_t bytes = 0;                       // that `requests` and `watched` take
  bool writes = false;                         // one of them does
  std::set<std::string, std::less<>> watched;  // these two under the engine: WATCH
  bool dirty = false;                          // one of the names was changed
};

enum class ReplyMode : std::uint8_t { kOn, kOff, kSkipNext, kSkip };  // kSkip: this command's
enum class Unblock : std::uint8_t { kNo, kTimeOut, kError };

// Names subscribed to, in the order that UNSUBSCRIBE confirms them.
struct Subscriptions {
  std::set<std::string, std::less<>> channels;
  std::set<std::string, std::less<>> patterns;
  std::set<std::string, std::less<>> shards;
  std::size_t bytes = 0;  // that they take
};

// Where a connection comes from, as CLIENT LIST prints it.
struct ConnectionAddress {
  std::string peer;
  std::string local;
  int descriptor = -1;
  bool unix_socket = false;
};

struct ConnectionInfo {
  explicit ConnectionInfo(std::function<void()> wake)
      : notifier(std::make_shared<engine::Notifier>(wake)), mailbox(std::move(wake)) {}

  // Fixed once it is one of the Clients.
  std::int64_t id = 0;
  std::int64_t connected_us = 0;  // of the clock
  ConnectionAddress address;

  // Others read them, so they are changed by Clients::Set().
  std::string name;
  std::string lib_name;
  std::string lib_version;

  // Any thread.
  std::atomic<const Command*> last_command{nullptr};
  std::atomic<std::int64_t> active_us{0};    // when it last sent something
  std::atomic<std::int64_t> input_bytes{0};  // of its buffers
  std::atomic<std::int64_t> output_bytes{0};
  std::atomic<std::int64_t> pending_bytes{0};  // that wait to be sent
  std::atomic<std::int64_t> queued{-1};        // commands in MULTI; -1: none is open
  std::atomic<int> channels{0};                // subscribed to
  std::atomic<int> patterns{0};
  std::atomic<int> shards{0};
  std::atomic<int> version{2};  // of the protocol
  std::atomic<bool> dirty{false};
  std::atomic<bool> monitor{false};
  std::atomic<bool> blocked{false};  // a command of it waits; CLIENT UNBLOCK reaches it
  std::atomic<bool> no_evict{false};
  std::atomic<bool> no_touch{false};
  std::atomic<Unblock> unblock{Unblock::kNo};

  // Has the peer hung up? Of its own I/O thread or, while a command of it is blocked, of the holder
  // of the engine lock: the blocked command ends before the socket is closed.
  std::function<bool()> peer_gone = [] { return false; };
  const std::shared_ptr<engine::Notifier> notifier;  // resumes its blocked command
  Mailbox mailbox;

  bool authenticated = true;
  bool close_after_reply = false;
  bool close_now = false;   // without sending what waits
  bool has_leases = false;  // that end with it: LEASE ... BOUND
  ReplyMode reply_mode = ReplyMode::kOn;
  Transaction transaction;
  Subscriptions subscriptions;
  std::atomic<std::int64_t> payload_bytes{0};  // of pending_bytes: in values that they keep alive

  [[nodiscard]] bool Subscribed() const { return channels + patterns + shards > 0; }
};

class Connections {
 public:
  // Errors: std::bad_alloc.
  void Join(ConnectionInfo& connection);
  void Leave(ConnectionInfo& connection) noexcept;  // no effect where it did not join

  // Changes a text of a client that others may be reading.
  void Set(std::string& text, std::string value) noexcept;

  // Calls function(client) for each, in the order of their ids. REQUIRES: it does not call us.
  template <typename Function>
  void ForEach(const Function& function) {
    const MutexLock lock(mutex_);
    for (const auto& [id, connection] : clients_) {
      function(*connection);
    }
  }
  // Calls function(client) where there is one with this id.
  template <typename Function>
  bool With(std::int64_t id, const Function& function) {
    const MutexLock lock(mutex_);
    const auto it = clients_.find(id);
    if (it != clients_.end()) {
      function(*it->second);
    }
    return it != clients_.end();
  }

 private:
  Mutex mutex_;
  std::map<std::int64_t, ConnectionInfo*> clients_ GUARDED_BY(mutex_);
};

}  // namespace sluice::server
