#include "server/commands/rows/row_selection.h"

#include <algorithm>

namespace sluice::server {
namespace {

using store::Row;
using store::Snapshot;

// Up to this many rows are examined under the engine lock.
constexpr std::size_t kRowsHeldMax = 256;
// Changes in up to kSegmentsHeldMax segments are examined under the engine lock. More changes are
// examined without it, in at most kRoundsMax rounds.
constexpr std::size_t kSegmentsHeldMax = 2;
constexpr int kRoundsMax = 8;
// A larger result may include removed rows: RowSteps examines it again step by step
// (server/commands/kv/row_steps.h).
constexpr std::size_t kRowsCheckedMax = 1024;

void Select(const Snapshot& snapshot, const store::Where& where, std::vector<RowIndex>& indexes) {
  indexes.clear();
  for (std::size_t segment = 0; segment < snapshot.segments.size(); ++segment) {
    snapshot.ForEach(segment, [&](RowIndex index, const Row& row, bool /*ready*/) {
      if (where.Matches(row.tag.View())) {
        indexes.push_back(index);
      }
    });
  }
}

// Updates `indexes` with the rows that were written in between.
void SelectAgain(const Snapshot& changes, const store::Where& where,
                 std::vector<RowIndex>& indexes) {
  std::vector<RowIndex> changed;
  std::vector<RowIndex> fitting;
  for (std::size_t segment = 0; segment < changes.segments.size(); ++segment) {
    changes.ForEach(segment, [&](RowIndex index, const Row& row, bool /*ready*/) {
      changed.push_back(index);
      if (where.Matches(row.tag.View())) {
        fitting.push_back(index);
      }
    });
  }
  std::vector<RowIndex> unchanged;
  std::set_difference(indexes.begin(), indexes.end(), changed.begin(), changed.end(),
                      std::back_inserter(unchanged));
  indexes.clear();
  std::merge(unchanged.begin(), unchanged.end(), fitting.begin(), fitting.end(),
             std::back_inserter(indexes));
}

// Applies the changes since `snapshot` until all are known and the engine lock is held. Returns
// false if the selection must start again. Errors: as Store::TakeSnapshot.
Result<bool> FollowChanges(Context& context, std::string_view partition, const store::Where& where,
                           Snapshot& snapshot, std::vector<RowIndex>& indexes) {
  for (int round = 0;; ++round) {
    store::Store& store = context.server.store(context.turn.Enter());
    Snapshot changes;
    TRY(store.TakeSnapshot({.partition = partition, .since = snapshot.revision}, changes));
    if (!changes.complete) {
      return false;  // another partition of this name, or too many removals in between
    }
    const bool much = changes.segments.size() > kSegmentsHeldMax && round < kRoundsMax;
    if (much) {
      context.turn.Leave();
    }
    if (!changes.segments.empty()) {
      SelectAgain(changes, where, indexes);
    }
    snapshot.removed = snapshot.removed || changes.removed;
    snapshot.revision = changes.revision;
    if (much) {
      continue;
    }
    if (snapshot.removed && indexes.size() <= kRowsCheckedMax) {
      std::erase_if(indexes,
                    [&](RowIndex index) { return store.KeyOf(partition, index).IsNull(); });
    }
    return true;
  }
}

}  // namespace

Status SelectRows(Context& context, std::string_view partition, const store::Where& where,
                  std::vector<RowIndex>& indexes) {
  for (bool done = false; !done;) {
    store::Store& store = context.server.store(context.turn.Enter());
    Snapshot snapshot;
    TRY(store.TakeSnapshot({.partition = partition}, snapshot));
    if (snapshot.Rows() <= kRowsHeldMax || context.in_transaction) {
      Select(snapshot, where, indexes);
      return {};
    }
    context.turn.Leave();
    Select(snapshot, where, indexes);
    TRY_ASSIGN(done, FollowChanges(context, partition, where, snapshot, indexes));
  }
  return {};
}

}  // namespace sluice::server
