// ParserDriver: feeds bytes to a RequestParser in segments, as a socket would, and records its
// events as text. The same bytes must give the same transcript however they are split.
//
//   one line per event: "SET k {3}abc"   a request; arguments that came as large bulks have {size}
//                       "error: invalid bulk length"      "abort"
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "resp/request_parser.h"
#include "tests/support/resp_encoder.h"

namespace sluice::tests {

using Transcript = std::vector<std::string>;

// Size of the next segment, at least 1.
using Cutter = std::function<std::size_t()>;

class ParserDriver {
 public:
  // Bulk strings over `bulk_bytes_max` are drained.
  explicit ParserDriver(const resp::Limits& limits = {}, std::size_t bulk_bytes_max = 1 << 20)
      : limits_(limits), bulk_bytes_max_(bulk_bytes_max), parser_(limits_) {}

  // Returns false once the parser has failed; it then ignores the remaining bytes.
  bool Feed(std::string_view bytes, const Cutter& next_size) {
    while (!bytes.empty() && !failed_) {
      const std::size_t taken = Read(bytes.substr(0, next_size()));
      bytes.remove_prefix(taken);
      Run();
    }
    return !failed_;
  }

  const Transcript& Events() const { return events_; }
  resp::RequestParser& Parser() { return parser_; }
  std::size_t BufferBytesMost() const { return buffer_bytes_most_; }

 private:
  std::size_t Read(std::string_view segment) {
    const std::span<char> bulk = parser_.BulkSpace();
    const std::span<char> space = parser_.Space();
    const std::size_t to_bulk = std::min(bulk.size(), segment.size());
    const std::size_t to_space = std::min(space.size(), segment.size() - to_bulk);
    if (to_bulk > 0) {
      std::memcpy(bulk.data(), segment.data(), to_bulk);
    }
    std::memcpy(space.data(), segment.data() + to_bulk, to_space);
    parser_.Filled(to_bulk + to_space);
    buffer_bytes_most_ = std::max(buffer_bytes_most_, parser_.BufferBytes());
    return to_bulk + to_space;
  }

  void Run() {
    using Event = resp::RequestParser::Event;
    for (;;) {
      switch (parser_.Next()) {
        case Event::kNeedMore:
          return;
        case Event::kRequest:
          events_.push_back(RequestLine());
          bulks_.clear();
          break;
        case Event::kBulk:
          if (parser_.BulkBytes() > bulk_bytes_max_) {
            parser_.Drain();
          } else {
            bulks_.push_back(std::make_unique<char[]>(parser_.BulkBytes()));
            parser_.GiveBuffer(bulks_.back().get());
          }
          break;
        case Event::kError:
          events_.push_back("error: " + std::string(parser_.ErrorText()));
          failed_ = true;
          return;
        case Event::kAbort:
          events_.emplace_back("abort");
          failed_ = true;
          return;
      }
    }
  }

  std::string RequestLine() const {
    std::string line;
    for (const resp::Argument& argument : parser_.Args()) {
      line += line.empty() ? "" : " ";
      line += argument.large >= 0 ? "{" + std::to_string(argument.text.size()) + "}" : "";
      line += argument.text;
    }
    return line;
  }

  const resp::Limits limits_;
  const std::size_t bulk_bytes_max_;
  resp::RequestParser parser_;
  std::vector<std::unique_ptr<char[]>> bulks_;
  Transcript events_;
  std::size_t buffer_bytes_most_ = 0;
  bool failed_ = false;
};

inline Transcript Parse(std::string_view bytes, const Cutter& next_size,
                        const resp::Limits& limits = {}) {
  ParserDriver driver(limits);
  driver.Feed(bytes, next_size);
  return driver.Events();
}

// The whole input in one segment, and one byte per segment.
inline Transcript ParseWhole(std::string_view bytes, const resp::Limits& limits = {}) {
  return Parse(
      bytes, [] { return std::string_view::npos; }, limits);
}
inline Transcript ParseByBytes(std::string_view bytes, const resp::Limits& limits = {}) {
  return Parse(
      bytes, [] { return std::size_t{1}; }, limits);
}

// Two segments, the first of `offset` bytes.
inline Transcript ParseSplit(std::string_view bytes, std::size_t offset,
                             const resp::Limits& limits = {}) {
  bool first = true;
  return Parse(
      bytes,
      [&first, offset] {
        return std::exchange(first, false) && offset > 0 ? offset : std::string_view::npos;
      },
      limits);
}

}  // namespace sluice::tests
