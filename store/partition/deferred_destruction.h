// DeferredDestruction: objects that were removed from the store in one step and are freed later.
// They are unreachable, so they are freed without the engine lock, in small steps.
//
// Thread safety: one caller at a time, any thread.
#pragma once

namespace sluice::store {

class DeferredDestruction {
 public:
  DeferredDestruction() = default;
  DeferredDestruction(const DeferredDestruction&) = delete;
  DeferredDestruction& operator=(const DeferredDestruction&) = delete;
  virtual ~DeferredDestruction() = default;  // frees what is left

  // Frees some thousand rows or names. Returns true when nothing is left.
  virtual bool TakeApart() noexcept = 0;
};

}  // namespace sluice::store
