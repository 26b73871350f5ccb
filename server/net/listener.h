// Listener: accepts connections on TCP and on a Unix socket and deals them to the I/O threads in
// turn.
//
// Thread safety: Open() before the threads run; Close() on the first I/O thread; the rest runs
// there.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <sys/socket.h>

#include "base/descriptor.h"
#include "base/status.h"
#include "server/net/io_thread.h"

namespace sluice::server {

// Who connects, as the system says it.
struct Peer {
  sockaddr_storage address = {};
  socklen_t bytes = sizeof(address);
  [[nodiscard]] int family() const { return address.ss_family; }
};

class Listener {
 public:
  // Accepts on threads.front()'s loop. REQUIRES: `threads` is not empty and outlives the listener.
  Listener(Server& server, std::span<const std::unique_ptr<IoThread>> threads);
  ~Listener();  // removes the Unix socket
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // Binds everything that the configuration names and starts to accept.
  // Errors: kError naming the address and the system's reason; nothing to listen on.
  Status Open();
  void Close();

 private:
  Status OpenUnix(const std::string& path);
  template <typename Acceptor>
  boost::asio::awaitable<void> Accept(Acceptor& acceptor);
  // Accepts those that wait, a bounded number of them. False where the system could not.
  bool AcceptWaiting(int acceptor);
  void Deal(Descriptor socket, const Peer& peer);
  // Null where `maxclients` are there.
  ConnectionSlot TakeSlot();

  Server& server_;
  std::span<const std::unique_ptr<IoThread>> threads_;
  std::vector<boost::asio::ip::tcp::acceptor> tcp_;
  std::unique_ptr<boost::asio::local::stream_protocol::acceptor> unix_;
  std::string unix_path_;
  std::size_t next_thread_ = 0;
};

}  // namespace sluice::server
