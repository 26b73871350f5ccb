// ConnectionInfo: one connection as commands see it. Connections: all connections, so that one can
// list (CLIENT LIST), close (CLIENT KILL) or unblock (CLIENT UNBLOCK) another.
//
// Thread safety: ConnectionInfo: its own I/O thread unless noted below. Connections: any thread.
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

// The estimated cost of a watched or subscribed name, which is stored twice: with the connection,
// and in the index of connections by name.
inline std::size_t NameBytes(std::string_view name) {
  constexpr std::size_t kOverhead = 256;
  return 2 * name.size() + kOverhead;
}

// MULTI: the requests queued until EXEC.
struct Transaction {
  bool active = false;
  bool failed = false;  // a command was refused instead of queued
  std::vector<KeptRequest> requests;
  std::size_t bytes = 0;                       // memory of `requests` and `watched`
  std::uint32_t flags = 0;                     // those of the commands of `requests`, together
  std::set<std::string, std::less<>> watched;  // WATCH; these two under the engine lock
  bool dirty = false;                          // a watched name was changed
};

enum class ReplyMode : std::uint8_t { kOn, kOff, kSkipNext, kSkip };  // kSkip: this command
// Returns true if the reply of a command is not sent in this mode, unless it is a push.
constexpr bool Discards(ReplyMode mode) {
  return mode == ReplyMode::kOff || mode == ReplyMode::kSkip;
}
enum class Unblock : std::uint8_t { kNo, kTimeOut, kError };

// Names subscribed to, in the order in which UNSUBSCRIBE confirms them.
struct Subscriptions {
  std::set<std::string, std::less<>> channels;
  std::set<std::string, std::less<>> patterns;
  std::set<std::string, std::less<>> shards;
  std::size_t bytes = 0;  // memory of the names
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

  // Constant after Connections::Join().
  std::int64_t id = 0;
  std::int64_t connected_us = 0;  // clock time
  ConnectionAddress address;

  // Other threads read these three: change them by Connections::Set().
  std::string name;
  std::string lib_name;
  std::string lib_version;

  // Any thread.
  std::atomic<const Command*> last_command{nullptr};
  std::atomic<std::int64_t> active_us{0};    // when it last sent something
  std::atomic<std::int64_t> query_bytes{0};  // received, but not run to the end
  std::atomic<std::int64_t> input_bytes{0};  // of the buffers
  std::atomic<std::int64_t> output_bytes{0};
  std::atomic<std::int64_t> pending_bytes{0};  // not sent yet
  std::atomic<std::int64_t> queued{-1};        // commands in MULTI; -1: no transaction
  std::atomic<int> channels{0};                // subscriptions
  std::atomic<int> patterns{0};
  std::atomic<int> shards{0};
  std::atomic<int> version{2};  // RESP version
  std::atomic<bool> dirty{false};
  std::atomic<bool> monitor{false};
  std::atomic<bool> blocked{false};  // has a blocked command
  std::atomic<bool> paused{false};   // CLIENT PAUSE blocks it: CLIENT UNBLOCK has no effect
  std::atomic<bool> no_evict{false};
  std::atomic<bool> no_touch{false};
  std::atomic<Unblock> unblock{Unblock::kNo};

  // Returns true if the peer has closed the connection. Thread safety: its own I/O thread or, while
  // it has a blocked command, the holder of the engine lock: the blocked command ends before the
  // socket is closed.
  std::function<bool()> peer_gone = [] { return false; };
  const std::shared_ptr<engine::Notifier> notifier;  // resumes its blocked command
  Mailbox mailbox;

  bool authenticated = true;
  bool close_after_reply = false;
  bool close_now = false;   // without sending pending output
  bool has_leases = false;  // leases that end with the connection: LEASE ... BOUND
  ReplyMode reply_mode = ReplyMode::kOn;
  Transaction transaction;
  Subscriptions subscriptions;
  std::atomic<std::int64_t> payload_bytes{0};  // part of pending_bytes: in values kept alive

  [[nodiscard]] bool Subscribed() const { return channels + patterns + shards > 0; }
};

class Connections {
 public:
  // Errors: std::bad_alloc.
  void Join(ConnectionInfo& connection);
  void Leave(ConnectionInfo& connection) noexcept;  // no effect if it did not join

  // Changes a text of a connection that other threads may be reading.
  void Set(std::string& text, std::string value) noexcept;

  // Calls function(connection) for each, ordered by id. REQUIRES: the function does not call this
  // object.
  template <typename Function>
  void ForEach(const Function& function) {
    const MutexLock lock(mutex_);
    for (const auto& [id, connection] : clients_) {
      function(*connection);
    }
  }
  // Calls function(connection) for the connection with this id. Returns false if there is none.
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
