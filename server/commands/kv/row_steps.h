// Commands over rows selected by WHERE, which may be all rows of a partition. They process some
// thousand rows per step, so that other commands do not wait long for the engine lock.
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

// Iterates over the chosen rows of a command. If WHERE selected many rows, each step has some
// thousand. The engine lock is released between steps; a step includes only rows that still match.
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

  // Acquires the engine lock. `choice` is borrowed. `at_once`: process all rows in one step.
  // Errors: kWrongType; std::bad_alloc.
  Status Begin(RowChoice& choice, bool at_once = false);
  // Returns false if there are no more rows. Otherwise the engine lock was released in between, and
  // the partition is still the same. Errors: std::bad_alloc.
  bool Next();
  // To be called if the engine lock may have been released since: keeps only the rows that still
  // match WHERE, if the partition is still the same. Acquires the engine lock.
  // Errors: std::bad_alloc.
  void Recheck();
  // Returns an upper bound of the number of rows in all steps.
  [[nodiscard]] std::size_t RowsMax() const { return std::max(all_.size(), rows_.size()); }
  [[nodiscard]] const store::RowSet& Rows() const { return rows_; }

 private:
  bool LookAgain();
  // Returns null if the partition is not the same any more.
  [[nodiscard]] store::Partition* SamePartition();

  // Each row may be processed by twenty views, which takes some microseconds.
  static constexpr std::size_t kStepRows = 1024;

  Context& context_;
  std::string_view partition_;
  const RowChoice* choice_ = nullptr;
  store::RowSet rows_;
  std::vector<RowIndex> all_;  // empty if one step is enough
  std::vector<RowIndex> step_;
  std::vector<RowIndex> fitting_;  // the rows of a step that match
  std::size_t next_ = 0;           // index into all_
  std::int64_t incarnation_ = 0;   // of the partition
};

// Reads the chosen rows; ignores `request.rows`. Each row is read as of its step. On return, the
// engine lock is held if one step was enough, and released otherwise.
// Errors: as Store::Read; kDType: the dtype of a field changed between steps; std::bad_alloc.
Status ReadChosen(Context& context, RowChoice& choice, store::ReadRequest request,
                  store::ReadResult& read);

}  // namespace sluice::server
