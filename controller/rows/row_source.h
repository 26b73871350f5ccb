// RowSource: what sampling policy may read of a partition: which rows exist, which of their fields
// are ready, and their tags; never the bytes of a tensor.
//
// Thread safety: one caller at a time (the holder of the engine lock).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "controller/rows/row_bits.h"
#include "store/tags/where.h"

namespace sluice::controller {

class RowSource {
 public:
  // Returns true if all these fields of the row are ready; false if the row does not exist.
  // `fields`: positions that Follow() returned.
  [[nodiscard]] virtual bool Ready(RowIndex row, std::span<const std::size_t> fields) const = 0;
  // Prefetches what Ready() reads of the row into the CPU cache: rows of a large partition are far
  // apart in memory. `row` may be any number.
  virtual void Prefetch(RowIndex row) const noexcept = 0;
  // Returns the canonical text (store/tags/tag.h); "" for {} or if the row does not exist.
  [[nodiscard]] virtual std::string_view TagOf(RowIndex row) const = 0;
  // Adds every row whose fields are ready and whose tag matches. Errors: std::bad_alloc.
  virtual void Select(std::span<const std::size_t> fields, const std::optional<store::Where>& where,
                      RowBits& rows) const = 0;
  // Returns the field's position for Ready() and Select(). Errors: std::bad_alloc.
  virtual std::size_t Follow(std::string_view field) = 0;
  // Returns how many positions are in use.
  [[nodiscard]] virtual std::size_t Followed() const = 0;
  // Keeps only these positions in use; others may be reused for other fields.
  virtual void KeepOnly(std::span<const std::size_t> positions) noexcept = 0;
  // Returns how many rows were ever created, removed ones included.
  [[nodiscard]] virtual std::int64_t RowsMade() const = 0;
  // Returns when the row was created, in ms since 1970. REQUIRES: the row exists.
  [[nodiscard]] virtual std::int64_t MadeMs(RowIndex row) const = 0;
  // Returns how many rows the steps that the ranks of one task asked for may hold, see Steps.
  [[nodiscard]] virtual std::int64_t RowsToHold() const = 0;

 protected:
  ~RowSource() = default;
};

}  // namespace sluice::controller
