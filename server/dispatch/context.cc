#include "server/dispatch/context.h"

namespace sluice::server {

void Context::Forget() noexcept {
  rest = nullptr;
  if (blocked == nullptr && deliveries.empty()) {
    return;
  }
  engine::EngineLock& lock = turn.Enter();
  if (blocked != nullptr) {
    blocked->End(lock);
    blocked = nullptr;
  }
  for (const auto& delivery : deliveries) {
    delivery->GiveBack(lock);
  }
  deliveries.clear();
}

}  // namespace sluice::server
