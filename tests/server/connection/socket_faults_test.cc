// Lets the n-th allocation of the I/O threads fail while a client connects, asks and disconnects,
// n = 1 to the last: the client may lose its connection; the server accepts the next one.
#include <future>
#include <stdexcept>

#include <catch2/catch.hpp>

#include "tests/support/failing_new.h"
#include "tests/support/live_server.h"

namespace sluice::server {
namespace {

using FailurePtr = std::unique_ptr<tests::FailNthAllocation>;

// Runs `work` on the thread and waits for it.
template <typename Work>
auto On(IoThread& thread, Work work) {
  std::promise<decltype(work())> promise;
  boost::asio::post(thread.GetContext(), [&] { promise.set_value(work()); });
  return promise.get_future().get();
}

// A large value makes the connection wait for its socket in both directions.
void Visit(tests::SocketClient client, const std::string& request) {
  try {
    client.Send(request);
    client.HalfClose();
    client.ReceiveUntilClosed();
  } catch (const std::runtime_error&) {
    FAIL("the connection was neither served nor closed");
  }
}

TEST_CASE("a failing allocation of an I/O thread does not end the server", "[faults]") {
  tests::LiveServer server;
  const std::string request =
      tests::Encode({"SET", "k", std::string(std::size_t{4} << 20, 'v')}) + "PING\r\nGET k\r\n";
  Visit(server.Unix(), request);
  for (const bool tcp : {false, true}) {
    for (std::uint64_t n = 1; n < 1000; ++n) {
      CAPTURE(tcp, n);
      std::vector<FailurePtr> failures;
      for (const auto& thread : server.Threads()) {
        failures.push_back(
            On(*thread, [n] { return std::make_unique<tests::FailNthAllocation>(n); }));
      }
      Visit(tcp ? server.Tcp() : server.Unix(), request);
      bool failed = false;
      for (std::size_t i = 0; i < failures.size(); ++i) {
        failed = On(*server.Threads()[i],
                    [failure = std::move(failures[i])]() mutable {
                      const bool came_to_it = failure->Failed();
                      failure.reset();
                      return came_to_it;
                    }) ||
                 failed;
      }
      CHECK(server.Tcp().Ask("PING").text == "PONG");
      CHECK(server.Unix().Ask("PING").text == "PONG");
      tests::WaitUntil([&] { return server.Connections() == 0; });
      if (!failed) {
        break;
      }
    }
  }
}

}  // namespace
}  // namespace sluice::server
