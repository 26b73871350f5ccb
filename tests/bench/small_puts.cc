#include "tests/bench/small_puts.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <numeric>
#include <random>
#include <stdexcept>

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "tests/bench/timing.h"

namespace sluice::bench {
namespace {

constexpr std::size_t kKeys = 100'000;
constexpr std::size_t kConnections = 50;
constexpr std::size_t kPipeline = 16;
constexpr std::size_t kValueBytes = 64;
constexpr std::size_t kBatches = kKeys / kPipeline;
static_assert(kBatches * kPipeline == kKeys);

std::string Repeat(std::string_view text, std::size_t times) {
  std::string all;
  for (std::size_t i = 0; i < times; ++i) {
    all += text;
  }
  return all;
}

}  // namespace

SmallPuts::SmallPuts(const Endpoint& endpoint, Dialect dialect) : epoll_(::epoll_create1(0)) {
  if (epoll_.number() < 0) {
    ThrowErrno("epoll_create1");
  }
  FormatBatches(dialect);
  for (std::size_t i = 0; i < kConnections; ++i) {
    connections_.push_back({.socket = Connect(endpoint), .received = {}});
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = i;
    const int number = connections_[i].socket.number();
    if (::epoll_ctl(epoll_.number(), EPOLL_CTL_ADD, number, &event) != 0) {
      ThrowErrno("epoll_ctl");
    }
  }
  expected_reply_ = Repeat(PutReply(dialect, true), kPipeline);
  Exchange(kBatches, std::numeric_limits<double>::infinity());
  expected_reply_ = Repeat(PutReply(dialect, false), kPipeline);
}

SmallPuts::Slice SmallPuts::Run(double seconds) {
  const double cpu_before = OwnCpuSeconds();
  const Stopwatch watch;
  const std::size_t batches = Exchange(std::numeric_limits<std::size_t>::max(), seconds);
  const double elapsed = watch.Seconds();
  return {.puts_per_second = static_cast<double>(batches * kPipeline) / elapsed,
          .client_cpu_share = (OwnCpuSeconds() - cpu_before) / elapsed};
}

void SmallPuts::FormatBatches(Dialect dialect) {
  std::vector<std::size_t> order(kKeys);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::shuffle(order.begin(), order.end(), std::mt19937_64(12345));
  std::vector<std::size_t> ends;
  for (std::size_t i = 0; i < kKeys; ++i) {
    requests_ += PutHead(dialect, fmt::format("key:{:012}", order[i]), kValueBytes);
    requests_ += std::string(kValueBytes, static_cast<char>('a' + order[i] % 26)) + "\r\n";
    if (i % kPipeline == kPipeline - 1) {
      ends.push_back(requests_.size());
    }
  }
  std::size_t begin = 0;
  for (const std::size_t end : ends) {
    batches_.push_back(std::string_view(requests_).substr(begin, end - begin));
    begin = end;
  }
}

std::size_t SmallPuts::Exchange(std::size_t count, double seconds) {
  const Stopwatch watch;
  std::size_t sent = 0;
  std::size_t answered = 0;
  for (; sent < std::min(count, connections_.size()); ++sent) {
    SendBatch(connections_[sent]);
  }
  std::array<epoll_event, kConnections> events{};
  while (answered < sent) {
    ThrowIfInterrupted();
    const int ready = ::epoll_wait(epoll_.number(), events.data(), kConnections, 20'000);
    if (ready <= 0) {
      throw std::runtime_error("the server stopped answering small puts");
    }
    const bool more = watch.Seconds() < seconds;
    for (std::size_t i = 0; i < static_cast<std::size_t>(ready); ++i) {
      Connection& connection = connections_[events[i].data.u64];
      if (!ReceiveReply(connection)) {
        continue;
      }
      ++answered;
      if (more && sent < count) {
        SendBatch(connection);
        ++sent;
      }
    }
  }
  return answered;
}

void SmallPuts::SendBatch(const Connection& connection) {
  std::string_view batch = batches_[next_batch_];
  next_batch_ = (next_batch_ + 1) % batches_.size();
  while (!batch.empty()) {
    const ssize_t sent =
        ::send(connection.socket.number(), batch.data(), batch.size(), MSG_NOSIGNAL);
    if (sent < 0) {
      ThrowErrno("sending small puts");
    }
    batch.remove_prefix(static_cast<std::size_t>(sent));
  }
}

bool SmallPuts::ReceiveReply(Connection& connection) {
  std::array<char, 1024> bytes;
  const ssize_t got = ::recv(connection.socket.number(), bytes.data(), bytes.size(), 0);
  if (got <= 0) {
    ThrowErrno("receiving replies to small puts");
  }
  connection.received.append(bytes.data(), static_cast<std::size_t>(got));
  if (!expected_reply_.starts_with(connection.received)) {
    throw std::runtime_error("unexpected reply to a small put: " + connection.received);
  }
  if (connection.received.size() < expected_reply_.size()) {
    return false;
  }
  connection.received.clear();
  return true;
}

}  // namespace sluice::bench
