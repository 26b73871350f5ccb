// The bare program: measures the cost of moving the same bytes between sockets and recycled memory.
// It makes the server's calls (non-blocking sockets, epoll, one thread) and has no other feature of
// a server. bench_wire compares with it, so it is written to be fast, and trusts its client.
//
//   bench_bare --port <port> --unixsocket <path>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <exception>
#include <map>
#include <memory>
#include <set>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <sys/epoll.h>

#include "tests/bench/bare/bare_connection.h"
#include "tests/bench/net.h"

namespace sluice::bench {
namespace {

class BareServer {
 public:
  explicit BareServer(const std::vector<Endpoint>& endpoints) : epoll_(::epoll_create1(0)) {
    if (epoll_.number() < 0) {
      ThrowErrno("epoll_create1");
    }
    for (const Endpoint& endpoint : endpoints) {
      Fd listener = Listen(endpoint);
      Watch(listener, EPOLLIN);
      const int number = listener.number();
      listeners_.emplace(number, std::move(listener));
    }
  }

  [[noreturn]] void Run() {
    std::array<epoll_event, 64> events{};
    while (true) {
      const int patience_ms = unfinished_.empty() ? -1 : 0;
      const int count = ::epoll_wait(epoll_.number(), events.data(), events.size(), patience_ms);
      if (count < 0 && errno != EINTR) {
        ThrowErrno("epoll_wait");
      }
      std::set<int> ready;
      ready.swap(unfinished_);
      for (int i = 0; i < count; ++i) {
        ready.insert(events[static_cast<std::size_t>(i)].data.fd);
      }
      for (const int number : ready) {
        Serve(number);
      }
    }
  }

 private:
  void Watch(const Fd& socket, std::uint32_t what) {
    epoll_event event{};
    event.events = what;
    event.data.fd = socket.number();
    if (::epoll_ctl(epoll_.number(), EPOLL_CTL_ADD, socket.number(), &event) != 0) {
      ThrowErrno("epoll_ctl");
    }
  }

  void Serve(int number) {
    if (const auto listener = listeners_.find(number); listener != listeners_.end()) {
      AcceptFrom(listener->second);
      return;
    }
    switch (sessions_.at(number)->Turn()) {
      case BareConnection::State::kWaiting:
        break;
      case BareConnection::State::kMoreToDo:
        unfinished_.insert(number);
        break;
      case BareConnection::State::kClosed:
        sessions_.erase(number);
        break;
    }
  }

  void AcceptFrom(const Fd& listener) {
    Fd socket = Accept(listener);
    if (socket.number() < 0) {
      return;
    }
    // Edge-triggered, both directions, from the start: no further epoll_ctl.
    Watch(socket, EPOLLIN | EPOLLOUT | EPOLLET);
    const int number = socket.number();
    sessions_.emplace(number, std::make_unique<BareConnection>(std::move(socket), slots_));
  }

  Fd epoll_;
  std::map<int, Fd> listeners_;
  Slots slots_;
  std::map<int, std::unique_ptr<BareConnection>> sessions_;
  std::set<int> unfinished_;  // connections that yielded after 1 MiB
};

}  // namespace
}  // namespace sluice::bench

int main(int argc, char** argv) {
  using sluice::bench::Endpoint;
  try {
    std::vector<Endpoint> endpoints;
    for (int i = 1; i + 1 < argc; i += 2) {
      const std::string_view option = argv[i];
      if (option == "--port") {
        endpoints.push_back(Endpoint{.port = std::atoi(argv[i + 1]), .path = {}});
      } else if (option == "--unixsocket") {
        endpoints.push_back(Endpoint{.port = 0, .path = argv[i + 1]});
      }
    }
    if (endpoints.empty()) {
      fmt::print(stderr, "usage: bench_bare --port <port> --unixsocket <path>\n");
      return 2;
    }
    sluice::bench::BareServer(endpoints).Run();
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_bare: {}\n", error.what());
    return 1;
  }
}
