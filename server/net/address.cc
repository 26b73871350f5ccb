#include "server/net/address.h"

#include <array>
#include <cstring>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

namespace sluice::server {
namespace {

std::string Text(const sockaddr_storage& address) {
  std::array<char, INET6_ADDRSTRLEN> ip = {};
  if (address.ss_family == AF_INET) {
    sockaddr_in v4 = {};
    std::memcpy(&v4, &address, sizeof(v4));
    inet_ntop(AF_INET, &v4.sin_addr, ip.data(), ip.size());
    return fmt::format("{}:{}", ip.data(), ntohs(v4.sin_port));
  }
  if (address.ss_family == AF_INET6) {
    sockaddr_in6 v6 = {};
    std::memcpy(&v6, &address, sizeof(v6));
    inet_ntop(AF_INET6, &v6.sin6_addr, ip.data(), ip.size());
    return fmt::format("[{}]:{}", ip.data(), ntohs(v6.sin6_port));
  }
  sockaddr_un path = {};
  std::memcpy(&path, &address, sizeof(path));
  return fmt::format(
      "{}:0", std::string_view(path.sun_path, strnlen(path.sun_path, sizeof(path.sun_path))));
}

sockaddr* Generic(sockaddr_storage& address) {
  return static_cast<sockaddr*>(static_cast<void*>(&address));
}

}  // namespace

ConnectionAddress AddressOf(int socket) {
  sockaddr_storage peer = {};
  sockaddr_storage local = {};
  socklen_t bytes = sizeof(peer);
  getpeername(socket, Generic(peer), &bytes);
  bytes = sizeof(local);
  getsockname(socket, Generic(local), &bytes);
  const bool is_unix = local.ss_family == AF_UNIX;
  return {.peer = Text(is_unix ? local : peer),  // the client's end of a Unix socket has no name
          .local = Text(local),
          .descriptor = socket,
          .unix_socket = is_unix};
}

}  // namespace sluice::server
