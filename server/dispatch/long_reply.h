// LongReply: a reply that is not small. It is asked for a piece at a time, without the engine;
// between the pieces the I/O thread serves others, and while the client does not read, nothing is
// made. What can fail is found out before the first piece.
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

  // Does at most about a millisecond of work, of which something may be appended. True: call again,
  // where nothing was appended for want of room (Piece) once output shrank.
  // Errors: std::bad_alloc; the connection ends then, since a part may be sent already.
  virtual bool Write(resp::Reply& reply) = 0;
};

// How much one Write() appends, in steps:
//   for (Piece piece(reply, begun); piece.HasRoom();) { a step }
// `begun`: a part may be sent already, so that a step must not find itself without room.
class Piece {
 public:
  // What a step copies at most: an argument of up to 16 KiB when it has copied less than 8.
  static constexpr std::size_t kStepBytes = std::size_t{24} * 1024;
  // No step asks for more.
  static constexpr std::size_t kStepBytesMax = std::size_t{96} * 1024;

  Piece(resp::Reply& reply, bool begun, std::size_t step_bytes = kStepBytes)
      : reply_(reply),
        begun_(begun),
        step_bytes_(step_bytes + kSlackBytes),
        scratch_(reply.ScratchBytes() + kScratchBytes),
        pending_(reply.PendingBytes() + kPendingBytes) {}

  // For the next step. A connection for which nothing waits always has some (OutputBudget).
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

// So many small things, or bytes, make a step.
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
