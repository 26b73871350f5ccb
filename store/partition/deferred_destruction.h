// Remains: what was removed from the store at once, and is still to be given back to the system.
// Nobody can find it any more, so that is done without the engine, a little at a time.
//
// Thread safety: one caller at a time, any thread.
#pragma once

namespace sluice::store {

class DeferredDestruction {
 public:
  DeferredDestruction() = default;
  DeferredDestruction(const DeferredDestruction&) = delete;
  DeferredDestruction& operator=(const DeferredDestruction&) = delete;
  virtual ~DeferredDestruction() = default;  // gives back what is left

  // Gives back some thousand rows or names. True when nothing is left.
  virtual bool TakeApart() noexcept = 0;
};

}  // namespace sluice::store
