// Budget: how much memory the server has taken, against maxmemory. One number, exact to the byte by
// our own rules: blobs by their runs of pages, bookkeeping by what was asked of malloc.
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
  // Some memory was released, or the limit was raised. Called on any thread, with the engine lock
  // or without.
  virtual void OnMemoryFreed() noexcept {}

 protected:
  ~MemoryListener() = default;
};

class Budget {
 public:
  static constexpr std::int64_t kNoLimit = std::numeric_limits<std::int64_t>::max();
  // What commands that store nothing (KV.CLEAR with a long list of keys) may take beyond the limit.
  static constexpr std::int64_t kOverdraftBytes = std::int64_t{64} << 20;

  // Takes `bytes`, or changes nothing and returns false where that would pass the limit +
  // `overdraft`.
  [[nodiscard]] bool TryCharge(std::int64_t bytes, std::int64_t overdraft = 0) noexcept;
  // Takes `bytes` whatever the limit: for what exists already.
  void Charge(std::int64_t bytes) noexcept;
  void Release(std::int64_t bytes) noexcept;

  [[nodiscard]] std::int64_t Used() const noexcept { return used_.load(); }
  [[nodiscard]] std::int64_t Peak() const noexcept { return peak_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::int64_t Limit() const noexcept {
    return limit_.load(std::memory_order_relaxed);
  }
  // Lowering it below Used() refuses new charges until enough is released.
  void SetLimit(std::int64_t bytes) noexcept;
  // Who is notified when memory is freed; null: nobody waits for it. The listener must outlive
  // every other call.
  void SetListener(MemoryListener* listener) noexcept { listener_.store(listener); }

  // What an attempt of this thread needs: set to 0 when it begins; after it was refused, the bytes
  // that it held then and those that it was refused.
  static void BeginAttempt() noexcept { attempt = {}; }
  [[nodiscard]] static std::int64_t NeedOfAttempt() noexcept { return attempt.need; }

 private:
  void NotePeak(std::int64_t used) noexcept;
  void NotifyListener() noexcept;

  struct Attempt {
    std::int64_t held = 0;  // net, of all budgets: a server has one
    std::int64_t need = 0;
  };
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): of the thread's one command
  static constinit thread_local Attempt attempt;

  std::atomic<std::int64_t> used_{0};
  std::atomic<std::int64_t> peak_{0};
  std::atomic<std::int64_t> limit_{kNoLimit};
  std::atomic<MemoryListener*> listener_{nullptr};
};

// kOom with Redis's own text.
Status OutOfMemory();

}  // namespace sluice::store
