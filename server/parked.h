// Parked: a command that waits. Its handler makes one instead of answering (Context::parked); the
// connection keeps it, runs nothing else meanwhile, and resumes it when it is woken or its time is
// up. Waker: how others, under the engine or not, wake it.
//
// Thread safety: Parked: the I/O thread of its connection. Waker: any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <new>
#include <utility>

#include "store/status.h"

namespace sluice::server {

struct Context;

class Waker {
 public:
  // `call` gets the connection to be resumed on its own thread. It may throw std::bad_alloc: then
  // the thread's next look at its connections finds what was missed.
  explicit Waker(std::function<void()> call) : call_(std::move(call)) {}

  void Wake() noexcept {
    if (woken_.exchange(true)) {
      return;
    }
    try {
      call_();
    } catch (const std::bad_alloc&) {
    }
  }
  // Was it woken since the last call?
  bool Take() noexcept { return woken_.exchange(false); }
  [[nodiscard]] bool Woken() const noexcept { return woken_.load(); }

 private:
  std::atomic<bool> woken_{false};
  std::function<void()> call_;
};

class Parked {
 public:
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

  explicit Parked(std::int64_t deadline_us) : deadline_us_(deadline_us) {}
  Parked(const Parked&) = delete;
  Parked& operator=(const Parked&) = delete;
  virtual ~Parked() = default;  // whoever might wake it forgets it

  // Of the server's clock.
  [[nodiscard]] std::int64_t DeadlineUs() const { return deadline_us_; }
  // Answers and returns true, or returns false to wait on. REQUIRES: where the time is up, the
  // former. Errors: what the client is to be told; std::bad_alloc: OOM.
  virtual store::Result<bool> Resume(Context& context, bool time_is_up) = 0;

 private:
  std::int64_t deadline_us_;
};

}  // namespace sluice::server
