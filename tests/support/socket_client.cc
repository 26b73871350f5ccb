#include "tests/support/socket_client.h"

#include <optional>

#include <poll.h>
#include <sys/un.h>

namespace sluice::tests {
namespace {

constexpr std::chrono::milliseconds kDeadline{20000};

}  // namespace

SocketClient SocketClient::Tcp(int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return SocketClient(AF_INET, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
}

SocketClient SocketClient::Unix(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  return SocketClient(AF_UNIX, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
}

SocketClient::SocketClient(int family, const sockaddr* address, socklen_t size)
    : fd_(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  if (connect(fd_, address, size) != 0) {
    const int error = errno;
    Close();
    throw std::runtime_error(std::string("connect: ") + std::strerror(error));
  }
}

void SocketClient::Close() {
  if (fd_ >= 0) {
    close(fd_);
    fd_ = -1;
  }
}

void SocketClient::Reset() {
  SetOption(SOL_SOCKET, SO_LINGER, linger{.l_onoff = 1, .l_linger = 0});
  Close();
}

in_port_t SocketClient::Port() const {
  sockaddr_in address = {};
  socklen_t size = sizeof(address);
  getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
  return address.sin_port;
}

void SocketClient::Send(std::string_view bytes) {
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

std::size_t SocketClient::SendSome(std::string_view bytes, std::chrono::milliseconds patience) {
  if (!Wait(POLLOUT, patience)) {
    return 0;
  }
  const ssize_t count = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  return count > 0 ? static_cast<std::size_t>(count) : 0;
}

bool SocketClient::ReceiveSome(std::string& bytes, std::chrono::milliseconds patience) {
  const bool more = Wait(POLLIN, patience) && ReadMore();
  bytes += std::exchange(received_, {});
  return more;
}

Value SocketClient::Receive() {
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

std::string SocketClient::ReceiveUntilClosed() {
  while (ReadMore()) {
  }
  return std::exchange(received_, {});
}

Value SocketClient::Ask(std::string_view inline_command) {
  Send(std::string(inline_command) + "\r\n");  // in one piece: the system would delay the rest
  return Receive();
}

bool SocketClient::Wait(short events, std::chrono::milliseconds patience) {
  pollfd ready = {.fd = fd_, .events = events, .revents = 0};
  return poll(&ready, 1, static_cast<int>(patience.count())) > 0;
}

bool SocketClient::ReadMore() {
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

}  // namespace sluice::tests
