#include "resp/request_parser.h"

#include <algorithm>
#include <cstring>

#include "base/ascii.h"
#include "resp/inline_words.h"
#include "resp/length_line.h"

namespace sluice::resp {
namespace {

constexpr std::size_t kArgsKept = 1024;  // capacity of args_ kept between requests

// An HTTP request, for example from a browser in a cross-protocol attack, begins like this.
inline bool IsHttpWord(std::string_view word) {
  return (word.size() == 4 && EqualsIgnoreCase(word, "post")) ||
         (word.size() == 5 && EqualsIgnoreCase(word, "host:"));
}

}  // namespace

RequestParser::RequestParser(const Limits& limits) : limits_(limits) {}

RequestParser::Event RequestParser::Next() {
  for (;;) {
    Found found;
    switch (state_) {
      case State::kStart:
        found = ReadStart();
        break;
      case State::kInline:
        found = ReadInline();
        break;
      case State::kCount:
        found = ReadCount();
        break;
      case State::kHeader:
      case State::kSmall:
        found = ReadArguments();
        break;
      case State::kAsked:
        found = Event::kBulk;
        break;
      case State::kFilling:
      case State::kDraining:
        found = ReadLarge();
        break;
      case State::kLargeEnd:
        found = ReadLargeEnd();
        break;
      case State::kFailed:
        found = Event::kError;
        break;
    }
    if (found) {
      return *found;
    }
  }
}

std::span<const Argument> RequestParser::Args() const {
  return args_;
}

std::size_t RequestParser::BulkBytes() const {
  return bulk_bytes_;
}

std::size_t RequestParser::ArgsExpected() const {
  return args_expected_;
}

std::size_t RequestParser::BufferBytes() const {
  return capacity_ + args_.capacity() * sizeof(Argument);
}

bool RequestParser::Idle() const {
  return state_ == State::kStart && parsed_ == filled_;
}

std::string_view RequestParser::ErrorText() const {
  return error_;
}

RequestParser::Found RequestParser::ReadStart() {
  begin_ = parsed_;
  request_bytes_ = 0;
  args_.clear();
  if (args_.capacity() > kArgsKept) {
    args_ = std::vector<Argument>();
  }
  large_count_ = 0;
  const std::string_view text = Unparsed();
  if (text.empty()) {
    return Event::kNeedMore;
  }
  if (text[0] == '*') {
    state_ = State::kCount;
    return {};
  }
  if (text[0] == '\x16') {
    if (text.size() == 1) {
      return Event::kNeedMore;
    }
    if (text[1] == '\x03') {
      return Fail("TLS handshake on a plain port");
    }
  }
  state_ = State::kInline;
  scanned_ = parsed_;
  return {};
}

RequestParser::Found RequestParser::ReadInline() {
  char* const line = buffer_.get() + parsed_;
  const void* const found = std::memchr(buffer_.get() + scanned_, '\n', filled_ - scanned_);
  const char* const newline = static_cast<const char*>(found);
  if (newline == nullptr) {
    scanned_ = filled_;
    // One more byte may be the CR of a line of the maximum length.
    const bool too_long = filled_ - parsed_ > kInlineBytesMax + 1;
    return too_long ? Fail("too big inline request") : Event::kNeedMore;
  }
  auto length = static_cast<std::size_t>(newline - line);
  parsed_ += length + 1;
  if (length > 0 && line[length - 1] == '\r') {
    --length;
  }
  if (length > kInlineBytesMax) {
    return Fail("too big inline request");
  }
  const std::string_view text(line, length);
  if (text.find('\0') != std::string_view::npos) {
    return Fail("NUL byte in inline request");
  }
  if (text.find(" HTTP/1.") != std::string_view::npos) {
    return Abort();
  }
  InlineWords words({line, length});
  for (std::string_view word;;) {
    switch (words.Next(word)) {
      case InlineWords::Event::kWord:
        if (const Found abort = AddArgument({.text = word})) {
          return abort;
        }
        break;
      case InlineWords::Event::kUnbalanced:
        return Fail("unbalanced quotes in request");
      case InlineWords::Event::kEnd:
        if (!args_.empty()) {
          return Finish();
        }
        state_ = State::kStart;
        return {};
    }
  }
}

RequestParser::Found RequestParser::ReadCount() {
  constexpr std::string_view kInvalid = "invalid multibulk length";
  std::string_view text = Unparsed();
  text.remove_prefix(1);
  const Length length = ReadLength(text);
  switch (length.kind) {
    case Length::Kind::kValue:
      break;
    case Length::Kind::kIncomplete:
      return Event::kNeedMore;
    case Length::Kind::kTooLong:
      return Fail("too big mbulk count string");
    case Length::Kind::kInvalid:
      return Fail(kInvalid);
    case Length::Kind::kNoLineFeed:
      // Redis accepts any byte as the LF and rejects the byte after it. So does this parser, but
      // it always reports an error.
      if (text.size() == length.bytes) {
        return Event::kNeedMore;
      }
      return text[length.bytes] == '$' ? Fail(kInvalid) : FailAt(text[length.bytes]);
  }
  if (length.value > limits_.args_max) {
    return Fail(limits_.before_login ? "unauthenticated multibulk length" : kInvalid);
  }
  parsed_ += 1 + length.bytes;
  if (length.value <= 0) {
    state_ = State::kStart;
    return {};
  }
  args_expected_ = static_cast<std::size_t>(length.value);
  state_ = State::kHeader;
  return {};
}

RequestParser::Found RequestParser::ReadArguments() {
  while (args_.size() < args_expected_) {
    if (state_ == State::kHeader) {
      if (const Found found = ReadHeader()) {
        return found;
      }
      if (bulk_bytes_ >= kLargeBulkBytes) {
        state_ = State::kAsked;
        return {};
      }
      state_ = State::kSmall;
    }
    const std::string_view text = Unparsed();
    switch (FindLineEnd(text, bulk_bytes_)) {
      case LineEnd::kThere:
        break;
      case LineEnd::kIncomplete:
        return Event::kNeedMore;
      case LineEnd::kWrong:
        return Fail("expected CRLF after bulk");
    }
    if (const Found abort = AddArgument({.text = {text.data(), bulk_bytes_}})) {
      return abort;
    }
    parsed_ += bulk_bytes_ + 2;
    state_ = State::kHeader;
  }
  return Finish();
}

// Sets bulk_bytes_.
inline RequestParser::Found RequestParser::ReadHeader() {
  constexpr std::string_view kInvalid = "invalid bulk length";
  std::string_view text = Unparsed();
  if (text.empty()) {
    return Event::kNeedMore;
  }
  if (text[0] != '$') {
    return FailAt(text[0]);
  }
  text.remove_prefix(1);
  const Length length = ReadLength(text);
  switch (length.kind) {
    case Length::Kind::kValue:
      break;
    case Length::Kind::kIncomplete:
      return Event::kNeedMore;
    case Length::Kind::kTooLong:
      return Fail("too big bulk count string");
    case Length::Kind::kInvalid:
    case Length::Kind::kNoLineFeed:
      return Fail(kInvalid);
  }
  if (length.value < 0) {
    return Fail(kInvalid);
  }
  if (length.value > limits_.bulk_bytes_max) {
    return Fail(limits_.before_login ? "unauthenticated bulk length" : kInvalid);
  }
  bulk_bytes_ = static_cast<std::size_t>(length.value);
  parsed_ += 1 + length.bytes;
  return {};
}

RequestParser::Found RequestParser::ReadLarge() {
  if (state_ == State::kDraining) {
    const std::size_t count = std::min(filled_ - parsed_, bulk_bytes_ - bulk_filled_);
    bulk_filled_ += count;
    Discard(count);
  }
  if (bulk_filled_ < bulk_bytes_) {
    return Event::kNeedMore;
  }
  state_ = State::kLargeEnd;
  return {};
}

RequestParser::Found RequestParser::ReadLargeEnd() {
  switch (FindLineEnd(Unparsed(), 0)) {
    case LineEnd::kThere:
      break;
    case LineEnd::kIncomplete:
      return Event::kNeedMore;
    case LineEnd::kWrong:
      return Fail("expected CRLF after bulk");
  }
  const std::string_view text =
      place_ != nullptr ? std::string_view(place_, bulk_bytes_) : std::string_view();
  args_.push_back({.text = text, .large = large_count_++});
  parsed_ += 2;
  state_ = State::kHeader;
  return {};
}

inline RequestParser::Found RequestParser::AddArgument(Argument argument) {
  args_.push_back(argument);
  if (args_.size() == 1 && IsHttpWord(argument.text)) {
    return Abort();
  }
  return {};
}

RequestParser::Event RequestParser::Finish() {
  request_bytes_ = parsed_ - begin_;
  begin_ = parsed_;
  state_ = State::kStart;
  return Event::kRequest;
}

RequestParser::Event RequestParser::Fail(std::string_view text) {
  error_ = text;
  state_ = State::kFailed;
  return Event::kError;
}

RequestParser::Event RequestParser::FailAt(char byte) {
  constexpr std::string_view kHex = "0123456789abcdef";
  const auto value = static_cast<unsigned char>(byte);
  char* out = error_buffer_.data();
  for (const char c : std::string_view("expected '$', got '")) {
    *out++ = c;
  }
  if (value >= 0x20 && value < 0x7f) {
    *out++ = byte;
  } else {
    for (const char c : {'\\', 'x', kHex[value / 16], kHex[value % 16]}) {
      *out++ = c;
    }
  }
  *out++ = '\'';
  return Fail({error_buffer_.data(), static_cast<std::size_t>(out - error_buffer_.data())});
}

RequestParser::Event RequestParser::Abort() {
  state_ = State::kFailed;
  return Event::kAbort;
}

}  // namespace sluice::resp
