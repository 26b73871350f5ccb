#include "tests/bench/large_client.h"

#include <array>
#include <cstring>
#include <stdexcept>

#include <fmt/format.h>

#include "tests/bench/buffers.h"

namespace sluice::bench {
namespace {

constexpr std::string_view kCrlf = "\r\n";
constexpr std::size_t kKeyOffset = 64;

[[noreturn]] void ThrowUnexpected(std::string_view what, std::string_view got) {
  throw std::runtime_error(fmt::format("unexpected reply to a {}: {}", what, got.substr(0, 200)));
}

}  // namespace

LargeClient::LargeClient(const Spec& spec)
    : spec_(spec),
      socket_(Connect(spec.endpoint)),
      pattern_(spec.value_bytes + spec.keys * kKeyOffset),
      received_(spec.value_bytes),
      get_reply_head_(GetReplyHead(spec.dialect, spec.value_bytes)),
      head_received_(get_reply_head_.size(), '\0') {
  FillPattern(pattern_.data(), pattern_.size());
  for (std::size_t i = 0; i < spec_.keys; ++i) {
    const std::string key = fmt::format("large:{}:{}", spec_.value_bytes, i);
    put_heads_.push_back(PutHead(spec_.dialect, key, spec_.value_bytes));
    get_requests_.push_back(GetRequest(spec_.dialect, key));
    Put(i);
  }
}

void LargeClient::Put(std::size_t key) {
  SendAll(put_heads_[key], Payload(key), kCrlf);
  std::array<char, 256> reply{};
  std::size_t got = 0;
  while (got < 2 || reply[got - 1] != '\n') {
    const ssize_t step = ::recv(socket_.number(), reply.data() + got, reply.size() - got, 0);
    if (step <= 0) {
      ThrowErrno("receiving the reply to a put");
    }
    got += static_cast<std::size_t>(step);
  }
  const std::string_view text(reply.data(), got);
  if (text != PutReply(spec_.dialect, true) && text != PutReply(spec_.dialect, false)) {
    ThrowUnexpected("put", text);
  }
}

void LargeClient::Get(std::size_t key) {
  SendAll(get_requests_[key], {}, {});
  std::array<char, 2> tail{};
  Buffers buffers = {iovec{.iov_base = head_received_.data(), .iov_len = head_received_.size()},
                     iovec{.iov_base = received_.data(), .iov_len = received_.size()},
                     iovec{.iov_base = tail.data(), .iov_len = tail.size()}};
  for (bool first = true; TotalBytes(buffers) > 0; first = false) {
    msghdr message = MessageOf(buffers);
    const ssize_t got = ::recvmsg(socket_.number(), &message, 0);
    if (got <= 0) {
      ThrowErrno("receiving the reply to a get");
    }
    // An error is shorter than a value: waiting for the full length would hang.
    const auto head = std::string_view(head_received_).substr(0, static_cast<std::size_t>(got));
    if (first && !get_reply_head_.starts_with(head)) {
      ThrowUnexpected("get", head);
    }
    Advance(buffers, static_cast<std::size_t>(got));
  }
  if (head_received_ != get_reply_head_ || std::string_view(tail.data(), tail.size()) != kCrlf) {
    ThrowUnexpected("get", head_received_);
  }
}

void LargeClient::CheckContents() {
  for (std::size_t key = 0; key < spec_.keys; ++key) {
    std::memset(received_.data(), 0, received_.size());
    Get(key);
    if (std::memcmp(received_.data(), Payload(key).data(), received_.size()) != 0) {
      throw std::runtime_error(
          fmt::format("value {} of {} bytes came back changed", key, spec_.value_bytes));
    }
  }
}

void LargeClient::SendAll(std::string_view head, std::string_view payload, std::string_view tail) {
  Buffers buffers = {BufferOf(head), BufferOf(payload), BufferOf(tail)};
  while (TotalBytes(buffers) > 0) {
    msghdr message = MessageOf(buffers);
    const ssize_t sent = ::sendmsg(socket_.number(), &message, MSG_NOSIGNAL);
    if (sent < 0) {
      ThrowErrno("sending");
    }
    Advance(buffers, static_cast<std::size_t>(sent));
  }
}

std::string_view LargeClient::Payload(std::size_t key) const {
  return {pattern_.data() + key * kKeyOffset, spec_.value_bytes};
}

}  // namespace sluice::bench
