// Rows for tests of samplers: their tags, and which are ready. A sampler over them is notified of
// every change, as a View notifies it.
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
    ++looks;
    return ready.Contains(row);
  }
  void Prefetch(RowIndex /*row*/) const noexcept override {}
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
  [[nodiscard]] std::int64_t RowsToHold() const override {
    return std::numeric_limits<std::int64_t>::max();
  }

  [[nodiscard]] Choosable Choose() const {
    return {.ready = ready, .existing = existing, .gone = gone, .rows = *this};
  }
  // Each change also notifies `listener`, a sampler or groups.
  template <typename Listener>
  void Write(RowIndex row, const std::string& tag, Listener& listener) {
    tags[row] = tag;
    existing.Insert(row);
    listener.RowWritten(row);
  }
  template <typename Listener>
  void MakeReady(RowIndex row, Listener& listener) {
    if (gone.Erase(row)) {
      listener.RowWritten(row);
    }
    if (ready.Insert(row)) {
      listener.RowReady(row);
    }
  }
  template <typename Listener>
  void Take(RowIndex row, Listener& listener) {
    if (ready.Erase(row)) {
      listener.RowTaken(row);
    }
  }
  template <typename Listener>
  void Consume(RowIndex row, Listener& listener) {
    ready.Erase(row);
    gone.Insert(row);
    listener.RowTaken(row);
  }
  template <typename Listener>
  void Remove(RowIndex row, Listener& listener) {
    gone.Erase(row);
    Take(row, listener);
    existing.Erase(row);
    tags.erase(row);
    listener.RowGone(row);
  }

  // Notifies a new `listener` of all rows, in steps.
  template <typename Listener>
  void Tell(Listener& listener, std::int64_t step_rows = 3) const {
    for (RowIndex next = 0; next != std::numeric_limits<RowIndex>::max();) {
      std::int64_t rows = step_rows;
      next = NotifyOfRows(listener, Choose(), next, rows);
    }
  }

  std::map<RowIndex, std::string> tags;
  RowBits existing;
  RowBits ready;
  RowBits gone;
  mutable std::size_t looks = 0;  // calls of Ready()
};

}  // namespace sluice::controller
