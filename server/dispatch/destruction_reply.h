// Deferred destruction: a command removes data in one step under the engine lock and frees the
// memory piece by piece before its reply. Used memory is down when the client gets the reply, and
// neither the engine lock nor the I/O thread is blocked while the memory is freed.
#pragma once

#include <functional>
#include <memory>

#include "server/dispatch/context.h"
#include "store/partition/deferred_destruction.h"

namespace sluice::server {

// Replies by `answer` after `remains` is destroyed (null: immediately). REQUIRES: the engine lock
// is not held.
void ReplyAfterDestruction(Context& context, std::unique_ptr<store::DeferredDestruction> remains,
                           std::function<void(resp::Reply&)> answer);

}  // namespace sluice::server
