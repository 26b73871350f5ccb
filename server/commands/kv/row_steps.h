// Commands over rows that WHERE chose, which may be all of a partition: some thousand rows at a
// time, so that nobody waits long for the engine.
//
// Thread safety: the I/O thread of the command.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <vector>

#include "server/commands/kv/kv_args.h"
#include "server/dispatch/context.h"
#include "store/partition/rows.h"

namespace sluice::server {

// The chosen rows of a command that does something with each, some thousand at a time where WHERE
// chose many: the engine is left between, and a row counts that fits when it is looked at again.
//
//   RowSteps steps(context, partition);
//   TRY(steps.Begin(choice));
//   do { ... steps.Rows() ... } while (steps.Next());
class RowSteps {
 public:
  RowSteps(Context& context, std::string_view partition)
      : context_(context), partition_(partition) {}
  RowSteps(const RowSteps&) = delete;
  RowSteps& operator=(const RowSteps&) = delete;

  // Enters the engine. `choice` is borrowed; `at_once`: all in one step. Errors: kWrongType;
  // std::bad_alloc.
  Status Begin(RowChoice& choice, bool at_once = false);
  // False: there are no more. Otherwise the engine was left, and the partition is the same still.
  // Errors: std::bad_alloc.
  bool Next();
  // To be called where the engine may have been left since: of the rows that WHERE chose, those
  // stay that still fit, in the same partition still. Enters the engine. Errors: std::bad_alloc.
  void Recheck();
  // Of all steps together there are no more.
  [[nodiscard]] std::size_t RowsMax() const { return std::max(all_.size(), rows_.size()); }
  [[nodiscard]] const store::RowSet& Rows() const { return rows_; }

 private:
  bool LookAgain();
  // Null: it is not the same any more.
  [[nodiscard]] store::Partition* SamePartition();

  // Each may cost what twenty views do with it: some microseconds.
  static constexpr std::size_t kStepRows = 1024;

  Context& context_;
  std::string_view partition_;
  const RowChoice* choice_ = nullptr;
  store::RowSet rows_;
  std::vector<RowIndex> all_;  // empty: one step is enough
  std::vector<RowIndex> step_;
  std::vector<RowIndex> fitting_;  // of the rows of a step
  std::size_t next_ = 0;           // in all_
  Revision made_ = 0;
};

// Reads the chosen rows, `request.rows` of no meaning, each row as it is when its step comes to it.
// The engine is entered where one step was enough, and left where it was not.
// Errors: as Store::Read; kDType: a field became another meanwhile; std::bad_alloc.
Status ReadChosen(Context& context, RowChoice& choice, store::ReadRequest request,
                  store::ReadResult& read);

}  // namespace sluice::server
