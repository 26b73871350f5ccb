// View: the rows that a task could take for one selection: those that are there, complete, fit, and
// are free; and its lines. Kept up to date at each change, so that a fetch looks at what it takes
// and nothing else.
//
// A new view has looked at no row, and so does a new sampler know none. They go through the rows in
// order, some thousand at a time, and between two such steps others may act: a row behind the place
// where they are is looked at when it changes, a row before it when they come to it.
//
//   rows:   | looked at: kept up to date | not yet: changes are of no interest |
//                                        ^ next_
//
// Thread safety: one caller at a time (the engine).
#pragma once

#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controller/retired.h"
#include "controller/rows/row_bits.h"
#include "controller/waiter.h"

namespace sluice::controller {

class View {
 public:
  static constexpr RowIndex kAll = std::numeric_limits<RowIndex>::max();

  // `fields`: positions (RowSource::Follow), sorted.
  struct Key {
    std::vector<std::size_t> fields;
    std::string where_text;
    friend bool operator==(const Key&, const Key&) = default;
  };
  // `taken` says of a row whether the task has taken it. All but the key are borrowed.
  struct Surroundings {
    const RowBits& existing;
    const RowBits& consumed;
    const RowSource& rows;
    const std::function<bool(RowIndex)>& taken;
    Retired& retired;
  };
  View(Key key, std::optional<store::Where> where, const Surroundings& around)
      : key_(std::move(key)), where_(std::move(where)), around_(around) {}
  ~View() { DropSamplers(); }
  View(const View&) = delete;
  View& operator=(const View&) = delete;

  [[nodiscard]] const Key& GetKey() const { return key_; }
  [[nodiscard]] const RowBits& Rows() const { return rows_; }
  // Complete, and its tag fits?
  [[nodiscard]] bool Fits(RowIndex row) const {
    return around_.rows.Ready(row, key_.fields) &&
           (!where_ || where_->Matches(around_.rows.TagOf(row)));
  }

  // Begins anew.
  void Restart() noexcept;
  // Has it looked at all rows?
  [[nodiscard]] bool Complete() const { return next_ == kAll; }
  // Looks at some more rows, for itself and for the sampler of `line` (null: none), and takes their
  // number off `rows`. True: there are more, and `rows` is used up.
  // Errors: std::bad_alloc; it may be called again.
  bool Step(Line* line, std::int64_t& rows);
  // All that are left.
  void Finish(Line* line) {
    std::int64_t rows = kAll;
    Step(line, rows);
  }

  // The row was written; it is in the view or not. Errors: std::bad_alloc.
  void RowWritten(RowIndex row, bool in);
  // The row was taken, and is not any more; it is in the view or not. Errors: std::bad_alloc.
  void RowFreed(RowIndex row, bool in);
  // Errors: std::bad_alloc.
  void Add(RowIndex row);
  void Remove(RowIndex row) noexcept;
  void RowConsumed(RowIndex row) noexcept;
  // The row is gone.
  void RowGone(RowIndex row) noexcept;

  // The line of this sampler. Errors: std::bad_alloc.
  Line& LineOf(const SamplerChoice& choice);
  // Its sampler, made where it is missing, which knows all rows. Errors: std::bad_alloc.
  Sampler& SamplerOf(Line& line);
  // Step() for those of its lines in which somebody waits.
  bool StepForWaiters(std::int64_t& rows);
  void DropSamplers() noexcept;
  [[nodiscard]] std::size_t Waiters() const;
  [[nodiscard]] std::int64_t Bytes() const;

  std::int64_t used = 0;  // when it was asked for last, on the controller's count
  // Somebody goes on with Step() until it is done; those that wait are looked at then.
  bool rebuilt = false;

 private:
  template <typename Tell>
  void NotifySamplers(const Tell& tell) noexcept;

  void LookAtMore(std::int64_t& rows);
  bool NotifyMore(Line& line, std::int64_t& rows);

  Key key_;
  std::optional<store::Where> where_;
  Surroundings around_;
  RowIndex next_ = 0;  // the first that it has not looked at; kAll: it has looked at all
  RowBits rows_;
  std::vector<std::unique_ptr<Line>> lines_;
};

}  // namespace sluice::controller
