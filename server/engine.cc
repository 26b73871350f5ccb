#include "server/engine.h"

#include <algorithm>

namespace sluice::server {
namespace {

// Holds are short: trying for a moment is cheaper than going to sleep and being woken.
constexpr int kTries = 64;

void Relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

void Engine::Turn::Enter() {
  if (entered_) {
    return;
  }
  for (int i = 0; i < kTries && !entered_; ++i) {
    entered_ = engine_.mutex_.try_lock();
    if (!entered_) {
      Relax();
    }
  }
  if (!entered_) {
    engine_.mutex_.lock();
    entered_ = true;
  }
  entered_us_ = held_since_us_ = clock_.NowUs();
}

void Engine::Turn::Pin() {
  Enter();
  pinned_ = true;
}

bool Engine::Settle() noexcept {
  const bool settles = unsettled_;
  while (unsettled_) {
    unsettled_ = false;
    settler_->Settle();
  }
  return settles;
}

void Engine::Turn::EndHold(std::int64_t now_us) {
  longest_hold_us_ = std::max(longest_hold_us_, now_us - held_since_us_);
  held_since_us_ = now_us;
}

void Engine::Turn::Leave() {
  if (entered_ && !pinned_) {
    engine_.Settle();
    EndHold(clock_.NowUs());
    entered_ = false;
    engine_.mutex_.unlock();
  }
}

void Engine::Turn::EndCommand(std::int64_t now_us) {
  if (entered_ && !pinned_) {
    EndHold(engine_.Settle() ? clock_.NowUs() : now_us);
    if (now_us - entered_us_ >= kHoldUs) {
      Leave();
    }
  }
}

}  // namespace sluice::server
