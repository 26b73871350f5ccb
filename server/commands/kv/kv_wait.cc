// KV.WAIT.
#include <array>
#include <deque>
#include <string>
#include <utility>

#include "server/arguments/arg_reader.h"
#include "server/commands/kv/kv_args.h"
#include "server/commands/kv/kv_block.h"
#include "server/dispatch/command_table.h"
#include "server/dispatch/context.h"

namespace sluice::server {
namespace {

using store::RowSet;

// Waits until fields of rows are ready. The waiter watches one row at a time, the first that is not
// ready. So a write costs one look-up per row, regardless of the number of waiters and of rows they
// wait for. (The idea is that of watched literals: Moskewicz et al., Chaff, 2001.)
class RowWait final : public BlockedCommand, private engine::Waiter {
 public:
  RowWait(Context& context, std::string_view partition, const RowSet& rows,
          std::int64_t deadline_us)
      : BlockedCommand(Kind::kCommand, deadline_us),
        server_(context.server),
        notifier_(context.connection.notifier),
        partition_(partition),
        indexes_(rows.indexes.begin(), rows.indexes.end()) {
    for (const std::string_view key : rows.keys) {
      keys_.push_back(texts_.emplace_back(key));
    }
    for (const std::string_view field : context.scratch.fields) {
      fields_.push_back(texts_.emplace_back(field));
    }
    rows_ = rows;
    rows_.keys = keys_;
    rows_.indexes = indexes_;
    notifier_->Take();
  }

  void End(engine::EngineLock& lock) noexcept override REQUIRES(engine::engine_role) {
    server_.wait_queues.Leave(lock, *this);
    Release(lock);
  }

  // Returns whether all rows are ready. If not, watches a row. Errors: kWrongType; std::bad_alloc.
  Result<bool> Look(engine::EngineLock& lock) REQUIRES(engine::engine_role) {
    // Search from the last position; then from the beginning, since an earlier row may no longer be
    // ready.
    for (const std::size_t from : {at_, std::size_t{0}}) {
      TRY_ASSIGN(at_, server_.store(lock).FirstUnready(partition_, rows_, from, fields_));
      if (at_ < rows_.size()) {
        Watch(lock);
        return false;
      }
    }
    return true;
  }

  Result<Next> Resume(Context& context, bool time_is_up) override {
    engine::EngineLock& lock = context.turn.Enter();
    if (std::exchange(looks_, false)) {
      TRY_ASSIGN(ready_, Look(lock));
    }
    if (!status_.ok()) {
      return status_;
    }
    if (!ready_ && !time_is_up) {
      return Next::kWait;
    }
    context.reply.Integer(ready_ ? 1 : 0);
    return Next::kAnswered;
  }

 private:
  // The watched row was written, and this waiter has left its queue. The writer's thread examines
  // only a few rows: if the next row to watch is not among them, the waiter's thread searches.
  void OnServed(engine::EngineLock& lock) noexcept override REQUIRES(engine::engine_role) {
    constexpr std::size_t kRowsMax = 128;
    try {
      if (rows_.size() <= kRowsMax) {
        auto ready = Look(lock);
        status_ = ready.GetStatus();
        ready_ = ready.ok() && *ready;
      } else {
        const std::size_t count = std::min(kRowsMax, rows_.size() - at_);
        auto unready =
            server_.store(lock).FirstUnready(partition_, rows_.Part(at_, count), 0, fields_);
        status_ = unready.GetStatus();
        looks_ = unready.ok() && *unready == count;
        if (unready.ok() && !looks_) {
          at_ += *unready;
          Watch(lock);
        }
      }
    } catch (const std::bad_alloc&) {  // from watching the next row
      status_ = store::OutOfMemory();
    }
    if (ready_ || looks_ || !status_.ok()) {
      notifier_->Notify();
    }
  }

  // Errors: std::bad_alloc; no row is watched then.
  void Watch(engine::EngineLock& lock) REQUIRES(engine::engine_role) {
    Release(lock);
    engine::WaitKey key = {.kind = engine::WaitKey::Kind::kRow, .partition = partition_};
    if (rows_.kind == RowSet::Kind::kKeys) {
      key.row_key = keys_[at_];
    } else {
      key.row = indexes_[at_];
    }
    queue_ = &server_.wait_queues.Hold(lock, key);
    server_.wait_queues.Join(lock, *queue_, *this);
  }
  void Release(engine::EngineLock& lock) noexcept REQUIRES(engine::engine_role) {
    if (queue_ != nullptr) {
      server_.wait_queues.Release(lock, *std::exchange(queue_, nullptr));
    }
  }

  Server& server_;
  std::shared_ptr<engine::Notifier> notifier_;
  std::string partition_;
  std::deque<std::string> texts_;  // the views below refer to these
  std::vector<std::string_view> keys_;
  std::vector<std::string_view> fields_;
  std::vector<RowIndex> indexes_;
  RowSet rows_;
  std::size_t at_ = 0;  // position of the watched row
  engine::WaitQueue* queue_ = nullptr;
  bool ready_ = false;
  bool looks_ = false;  // no row is watched; Resume() searches for one
  Status status_;
};

// KV.WAIT partition KEYS list | ROWS blob FIELDS list TIMEOUT ms
Status KvWait(Context& context, ArgReader& args) {
  const std::string_view partition = args.Name("partition");
  RowSet rows;
  if (!ReadRows(context, args, rows)) {
    args.Fail(Status(Code::kError, "syntax error: expected KEYS or ROWS"));
  }
  bool has_fields = false;
  bool has_timeout = false;
  std::int64_t timeout_ms = 0;
  while (args.HasMore()) {
    if (!has_fields && args.Option("FIELDS")) {
      has_fields = true;
      ReadFields(context, args);
    } else if (!has_timeout && args.Option("TIMEOUT")) {
      has_timeout = true;
      timeout_ms = ReadMilliseconds(args);
    } else {
      args.Unexpected();
    }
  }
  if (!has_fields || !has_timeout) {
    args.Fail(Status(Code::kError, "syntax error: expected FIELDS and TIMEOUT"));
  }
  TRY(args.Finish());

  engine::EngineLock& lock = context.turn.Enter();
  TRY_ASSIGN(const std::size_t unready,
             context.server.store(lock).FirstUnready(partition, rows, 0, context.scratch.fields));
  if (unready == rows.size()) {
    context.reply.Integer(1);
    return {};
  }
  if (!context.may_block) {
    context.reply.Integer(0);
    return {};
  }
  context.turn.Leave();  // others need not wait while this allocates memory
  auto wait = std::make_unique<RowWait>(context, partition, rows,
                                        DeadlineAfter(context.now_us, timeout_ms));
  RowWait& waiting = *wait;
  context.blocked = std::move(wait);
  TRY_ASSIGN(const bool ready, waiting.Look(context.turn.Enter()));
  if (ready) {
    context.Forget();
    context.reply.Integer(1);
  }
  return {};
}

constexpr Arg kWaitArgs[] = {
    {.name = "partition", .type = "key"},
    {.name = "rows", .type = "oneof", .args = kRowsArgs},
    {.name = "fields", .type = "block", .token = "FIELDS", .args = kListArgs},
    {.name = "milliseconds", .type = "integer", .token = "TIMEOUT"}};

constexpr std::array kCommands = {
    Row({.name = "kv.wait",
         .arity = -8,
         .flags = kReadOnly | kBlocking,
         .keys = {.first = 1, .last = 1, .step = 1},
         .handler = KvWait,
         .group = "kv",
         .since = "0.1.0",
         .complexity = "O(N) where N is the number of cells waited for",
         .summary = "Waits until fields of rows are ready.",
         .args = kWaitArgs}),
};

}  // namespace

std::span<const Command> KvWaitCommands() {
  return kCommands;
}

}  // namespace sluice::server
