// RequestParser: turns received bytes into requests, however the bytes are split into segments.
//
// The parser reads RESP arrays of bulk strings and inline commands. It owns the input buffer; all
// sizes are limited. Small arguments are views into the input buffer. A bulk string of
// kLargeBulkBytes or more bypasses the buffer, except for the bytes received together with its
// header: the parser returns kBulk, and the caller passes a destination buffer, which it then fills
// directly from the socket.
//
//   input buffer:  | parsed | request being parsed ...... | free: Space() |
//                           ^ offsets count from here      ^ filled up to here
//
//   loop:  Next() -> kRequest   run Args(), call Next() again
//                 -> kBulk      GiveBuffer() or Drain(), call Next() again
//                 -> kNeedMore  read into BulkSpace() and then Space(), Filled(n), Next()
//                 -> kError     send "-ERR Protocol error: " + ErrorText(), close
//                 -> kAbort     close without a reply: the input is an HTTP request
//
// Independent of sockets, blobs and commands. One caller at a time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "resp/limits.h"

namespace sluice::resp {

// One argument of a request. Argument 0 is the command's name.
struct Argument {
  std::string_view text;  // empty for a drained bulk string
  int large = -1;  // number of the large bulk string in this request, from 0; -1: in the buffer
};

class RequestParser {
 public:
  enum class Event : std::uint8_t { kNeedMore, kRequest, kBulk, kError, kAbort };

  // `limits` is borrowed and read at each header. It may change between calls.
  explicit RequestParser(const Limits& limits);
  RequestParser(const RequestParser&) = delete;
  RequestParser& operator=(const RequestParser&) = delete;

  // Continues parsing. Invalidates the result of Args(). REQUIRES: no earlier call returned kError
  // or kAbort, or threw. Errors: std::bad_alloc, for the list of arguments.
  Event Next();

  // After kRequest: all arguments, at least one; valid until the next call of Next(), Space() or
  // Filled(). After kBulk: the arguments before the bulk string, to be read immediately (the `text`
  // of large ones as far as given).
  [[nodiscard]] std::span<const Argument> Args() const;

  // From kBulk until the bulk string is complete: its whole size in bytes, and the number of
  // arguments that the request will have.
  [[nodiscard]] std::size_t BulkBytes() const;
  [[nodiscard]] std::size_t ArgsExpected() const;

  // After kBulk, call one of these two. `place` has BulkBytes() bytes and outlives the request.
  void GiveBuffer(char* place);
  // Discards the bulk string as it arrives. Also allowed in the middle of a bulk string that has a
  // buffer; the buffer is not written from then on.
  void Drain();

  // The unfilled part of the current bulk string's buffer; empty if there is none or it is drained.
  [[nodiscard]] std::span<char> BulkSpace();
  // Returns the free space of the input buffer, at least one byte. The buffer grows on demand, by
  // doubling from 2 KiB to 16 KiB, and beyond that only while the small arguments of one request
  // need it. Errors: std::bad_alloc; the parser is then unchanged.
  std::span<char> Space();
  // Reports that `count` bytes were read: first into BulkSpace(), the rest into Space(), as both
  // were before the read.
  void Filled(std::size_t count);

  // Capacity in bytes of the input buffer and the list of arguments, for limits and accounting.
  [[nodiscard]] std::size_t BufferBytes() const;
  // Bytes in the input buffer: after kRequest those of the request, and what was received behind
  // it.
  [[nodiscard]] std::size_t QueryBytes() const { return request_bytes_ + filled_ - begin_; }
  // True between requests, if no byte of the next request was received.
  [[nodiscard]] bool Idle() const;

  // After kError: the error text without "Protocol error: ", one printable line.
  [[nodiscard]] std::string_view ErrorText() const;

 private:
  enum class State : std::uint8_t {
    kStart,     // between requests
    kInline,    // in an inline request; its newline is searched from scanned_ on
    kCount,     // in "*3"
    kHeader,    // in "$5"
    kSmall,     // in a bulk string for the input buffer, or in its CRLF
    kAsked,     // kBulk was returned
    kFilling,   // in a large bulk string that is written to place_
    kDraining,  // in a large bulk string that is discarded
    kLargeEnd,  // in the CRLF after either
    kFailed,
  };
  // Result of one step of Next(). Empty: continue with the step of the new state.
  using Found = std::optional<Event>;

  Found ReadStart();
  Found ReadInline();
  Found ReadCount();
  Found ReadArguments();
  Found ReadHeader();
  Found ReadLarge();
  Found ReadLargeEnd();
  Found AddArgument(Argument argument);
  Event Finish();
  Event Fail(std::string_view text);
  Event FailAt(char byte);
  Event Abort();

  [[nodiscard]] std::string_view Unparsed() const {
    return {buffer_.get() + parsed_, filled_ - parsed_};
  }
  void Discard(std::size_t count);
  void MoveTo(char* target);

  const Limits& limits_;

  // Offsets into buffer_: begin_ <= parsed_ <= filled_ <= capacity_.
  std::unique_ptr<char[]> buffer_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;          // of the request being parsed
  std::size_t parsed_ = 0;         // up to here
  std::size_t request_bytes_ = 0;  // after kRequest: before begin_
  std::size_t filled_ = 0;         // end of the received bytes
  std::size_t scanned_ = 0;        // kInline: no newline before this offset
  bool was_full_ = false;          // the last read filled the buffer

  State state_ = State::kStart;
  std::vector<Argument> args_;
  std::size_t args_expected_ = 0;
  std::size_t bulk_bytes_ = 0;   // of the bulk string being read
  std::size_t bulk_filled_ = 0;  // of a large bulk string: bytes received
  int large_count_ = 0;
  char* place_ = nullptr;  // null while draining

  std::string_view error_;
  std::array<char, 32> error_buffer_{};  // for the text that names a byte
};

}  // namespace sluice::resp
