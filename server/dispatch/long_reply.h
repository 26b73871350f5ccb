// LongReply: a reply that is produced in pieces, without the engine lock. Between two pieces the
// I/O thread serves other connections. While the client does not read, no piece is produced.
// Everything that can fail is checked before the first piece.
//
// Thread safety: the I/O thread of its connection.
#pragma once

#include <cstddef>

#include "resp/reply.h"

namespace sluice::server {

class LongReply {
 public:
  LongReply() = default;
  LongReply(const LongReply&) = delete;
  LongReply& operator=(const LongReply&) = delete;
  virtual ~LongReply() = default;

  // Does about a millisecond of work at most and may append output. Returns true if it must be
  // called again; if nothing was appended for lack of space (Piece), after output has shrunk.
  // Errors: std::bad_alloc; the connection is closed then, since a part may have been sent.
  virtual bool Write(resp::Reply& reply) = 0;
};

// How much one Write() appends, in steps:
//   for (Piece piece(reply, begun); piece.HasSpace();) { a step }
// `begun`: a part may have been sent, so a step must not run out of space.
class Piece {
 public:
  // The most that a step copies: an argument of up to 16 KiB after less than 8 KiB.
  static constexpr std::size_t kStepBytes = std::size_t{24} * 1024;
  // The most that a step may request.
  static constexpr std::size_t kStepBytesMax = std::size_t{96} * 1024;

  Piece(resp::Reply& reply, bool begun, std::size_t step_bytes = kStepBytes)
      : reply_(reply),
        begun_(begun),
        step_bytes_(step_bytes + kSlackBytes),
        scratch_(reply.ScratchBytes() + kScratchBytes),
        pending_(reply.PendingBytes() + kPendingBytes) {}

  // Returns true if there is space for the next step. A connection without pending output always
  // has space (OutputBudget).
  [[nodiscard]] bool HasSpace() {
    return steps_++ < kSteps && reply_.ScratchBytes() < scratch_ &&
           reply_.PendingBytes() < pending_ &&
           (!begun_ || reply_.MakeSpace(step_bytes_) || reply_.PendingBytes() == 0);
  }

 private:
  static constexpr std::size_t kSlackBytes = std::size_t{8} * 1024;  // headers, ends of blocks
  static constexpr std::size_t kScratchBytes = std::size_t{256} * 1024;
  static constexpr std::size_t kPendingBytes = std::size_t{8} << 20;
  static constexpr int kSteps = 256;

  resp::Reply& reply_;
  bool begun_;
  std::size_t step_bytes_;
  std::size_t scratch_;
  std::size_t pending_;
  int steps_ = 0;
};

// Limits a step to kThings small items or kBytes bytes.
class Step {
 public:
  explicit Step(const resp::Reply& reply)
      : reply_(reply), scratch_(reply.ScratchBytes() + kBytes) {}
  [[nodiscard]] bool HasTime() { return things_++ < kThings && reply_.ScratchBytes() < scratch_; }

 private:
  static constexpr int kThings = 512;
  static constexpr std::size_t kBytes = std::size_t{8} * 1024;

  const resp::Reply& reply_;
  std::size_t scratch_;
  int things_ = 0;
};

}  // namespace sluice::server
