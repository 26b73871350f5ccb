// Rows for tests of samplers: their tags, and which are ready; a sampler over them is told of every
// change, as a View tells it.
#pragma once

#include <limits>
#include <map>
#include <memory>
#include <string>

#include "controller/samplers/sampler.h"

namespace sluice::controller {

class FakeRows final : public RowSource {
 public:
  [[nodiscard]] bool Ready(RowIndex row, std::span<const std::size_t> /*fields*/) const override {
    return ready.Contains(row);
  }
  [[nodiscard]] std::string_view TagOf(RowIndex row) const override {
    const auto it = tags.find(row);
    return it == tags.end() ? std::string_view() : it->second;
  }
  void Select(std::span<const std::size_t> /*fields*/, const std::optional<store::Where>& /*where*/,
              RowBits& rows) const override {
    existing.ForEach([&rows](RowIndex row) { rows.Insert(row); });
  }
  std::size_t Follow(std::string_view /*field*/) override { return 0; }
  [[nodiscard]] std::size_t Followed() const override { return 1; }
  void KeepOnly(std::span<const std::size_t> /*positions*/) noexcept override {}
  [[nodiscard]] std::int64_t RowsMade() const override { return existing.Last() + 1; }
  [[nodiscard]] std::int64_t MadeMs(RowIndex /*row*/) const override { return 0; }

  [[nodiscard]] Choosable Choose() const {
    return {.ready = ready, .existing = existing, .gone = gone, .rows = *this};
  }
  // Each tells `told`, a sampler or groups, too.
  template <typename Told>
  void Write(RowIndex row, const std::string& tag, Told& told) {
    tags[row] = tag;
    existing.Insert(row);
    told.RowWritten(row);
  }
  template <typename Told>
  void MakeReady(RowIndex row, Told& told) {
    if (gone.Erase(row)) {
      told.RowWritten(row);
    }
    if (ready.Insert(row)) {
      told.RowReady(row);
    }
  }
  template <typename Told>
  void Take(RowIndex row, Told& told) {
    if (ready.Erase(row)) {
      told.RowTaken(row);
    }
  }
  template <typename Told>
  void Consume(RowIndex row, Told& told) {
    ready.Erase(row);
    gone.Insert(row);
    told.RowTaken(row);
  }
  template <typename Told>
  void Remove(RowIndex row, Told& told) {
    gone.Erase(row);
    Take(row, told);
    existing.Erase(row);
    tags.erase(row);
    told.RowGone(row);
  }

  // Tells one that is new of all rows, some at a time.
  template <typename Told>
  void Tell(Told& told, std::int64_t at_once = 3) const {
    for (RowIndex next = 0; next != std::numeric_limits<RowIndex>::max();) {
      std::int64_t rows = at_once;
      next = NotifyOfRows(told, Choose(), next, rows);
    }
  }

  std::map<RowIndex, std::string> tags;
  RowBits existing;
  RowBits ready;
  RowBits gone;
};

}  // namespace sluice::controller
