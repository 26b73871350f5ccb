// KV.WAIT.
#include <array>
#include <deque>
#include <string>
#include <utility>

#include "server/arg_reader.h"
#include "server/command_table.h"
#include "server/commands/kv_args.h"
#include "server/commands/kv_block.h"
#include "server/context.h"

namespace sluice::server {
namespace {

using store::Code;
using store::RowSet;
using store::Status;

// Waits until fields of rows are ready. It watches the first row that is not.
class RowWait final : public Parked, public controller::RowWaiter {
 public:
  RowWait(Context& context, std::string_view partition, const RowSet& rows,
          std::int64_t deadline_us)
      : Parked(deadline_us),
        server_(context.server),
        waker_(context.client.waker),
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
    waker_->Take();
  }
  ~RowWait() override {
    Engine::Turn turn(server_.engine, server_.clock);
    turn.Enter();
    server_.row_waiters.Forget(*this);
  }

  // True where all is ready. Otherwise it watches a row now. REQUIRES: the engine.
  // Errors: kWrongType; std::bad_alloc.
  store::Result<bool> Look() {
    // From where it stood; and, since a row before that may have changed back, from the beginning.
    for (const std::size_t from : {at_, std::size_t{0}}) {
      TRY_ASSIGN(at_, server_.store.FirstUnready(partition_, rows_, from, fields_));
      if (at_ < rows_.size()) {
        Watch();
        return false;
      }
    }
    return true;
  }

  void RowChanged() noexcept override {
    try {
      auto ready = Look();
      if (!ready.ok() || *ready) {
        status_ = ready.GetStatus();
        ready_ = ready.ok();
        waker_->Wake();
      }
    } catch (const std::bad_alloc&) {
      no_memory_ = true;
      waker_->Wake();
    }
  }

  store::Result<bool> Resume(Context& context, bool time_is_up) override {
    context.turn.Enter();
    if (no_memory_) {
      return store::OutOfMemory();
    }
    if (!status_.ok()) {
      return status_;
    }
    if (!ready_ && !time_is_up) {
      return false;
    }
    context.reply.Integer(ready_ ? 1 : 0);
    return true;
  }

 private:
  void Watch() {
    if (rows_.kind == RowSet::Kind::kKeys) {
      server_.row_waiters.WatchKey(partition_, keys_[at_], *this);
    } else {
      server_.row_waiters.WatchIndex(partition_, indexes_[at_], *this);
    }
  }

  Server& server_;
  std::shared_ptr<Waker> waker_;
  std::string partition_;
  std::deque<std::string> texts_;  // what the views below look at
  std::vector<std::string_view> keys_;
  std::vector<std::string_view> fields_;
  std::vector<store::RowIndex> indexes_;
  RowSet rows_;
  std::size_t at_ = 0;  // of the row that it watches
  bool ready_ = false;
  bool no_memory_ = false;  // to watch the next row
  Status status_;
};

// KV.WAIT partition KEYS list | ROWS blob FIELDS list TIMEOUT ms
Status KvWait(Context& context, ArgReader& args) {
  const std::string_view partition = args.Name("partition");
  RowSet rows;
  if (!ReadRows(context, args, rows)) {
    args.Fail(Status(Code::kError, "syntax error: KEYS or ROWS is expected"));
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
    args.Fail(Status(Code::kError, "syntax error: FIELDS and TIMEOUT are expected"));
  }
  TRY(args.Finish());

  context.turn.Enter();
  TRY_ASSIGN(const std::size_t unready,
             context.server.store.FirstUnready(partition, rows, 0, context.scratch.fields));
  if (unready == rows.size()) {
    context.reply.Integer(1);
    return {};
  }
  if (!context.may_park) {
    context.reply.Integer(0);
    return {};
  }
  context.turn.Leave();  // nobody waits for us while memory is taken
  auto wait = std::make_unique<RowWait>(context, partition, rows,
                                        DeadlineAfter(context.now_us, timeout_ms));
  RowWait& waiting = *wait;
  context.parked = std::move(wait);
  context.turn.Enter();
  TRY_ASSIGN(const bool ready, waiting.Look());
  if (ready) {
    context.turn.Leave();
    context.parked = nullptr;
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
