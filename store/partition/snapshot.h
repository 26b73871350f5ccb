// Snapshot: rows of a partition at one point in time: keys, tags, revisions, and which fields are
// ready. It is taken under the engine lock in microseconds and read without the lock, even while
// the rows change (see store/partition/segment.h).
//
// Thread safety: as std::vector.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "store/partition/removal_log.h"
#include "store/partition/segment.h"

namespace sluice::store {

struct SnapshotRequest {
  std::string_view partition;
  std::span<const std::string_view> fields = {};  // ForEach() reports whether these are ready
  Revision since = 0;                             // only segments changed after this revision
  RowIndex from = 0;                              // only rows from this index on
  std::size_t rows_max = SIZE_MAX;                // segments for this many rows plus one
  bool removals = false;                          // include the removals after `since`
};

struct Snapshot {
  Revision revision = 0;  // the store's revision at that time
  Revision made = 0;      // the partition's creation; 0 if it does not exist
  // True if the snapshot has all changes after `since`. False if `since` is before the partition's
  // creation, in the future (from another server) or too old; then the snapshot has all rows.
  bool complete = true;
  bool removed = false;  // a row was removed after the requested `since`
  Revision since = 0;
  RowIndex from = 0;
  std::vector<SegmentRef> segments;  // in row order
  std::vector<std::uint32_t> field_ids;
  bool has_fields = true;  // false: a field does not exist, so no row is ready
  RemovalLog::Pinned removals;

  // Calls function(index, row, ready) for the rows of segments[segment] that were written after
  // `since`. `ready`: all requested fields are ready.
  template <typename Function>
  void ForEach(std::size_t segment, const Function& function) const {
    const Segment& rows = *segments[segment];
    const RowIndex first = rows.Number() * Segment::kRows;
    const auto offset = static_cast<std::uint32_t>(std::max<RowIndex>(from - first, 0));
    rows.ForEach(offset, since, [&](std::uint32_t at, const Row& row) {
      const bool ready =
          has_fields && std::all_of(field_ids.begin(), field_ids.end(),
                                    [&](std::uint32_t id) { return rows.GetCell(id, at).Ready(); });
      function(first + at, row, ready);
    });
  }
  [[nodiscard]] std::size_t Rows() const {
    std::size_t count = 0;
    for (const SegmentRef& segment : segments) {
      count += segment->live_rows;
    }
    return count;
  }
};

}  // namespace sluice::store
