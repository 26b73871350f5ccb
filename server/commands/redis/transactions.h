// The function that the transaction commands share with RESET.
#pragma once

#include "server/dispatch/context.h"

namespace sluice::server {

// Discards the queued commands and the watched names. REQUIRES: the engine lock is held.
void CloseTransaction(Context& context) noexcept;

}  // namespace sluice::server
