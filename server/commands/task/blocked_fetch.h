// The blocked command of TASK.FETCH ... BLOCK.
//
// Thread safety: the caller holds the engine lock.
#pragma once

#include "server/commands/task/task_args.h"

namespace sluice::server {

// Blocks the command in the wait queue of its stream, or until its partition is created, and sets
// context.blocked. Errors: std::bad_alloc.
void BlockFetch(engine::EngineLock& lock, Context& context, FetchArgs args)
    REQUIRES(engine::engine_role);

}  // namespace sluice::server
