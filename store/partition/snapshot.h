// Snapshot: rows of a partition as they were at one moment: keys, tags, revisions, and which fields
// are ready. Taken under the engine in microseconds, read without it, whatever happens to the rows
// meanwhile (store/partition/segment.h says how).
//
// Thread safety: as a vector.
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
  std::span<const std::string_view> fields = {};  // ForEach() tells whether these are ready
  Revision since = 0;               // only segments in which something changed after it
  RowIndex from = 0;                // only rows from this index on
  std::size_t rows_max = SIZE_MAX;  // enough segments for so many rows, and one row more
  bool removals = false;            // with those since `since`
};

struct Snapshot {
  Revision revision = 0;  // of the store at that moment
  Revision made = 0;      // when the partition was made; 0: there is none
  // Everything since `since` is here. False: it is from before the partition was made, from the
  // future (another server's), or too long ago: then the snapshot is of all rows.
  bool complete = true;
  bool removed = false;  // some row was, after the `since` that was asked for
  Revision since = 0;
  RowIndex from = 0;
  std::vector<SegmentRef> segments;  // in the order of their rows
  std::vector<std::uint32_t> field_ids;
  bool has_fields = true;  // false: one of the fields does not exist, so no row has all of them
  RemovalLog::Pinned removals;

  // Calls function(index, row, ready) for the rows of segment number `segment` of this snapshot
  // that were written after `since`: `ready`: all fields asked for are.
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
