// From one request to one reply: look up, check, run, turn a Status into an error reply. It uses no
// sockets, so tests drive the whole server through Dispatch().
#pragma once

#include <span>

#include "server/arguments/request.h"
#include "server/dispatch/command.h"
#include "server/dispatch/context.h"

namespace sluice::server {

// Runs context.request[0] with the rest as arguments. Always appends exactly one reply to
// context.reply, or leaves what is to be answered later in context.rest or context.blocked.
// `drained`: why a large argument of the request was discarded. If not ok, the command does not run
// and this is its error, unless an earlier check fails. REQUIRES: the request is not empty.
void Dispatch(Context& context, const Status& drained);

// Returns why the command may not run now, or ok. `args` is the size of its request. Errors: those
// of Dispatch() that come before the command itself.
Status CheckCommand(const Context& context, const Command& command, std::size_t args);

// Returns true if CLIENT PAUSE holds the command back.
bool Pausable(const Command& command, const ConnectionInfo& connection, bool writes_only);

// Resumes a blocked command. kWait: nothing was appended.
BlockedCommand::Next ResumeCommand(Context& context, BlockedCommand& blocked, bool time_is_up);

// Returns kOom: there was no space for a reply.
Status ReplyTooLong(const Context& context);

// Errors: kOom while more memory is used than maxmemory allows.
Status CheckMemory(const Context& context);

// Returns the row that would run: the command, or the subcommand that request[1] names; null if
// there is none. `request` may be incomplete.
const Command* ResolveCommand(RequestView request);

}  // namespace sluice::server
