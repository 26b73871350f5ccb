// What commands remove in one stroke, and give back piece by piece before they answer: used memory
// is down when the client hears of it, and meanwhile nobody waits, neither for the engine nor for
// the I/O thread.
#pragma once

#include <functional>
#include <memory>

#include "server/dispatch/context.h"
#include "store/partition/deferred_destruction.h"

namespace sluice::server {

// Answers by `answer` once nothing of `remains` is left (null: at once). REQUIRES: the engine is
// not held.
void ReplyAfterDestruction(Context& context, std::unique_ptr<store::DeferredDestruction> remains,
                           std::function<void(resp::Reply&)> answer);

}  // namespace sluice::server
