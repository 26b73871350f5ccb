#include "tests/bench/bare/bare_connection.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include <fmt/format.h>

namespace sluice::bench {
namespace {

constexpr std::size_t kMaxPerCall = std::size_t{1} << 20;
constexpr std::size_t kMaxValueBytes = std::size_t{1} << 30;
constexpr std::string_view kCrlf = "\r\n";

enum class Parsed { kOk, kIncomplete, kBad };

// Takes "<sign><number>\r\n" from the front of `text`.
Parsed TakeCount(std::string_view& text, char sign, std::size_t& count) {
  const std::size_t line_end = text.find(kCrlf);
  if (line_end == std::string_view::npos) {
    return text.size() > 32 ? Parsed::kBad : Parsed::kIncomplete;
  }
  const char* const last = text.data() + line_end;
  if (text[0] != sign) {
    return Parsed::kBad;
  }
  const auto [stop, error] = std::from_chars(text.data() + 1, last, count);
  if (error != std::errc{} || stop != last || count > kMaxValueBytes) {
    return Parsed::kBad;
  }
  text.remove_prefix(line_end + kCrlf.size());
  return Parsed::kOk;
}

// Takes a whole bulk string.
Parsed TakeBulk(std::string_view& text, std::string_view& bulk) {
  std::size_t bytes = 0;
  if (const Parsed parsed = TakeCount(text, '$', bytes); parsed != Parsed::kOk) {
    return parsed;
  }
  if (bytes > 512) {
    return Parsed::kBad;
  }
  if (text.size() < bytes + kCrlf.size()) {
    return Parsed::kIncomplete;
  }
  bulk = text.substr(0, bytes);
  text.remove_prefix(bytes + kCrlf.size());
  return Parsed::kOk;
}

struct Request {
  std::string_view name;
  std::string_view key;
  std::size_t value_bytes = 0;  // of SET; the value itself is in the text or still to arrive
};

Parsed TakeRequest(std::string_view& text, Request& request) {
  std::size_t count = 0;
  Parsed parsed = TakeCount(text, '*', count);
  if (parsed == Parsed::kOk) {
    parsed = count >= 1 && count <= 3 ? TakeBulk(text, request.name) : Parsed::kBad;
  }
  if (parsed == Parsed::kOk && count >= 2) {
    parsed = TakeBulk(text, request.key);
  }
  if (parsed == Parsed::kOk && count == 3) {
    parsed = TakeCount(text, '$', request.value_bytes);
  }
  return parsed;
}

}  // namespace

BareConnection::State BareConnection::Turn() {
  moved_ = 0;
  while (moved_ < kMaxPerCall) {
    Progress progress = TotalBytes(reply_) > 0 ? Write() : Parse();
    if (progress == Progress::kBlocked && TotalBytes(reply_) == 0) {
      progress = Read();
    }
    if (progress == Progress::kBlocked) {
      return State::kWaiting;
    }
    if (progress == Progress::kFailed) {
      return State::kClosed;
    }
  }
  return State::kMoreToDo;
}

BareConnection::Progress BareConnection::Read() {
  const std::size_t kept = end_ - begin_;
  std::memmove(input_.data(), input_.data() + begin_, kept);
  begin_ = 0;
  end_ = kept;
  const std::size_t payload_space = std::min(PayloadMissing(), kMaxPerCall);
  std::array<iovec, 2> space{};
  if (payload_space > 0) {
    space[0] = {.iov_base = slot_->memory.data() + received_, .iov_len = payload_space};
  }
  space[1] = {.iov_base = input_.data() + end_, .iov_len = input_.size() - end_};
  // The value's missing bytes beyond this call come before any other input.
  msghdr message{};
  message.msg_iov = payload_space > 0 ? space.data() : space.data() + 1;
  message.msg_iovlen = payload_space > 0 && payload_space == PayloadMissing() ? 2 : 1;
  const ssize_t got = ::recvmsg(socket_.number(), &message, 0);
  if (got <= 0) {
    return got < 0 && errno == EAGAIN ? Progress::kBlocked : Progress::kFailed;
  }
  const auto bytes = static_cast<std::size_t>(got);
  const std::size_t to_payload = std::min(bytes, payload_space);
  received_ += to_payload;
  end_ += bytes - to_payload;
  moved_ += bytes;
  return Progress::kDone;
}

BareConnection::Progress BareConnection::Write() {
  Buffers buffers = reply_;
  const bool cut = buffers[1].iov_len > kMaxPerCall;
  buffers[1].iov_len = std::min(buffers[1].iov_len, kMaxPerCall);
  const msghdr message = MessageOf(buffers, cut ? 2 : 3);
  const ssize_t sent = ::sendmsg(socket_.number(), &message, MSG_NOSIGNAL);
  if (sent < 0) {
    return errno == EAGAIN ? Progress::kBlocked : Progress::kFailed;
  }
  Advance(reply_, static_cast<std::size_t>(sent));
  moved_ += static_cast<std::size_t>(sent);
  return Progress::kDone;
}

BareConnection::Progress BareConnection::Parse() {
  if (slot_ != nullptr) {
    TakePayloadFromInput();
    if (PayloadMissing() > 0 || Unread().size() < kCrlf.size()) {
      return Progress::kBlocked;
    }
    begin_ += kCrlf.size();
    slot_ = nullptr;
    Answer("+OK\r\n", {}, {});
    return Progress::kDone;
  }
  std::string_view text = Unread();
  Request request;
  const Parsed parsed = TakeRequest(text, request);
  if (parsed != Parsed::kOk) {
    return parsed == Parsed::kIncomplete ? Progress::kBlocked : Progress::kFailed;
  }
  begin_ = end_ - text.size();
  if (request.name == "SET") {
    return BeginSet(request.key, request.value_bytes);
  }
  if (request.name == "GET") {
    return AnswerGet(request.key);
  }
  if (request.name == "PING") {
    Answer("+PONG\r\n", {}, {});
    return Progress::kDone;
  }
  return Progress::kFailed;
}

BareConnection::Progress BareConnection::BeginSet(std::string_view key, std::size_t bytes) {
  slot_ = &slots_[std::string(key)];
  if (slot_->memory.size() < bytes) {
    slot_->memory = TouchedMemory(bytes);
  }
  slot_->bytes = bytes;
  received_ = 0;
  return Progress::kDone;
}

BareConnection::Progress BareConnection::AnswerGet(std::string_view key) {
  const auto found = slots_.find(std::string(key));
  if (found == slots_.end()) {
    Answer("$-1\r\n", {}, {});
    return Progress::kDone;
  }
  const Slot& slot = found->second;
  const auto end = fmt::format_to_n(head_.data(), head_.size(), "${}\r\n", slot.bytes).out;
  Answer({head_.data(), static_cast<std::size_t>(end - head_.data())},
         {slot.memory.data(), slot.bytes}, kCrlf);
  return Progress::kDone;
}

void BareConnection::Answer(std::string_view head, std::string_view payload,
                            std::string_view tail) {
  reply_ = {BufferOf(head), BufferOf(payload), BufferOf(tail)};
}

void BareConnection::TakePayloadFromInput() {
  const std::size_t step = std::min(PayloadMissing(), Unread().size());
  std::memcpy(slot_->memory.data() + received_, Unread().data(), step);
  received_ += step;
  begin_ += step;
}

}  // namespace sluice::bench
