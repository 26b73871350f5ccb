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
// Thread safety: one caller at a time (the engine).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "store/budget.h"
#include "store/field.h"
#include "store/ids.h"
#include "store/text.h"

namespace sluice::store {

struct Row {
  Text key;  // null: no such row
  Text tag;  // null: {}
  Revision revision = 0;
};

class Segment {
 public:
  static constexpr RowIndex kRows = 4096;

  Segment(Budget& budget, std::uint32_t first) : budget_(budget), first_(first) {}
  ~Segment() { budget_.Release(charged_); }
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;

  // Makes room for the row at `offset`. REQUIRES: offset >= first.
  // Errors: kOom; std::bad_alloc; nothing changed then.
  Status EnsureRow(std::uint32_t offset);
  // Makes the cells of field `id`, all unready. Errors as EnsureRow.
  Status EnsureField(std::uint32_t id);
  void DropField(std::uint32_t id) noexcept;

  // Null where there is no room for such a row, or where it is not there.
  [[nodiscard]] const Row* Find(std::uint32_t offset) const;
  // REQUIRES: EnsureRow(offset) was ok.
  Row& At(std::uint32_t offset) { return rows_[offset - first_]; }
  // The cell; unready where the field has none here. REQUIRES: as At().
  [[nodiscard]] Cell GetCell(std::uint32_t id, std::uint32_t offset) const;
  // REQUIRES: EnsureRow(offset) and EnsureField(id) were ok.
  Cell& CellAt(std::uint32_t id, std::uint32_t offset) { return cells_[id][offset - first_]; }

  // Calls function(offset, row) for each row, in order.
  template <typename Function>
  void ForEach(const Function& function) {
    for (std::uint32_t i = 0; i < rows_.size(); ++i) {
      if (!rows_[i].key.IsNull()) {
        function(first_ + i, rows_[i]);
      }
    }
  }

  std::uint32_t live_rows = 0;  // kept by the partition

 private:
  [[nodiscard]] std::int64_t BytesFor(std::size_t rows, std::size_t fields) const;

  Budget& budget_;
  std::uint32_t first_;
  std::vector<Row> rows_;
  std::vector<std::unique_ptr<Cell[]>> cells_;  // by field id
  std::size_t fields_ = 0;                      // not null in cells_
  std::int64_t charged_ = 0;
};

}  // namespace sluice::store
