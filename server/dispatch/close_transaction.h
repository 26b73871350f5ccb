// The end of a transaction without EXEC's replies: DISCARD, RESET, and a refused EXEC.
#pragma once

#include "server/dispatch/context.h"

namespace sluice::server {

// Forgets all watched names; other commands run in between if there are many, except in EXEC.
void ForgetWatched(Context& context) noexcept;

// Discards the queued commands and the watched names. REQUIRES: the engine lock is held.
void CloseTransaction(Context& context) noexcept;

}  // namespace sluice::server
