// BLOCK: writes that wait where they would get OOM or FULL.
//
// Where the payload is large, the wait comes before it is read (server/connection/connection.cc
// asks BlockOf()), so BLOCK is looked for right behind the rows. A small write has been read whole:
// it is kept, and run again when there is room. Whether its partition is full is known only when a
// write has been read, so it is kept, too, its payload counted against maxmemory.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "resp/request_parser.h"
#include "server/arguments/arg_reader.h"
#include "server/dispatch/command.h"
#include "server/dispatch/context.h"

namespace sluice::server {

struct Block {
  bool given = false;
  std::int64_t ms = 0;  // 0: no limit
};

// `BLOCK <ms>` or `TIMEOUT <ms>`, behind the word. Errors: kError with Redis's texts.
std::int64_t ReadMilliseconds(ArgReader& args);
// True where BLOCK was next.
bool ReadBlock(ArgReader& args, Block& block);
// So many milliseconds from now; 0: BlockedCommand::kNever.
std::int64_t DeadlineAfter(std::int64_t now_us, std::int64_t ms);

// The BLOCK of a request of which these arguments, its name first, have come; nullopt: none.
std::optional<std::int64_t> BlockOf(const Command& command, std::span<const resp::Argument> head);

// KV.PUT, KV.MPUT, KV.APPEND: carries the write out and fills context.scratch.write. Acquires the
// engine lock. Errors: as Store::Write; kOom over maxmemory.
Status WriteRows(Context& context, const store::WriteRequest& request);

// `status` of a write, or ok where it was kOom or kFull and the command waits now
// (context.blocked).
Status OrWait(Context& context, const Block& block, Status status);

}  // namespace sluice::server
