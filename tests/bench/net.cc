#include "tests/bench/net.h"

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

namespace sluice::bench {
namespace {

// Holds either kind of address, with the length for the kernel.
struct Address {
  explicit Address(const Endpoint& endpoint) {
    if (endpoint.path.empty()) {
      auto* in = reinterpret_cast<sockaddr_in*>(&storage);
      in->sin_family = AF_INET;
      in->sin_port = htons(static_cast<std::uint16_t>(endpoint.port));
      in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      length = sizeof(sockaddr_in);
      return;
    }
    auto* un = reinterpret_cast<sockaddr_un*>(&storage);
    if (endpoint.path.size() >= sizeof(un->sun_path)) {
      throw std::runtime_error("path of a Unix socket is too long: " + endpoint.path);
    }
    un->sun_family = AF_UNIX;
    std::memcpy(un->sun_path, endpoint.path.c_str(), endpoint.path.size() + 1);
    length = sizeof(sockaddr_un);
  }

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }

  sockaddr_storage storage{};
  socklen_t length = 0;
};

Fd MakeSocket(const Address& address) {
  Fd socket(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (socket.number() < 0) {
    ThrowErrno("socket");
  }
  return socket;
}

// Fails harmlessly on a Unix socket, which has no delay to switch off.
void SetNoDelay(const Fd& socket) {
  const int on = 1;
  (void)::setsockopt(socket.number(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

// A machine may be configured to send with BBR, which estimates a pace for each connection. On a
// loopback, where no congestion is possible, that halves the rate of some connections for their
// whole lifetime. Has no effect if Reno is missing.
void SetUnpaced(const Fd& socket) {
  constexpr std::string_view kName = "reno";
  (void)::setsockopt(socket.number(), IPPROTO_TCP, TCP_CONGESTION, kName.data(), kName.size());
}

}  // namespace

Fd::~Fd() {
  if (number_ >= 0) {
    ::close(number_);
  }
}

Fd Connect(const Endpoint& endpoint) {
  const Address address(endpoint);
  Fd socket = MakeSocket(address);
  if (::connect(socket.number(), address.get(), address.length) != 0) {
    ThrowErrno("connect");
  }
  SetNoDelay(socket);
  SetUnpaced(socket);
  const timeval patience{.tv_sec = 20, .tv_usec = 0};
  if (::setsockopt(socket.number(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0) {
    ThrowErrno("setsockopt");
  }
  return socket;
}

Fd Listen(const Endpoint& endpoint) {
  const Address address(endpoint);
  Fd socket = MakeSocket(address);
  const int on = 1;
  (void)::setsockopt(socket.number(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (::bind(socket.number(), address.get(), address.length) != 0) {
    ThrowErrno("bind");
  }
  if (::listen(socket.number(), SOMAXCONN) != 0) {
    ThrowErrno("listen");
  }
  SetNonBlocking(socket);
  return socket;
}

Fd Accept(const Fd& listener) {
  Fd socket(::accept4(listener.number(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (socket.number() >= 0) {
    SetNoDelay(socket);
    SetUnpaced(socket);
  } else if (errno != EAGAIN && errno != ECONNABORTED) {
    ThrowErrno("accept");
  }
  return socket;
}

void SetNonBlocking(const Fd& socket) {
  const int flags = ::fcntl(socket.number(), F_GETFL);
  if (flags < 0 || ::fcntl(socket.number(), F_SETFL, flags | O_NONBLOCK) != 0) {
    ThrowErrno("fcntl");
  }
}

int FreePort() {
  const Fd socket = Listen(Endpoint{});
  sockaddr_in bound{};
  socklen_t length = sizeof(bound);
  if (::getsockname(socket.number(), reinterpret_cast<sockaddr*>(&bound), &length) != 0) {
    ThrowErrno("getsockname");
  }
  return ntohs(bound.sin_port);
}

void ThrowErrno(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace sluice::bench
