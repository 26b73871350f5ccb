// RequestParser: bytes from a peer in, requests out, however the bytes were cut into segments.
//
// It reads RESP arrays of bulk strings and inline commands, owns the input buffer, and is bounded
// everywhere. Small arguments are views into that buffer. A bulk string of kLargeBulkBytes or more
// never enters it (but for the few bytes that came with its header): the parser stops with kBulk
// and is given a place, which the caller then fills straight from the socket.
//
//   input buffer:  | parsed | request being parsed ...... | free: Room() |
//                           ^ offsets count from here      ^ filled up to here
//
//   loop:  Next() -> kRequest   run Args(), call Next() again
//                 -> kBulk      GivePlace() or Drain(), call Next() again
//                 -> kNeedMore  read into BulkRoom() first and Room() after it, Filled(n), Next()
//                 -> kError     send "-ERR Protocol error: " + ErrorText(), close
//                 -> kAbort     close without a word: an HTTP client was sent here
//
// Knows nothing of sockets, blobs or commands. One caller at a time.
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

// One argument of a request; the command's name is argument 0.
struct Argument {
  std::string_view text;  // empty for a drained bulk
  int large = -1;  // n: the n-th large bulk of this request (0-based); -1: in the input buffer
};

class RequestParser {
 public:
  enum class Event : std::uint8_t { kNeedMore, kRequest, kBulk, kError, kAbort };

  // `limits` is borrowed, read at each header, and may change between calls.
  explicit RequestParser(const Limits& limits);
  RequestParser(const RequestParser&) = delete;
  RequestParser& operator=(const RequestParser&) = delete;

  // Parses on. What Args() gave before is void. After kError or kAbort: REQUIRES no further call.
  // Errors: std::bad_alloc, for the list of arguments; REQUIRES no further call then, either.
  Event Next();

  // After kRequest: all arguments, at least one; valid until the next call of Next(), Room() or
  // Filled(). After kBulk: those that came before the bulk (their `text` of large ones as far as
  // given; REQUIRES nothing of them but reading now).
  [[nodiscard]] std::span<const Argument> Args() const;

  // After kBulk, and until the bulk is complete: its whole size in bytes, and how many arguments
  // the request will have.
  [[nodiscard]] std::size_t BulkBytes() const;
  [[nodiscard]] std::size_t ArgsExpected() const;

  // After kBulk, one of the two. `place` has BulkBytes() bytes and outlives the request.
  void GiveBuffer(char* place);
  // Throw the bulk away as it comes; also in the middle of a bulk that has a place (the place is
  // not touched from then on).
  void Drain();

  // Where the rest of the current bulk goes; empty where there is none (or it is being drained).
  [[nodiscard]] std::span<char> BulkSpace();
  // Free space of the input buffer, at least one byte; it grows by need, in doubling steps from 2
  // KiB to 16 KiB, and beyond that only while one request's small arguments need it. Errors:
  // std::bad_alloc; the parser is unchanged then.
  std::span<char> Space();
  // `count` bytes were read: first into BulkRoom(), what is left of them into Room(), as both were
  // before the read.
  void Filled(std::size_t count);

  // Bytes held: the capacity of the input buffer and of the list of arguments. For limits and
  // accounting.
  [[nodiscard]] std::size_t BufferBytes() const;
  // True between requests, with nothing of a next one received.
  [[nodiscard]] bool Idle() const;

  // After kError: what was wrong, without "Protocol error: ", one printable line.
  [[nodiscard]] std::string_view ErrorText() const;

 private:
  enum class State : std::uint8_t {
    kStart,     // between requests
    kInline,    // in a line; scanned for its end up to scanned_
    kCount,     // in "*3"
    kHeader,    // in "$5"
    kSmall,     // in a bulk string for the input buffer, or in its CRLF
    kAsked,     // kBulk was said
    kFilling,   // in a large bulk string that goes to place_
    kDraining,  // in one that is thrown away
    kLargeEnd,  // in the CRLF after either
    kFailed,
  };
  // What one step of Next() found; nothing: take the step of the new state.
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
  std::size_t begin_ = 0;    // of the request being parsed
  std::size_t parsed_ = 0;   // up to here
  std::size_t filled_ = 0;   // bytes are there up to here
  std::size_t scanned_ = 0;  // kInline: no newline before this
  bool was_full_ = false;    // the last read filled the buffer

  State state_ = State::kStart;
  std::vector<Argument> args_;
  std::size_t args_expected_ = 0;
  std::size_t bulk_bytes_ = 0;   // of the bulk string being read
  std::size_t bulk_filled_ = 0;  // large ones: so many of them came
  int large_count_ = 0;
  char* place_ = nullptr;  // null: drained

  std::string_view error_;
  std::array<char, 32> error_buffer_{};  // for the text that names a byte
};

}  // namespace sluice::resp
