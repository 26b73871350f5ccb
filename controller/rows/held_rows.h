// HeldRows: rows that AUTOEVICT must not remove yet, and how many holders each has.
//
// Thread safety: one caller at a time (the holder of the engine lock).
#pragma once

#include <cstdint>
#include <span>

#include "controller/rows/row_map.h"

namespace sluice::controller {

// NOLINTNEXTLINE(bugprone-exception-escape): see RowMap, which is moved
class HeldRows {
 public:
  // Adds a holder to each row. Errors: std::bad_alloc; nothing changed then.
  void Hold(std::span<const RowIndex> rows) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      try {
        holders_.Set(rows[i], holders_.Find(rows[i]) + 1);
      } catch (...) {
        for (const RowIndex row : rows.first(i)) {
          Release(row);
        }
        throw;
      }
    }
  }
  // Removes a holder of the row, if it has any. Returns true if that was the last one.
  bool Release(RowIndex row) noexcept {
    const std::uint32_t holders = holders_.Find(row);
    if (holders > 1) {
      holders_.Set(row, holders - 1);
    } else {
      holders_.Erase(row);
    }
    return holders == 1;
  }
  // Removes all holders of the row.
  void Forget(RowIndex row) noexcept { holders_.Erase(row); }
  [[nodiscard]] bool Contains(RowIndex row) const noexcept { return holders_.Find(row) != 0; }
  [[nodiscard]] std::int64_t Count() const noexcept { return holders_.Count(); }
  // Memory used.
  [[nodiscard]] std::int64_t Bytes() const noexcept { return holders_.Bytes(); }

 private:
  RowMap<std::uint32_t> holders_;
};

}  // namespace sluice::controller
