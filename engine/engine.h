// Engine: the one lock under which commands act on the store and the controller.
//
// A command acquires it when it begins to act and need not release it: a batch of pipelined
// commands of one connection shares one hold, which Turn ends after kHoldUs at the latest (between
// two commands; one command is atomic). What takes long and needs no state (rendering a large
// reply, preparing a large request) is done without the lock.
//
// Thread safety: Engine: any thread. Turn: the thread that made it.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include "base/clock.h"
#include "base/mutex.h"
#include "engine/engine_lock.h"

namespace sluice::engine {

// Serves blocked commands before the lock is released, or the next command acts.
class WaiterService {
 public:
  // Serves all that can be served now. Called again where Engine::HasWork() was called meanwhile.
  virtual void ServeWaiters(EngineLock& lock) noexcept REQUIRES(engine_role) = 0;

 protected:
  ~WaiterService() = default;
};

class Engine {
 public:
  static constexpr std::int64_t kHoldUs = 100;

  // One connection's run of commands. Does not hold the lock at first; releases it at its end.
  class Turn {
   public:
    Turn(Engine& engine, const Clock& clock) : engine_(engine), clock_(clock) {}
    ~Turn();  // releases the lock, pinned or not
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

    // Acquires the lock; no effect where it is held.
    EngineLock& Enter() ASSERT_CAPABILITY(engine_role);
    void Leave();  // no effect where it is not held
    // Call after each command with the time it ended: serves waiters, and releases the lock where
    // it was held long enough.
    void EndCommand(std::int64_t now_us);
    // Acquires the lock, and does not release it until Unpin() or the turn's end, whatever is
    // called: for commands that are to be one to others.
    EngineLock& Pin() ASSERT_CAPABILITY(engine_role);
    void Unpin() { pinned_ = false; }
    [[nodiscard]] bool Entered() const { return entered_; }
    // The longest time in one piece that one command held the lock since this was asked last, in
    // us. Of commands that share a hold each counts for itself, with those that it served.
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

  // Borrowed; must outlive every turn.
  void SetWaiterService(WaiterService& service) { service_ = &service; }
  // There may be waiters to serve.
  void HasWork(EngineLock& /*lock*/) noexcept REQUIRES(engine_role) { has_work_ = true; }
  // The same, from a thread that may or may not hold the lock: they are served when the lock is
  // released next. Whoever calls it makes sure that it will be.
  void HasWorkSoon() noexcept { has_work_soon_.store(true); }
  // The lock, for what is called by its holder but not given it: listeners of the store.
  // REQUIRES: the lock is held by this thread.
  EngineLock& Held() ASSERT_CAPABILITY(engine_role) {
    assert(lock_.Held());
    return lock_;
  }

 private:
  // False: there was nothing to do.
  bool ServeWaiters() noexcept;

  Mutex mutex_;
  EngineLock lock_;
  WaiterService* service_ = nullptr;
  bool has_work_ = false;
  std::atomic<bool> has_work_soon_{false};
};

}  // namespace sluice::engine
