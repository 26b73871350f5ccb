// View: the rows that a task could take for one selection: those that are there, complete, fit, and
// are free; and its lines. Kept up to date at each change, so that a fetch looks at what it takes
// and nothing else.
//
// Thread safety: one caller at a time (the engine).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controller/row_bits.h"
#include "controller/waiter.h"

namespace sluice::controller {

class View {
 public:
  // `fields`: positions (RowSource::Follow), sorted.
  struct Key {
    std::vector<std::size_t> fields;
    std::string where_text;
    friend bool operator==(const Key&, const Key&) = default;
  };
  View(Key key, std::optional<store::Where> where, const RowBits& existing, const RowSource& rows)
      : key_(std::move(key)), where_(std::move(where)), existing_(existing), source_(rows) {}
  View(const View&) = delete;
  View& operator=(const View&) = delete;

  [[nodiscard]] const Key& GetKey() const { return key_; }
  [[nodiscard]] const RowBits& Rows() const { return rows_; }
  // Complete, and its tag fits?
  [[nodiscard]] bool Fits(RowIndex row) const {
    return source_.Ready(row, key_.fields) && (!where_ || where_->Matches(source_.TagOf(row)));
  }

  // Looks at all rows; those for which `taken` says yes are left out. Errors: std::bad_alloc.
  template <typename Taken>
  void Fill(const Taken& taken) {
    DropSamplers();
    RowBits fitting;
    source_.Select(key_.fields, where_, fitting);
    rows_.Clear();
    fitting.ForEach([&](RowIndex row) {
      if (!taken(row)) {
        rows_.Insert(row);
      }
    });
  }

  // The row was written; it is in the view or not. Errors: std::bad_alloc.
  void RowWritten(RowIndex row, bool in);
  // Errors: std::bad_alloc.
  void Add(RowIndex row);
  void Remove(RowIndex row) noexcept;
  // The row is gone.
  void RowGone(RowIndex row) noexcept;

  // The line of this sampler, with the sampler made. Errors: std::bad_alloc.
  Line& LineOf(const SamplerChoice& choice);
  // Its sampler, made where it is missing. Errors: std::bad_alloc.
  Sampler& SamplerOf(Line& line);
  void DropSamplers() noexcept;
  [[nodiscard]] std::size_t Waiters() const;
  [[nodiscard]] std::int64_t Bytes() const;

  std::int64_t used = 0;  // when it was asked for last, on the controller's count

 private:
  template <typename Tell>
  void TellSamplers(const Tell& tell) noexcept;

  Key key_;
  std::optional<store::Where> where_;
  const RowBits& existing_;
  const RowSource& source_;
  RowBits rows_;
  std::vector<std::unique_ptr<Line>> lines_;
};

}  // namespace sluice::controller
