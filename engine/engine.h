// Engine: the one lock under which commands act on the store and the controller.
//
// A command acquires the lock when it begins to act and need not release it: pipelined commands of
// one connection share one hold. Turn ends the hold between two commands, after kHoldUs at the
// latest; one command is atomic. Long work that needs no state (rendering a large reply, preparing
// a large request) is done without the lock.
//
// Thread safety: Engine: any thread. Turn: the thread that created it.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include "base/clock.h"
#include "base/mutex.h"
#include "engine/engine_lock.h"

namespace sluice::engine {

// Serves waiters before the lock is released or the next command acts.
class WaiterService {
 public:
  // Serves all waiters that can be served now. Called again if Engine::HasWork() was called during
  // the call.
  virtual void ServeWaiters(EngineLock& lock) noexcept REQUIRES(engine_role) = 0;

 protected:
  ~WaiterService() = default;
};

class Engine {
 public:
  static constexpr std::int64_t kHoldUs = 100;

  // One connection's run of commands. Starts without the lock; the destructor releases the lock.
  class Turn {
   public:
    Turn(Engine& engine, const Clock& clock) : engine_(engine), clock_(clock) {}
    ~Turn();  // releases the lock, pinned or not
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

    // Acquires the lock. No effect if this turn holds it.
    EngineLock& Enter() ASSERT_CAPABILITY(engine_role);
    // Releases the lock. No effect if this turn does not hold it.
    void Leave();
    // Call after each command with the time at which it ended. Serves waiters, and releases the
    // lock if it was held for kHoldUs.
    void EndCommand(std::int64_t now_us);
    // Acquires the lock. No call releases it before Unpin() or the end of the turn: for commands
    // that must be atomic together.
    EngineLock& Pin() ASSERT_CAPABILITY(engine_role);
    void Unpin() { pinned_ = false; }
    [[nodiscard]] bool Entered() const { return entered_; }
    // Returns the longest uninterrupted time, in us, that one command held the lock since the last
    // call. Commands that share a hold count separately, each with the waiters that it served.
    std::int64_t TakeLongestHold() { return std::exchange(longest_hold_us_, 0); }

   private:
    void EndHold(std::int64_t now_us);
    void Release();
    Engine& engine_;
    const Clock& clock_;
    bool entered_ = false;
    bool pinned_ = false;
    std::int64_t entered_us_ = 0;
    std::int64_t held_since_us_ = 0;  // by the command that acts now
    std::int64_t longest_hold_us_ = 0;
  };

  Engine() = default;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Borrows `service`, which must outlive every turn.
  void SetWaiterService(WaiterService& service) { service_ = &service; }
  // Notes that there may be waiters to serve.
  void HasWork(EngineLock& /*lock*/) noexcept REQUIRES(engine_role) { has_work_ = true; }
  // The same, from a thread that may or may not hold the lock: the waiters are served when the lock
  // is next released. The caller makes sure that a release follows.
  void HasWorkSoon() noexcept { has_work_soon_.store(true); }
  // Returns the lock, for store listeners: its holder calls them without passing it.
  // REQUIRES: the lock is held by this thread.
  EngineLock& Held() ASSERT_CAPABILITY(engine_role) {
    assert(lock_.Held());
    return lock_;
  }

 private:
  // Returns false if there was nothing to do.
  bool ServeWaiters() noexcept;

  Mutex mutex_;
  EngineLock lock_;
  WaiterService* service_ = nullptr;
  bool has_work_ = false;
  std::atomic<bool> has_work_soon_{false};
};

}  // namespace sluice::engine
