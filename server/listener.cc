#include "server/listener.h"

#include <charconv>
#include <chrono>
#include <new>
#include <sstream>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/log.h"

namespace sluice::server {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using Local = asio::local::stream_protocol;
using store::Code;
using store::Status;

constexpr auto kToken = asio::as_tuple(asio::use_awaitable);
constexpr std::chrono::milliseconds kAcceptPause{100};

constexpr std::string_view kDenied =
    "-DENIED Sluice is running in protected mode and has no password: it accepts connections from "
    "this "
    "machine only. Set 'protected-mode no' and a 'bind' address in its configuration if others may "
    "reach it.\r\n";

bool IsLocal(const tcp::endpoint& peer) {
  const asio::ip::address address = peer.address();
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()).is_loopback();
  }
  return address.is_loopback();
}
bool IsLocal(const Local::endpoint& /*peer*/) {
  return true;
}

void Prepare(tcp::socket& socket, std::int64_t keepalive_seconds) {
  boost::system::error_code ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  if (IsLocal(socket.remote_endpoint(ignored))) {
    // Where the system sends by BBR, which guesses a pace, a connection within the machine loses up
    // to half of its speed: nothing is congested there. Where there is no Reno, nothing changes.
    constexpr std::string_view kUnpaced = "reno";
    setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_CONGESTION, kUnpaced.data(),
               kUnpaced.size());
  }
  if (keepalive_seconds > 0) {
    socket.set_option(asio::socket_base::keep_alive(true), ignored);
    const int idle = static_cast<int>(keepalive_seconds);
    const int interval = std::max(1, idle / 3);
    const int count = 3;
    setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
    setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
  }
}
void Prepare(Local::socket& /*socket*/, std::int64_t /*keepalive_seconds*/) {}

Status Failed(std::string_view what, const boost::system::error_code& error) {
  return Status(Code::kError, fmt::format("can't listen on {}: {}", what, error.message()));
}

// Removes the socket file of a server that is gone. False where one still answers there.
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
  std::istringstream addresses(server_.config.bind);
  for (std::string word; server_.config.port != 0 && addresses >> word;) {
    const bool optional = word.starts_with('-');
    TRY(OpenTcp(optional ? word.substr(1) : word, optional));
  }
  if (!server_.config.unixsocket.empty()) {
    TRY(OpenUnix(server_.config.unixsocket));
  }
  if (tcp_.empty() && unix_ == nullptr) {
    return Status(Code::kError, "nothing to listen on: port is 0 and unixsocket is empty");
  }
  asio::io_context& context = threads_.front()->GetContext();
  for (const auto& acceptor : tcp_) {
    asio::co_spawn(context, Accept(*acceptor), asio::detached);
  }
  if (unix_ != nullptr) {
    asio::co_spawn(context, Accept(*unix_), asio::detached);
  }
  return {};
}

void Listener::Close() {
  boost::system::error_code ignored;
  for (const auto& acceptor : tcp_) {
    acceptor->close(ignored);
  }
  if (unix_ != nullptr) {
    unix_->close(ignored);
  }
}

Status Listener::OpenTcp(const std::string& address, bool optional) {
  const auto port = static_cast<std::uint16_t>(server_.config.port.load());
  const std::string what = fmt::format("{} port {}", address, port);
  boost::system::error_code error;
  const asio::ip::address ip = address == "*" ? asio::ip::address(asio::ip::address_v4::any())
                                              : asio::ip::make_address(address, error);
  if (error) {
    return Failed(what, error);
  }
  auto acceptor = std::make_unique<tcp::acceptor>(threads_.front()->GetContext());
  acceptor->open(ip.is_v4() ? tcp::v4() : tcp::v6(), error);
  if (!error) {
    acceptor->set_option(asio::socket_base::reuse_address(true), error);
    if (ip.is_v6()) {
      acceptor->set_option(asio::ip::v6_only(true), error);
    }
    acceptor->bind(tcp::endpoint(ip, port), error);
  }
  if (!error) {
    acceptor->listen(static_cast<int>(server_.config.tcp_backlog), error);
  }
  const bool missing = error == asio::error::address_family_not_supported ||
                       error == boost::system::errc::address_not_available;
  if (error) {
    return optional && missing ? Status() : Failed(what, error);
  }
  tcp_.push_back(std::move(acceptor));
  return {};
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
                  fmt::format("unixsocketperm: an octal mode is expected, not '{}'", text));
  }
  auto acceptor = std::make_unique<Local::acceptor>(context);
  boost::system::error_code error;
  acceptor->open(Local(), error);
  if (!error) {
    acceptor->bind(Local::endpoint(path), error);
  }
  if (!error) {
    unix_path_ = path;
    if (chmod(path.c_str(), mode) != 0) {  // before listen: nobody could connect until now
      error.assign(errno, boost::system::system_category());
    }
  }
  if (!error) {
    acceptor->listen(static_cast<int>(server_.config.tcp_backlog), error);
  }
  if (error) {
    return Failed(path, error);
  }
  unix_ = std::move(acceptor);
  return {};
}

template <typename Acceptor>
asio::awaitable<void> Listener::Accept(Acceptor& acceptor) {
  asio::steady_timer pause(acceptor.get_executor());
  bool failed = false;  // out of descriptors or memory, say: wait instead of spinning
  while (acceptor.is_open()) {
    try {
      if (std::exchange(failed, false)) {
        pause.expires_after(kAcceptPause);
        co_await pause.async_wait(kToken);
      }
      failed = !co_await AcceptOne(acceptor);
    } catch (const std::bad_alloc&) {
      failed = true;
    }
  }
}

template <typename Acceptor>
asio::awaitable<bool> Listener::AcceptOne(Acceptor& acceptor) {
  IoThread& thread = *threads_[next_thread_++ % threads_.size()];
  typename Acceptor::protocol_type::socket socket(thread.GetContext());
  const auto accepted = co_await acceptor.async_accept(socket, kToken);
  const auto& error = std::get<0>(accepted);
  if (error || !acceptor.is_open()) {
    co_return false;
  }
  boost::system::error_code gone;
  const auto peer = socket.remote_endpoint(gone);
  if (gone) {
    co_return true;
  }
  Seat seat;
  std::string refusal;
  if (server_.config.protected_mode != 0 && !IsLocal(peer)) {
    refusal = kDenied;
  } else if (seat = TakeSeat(); seat == nullptr) {
    refusal = "-ERR max number of clients reached\r\n";
  }
  Prepare(socket, server_.config.tcp_keepalive);
  thread.Adopt(Session::Socket(std::move(socket)), std::move(seat), std::move(refusal));
  co_return true;
}

// Counted here, not where the session begins: connections that come all at once begin later.
Seat Listener::TakeSeat() {
  if (server_.seats_taken.fetch_add(1) >= server_.config.maxclients) {
    server_.seats_taken.fetch_sub(1);
    return nullptr;
  }
  return Seat(&server_.seats_taken);
}

}  // namespace sluice::server
