// The blocked command of TASK.FETCH ... BLOCK.
//
// Thread safety: the holder of the engine lock.
#pragma once

#include "server/commands/task/task_args.h"

namespace sluice::server {

// The command waits, in line or for its partition to be made: context.blocked is set.
// Errors: std::bad_alloc.
void BlockFetch(engine::EngineLock& lock, Context& context, FetchArgs args)
    REQUIRES(engine::engine_role);

}  // namespace sluice::server
