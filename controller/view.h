// View: the rows that a task could take for one selection (existing, complete, matching and free),
// and its lines. A view is updated at each change, so that a fetch reads only the rows that it
// takes.
//
// A new view has read no row, and a new sampler has been notified of none. Both go through the rows
// in order, some thousand per step, and other commands may act between two steps. A change of a row
// that was already read updates the view; other rows are read when the scan reaches them.
//
//   rows:   | read: kept up to date      | not read yet: changes are ignored   |
//                                        ^ next_
//
// Thread safety: one caller at a time (the holder of the engine lock).
#pragma once

#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/intrusive/list_hook.hpp>

#include "controller/retired.h"
#include "controller/rows/row_bits.h"
#include "controller/waiter.h"

namespace sluice::controller {

class View {
 public:
  using Hook = boost::intrusive::list_member_hook<
      boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;
  static constexpr RowIndex kAll = std::numeric_limits<RowIndex>::max();

  // `fields`: positions (RowSource::Follow), sorted.
  struct Key {
    std::vector<std::size_t> fields;
    std::string where_text;
    friend bool operator==(const Key&, const Key&) = default;
  };
  // `taken` returns whether the task has taken a row. All members are borrowed.
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
  // Returns true if the row is complete and its tag matches.
  [[nodiscard]] bool Fits(RowIndex row) const {
    return around_.rows.Ready(row, key_.fields) &&
           (!where_ || where_->Matches(around_.rows.TagOf(row)));
  }

  // Starts again, with no rows read.
  void Restart() noexcept;
  // Returns true if all rows were read.
  [[nodiscard]] bool Complete() const { return next_ == kAll; }
  // Reads more rows, for the view and for the sampler of `line` (null for none), and subtracts
  // their number from `rows`. Returns true if there are more rows and `rows` is used up.
  // Errors: std::bad_alloc; it may be called again.
  bool Step(Line* line, std::int64_t& rows);
  // Reads all rows that are left.
  void Finish(Line* line) {
    std::int64_t rows = kAll;
    Step(line, rows);
  }

  // The row was written. A taken row became free. The view is stale() if there is no memory.
  void RowWritten(RowIndex row) noexcept;
  void RowFreed(RowIndex row) noexcept;
  void Remove(RowIndex row) noexcept;
  void RowConsumed(RowIndex row) noexcept;
  // The row was removed.
  void RowGone(RowIndex row) noexcept;

  // Returns the line of this sampler. Errors: std::bad_alloc.
  Line& LineOf(const SamplerChoice& choice);
  // Returns the line's sampler, created if missing and notified of all rows.
  // Errors: std::bad_alloc.
  Sampler& SamplerOf(Line& line);
  // Step() for the lines that have waiters.
  bool StepForWaiters(std::int64_t& rows);
  void DropSamplers() noexcept;
  [[nodiscard]] std::size_t Waiters() const;
  [[nodiscard]] std::int64_t Bytes() const;

  // Returns true if it is kept up to date (LiveViews). If not, it has read no row.
  [[nodiscard]] bool IsLive() const { return in_live.is_linked(); }

  Hook in_live;
  std::int64_t used = 0;  // the task's use count at the last use
  bool stale = false;     // a change was missed: there was no memory
  // A rebuild calls Step() until the view is complete; its waiters are checked then.
  bool rebuilt = false;

 private:
  template <typename Tell>
  void NotifySamplers(const Tell& tell) noexcept;
  // Errors: std::bad_alloc.
  void Add(RowIndex row);
  void LookAtMore(std::int64_t& rows);
  bool NotifyMore(Line& line, std::int64_t& rows);

  Key key_;
  std::optional<store::Where> where_;
  Surroundings around_;
  RowIndex next_ = 0;  // the first row that was not read; kAll if all were read
  RowBits rows_;
  std::vector<std::unique_ptr<Line>> lines_;
};

}  // namespace sluice::controller
