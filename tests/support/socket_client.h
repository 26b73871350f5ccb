// A small blocking client on a raw socket, for tests that care about bytes, time and how a
// connection ends. Every wait has a deadline; a test that runs into one fails by
// std::runtime_error.
#pragma once

#include <cerrno>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/resp_decoder.h"

namespace sluice::tests {

class SocketClient {
 public:
  static SocketClient Tcp(int port);
  static SocketClient Unix(const std::string& path);
  SocketClient(SocketClient&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), received_(std::move(other.received_)) {}
  SocketClient& operator=(SocketClient&&) = delete;
  ~SocketClient() { Close(); }

  void Close();
  void HalfClose() { shutdown(fd_, SHUT_WR); }
  // Closes by RST: unread bytes are lost at both ends. Over TCP.
  void Reset();
  // Its own port, in network order. Over TCP.
  [[nodiscard]] in_port_t Port() const;
  // For poll().
  [[nodiscard]] int Descriptor() const { return fd_; }
  template <typename Option>
  void SetOption(int level, int name, const Option& value) {
    if (setsockopt(fd_, level, name, &value, sizeof(value)) != 0) {
      throw std::runtime_error(std::string("setsockopt: ") + std::strerror(errno));
    }
  }

  // Sends all bytes; a peer that has closed is not an error (reading reports it). Throws if the
  // peer takes no bytes for too long.
  void Send(std::string_view bytes);
  // Returns the bytes that the socket takes within `patience`; 0 if none, or if it is closed.
  std::size_t SendSome(std::string_view bytes, std::chrono::milliseconds patience);

  // Appends received bytes to `bytes`. Returns false if none come within `patience`, or ever again.
  bool ReceiveSome(std::string& bytes, std::chrono::milliseconds patience);
  // Returns the next reply. Throws if the connection ends first, or no byte comes for too long.
  Value Receive();
  // Returns all bytes until the peer closes.
  std::string ReceiveUntilClosed();
  Value Ask(std::string_view inline_command);

 private:
  SocketClient(int family, const sockaddr* address, socklen_t size);
  bool Wait(short events, std::chrono::milliseconds patience);
  // Returns false at the end of the connection, also after a reset.
  bool ReadMore();

  int fd_;
  std::string received_;
};

// Calls `done()` until it returns true. Throws if that takes too long.
template <typename Done>
void WaitUntil(const Done& done) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!done()) {
    if (std::chrono::steady_clock::now() > until) {
      throw std::runtime_error("a condition did not become true within the deadline");
    }
    usleep(2000);  // between two calls, never instead of one
  }
}

}  // namespace sluice::tests
