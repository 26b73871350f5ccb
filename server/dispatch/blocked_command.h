// BlockedCommand: a command that waits. Its handler leaves one instead of a reply
// (Context::blocked); the connection keeps it, runs nothing else meanwhile, and resumes it when it
// is notified, its time is up, or CLIENT UNBLOCK says so. There is one path for all of them, and
// for disconnects and the end of the server: Connection::ResumeBlocked() and EndBlocked().
//
// Thread safety: the I/O thread of its connection. What others call is under the engine lock: see
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
    kCommand,  // it has run, and waits for what it asks for
    kUpload,   // its large argument is not received before there is memory for it
    kPause,    // CLIENT PAUSE: it is not run before; CLIENT UNBLOCK does not reach it
  };
  enum class Next : std::uint8_t {
    kWait,
    kAnswered,
    kGoOn,  // it waits no more, and its request goes on: is received, or run
  };

  BlockedCommand(Kind kind, std::int64_t deadline_us) : kind_(kind), deadline_us_(deadline_us) {}
  BlockedCommand(const BlockedCommand&) = delete;
  BlockedCommand& operator=(const BlockedCommand&) = delete;
  virtual ~BlockedCommand() = default;

  [[nodiscard]] Kind GetKind() const { return kind_; }
  // Until when it may wait; of the server's clock.
  [[nodiscard]] std::int64_t DeadlineUs() const { return deadline_us_; }
  // When it is resumed although nobody notified it.
  [[nodiscard]] virtual std::int64_t ResumeUs() const { return deadline_us_; }
  // REQUIRES: where the time is up, not kWait. Errors: what the client is told; std::bad_alloc:
  // OOM.
  virtual Result<Next> Resume(Context& context, bool time_is_up) = 0;
  // It leaves its wait queues, and gives back what it was given and did not deliver. Called once,
  // before it is destroyed, however it ends.
  virtual void End(engine::EngineLock& lock) noexcept REQUIRES(engine::engine_role) = 0;

  std::int64_t worked_us = 0;  // before it waited; Dispatch() sets it

 private:
  Kind kind_;
  std::int64_t deadline_us_;
};

// What a reply hands over for good, such as rows of a task: given back where the client never got
// the reply.
class Delivery {
 public:
  Delivery() = default;
  Delivery(const Delivery&) = delete;
  Delivery& operator=(const Delivery&) = delete;
  virtual ~Delivery() = default;

  // The connection ended before the system took all of the reply.
  virtual void GiveBack(engine::EngineLock& lock) noexcept REQUIRES(engine::engine_role) = 0;
  // True where OnTaken() is to be called: otherwise nobody acquires the engine lock for it.
  [[nodiscard]] virtual bool WantsTaken() const noexcept { return false; }
  // The system has taken all of the reply but kTakenBytes at most, or the client wants none.
  static constexpr std::size_t kTakenBytes = std::size_t{16} << 10;
  virtual void OnTaken(engine::EngineLock& /*lock*/) noexcept REQUIRES(engine::engine_role) {}
};

}  // namespace sluice::server
