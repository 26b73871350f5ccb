// Segment: up to 4,096 rows with consecutive indexes: keys, tags, revisions, and one array of cells
// per field, allocated when the field is first written in this segment.
//
// Rows are added in index order, so the arrays begin at the segment's first row and grow on demand:
// a partition of four rows, or one whose old rows are all removed, costs little. A segment is freed
// with its last row.
//
//   offset:      0 ......... first_ ............... first_+capacity_ ....... 4095
//   rows_:                   | Row | Row | ... |
//   cells_[id]:              | Cell | Cell | ... |   or null
//
// A reader of many rows *pins* segments under the engine lock and reads them without it, as they
// were when pinned: a segment with other references is never changed. The partition replaces it by
// a copy before it writes (copy on write). So a pin costs one reference count, and a write costs at
// most one copy of 4,096 rows per pin.
//
// Each block of 64 rows has the latest revision of its rows, so a search for changes since a
// revision skips unchanged blocks.
//
// Thread safety: any thread may read a pinned segment; otherwise one caller at a time, which holds
// the engine lock.
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
  Text key;  // null if the row does not exist
  Text tag;  // null means {}
  Revision revision = 0;
  std::int64_t made_ms = 0;  // creation, Unix time
};

class Segment {
 public:
  static constexpr RowIndex kRows = 4096;

  // For the rows with indexes from number * kRows + `first` on.
  Segment(Budget& budget, RowIndex number, std::uint32_t first)
      : budget_(budget), number_(number), first_(first) {}
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;

  // Returns a copy with the same rows and cells.
  // Errors: kOom if the charge would exceed the limit + `overdraft`; std::bad_alloc.
  [[nodiscard]] Result<SegmentRef> Copy(std::int64_t overdraft) const;
  // False if the segment is pinned; then change a Copy() instead.
  [[nodiscard]] bool IsMine() const { return count_.load(std::memory_order_acquire) == 1; }
  friend void intrusive_ptr_add_ref(Segment* segment) noexcept {
    segment->count_.fetch_add(1, std::memory_order_relaxed);
  }
  friend void intrusive_ptr_release(Segment* segment) noexcept {
    if (segment->count_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      delete segment;
    }
  }

  // The following functions change the segment. REQUIRES: IsMine().

  // Extends the arrays to the row at `offset`. REQUIRES: offset >= first.
  // Errors: kOom; std::bad_alloc; nothing has changed then.
  Status EnsureRow(std::uint32_t offset);
  // Creates the cells of field `id`, none of them ready. Errors: as EnsureRow.
  Status EnsureField(std::uint32_t id);
  void DropField(std::uint32_t id) noexcept;

  // REQUIRES: EnsureRow(offset) succeeded.
  Row& At(std::uint32_t offset) { return rows_[offset - first_]; }
  // REQUIRES: EnsureRow(offset) and EnsureField(id) succeeded.
  Cell& CellAt(std::uint32_t id, std::uint32_t offset) { return cells_[id][offset - first_]; }
  // Records a write of the row. REQUIRES: as At(), and `revision` is the latest one.
  void SetRevision(std::uint32_t offset, Revision revision);

  std::uint32_t live_rows = 0;  // maintained by the partition

  // The following functions only read.

  // Prefetch the row or its cell into the CPU cache. No effect if it does not exist.
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
  // Returns null if the row does not exist.
  [[nodiscard]] const Row* Find(std::uint32_t offset) const;
  // Returns the cell; not ready if the field has no cells here. REQUIRES: as At().
  [[nodiscard]] Cell GetCell(std::uint32_t id, std::uint32_t offset) const;
  [[nodiscard]] RowIndex Number() const { return number_; }
  [[nodiscard]] std::int64_t ChargedBytes() const { return charged_; }
  // The latest revision of any row, removed rows included.
  [[nodiscard]] Revision Newest() const { return newest_; }

  // Calls function(offset, row) in order for each row from `from` on that was written after
  // revision `since` (0: for all rows).
  template <typename Function>
  void ForEach(std::uint32_t from, Revision since, const Function& function) const {
    const auto end = static_cast<std::uint32_t>(first_ + rows_.size());
    for (std::uint32_t offset = std::max(from, first_); offset < end; ++offset) {
      if (since > 0 && newest_of_block_[offset / kBlockRows] <= since) {
        offset |= kBlockRows - 1;  // the last row of the block
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
  std::size_t fields_ = 0;                      // number of non-null arrays in cells_
  std::int64_t charged_ = 0;
};

}  // namespace sluice::store
