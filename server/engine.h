// Engine: the one lock under which commands act on the store and the controller.
//
// A command enters it when it begins to act and need not leave: a batch of pipelined commands of
// one connection shares one hold, which Turn lets go of after kHoldUs at the latest (between two
// commands; one command is atomic). What takes long and needs no state (rendering a large reply,
// preparing a large request) is done outside.
//
// Thread safety: Engine: any thread. Turn: the thread that made it.
#pragma once

#include <cstdint>
#include <mutex>
#include <utility>

#include "server/clock.h"

namespace sluice::server {

// Who must do something before the engine is let go of, or the next command acts: answer those that
// wait for what was changed.
class Settler {
 public:
  virtual void Settle() noexcept = 0;

 protected:
  ~Settler() = default;
};

class Engine {
 public:
  static constexpr std::int64_t kHoldUs = 100;

  // One connection's run of commands. Not entered at first; leaves at its end.
  class Turn {
   public:
    Turn(Engine& engine, const Clock& clock) : engine_(engine), clock_(clock) {}
    ~Turn() { Leave(); }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

    void Enter();  // no effect where already entered
    void Leave();  // no effect where not entered
    // Call after each command with the time it ended: settles, and lets go where the hold has
    // lasted long enough.
    void EndCommand(std::int64_t now_us);
    // Enters, and does not leave until Unpin(), whatever is called: for commands that are to be one
    // to others. Nothing may end meanwhile whose destructor enters the engine.
    void Pin();
    void Unpin() { pinned_ = false; }
    [[nodiscard]] bool Entered() const { return entered_; }
    // The longest time in one piece that one command held the engine since this was asked last, in
    // us. Of commands that share a hold each counts for itself, with those that it answered.
    std::int64_t TakeLongestHold() { return std::exchange(longest_hold_us_, 0); }

   private:
    void EndHold(std::int64_t now_us);

    Engine& engine_;
    const Clock& clock_;
    bool entered_ = false;
    bool pinned_ = false;
    std::int64_t entered_us_ = 0;
    std::int64_t held_since_us_ = 0;  // by the command that acts now
    std::int64_t longest_hold_us_ = 0;
  };

  // Borrowed; must outlive every turn.
  void SetSettler(Settler& settler) { settler_ = &settler; }
  // There is something to settle. REQUIRES: the caller is in.
  void Unsettle() noexcept { unsettled_ = true; }

 private:
  // False: there was nothing to do.
  bool Settle() noexcept;

  std::mutex mutex_;
  Settler* settler_ = nullptr;
  bool unsettled_ = false;
};

}  // namespace sluice::server
