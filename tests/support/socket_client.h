// A small blocking client on a raw socket, for tests that care about bytes, time and how a
// connection ends. Every wait has a deadline; a test that runs into one fails by
// std::runtime_error.
#pragma once

#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/support/resp_decoder.h"

namespace sluice::tests {

class SocketClient {
 public:
  static SocketClient Tcp(int port) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return SocketClient(AF_INET, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  }
  static SocketClient Unix(const std::string& path) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
    return SocketClient(AF_UNIX, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  }
  SocketClient(SocketClient&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), received_(std::move(other.received_)) {}
  SocketClient& operator=(SocketClient&&) = delete;
  ~SocketClient() { Close(); }

  void Close() {
    if (fd_ >= 0) {
      close(fd_);
      fd_ = -1;
    }
  }
  void HalfClose() { shutdown(fd_, SHUT_WR); }
  // Closes by RST: what was not read yet is lost at both ends. Over TCP.
  void Reset() {
    SetOption(SOL_SOCKET, SO_LINGER, linger{.l_onoff = 1, .l_linger = 0});
    Close();
  }
  // Its own, in network order. Over TCP.
  [[nodiscard]] in_port_t Port() const {
    sockaddr_in address = {};
    socklen_t size = sizeof(address);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    return address.sin_port;
  }
  // For poll().
  [[nodiscard]] int Descriptor() const { return fd_; }
  template <typename Option>
  void SetOption(int level, int name, const Option& value) {
    if (setsockopt(fd_, level, name, &value, sizeof(value)) != 0) {
      throw std::runtime_error(std::string("setsockopt: ") + std::strerror(errno));
    }
  }

  // Sends all; a peer that has closed is no error here (reading will tell). Throws where nothing is
  // taken for too long.
  void Send(std::string_view bytes) {
    while (!bytes.empty()) {
      if (!Wait(POLLOUT, kDeadline)) {
        throw std::runtime_error("the peer takes no more bytes");
      }
      const std::size_t sent = SendSome(bytes, kDeadline);
      if (sent == 0) {
        return;
      }
      bytes.remove_prefix(sent);
    }
  }
  // What the socket takes within `patience`; 0 where it takes nothing, or is closed.
  std::size_t SendSome(std::string_view bytes, std::chrono::milliseconds patience) {
    if (!Wait(POLLOUT, patience)) {
      return 0;
    }
    const ssize_t count = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    return count > 0 ? static_cast<std::size_t>(count) : 0;
  }

  // Appends what has come to `bytes`. False where nothing comes within `patience`, or ever again.
  bool ReceiveSome(std::string& bytes, std::chrono::milliseconds patience) {
    const bool more = Wait(POLLIN, patience) && ReadMore();
    bytes += std::exchange(received_, {});
    return more;
  }
  // The next reply. Throws where the connection ends first, or nothing comes for too long.
  Value Receive() {
    for (;;) {
      Value value;
      if (const auto used = Decode(received_, value)) {
        received_.erase(0, *used);
        return value;
      }
      if (!ReadMore()) {
        throw std::runtime_error("the connection ended before the reply");
      }
    }
  }
  // All bytes until the peer closes.
  std::string ReceiveUntilClosed() {
    while (ReadMore()) {
    }
    return std::exchange(received_, {});
  }
  Value Ask(std::string_view inline_command) {
    Send(std::string(inline_command) + "\r\n");  // at once: the system would hold back the rest
    return Receive();
  }

 private:
  static constexpr std::chrono::milliseconds kDeadline{20000};

  SocketClient(int family, const sockaddr* address, socklen_t size)
      : fd_(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (connect(fd_, address, size) != 0) {
      const int error = errno;
      Close();
      throw std::runtime_error(std::string("connect: ") + std::strerror(error));
    }
  }

  bool Wait(short events, std::chrono::milliseconds patience) {
    pollfd ready = {.fd = fd_, .events = events, .revents = 0};
    return poll(&ready, 1, static_cast<int>(patience.count())) > 0;
  }
  // False at the end of the connection, a reset one too.
  bool ReadMore() {
    if (!Wait(POLLIN, kDeadline)) {
      throw std::runtime_error("nothing came within the deadline");
    }
    char buffer[65536];
    const ssize_t count = recv(fd_, buffer, sizeof(buffer), 0);
    if (count <= 0) {
      return false;
    }
    received_.append(buffer, static_cast<std::size_t>(count));
    return true;
  }

  int fd_;
  std::string received_;
};

// Calls `done()` until it is true. Throws where that takes too long.
template <typename Done>
void WaitUntil(const Done& done) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!done()) {
    if (std::chrono::steady_clock::now() > until) {
      throw std::runtime_error("a condition did not become true within the deadline");
    }
    usleep(2000);  // between two looks, never instead of one
  }
}

}  // namespace sluice::tests
