// What MULTI's family shares with RESET.
#pragma once

#include "server/dispatch/context.h"

namespace sluice::server {

// Forgets what is queued and watched. REQUIRES: the engine.
void CloseTransaction(Context& context) noexcept;

}  // namespace sluice::server
