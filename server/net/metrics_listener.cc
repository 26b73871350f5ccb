#include "server/net/metrics_listener.h"

#include <array>
#include <chrono>
#include <new>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <fmt/format.h>

#include "server/net/tcp_acceptors.h"
#include "server/reports/metrics/metrics.h"
#include "server/reports/metrics/prometheus_text.h"

namespace sluice::server {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using beast::error_code;
using Request = http::request<http::string_body>;
using Response = http::response<http::string_body>;

constexpr auto kToken = asio::as_tuple(asio::use_awaitable);
constexpr std::chrono::milliseconds kAcceptPause{100};
// Timeout for receiving a whole request since the last response, and for sending a response. Equal
// to the default timeout of Prometheus.
constexpr std::chrono::seconds kPatience{10};
constexpr std::chrono::seconds kLinger{2};
constexpr std::size_t kLingerBytesMax = std::size_t{1} << 20;
constexpr std::size_t kHeaderBytesMax = std::size_t{8} << 10;
constexpr std::size_t kBodyBytesMax = std::size_t{8} << 10;  // bodies are not used

// Returns true if the request is at fault, not the connection: the peer still waits for a response.
bool IsMalformed(const error_code& error) {
  return error.category() == http::make_error_code(http::error::bad_method).category() &&
         error != http::error::end_of_stream && error != http::error::partial_message;
}

Response Refusal(http::status status, const Request& request, std::string_view why) {
  Response response(status, 11);
  response.keep_alive(false);
  response.set(http::field::content_type, "text/plain; charset=utf-8");
  if (status == http::status::method_not_allowed) {
    response.set(http::field::allow, "GET");
  }
  if (request.method() != http::verb::head) {
    response.body() = why;
  }
  response.prepare_payload();
  return response;
}

Response Answer(Server& server, const Request& request, const asio::ip::address& peer) {
  if (server.config.protected_mode != 0 && !server.wants_password && !IsLoopback(peer)) {
    return Refusal(http::status::forbidden, request,
                   "the server is in protected mode and has no password: this machine only\n");
  }
  if (request.target() != "/metrics") {
    return Refusal(http::status::not_found, request, "only /metrics is served\n");
  }
  if (request.method() != http::verb::get) {
    return Refusal(http::status::method_not_allowed, request, "only GET is supported\n");
  }
  Response response(http::status::ok, request.version());
  response.keep_alive(request.keep_alive());
  response.set(http::field::content_type, PrometheusText::kContentType);
  response.body() = MetricsText(server);
  response.prepare_payload();
  return response;
}

// Sends FIN, then waits for the peer's FIN: closing with unread input would make the system reset
// the connection, and the peer might not get the response.
asio::awaitable<void> Linger(beast::tcp_stream& stream) {
  error_code ignored;
  stream.socket().shutdown(tcp::socket::shutdown_send, ignored);
  stream.expires_after(kLinger);
  std::array<char, 4096> trash;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  const asio::mutable_buffer space = asio::buffer(trash);
  for (std::size_t bytes = 0; bytes < kLingerBytesMax;) {
    const auto read = co_await stream.async_read_some(space, kToken);
    const auto& [error, count] = read;
    if (error) {
      break;
    }
    bytes += count;
  }
}

}  // namespace

struct MetricsListener::Connection {
  explicit Connection(tcp::socket socket) : stream(std::move(socket)) {}
  beast::tcp_stream stream;
};

MetricsListener::~MetricsListener() {
  context_.stop();
  if (thread_.joinable()) {
    thread_.join();
  }
}

Status MetricsListener::Open() {
  if (server_.config.metrics_port == 0) {
    return {};
  }
  const auto port = static_cast<std::uint16_t>(server_.config.metrics_port);
  TRY_ASSIGN(acceptors_, ListenOnTcp(context_, server_.config, port));
  if (acceptors_.empty()) {
    return Status(Code::kError,
                  fmt::format("no address of 'bind' is available for metrics-port {}", port));
  }
  for (tcp::acceptor& acceptor : acceptors_) {
    asio::co_spawn(context_, Accept(acceptor), asio::detached);
  }
  thread_ = std::thread([this] { Run(); });
  return {};
}

// Exceptions come from the work of one connection, which is closed.
void MetricsListener::Run() {
  for (;;) {
    try {
      context_.run();
      return;
    } catch (const std::bad_alloc&) {
    }
  }
}

// Asio's own asynchronous accept allocates memory on completion; see server/net/listener.cc.
asio::awaitable<void> MetricsListener::Accept(tcp::acceptor& acceptor) {
  asio::steady_timer pause(context_);
  bool failed = false;  // e.g. out of descriptors or memory: wait instead of spinning
  for (;;) {
    try {
      if (std::exchange(failed, false)) {
        pause.expires_after(kAcceptPause);
        co_await pause.async_wait(kToken);
      }
      co_await acceptor.async_wait(tcp::acceptor::wait_read, kToken);
      error_code error;
      tcp::socket socket = acceptor.accept(error);
      failed = error && error != asio::error::would_block;
      if (!error) {
        Take(std::move(socket));
      }
    } catch (const std::bad_alloc&) {
      failed = true;
    }
  }
}

void MetricsListener::Take(tcp::socket socket) {
  std::erase_if(connections_, [](const auto& weak) { return weak.expired(); });
  const auto connection = std::make_shared<Connection>(std::move(socket));
  connections_.push_back(connection);
  if (connections_.size() > kConnectionsMax) {
    if (const auto oldest = connections_.front().lock()) {
      oldest->stream.close();
    }
    connections_.pop_front();
  }
  asio::co_spawn(context_, Talk(connection), asio::detached);  // an exception ends it
}

asio::awaitable<void> MetricsListener::Talk(std::shared_ptr<Connection> connection) {
  beast::tcp_stream& stream = connection->stream;
  error_code error;
  const asio::ip::address peer = stream.socket().remote_endpoint(error).address();
  beast::flat_buffer buffer(kHeaderBytesMax + kBodyBytesMax);
  for (bool keep_alive = true; keep_alive;) {
    http::request_parser<http::string_body> parser;
    parser.header_limit(kHeaderBytesMax);
    parser.body_limit(kBodyBytesMax);
    stream.expires_after(kPatience);
    const auto read = co_await http::async_read(stream, buffer, parser, kToken);
    error = std::get<0>(read);
    if (error && !IsMalformed(error)) {
      co_return;
    }
    Response response = error ? Refusal(http::status::bad_request, parser.get(),
                                        "the request is malformed or too large\n")
                              : Answer(server_, parser.get(), peer);
    keep_alive = response.keep_alive();
    stream.expires_after(kPatience);
    const auto written = co_await http::async_write(stream, response, kToken);
    if (std::get<0>(written)) {
      co_return;
    }
  }
  co_await Linger(stream);
}

}  // namespace sluice::server
