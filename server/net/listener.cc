#include "server/net/listener.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <new>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/net/tcp_acceptors.h"

namespace sluice::server {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using Local = asio::local::stream_protocol;

constexpr auto kToken = asio::as_tuple(asio::use_awaitable);
constexpr std::chrono::milliseconds kAcceptPause{100};
constexpr int kAcceptsMax = 64;  // per turn of the loop

constexpr std::string_view kDenied =
    "-DENIED Sluice is running in protected mode and has no password: it accepts connections from "
    "this machine only. To accept others, set 'requirepass', or 'protected-mode no', in its "
    "configuration.\r\n";

// Returns true for peers on this machine, and always for a Unix socket.
bool IsLocal(const Peer& peer) {
  if (peer.family() == AF_UNIX) {
    return true;
  }
  tcp::endpoint endpoint;
  std::memcpy(endpoint.data(), &peer.address,
              std::min<std::size_t>(peer.bytes, endpoint.capacity()));
  return IsLoopback(endpoint.address());
}

// For a Unix socket, so that server and client work in parallel. A get of 302 MB from Python takes
// 45 ms instead of 48; 256 KiB and 1 MiB have the same effect. The system's default is 208 KiB.
constexpr int kUnixSendBytes = 512 << 10;

template <typename Value>
void SetOption(int socket, int level, int name, const Value& value) {
  setsockopt(socket, level, name, &value, sizeof(value));  // any failure is fine
}

void Prepare(int socket, bool local, std::int64_t keepalive_seconds) {
  SetOption(socket, IPPROTO_TCP, TCP_NODELAY, 1);
  if (local) {
    // If the system uses BBR, which estimates a pace, a connection within the machine loses up to
    // half of its speed, although nothing is congested. Without Reno nothing changes.
    constexpr std::string_view kUnpaced = "reno";
    setsockopt(socket, IPPROTO_TCP, TCP_CONGESTION, kUnpaced.data(), kUnpaced.size());
  }
  if (keepalive_seconds > 0) {
    const int idle = static_cast<int>(keepalive_seconds);
    SetOption(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
    SetOption(socket, IPPROTO_TCP, TCP_KEEPIDLE, idle);
    SetOption(socket, IPPROTO_TCP, TCP_KEEPINTVL, std::max(1, idle / 3));
    SetOption(socket, IPPROTO_TCP, TCP_KEEPCNT, 3);
  }
}

Status Failed(std::string_view what, const boost::system::error_code& error) {
  return Status(Code::kError, fmt::format("can't listen on {}: {}", what, error.message()));
}

// Removes the socket file of a server that no longer runs. Returns false if a server answers there.
bool RemoveStale(asio::io_context& context, const std::string& path) {
  Local::socket probe(context);
  boost::system::error_code error;
  probe.connect(Local::endpoint(path), error);
  if (!error) {
    return false;
  }
  struct stat info = {};
  if (lstat(path.c_str(), &info) == 0 && S_ISSOCK(info.st_mode)) {
    unlink(path.c_str());
  }
  return true;
}

}  // namespace

Listener::Listener(Server& server, std::span<const std::unique_ptr<IoThread>> threads)
    : server_(server), threads_(threads) {}

Listener::~Listener() {
  if (!unix_path_.empty()) {
    unlink(unix_path_.c_str());
  }
}

Status Listener::Open() {
  asio::io_context& context = threads_.front()->GetContext();
  if (server_.config.port != 0) {
    const auto port = static_cast<std::uint16_t>(server_.config.port);
    TRY_ASSIGN(tcp_, ListenOnTcp(context, server_.config, port));
  }
  if (!server_.config.unixsocket.empty()) {
    TRY(OpenUnix(server_.config.unixsocket));
  }
  if (tcp_.empty() && unix_ == nullptr) {
    return Status(Code::kError, "nothing to listen on: port is 0 and unixsocket is empty");
  }
  for (tcp::acceptor& acceptor : tcp_) {
    asio::co_spawn(context, Accept(acceptor), asio::detached);
  }
  if (unix_ != nullptr) {
    asio::co_spawn(context, Accept(*unix_), asio::detached);
  }
  return {};
}

void Listener::Close() {
  boost::system::error_code ignored;
  for (tcp::acceptor& acceptor : tcp_) {
    acceptor.close(ignored);
  }
  if (unix_ != nullptr) {
    unix_->close(ignored);
  }
}

Status Listener::OpenUnix(const std::string& path) {
  asio::io_context& context = threads_.front()->GetContext();
  if (!RemoveStale(context, path)) {
    return Status(Code::kError,
                  fmt::format("can't listen on {}: another server answers there", path));
  }
  unsigned mode = 0;
  const std::string& text = server_.config.unixsocketperm;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), mode, 8);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size() || mode > 0777) {
    return Status(Code::kError,
                  fmt::format("unixsocketperm: expected an octal mode, got '{}'", text));
  }
  auto acceptor = std::make_unique<Local::acceptor>(context);
  boost::system::error_code error;
  acceptor->open(Local(), error);
  if (!error) {
    acceptor->bind(Local::endpoint(path), error);
  }
  if (!error) {
    unix_path_ = path;
    if (chmod(path.c_str(), mode) != 0) {  // before listen: no client can connect until now
      error.assign(errno, boost::system::system_category());
    }
  }
  if (!error) {
    acceptor->listen(static_cast<int>(server_.config.tcp_backlog), error);
  }
  if (!error) {
    acceptor->native_non_blocking(true, error);
  }
  if (error) {
    return Failed(path, error);
  }
  unix_ = std::move(acceptor);
  return {};
}

// Waits for readiness and calls accept() itself: Asio's accept allocates memory for the new socket
// on completion, and a failure there would end this coroutine and thereby all accepting.
template <typename Acceptor>
asio::awaitable<void> Listener::Accept(Acceptor& acceptor) {
  asio::steady_timer pause(acceptor.get_executor());
  bool failed = false;  // e.g. out of descriptors or memory: wait instead of spinning
  while (acceptor.is_open()) {
    try {
      if (std::exchange(failed, false)) {
        pause.expires_after(kAcceptPause);
        co_await pause.async_wait(kToken);
      }
      const auto ready = co_await acceptor.async_wait(Acceptor::wait_read, kToken);
      failed = std::get<0>(ready).failed() || !AcceptWaiting(acceptor.native_handle());
    } catch (const std::bad_alloc&) {
      failed = true;
    }
  }
}

bool Listener::AcceptWaiting(int acceptor) {
  for (int i = 0; i < kAcceptsMax; ++i) {
    Peer peer;
    auto* const address = static_cast<sockaddr*>(static_cast<void*>(&peer.address));
    Descriptor socket(accept4(acceptor, address, &peer.bytes, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (socket.Number() >= 0) {
      Deal(std::move(socket), peer);
    } else if (errno != EINTR && errno != ECONNABORTED) {
      return errno == EAGAIN || errno == EWOULDBLOCK;
    }
  }
  return true;
}

// Gives the connection to an I/O thread.
void Listener::Deal(Descriptor socket, const Peer& peer) {
  const bool local = IsLocal(peer);
  if (peer.family() != AF_UNIX) {
    Prepare(socket.Number(), local, server_.config.tcp_keepalive);
  } else {
    SetOption(socket.Number(), SOL_SOCKET, SO_SNDBUF, kUnixSendBytes);
  }
  ConnectionSlot slot;
  std::string_view refusal;
  if (server_.config.protected_mode != 0 && !local && !server_.wants_password) {
    refusal = kDenied;
  } else if (slot = TakeSlot(); slot == nullptr) {
    refusal = "-ERR max number of clients reached\r\n";
  }
  threads_[next_thread_++ % threads_.size()]->Adopt(std::move(socket), peer.family(),
                                                    std::move(slot), refusal);
}

// Counted here, not when the connection starts: of a burst of connections, many start later.
ConnectionSlot Listener::TakeSlot() {
  if (server_.slots_taken.fetch_add(1) >= server_.config.maxclients) {
    server_.slots_taken.fetch_sub(1);
    return nullptr;
  }
  return ConnectionSlot(&server_.slots_taken);
}

}  // namespace sluice::server
