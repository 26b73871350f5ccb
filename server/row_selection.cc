#include "server/row_selection.h"

#include <algorithm>

namespace sluice::server {
namespace {

using store::Row;
using store::RowIndex;
using store::Snapshot;
using store::Status;

// So few rows are looked at under the engine at once.
constexpr std::size_t kRowsHeldMax = 256;

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

// Brings `indexes` up to date with the rows that were written meanwhile.
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

}  // namespace

Status SelectRows(Context& context, std::string_view partition, const store::Where& where,
                  std::vector<RowIndex>& indexes) {
  for (;;) {
    store::Store& store = context.server.store(context.turn.Enter());
    Snapshot snapshot;
    TRY(store.TakeSnapshot({.partition = partition}, snapshot));
    if (snapshot.Rows() <= kRowsHeldMax) {
      Select(snapshot, where, indexes);
      return {};
    }
    context.turn.Leave();
    Select(snapshot, where, indexes);
    context.turn.Enter();
    Snapshot changes;
    TRY(store.TakeSnapshot({.partition = partition, .since = snapshot.revision}, changes));
    if (!changes.complete) {
      continue;  // another partition of this name, or too much was removed meanwhile
    }
    SelectAgain(changes, where, indexes);
    if (changes.removed) {
      std::erase_if(indexes,
                    [&](RowIndex index) { return store.KeyOf(partition, index).IsNull(); });
    }
    return {};
  }
}

}  // namespace sluice::server
