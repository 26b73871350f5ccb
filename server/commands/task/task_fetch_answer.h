// The result of TASK.FETCH: the rows and the data of the reply. They are pinned under the engine
// lock and rendered without it. Rows that cannot be sent are given back.
//
// Thread safety: the caller holds the engine lock; DeliverAnswer(): the I/O thread of the command.
#pragma once

#include <vector>

#include "base/text.h"
#include "server/commands/task/task_args.h"
#include "store/partition/partition.h"

namespace sluice::server {

// The result of a fetch, as of that moment.
struct FetchAnswer {
  controller::Fetched fetched;
  std::int64_t incarnation = 0;  // of the partition
  bool new_task = false;         // the task was created for this fetch
  // AUTOEVICT: the rows are held (Stream::HoldRows) until the system has taken the reply.
  bool held = false;
  std::vector<Text> keys;
  std::vector<Text> tags;
  store::ReadResult read;
};

struct FetchAttempt {
  const FetchArgs& args;
  bool time_is_up = false;  // MIN rows are enough
};
// Tries to fetch. If the outcome is kRows, `answer` is complete.
// Errors: as Controller::TryFetch and Collect; std::bad_alloc.
Result<controller::Outcome> TryFetchNow(engine::EngineLock& lock, Server& server,
                                        controller::Stream& stream, const FetchAttempt& attempt,
                                        FetchAnswer& answer) REQUIRES(engine::engine_role);
// Reads the keys, tags and values of the fetched rows. Does not look up a name: that would remove
// an expired name, perhaps while its waiters are being served.
// Errors: kNoField, kNotReady (a step is repeated with other fields); std::bad_alloc.
Status CollectAnswer(controller::Stream& stream, const FetchArgs& args, FetchAnswer& answer);
// Prevents AUTOEVICT from removing the rows before the reply is sent. Errors: std::bad_alloc.
void HoldForReply(controller::Stream& stream, const FetchArgs& args, FetchAnswer& answer);
// Makes the rows of an answer that cannot be sent ready again. Removes a task that was created for
// the fetch.
void GiveBackTo(engine::EngineLock& lock, Server& server, controller::Stream& stream,
                const controller::Fetch& fetch, const FetchAnswer& answer) noexcept
    REQUIRES(engine::engine_role);
// As GiveBackTo(), if the partition still exists.
void GiveBack(engine::EngineLock& lock, Server& server, const FetchArgs& args,
              const FetchAnswer& answer) noexcept REQUIRES(engine::engine_role);
// Replies. Gives the rows back if that fails or the client does not receive the reply.
// Errors: as ReplyInFormat; std::bad_alloc.
Status DeliverAnswer(Context& context, FetchArgs& args, FetchAnswer& answer);

}  // namespace sluice::server
