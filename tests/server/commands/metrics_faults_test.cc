// Lets the n-th allocation of the metrics thread fail during a scrape, n = 1 to the last: the
// scrape may lose its connection; the next one is served.
#include <future>
#include <stdexcept>

#include <boost/asio/post.hpp>
#include <catch2/catch.hpp>
#include <unistd.h>

#include "server/net/metrics_listener.h"
#include "tests/support/failing_new.h"
#include "tests/support/socket_client.h"
#include "tests/support/test_server.h"

namespace sluice::server {
namespace {

// On a free port.
class Metered {
 public:
  Metered() {
    tests::TestClient client(parts_);
    client.Run({"KV.PUT", "p", "k", "FIELD", "x", "uint8", "3", "BLOB", "abc"});
    for (int attempt = 0; attempt < 100; ++attempt) {
      parts_.GetConfig().metrics_port = 20000 + (getpid() * 7 + attempt * 101) % 30000;
      listener_ = std::make_unique<MetricsListener>(parts_.Get());
      if (listener_->Open().ok()) {
        return;
      }
    }
    throw std::runtime_error("no free port");
  }

  // Returns all bytes received until the connection ends.
  std::string Scrape() {
    auto client = tests::SocketClient::Tcp(static_cast<int>(parts_.GetConfig().metrics_port));
    client.Send("GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n");
    client.HalfClose();
    return client.ReceiveUntilClosed();
  }

  // Runs `work` on the metrics thread and waits for it.
  template <typename Work>
  auto OnThread(Work work) {
    std::promise<decltype(work())> promise;
    boost::asio::post(listener_->GetContext(), [&] { promise.set_value(work()); });
    return promise.get_future().get();
  }

 private:
  tests::TestServer parts_;
  std::unique_ptr<MetricsListener> listener_;
};

TEST_CASE("a failing allocation does not end the metrics thread", "[faults]") {
  Metered server;
  const std::string whole = server.Scrape();
  REQUIRE(whole.starts_with("HTTP/1.1 200 OK\r\n"));
  bool failed = true;
  std::uint64_t n = 1;
  for (; failed; ++n) {
    CAPTURE(n);
    REQUIRE(n < 10000);
    auto failure = server.OnThread([n] { return std::make_unique<tests::FailNthAllocation>(n); });
    const std::string answer = server.Scrape();
    failed = server.OnThread([failure = std::move(failure)]() mutable {
      const bool came_to_it = failure->Failed();
      failure.reset();
      return came_to_it;
    });
    CHECK((answer.empty() || answer.starts_with("HTTP/1.1 200 OK\r\n")));
    CHECK(server.Scrape().starts_with("HTTP/1.1 200 OK\r\n"));
  }
  CHECK(n > 20);
}

}  // namespace
}  // namespace sluice::server
