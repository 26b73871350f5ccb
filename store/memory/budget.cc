#include "store/memory/budget.h"

#include <algorithm>
#include <cassert>

namespace sluice::store {

// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): see budget.h
constinit thread_local Budget::Attempt Budget::attempt;

bool Budget::TryCharge(std::int64_t bytes, std::int64_t overdraft) noexcept {
  assert(bytes >= 0 && overdraft >= 0);
  const std::int64_t limit = Limit();
  const std::int64_t most = limit > kNoLimit - overdraft ? kNoLimit : limit + overdraft;
  std::int64_t used = Used();
  do {
    if (bytes > 0 && (used > most || bytes > most - used)) {
      attempt.need = bytes > kNoLimit - std::max<std::int64_t>(attempt.held, 0)
                         ? kNoLimit
                         : attempt.held + bytes;
      return false;
    }
  } while (!used_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
  attempt.held += bytes;
  NotePeak(used + bytes);
  return true;
}

void Budget::Charge(std::int64_t bytes) noexcept {
  attempt.held += bytes;
  NotePeak(used_.fetch_add(bytes, std::memory_order_relaxed) + bytes);
}

void Budget::Release(std::int64_t bytes) noexcept {
  // Sequentially consistent with SetListener(): a thread that sets the listener and then reads
  // Used() either sees this release, or its listener is notified.
  [[maybe_unused]] const std::int64_t before = used_.fetch_sub(bytes);
  assert(before >= bytes);
  attempt.held -= bytes;
  if (bytes > 0) {
    NotifyListener();
  }
}

void Budget::SetLimit(std::int64_t bytes) noexcept {
  limit_.store(bytes, std::memory_order_relaxed);
  NotifyListener();
}

void Budget::NotifyListener() noexcept {
  if (MemoryListener* const listener = listener_.load(); listener != nullptr) {
    listener->OnMemoryFreed();
  }
}

void Budget::NotePeak(std::int64_t used) noexcept {
  std::int64_t peak = Peak();
  while (used > peak && !peak_.compare_exchange_weak(peak, used, std::memory_order_relaxed)) {
  }
}

Status OutOfMemory() {
  return {Code::kOom, "command not allowed when used memory > 'maxmemory'."};
}

}  // namespace sluice::store
