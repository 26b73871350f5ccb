// Budget: the memory budget: how much of maxmemory the server uses. The count is exact to the byte:
// blobs count their runs of pages, bookkeeping counts the bytes requested from malloc.
//
// Thread safety: any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>

#include "base/status.h"

namespace sluice::store {

class MemoryListener {
 public:
  // Memory was released, or the limit was raised. Called on any thread, with or without the engine
  // lock.
  virtual void OnMemoryFreed() noexcept {}

 protected:
  ~MemoryListener() = default;
};

class Budget {
 public:
  static constexpr std::int64_t kNoLimit = std::numeric_limits<std::int64_t>::max();
  // How far commands that store nothing (KV.CLEAR with a long list of keys) may exceed the limit.
  static constexpr std::int64_t kOverdraftBytes = std::int64_t{64} << 20;

  // Charges `bytes`, or changes nothing and returns false if the limit + `overdraft` would be
  // exceeded.
  [[nodiscard]] bool TryCharge(std::int64_t bytes, std::int64_t overdraft = 0) noexcept;
  // Charges `bytes` regardless of the limit, for memory that is already allocated.
  void Charge(std::int64_t bytes) noexcept;
  void Release(std::int64_t bytes) noexcept;

  [[nodiscard]] std::int64_t Used() const noexcept { return used_.load(); }
  [[nodiscard]] std::int64_t Peak() const noexcept { return peak_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::int64_t Limit() const noexcept {
    return limit_.load(std::memory_order_relaxed);
  }
  // With a limit below Used(), new charges fail until enough memory is released.
  void SetLimit(std::int64_t bytes) noexcept;
  // Sets the listener that is notified when memory is freed; null if there are no waiters. The
  // listener must outlive every other call.
  void SetListener(MemoryListener* listener) noexcept { listener_.store(listener); }

  // The need of this thread's current attempt: 0 at its start; after a failed charge, the bytes it
  // held plus the bytes it was refused.
  static void BeginAttempt() noexcept { attempt = {}; }
  [[nodiscard]] static std::int64_t NeedOfAttempt() noexcept { return attempt.need; }

 private:
  void NotePeak(std::int64_t used) noexcept;
  void NotifyListener() noexcept;

  struct Attempt {
    std::int64_t held = 0;  // net, over all budgets: a server has one
    std::int64_t need = 0;
  };
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): of the thread's one command
  static constinit thread_local Attempt attempt;

  std::atomic<std::int64_t> used_{0};
  std::atomic<std::int64_t> peak_{0};
  std::atomic<std::int64_t> limit_{kNoLimit};
  std::atomic<MemoryListener*> listener_{nullptr};
};

// Returns kOom with Redis's error text.
Status OutOfMemory();

}  // namespace sluice::store
