// RowSource: what policy may know of a partition's rows: which there are, which of their fields are
// ready, and their tags; never a tensor's bytes.
//
// Thread safety: one caller at a time (the engine).
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
  // Are all these fields of the row ready? `fields` are positions among those that Follow() named.
  // False where there is no such row.
  [[nodiscard]] virtual bool Ready(RowIndex row, std::span<const std::size_t> fields) const = 0;
  // The canonical text (store/tags/tag.h); "" for {}, and where there is no such row.
  [[nodiscard]] virtual std::string_view TagOf(RowIndex row) const = 0;
  // Adds every row of which these fields are ready and whose tag fits. Errors: std::bad_alloc.
  virtual void Select(std::span<const std::size_t> fields, const std::optional<store::Where>& where,
                      RowBits& rows) const = 0;
  // The number by which Ready() and Select() know the field, from now on. Errors: std::bad_alloc.
  virtual std::size_t Follow(std::string_view field) = 0;
  // How many numbers there are.
  [[nodiscard]] virtual std::size_t Followed() const = 0;
  // Only these are still in use; others may come to stand for other fields.
  virtual void KeepOnly(std::span<const std::size_t> positions) noexcept = 0;
  // How many rows were ever made, those that are gone included.
  [[nodiscard]] virtual std::int64_t RowsMade() const = 0;
  // When the row was made, in ms since 1970. REQUIRES: it is there.
  [[nodiscard]] virtual std::int64_t MadeMs(RowIndex row) const = 0;

 protected:
  ~RowSource() = default;
};

}  // namespace sluice::controller
