// BlockedCommand: a command that waits. Its handler leaves one instead of a reply
// (Context::blocked). The connection keeps it, runs no other command until it ends, and resumes it
// when it is notified, its timeout expires, or CLIENT UNBLOCK ends it. All of these, disconnects
// and server shutdown share one path: Connection::ResumeBlocked() and EndBlocked().
//
// Thread safety: the I/O thread of its connection. Other threads call it under the engine lock: see
// engine/wait_queues.h and controller/waiter.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "base/status.h"
#include "engine/engine_lock.h"

namespace sluice::server {

struct Context;

class BlockedCommand {
 public:
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

  enum class Kind : std::uint8_t {
    kCommand,  // the command has run and waits for its result
    kUpload,   // a large argument is not received until there is memory for it
    kPause,    // not run until CLIENT PAUSE ends; CLIENT UNBLOCK has no effect
  };
  enum class Next : std::uint8_t {
    kWait,
    kAnswered,
    kGoOn,  // no longer blocked: receiving or running the request continues
  };

  BlockedCommand(Kind kind, std::int64_t deadline_us) : kind_(kind), deadline_us_(deadline_us) {}
  BlockedCommand(const BlockedCommand&) = delete;
  BlockedCommand& operator=(const BlockedCommand&) = delete;
  virtual ~BlockedCommand() = default;

  [[nodiscard]] Kind GetKind() const { return kind_; }
  // When the wait times out, on the server's clock.
  [[nodiscard]] std::int64_t DeadlineUs() const { return deadline_us_; }
  // When it is resumed without a notification.
  [[nodiscard]] virtual std::int64_t ResumeUs() const { return deadline_us_; }
  // Must not return kWait if `time_is_up`. Errors: the error reply; std::bad_alloc: OOM.
  virtual Result<Next> Resume(Context& context, bool time_is_up) = 0;
  // Leaves the wait queues and gives back what was not delivered. Called exactly once before
  // destruction, however the command ends.
  virtual void End(engine::EngineLock& lock) noexcept REQUIRES(engine::engine_role) = 0;

  std::int64_t worked_us = 0;  // time worked before it blocked; set by Dispatch()

 private:
  Kind kind_;
  std::int64_t deadline_us_;
};

// What a reply hands over for good, such as rows of a task. It is given back if the client did not
// get the reply.
class Delivery {
 public:
  Delivery() = default;
  Delivery(const Delivery&) = delete;
  Delivery& operator=(const Delivery&) = delete;
  virtual ~Delivery() = default;

  // The connection ended before the system took all of the reply.
  virtual void GiveBack(engine::EngineLock& lock) noexcept REQUIRES(engine::engine_role) = 0;
  // Returns true if OnTaken() is to be called; otherwise no engine lock is acquired for it.
  [[nodiscard]] virtual bool WantsTaken() const noexcept { return false; }
  // The system has taken all of the reply except at most kTakenBytes, or the client wants no reply.
  static constexpr std::size_t kTakenBytes = std::size_t{16} << 10;
  virtual void OnTaken(engine::EngineLock& /*lock*/) noexcept REQUIRES(engine::engine_role) {}
};

}  // namespace sluice::server
