// What TASK.FETCH got: the rows and what their answer needs, pinned under the engine lock, rendered
// without it, and given back where they cannot be answered or sent.
//
// Thread safety: the holder of the engine lock; DeliverAnswer(): the I/O thread of the command.
#pragma once

#include <vector>

#include "base/text.h"
#include "server/commands/task/task_args.h"
#include "store/partition/partition.h"

namespace sluice::server {

// What a fetch got, as it was at that moment.
struct FetchAnswer {
  controller::Fetched fetched;
  Revision made = 0;      // which partition of this name
  bool new_task = false;  // made for this fetch
  // The rows are held (Stream::HoldRows) until the system has taken the reply: AUTOEVICT.
  bool held = false;
  std::vector<Text> keys;
  std::vector<Text> tags;
  store::ReadResult read;
};

struct FetchAttempt {
  const FetchArgs& args;
  bool time_is_up = false;  // MIN rows are enough
};
// Tries to fetch. kRows: `answer` is complete.
// Errors: as Controller::TryFetch and Collect; std::bad_alloc.
Result<controller::Outcome> TryFetchNow(engine::EngineLock& lock, Server& server,
                                        controller::Stream& stream, const FetchAttempt& attempt,
                                        FetchAnswer& answer) REQUIRES(engine::engine_role);
// Reads the keys, tags and values of the rows fetched. Looks up no name: a name that has expired
// would be removed, perhaps while those that wait in it are being answered.
// Errors: kNoField, kNotReady (of a step that is repeated with other fields); std::bad_alloc.
Status CollectAnswer(controller::Stream& stream, const FetchArgs& args, FetchAnswer& answer);
// AUTOEVICT does not remove the rows before the reply is on its way. Errors: std::bad_alloc.
void HoldForReply(controller::Stream& stream, const FetchArgs& args, FetchAnswer& answer);
// The rows of an answer that cannot be sent are ready again; a task made for it is removed.
void GiveBackTo(engine::EngineLock& lock, Server& server, controller::Stream& stream,
                const controller::Fetch& fetch, const FetchAnswer& answer) noexcept
    REQUIRES(engine::engine_role);
// The same, where the partition still exists.
void GiveBack(engine::EngineLock& lock, Server& server, const FetchArgs& args,
              const FetchAnswer& answer) noexcept REQUIRES(engine::engine_role);
// Replies. The rows are given back where that fails, or the client does not receive the reply.
// Errors: as ReplyInFormat; std::bad_alloc.
Status DeliverAnswer(Context& context, FetchArgs& args, FetchAnswer& answer);

}  // namespace sluice::server
