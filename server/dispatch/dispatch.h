// From one request to one reply: look up, pass the gates, run, turn a Status into an error reply.
// No sockets here, so tests drive the whole server through this one function.
#pragma once

#include <span>

#include "server/arguments/request.h"
#include "server/dispatch/command.h"
#include "server/dispatch/context.h"

namespace sluice::server {

// Runs context.request[0] with the rest as arguments; appends exactly one reply to context.reply,
// whatever happens, or leaves what is to be answered later in context.rest or context.blocked.
// `drained`: why a large argument of the request could not be taken; not ok: the command is not
// run, and this is its error unless an earlier gate has one. REQUIRES: the request is not empty.
void Dispatch(Context& context, const Status& drained);

// Does CLIENT PAUSE hold it back?
bool Pausable(const Command& command, const ConnectionInfo& connection, bool writes_only);

// The same for a blocked command. kWait: nothing was appended.
BlockedCommand::Next ResumeCommand(Context& context, BlockedCommand& blocked, bool time_is_up);

// Why a reply found no room (resp::NoRoom): kOom.
Status ReplyTooLong(const Context& context);

// Errors: kOom while more memory is used than maxmemory allows.
Status CheckMemory(const Context& context);

// The row that would run: the command, or the subcommand that request[1] names. Null: there is
// none. `request` may be incomplete.
const Command* ResolveCommand(RequestView request);

}  // namespace sluice::server
