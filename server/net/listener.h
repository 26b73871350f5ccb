// Listener: accepts connections on TCP and on a Unix socket and assigns them to the I/O threads in
// turn.
//
// Thread safety: Open(): before the threads run; Close() and the rest: the first I/O thread.
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

// The address of a connecting peer, as the system reports it.
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

  // Binds all configured addresses and starts to accept.
  // Errors: kError naming the address and the system's reason; kError if there is nothing to listen
  // on.
  Status Open();
  void Close();

 private:
  Status OpenUnix(const std::string& path);
  template <typename Acceptor>
  boost::asio::awaitable<void> Accept(Acceptor& acceptor);
  // Accepts a bounded number of waiting connections. Returns false if the system reports an error.
  bool AcceptWaiting(int acceptor);
  void Deal(Descriptor socket, const Peer& peer);
  // Returns null if there are `maxclients` connections.
  ConnectionSlot TakeSlot();

  Server& server_;
  std::span<const std::unique_ptr<IoThread>> threads_;
  std::vector<boost::asio::ip::tcp::acceptor> tcp_;
  std::unique_ptr<boost::asio::local::stream_protocol::acceptor> unix_;
  std::string unix_path_;
  std::size_t next_thread_ = 0;
};

}  // namespace sluice::server
