// ConnectionSocket: the socket side of a connection: one coroutine reads and runs, a second one
// writes while output cannot be sent immediately. Only these two use the socket, on their I/O
// thread.
//
// A SocketMachine decides the next action; this class performs it.
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

  // Spawns the coroutine, which keeps this object alive until the connection ends. If either
  // coroutine finds no memory, the connection ends.
  void Start();
  // Called on the I/O thread a few times per second: closes a connection that is idle or does not
  // read for too long. If there is no memory, the connection ends.
  void Tick(std::int64_t now_us) noexcept;  // NOLINT(bugprone-exception-escape): see Guarded()
  // Closes now, after one more attempt to send pending output.
  void Close();
  [[nodiscard]] bool Open() const { return socket_.is_open(); }
  // Returns true if the peer has closed the connection or its sending side. Any thread while a
  // command is blocked: the command ends before the socket is closed.
  [[nodiscard]] bool PeerGone() const;

  // Called by the flush queue at the end of the loop's turn.
  void FlushDeferred() noexcept;  // NOLINT(bugprone-exception-escape): see Guarded()

  Connection& GetConnection() { return connection_; }

 private:
  using Action = SocketMachine::Action;

  boost::asio::awaitable<void> Serve();
  boost::asio::awaitable<void> WriteRest();
  boost::asio::awaitable<void> Linger();
  // Waits for an event that changes the machine, or for the timeout of a blocked command.
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
  // Sends what the socket takes without blocking, at most about 1 MiB.
  void Flush();
  // Sends pending output: now, or at the end of the turn.
  void Send();
  // Flush(), then sends the rest in the background.
  void FlushNow();
  [[nodiscard]] std::size_t SendBytesMax() const;
  void Sent(std::size_t bytes);
  void CloseSocket();
  void Spawn(boost::asio::awaitable<void> (ConnectionSocket::*coroutine)());
  // Calls the function. If it throws (no memory, a system error), the connection ends.
  template <typename Function>
  // NOLINTNEXTLINE(bugprone-exception-escape): cancelling our timer does not fail
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
  // Cancelled at every event: output shrank, a blocked command was notified, bytes arrived.
  boost::asio::steady_timer progress_;
  std::int64_t read_us_ = 0;     // when bytes last arrived
  std::int64_t written_us_ = 0;  // when the peer last took bytes, or output became pending
};

}  // namespace sluice::server
