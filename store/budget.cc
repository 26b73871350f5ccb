#include "store/budget.h"

#include <cassert>

namespace sluice::store {

bool Budget::TryCharge(std::int64_t bytes, std::int64_t overdraft) noexcept {
  assert(bytes >= 0 && overdraft >= 0);
  const std::int64_t limit = Limit();
  const std::int64_t most = limit > kNoLimit - overdraft ? kNoLimit : limit + overdraft;
  std::int64_t used = Used();
  do {
    if (bytes > 0 && (used > most || bytes > most - used)) {
      return false;
    }
  } while (!used_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
  NotePeak(used + bytes);
  return true;
}

void Budget::Charge(std::int64_t bytes) noexcept {
  NotePeak(used_.fetch_add(bytes, std::memory_order_relaxed) + bytes);
}

void Budget::Release(std::int64_t bytes) noexcept {
  // In one order with SetListener(): who sets it and looks at Used() then sees this, or is told.
  [[maybe_unused]] const std::int64_t before = used_.fetch_sub(bytes);
  assert(before >= bytes);
  if (bytes > 0) {
    TellListener();
  }
}

void Budget::SetLimit(std::int64_t bytes) noexcept {
  limit_.store(bytes, std::memory_order_relaxed);
  TellListener();
}

void Budget::TellListener() noexcept {
  if (ReleaseListener* const listener = listener_.load(); listener != nullptr) {
    listener->Released();
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
