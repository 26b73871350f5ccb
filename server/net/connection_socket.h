// Session: a connection's socket side: a coroutine that reads and runs, and while output is stuck a
// second one that writes. Both, and nobody else, touch the socket, on their I/O thread.
//
// What is next is decided by a SessionMachine; here it is done.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <span>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>

#include "server/connection/connection.h"
#include "server/net/flush_queue.h"
#include "server/net/socket_machine.h"

namespace sluice::server {

class ConnectionSocket : public std::enable_shared_from_this<ConnectionSocket> {
 public:
  using Socket = boost::asio::generic::stream_protocol::socket;

  ConnectionSocket(Socket socket, ConnectionSlot slot, Server& server, ThreadStats& stats,
                   FlushQueue<ConnectionSocket>& flushes);
  ~ConnectionSocket() { CloseSocket(); }  // NOLINT(bugprone-exception-escape): cancelling a timer
  ConnectionSocket(const ConnectionSocket&) = delete;
  ConnectionSocket& operator=(const ConnectionSocket&) = delete;

  // Spawns the coroutine, which keeps the session alive until the connection ends. Where either
  // coroutine finds no memory the connection ends.
  void Start();
  // From the I/O thread, a few times a second: closes a client that is idle or does not read for
  // too long. Where there is no memory the connection ends.
  void Tick(std::int64_t now_us) noexcept;  // NOLINT(bugprone-exception-escape): see Guarded()
  // Closes now; what waits to be sent is tried once more.
  void Close();
  [[nodiscard]] bool Open() const { return socket_.is_open(); }
  // Has the peer hung up, or said its last? From any thread while a command is blocked: that ends
  // before the socket is closed.
  [[nodiscard]] bool PeerGone() const;

  // For the flush queue: the end of the turn has come.
  void FlushDeferred() noexcept;  // NOLINT(bugprone-exception-escape): see Guarded()

  Connection& GetConnection() { return connection_; }

 private:
  using Action = SocketMachine::Action;

  boost::asio::awaitable<void> Serve();
  boost::asio::awaitable<void> WriteRest();
  boost::asio::awaitable<void> Linger();
  // Until something happens that the machine was told of, or the time of a blocked command is up.
  boost::asio::awaitable<void> WaitForProgress();
  [[nodiscard]] SocketMachine::Conversation Look();
  using Parts = std::array<std::span<char>, 2>;
  Parts Space(Parts (Connection::*space)()) noexcept;
  void Receive();
  void Watch();
  void NoteInput();
  void WakeUp();
  void Woken();
  void LookAfter(std::int64_t now_us);
  void LookAfterBlocked();
  // Sends what the socket takes at once, at most about 1 MiB.
  void Flush();
  // Sends what waits: now, or at the end of the turn.
  void Send();
  // Flush(), and the rest in the background.
  void FlushNow();
  [[nodiscard]] std::size_t SendBytesMax() const;
  void Sent(std::size_t bytes);
  void CloseSocket();
  void Spawn(boost::asio::awaitable<void> (ConnectionSocket::*coroutine)());
  // Calls it; where it throws (no memory, an error of the system) the connection ends.
  template <typename Function>
  // NOLINTNEXTLINE(bugprone-exception-escape): what cancels a timer of ours does not fail
  void Guarded(const Function& function) noexcept {
    try {
      function();
    } catch (const std::exception&) {
      CloseSocket();
    }
  }

  Socket socket_;
  const int descriptor_;
  ConnectionSlot slot_;
  Server& server_;
  ThreadStats& stats_;
  FlushQueue<ConnectionSocket>& flushes_;
  Connection connection_;
  SocketMachine machine_;
  // Cancelled whenever something happens: output shrank, what waits was woken, bytes came.
  boost::asio::steady_timer progress_;
  std::int64_t read_us_ = 0;     // when bytes last came in
  std::int64_t written_us_ = 0;  // when the peer last took some, or output began to wait
};

}  // namespace sluice::server
