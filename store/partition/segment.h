// Segment: up to 4,096 rows with neighbouring indexes: keys, tags, revisions, and for each field an
// array of cells, made when the field is first written here.
//
// Rows come in the order of their indexes, so the arrays begin at the first row that the segment
// ever had and grow by need: a partition of four rows, or one whose old rows are all gone, costs
// little. Freed with its last row.
//
//   offset:      0 ......... first_ ............... first_+capacity_ ....... 4095
//   rows_:                   | Row | Row | ... |
//   cells_[id]:              | Cell | Cell | ... |   or null
//
// A reader of many rows *pins* segments, under the engine, and reads them without it, as they were
// at that moment: a segment that somebody else holds, too, is never changed. The partition replaces
// it by a copy of its own before it writes (copy on write), so a pin costs a count, and a write a
// copy of 4,096 rows at most once a pin.
//
// Blocks of 64 rows know the latest revision in them: what changed since a revision is found
// without looking at the rest.
//
// Thread safety: of a pinned one any thread may read; otherwise one caller at a time (the engine).
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include <boost/smart_ptr/intrusive_ptr.hpp>

#include "base/ids.h"
#include "base/text.h"
#include "store/memory/budget.h"
#include "store/partition/field.h"

namespace sluice::store {

class Segment;
using SegmentRef = boost::intrusive_ptr<Segment>;

struct Row {
  Text key;  // null: no such row
  Text tag;  // null: {}
  Revision revision = 0;
  std::int64_t made_ms = 0;  // since 1970
};

class Segment {
 public:
  static constexpr RowIndex kRows = 4096;

  // Of the rows from number * kRows on; the first that it may have is at offset `first`.
  Segment(Budget& budget, RowIndex number, std::uint32_t first)
      : budget_(budget), number_(number), first_(first) {}
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;

  // Another segment with the same rows and cells.
  // Errors: kOom (nothing may be charged beyond the limit + `overdraft`); std::bad_alloc.
  [[nodiscard]] Result<SegmentRef> Copy(std::int64_t overdraft) const;
  // False: somebody has it pinned, and only Copy() may be used to change it.
  [[nodiscard]] bool IsMine() const { return count_.load(std::memory_order_acquire) == 1; }
  friend void intrusive_ptr_add_ref(Segment* segment) noexcept {
    segment->count_.fetch_add(1, std::memory_order_relaxed);
  }
  friend void intrusive_ptr_release(Segment* segment) noexcept {
    if (segment->count_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      delete segment;
    }
  }

  // What follows changes the segment. REQUIRES: IsMine().

  // Makes room for the row at `offset`. REQUIRES: offset >= first.
  // Errors: kOom; std::bad_alloc; nothing changed then.
  Status EnsureRow(std::uint32_t offset);
  // Makes the cells of field `id`, all unready. Errors as EnsureRow.
  Status EnsureField(std::uint32_t id);
  void DropField(std::uint32_t id) noexcept;

  // REQUIRES: EnsureRow(offset) was ok.
  Row& At(std::uint32_t offset) { return rows_[offset - first_]; }
  // REQUIRES: EnsureRow(offset) and EnsureField(id) were ok.
  Cell& CellAt(std::uint32_t id, std::uint32_t offset) { return cells_[id][offset - first_]; }
  // The row was written. REQUIRES: as At(), and the revision is the latest that there is.
  void SetRevision(std::uint32_t offset, Revision revision);

  std::uint32_t live_rows = 0;  // kept by the partition

  // What follows reads it.

  // It will be looked at soon, after others. No effect where the row or its cell is not there.
  void Prefetch(std::uint32_t offset) const noexcept {
    if (offset - first_ < rows_.size()) {
      __builtin_prefetch(&rows_[offset - first_]);
    }
  }
  void PrefetchCell(std::uint32_t id, std::uint32_t offset) const noexcept {
    if (id < cells_.size() && cells_[id] != nullptr && offset - first_ < rows_.size()) {
      __builtin_prefetch(cells_[id].get() + (offset - first_), 1);
    }
  }
  // Null where there is no room for such a row, or where it is not there.
  [[nodiscard]] const Row* Find(std::uint32_t offset) const;
  // The cell; unready where the field has none here. REQUIRES: as At().
  [[nodiscard]] Cell GetCell(std::uint32_t id, std::uint32_t offset) const;
  [[nodiscard]] RowIndex Number() const { return number_; }
  [[nodiscard]] std::int64_t ChargedBytes() const { return charged_; }
  // The latest revision of any row, those that are gone included.
  [[nodiscard]] Revision Newest() const { return newest_; }

  // Calls function(offset, row) for each row from `from` on, in order, that was written after
  // revision `since` (0: all).
  template <typename Function>
  void ForEach(std::uint32_t from, Revision since, const Function& function) const {
    const auto end = static_cast<std::uint32_t>(first_ + rows_.size());
    for (std::uint32_t offset = std::max(from, first_); offset < end; ++offset) {
      if (since > 0 && newest_of_block_[offset / kBlockRows] <= since) {
        offset |= kBlockRows - 1;  // the last of its block
        continue;
      }
      const Row& row = rows_[offset - first_];
      if (!row.key.IsNull() && row.revision > since) {
        function(offset, row);
      }
    }
  }

 private:
  static constexpr std::uint32_t kBlockRows = 64;
  ~Segment() { budget_.Release(charged_); }

  [[nodiscard]] std::int64_t BytesFor(std::size_t rows, std::size_t fields) const;

  Status Charge(std::int64_t bytes, std::int64_t overdraft);

  std::atomic<std::uint32_t> count_{0};
  Budget& budget_;
  RowIndex number_;
  std::uint32_t first_;
  Revision newest_ = 0;
  std::array<Revision, kRows / kBlockRows> newest_of_block_ = {};
  std::vector<Row> rows_;
  std::vector<std::unique_ptr<Cell[]>> cells_;  // by field id
  std::size_t fields_ = 0;                      // not null in cells_
  std::int64_t charged_ = 0;
};

}  // namespace sluice::store
