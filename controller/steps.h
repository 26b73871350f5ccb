// Steps: what each rank of a task got at its last steps (RANK and STEP), so that a repeated call
// gets the same rows.
//
// A *deal* is the set of shares that one call dealt to all ranks. Deals are indexed by row, one
// list per 64 neighbouring rows, so that the cost of forgetting a row depends only on what is
// forgotten, not on how many steps are remembered.
//
// A step may *hold* its rows: AUTOEVICT must not remove them, so that the step can be repeated. The
// steps that a rank has asked for hold their rows until it has asked for enough others, in the
// order of its last calls. A share that was dealt to a rank which has not asked for it yet holds
// its rows until it is forgotten.
//
//   ranks_:   rank -> step -> Step
//   deals_:   (deal, step) -> Deal: the ranks that have a share
//   by_rows_: row / 64 -> | Deal*, row % 64 | Deal*, row % 64 | ...
//   asked:    rank -> Step, Step, ...: those that it asked for and that hold, by its last call
//
// Thread safety: one caller at a time (the holder of the engine lock).
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include <boost/intrusive/list.hpp>

#include "controller/fetch.h"
#include "controller/rows/held_rows.h"

namespace sluice::controller {

struct Step {
  std::vector<RowIndex> rows;
  std::vector<double> weights;
  std::int64_t count = 0;  // of the fetch
  SamplerChoice sampler;
  std::int64_t deal = 0;           // the same for all shares of one call, and unique to it
  bool given_again = false;        // others have these rows, too
  bool holds = false;              // its rows
  LeaseId lease = 0;               // the last lease; 0: consumed, or KEEP
  std::vector<RowIndex> returned;  // rows that became free when the lease ended
};

class Steps {
 public:
  static constexpr std::size_t kKept = 1024;        // per rank
  static constexpr std::size_t kHeld = 64;          // per rank, of those that it asked for
  static constexpr std::int64_t kRanksMax = 65536;  // ranks are below it

  Steps() = default;
  Steps(Steps&&) = default;
  // NOLINTNEXTLINE(bugprone-exception-escape): see RowMap, which is moved
  Steps& operator=(Steps&&) = default;

  // Returns null if the step is not known.
  [[nodiscard]] Step* Find(const RankStep& at) noexcept;
  // Returns true if the step may have been known and is too old.
  [[nodiscard]] bool IsForgotten(const RankStep& at) const noexcept;
  // Drops the rank's oldest step if there are more than kKept.
  // Errors: std::bad_alloc; nothing changed then. REQUIRES: not known.
  void Add(const RankStep& at, Step step);
  void Forget(const RankStep& at) noexcept;
  // Forgets the steps that have one of these rows and the other ranks' shares of the same calls, as
  // if they had never been.
  void ForgetRows(const RowBits& rows) noexcept;
  // NOLINTNEXTLINE(bugprone-exception-escape): see RowMap, which is moved
  void Clear() noexcept { *this = Steps(); }
  // The step's lease ended; `returned`: its rows that became free.
  void LeaseEnded(const RankStep& at, LeaseId lease, std::vector<RowIndex> returned) noexcept;

  // The rank got its step. The holds of the steps that it asked for longest ago end if more than
  // kHeld of them hold, or if they have more rows than the rank's part of `rows_max`. No effect if
  // the step is not known or does not hold.
  void Ask(const RankStep& at, std::int64_t rows_max) noexcept;
  // Makes the step hold the rows that its lease returned. REQUIRES: known; it does not hold.
  // Errors: std::bad_alloc; nothing changed then.
  void HoldReturned(const RankStep& at);
  // No effect if the step does not hold.
  void EndHold(const RankStep& at) noexcept;
  [[nodiscard]] bool Holds(RowIndex row) const noexcept { return held_.Contains(row); }
  // No step needs this row any more: it was acknowledged or removed.
  void Release(RowIndex row) noexcept { held_.Forget(row); }
  // Returns the rows whose last hold ended since the last call, and perhaps rows that are held
  // again or removed. Sets `incomplete` if there was no memory to list them all.
  [[nodiscard]] std::vector<RowIndex> TakeLetGo(bool& incomplete) noexcept;

  [[nodiscard]] bool Empty() const noexcept { return ranks_.empty(); }
  [[nodiscard]] std::int64_t Bytes() const noexcept { return bytes_ + held_.Bytes(); }

 private:
  using Hook = boost::intrusive::list_member_hook<
      boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;
  struct Known : Step {
    explicit Known(Step step) : Step(std::move(step)) {}
    Hook in_asked;  // of its rank
  };
  using KnownSteps = std::map<std::int64_t, Known>;
  struct Rank {
    boost::intrusive::list<Known, boost::intrusive::member_hook<Known, Hook, &Known::in_asked>,
                           boost::intrusive::constant_time_size<false>>
        asked;
    std::int64_t asked_rows = 0;
    KnownSteps steps;
    std::int64_t forgotten = -1;  // the highest step that was too old
  };
  struct Deal {
    std::int64_t step = 0;
    std::vector<std::int64_t> ranks;
    bool forget = false;
    Deal* next = nullptr;  // in the list of deals to be forgotten
  };
  struct RowOfDeal {
    Deal* deal = nullptr;
    RowIndex row = 0;
  };
  using Ranks = std::map<std::int64_t, Rank>;

  static std::int64_t BytesOf(const Step& step);
  Deal& DealOf(const RankStep& at, const Step& step);
  void Index(const RankStep& at, const Step& step);
  void Unindex(const RankStep& at, const Step& step) noexcept;
  void Erase(Ranks::iterator rank, KnownSteps::iterator step) noexcept;
  [[nodiscard]] Known* FindKnown(const RankStep& at) noexcept;
  void EndHold(Rank& rank, Known& step) noexcept;

  Ranks ranks_;
  std::map<std::pair<std::int64_t, std::int64_t>, Deal> deals_;
  std::map<RowIndex, std::vector<RowOfDeal>> by_rows_;
  HeldRows held_;
  std::vector<RowIndex> let_go_;  // see TakeLetGo()
  bool let_go_incomplete_ = false;
  std::int64_t bytes_ = 0;  // except of held_
};

}  // namespace sluice::controller
