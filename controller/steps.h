// Steps: what each rank of a task got at its last steps (RANK and STEP), so that a repeated call
// gets the same rows.
//
// A *deal* is the set of shares that one call dealt to all ranks. Deals are indexed by row, one
// list per 64 neighbouring rows, so that the cost of forgetting a row depends only on what is
// forgotten, not on how many steps are remembered.
//
//   ranks_:   rank -> step -> Step
//   deals_:   (deal, step) -> Deal: the ranks that have a share
//   by_rows_: row / 64 -> | Deal*, row % 64 | Deal*, row % 64 | ...
//
// Thread safety: one caller at a time (the holder of the engine lock).
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "controller/fetch.h"

namespace sluice::controller {

struct Step {
  std::vector<RowIndex> rows;
  std::vector<double> weights;
  std::int64_t count = 0;  // of the fetch
  SamplerChoice sampler;
  std::int64_t deal = 0;           // the same for all shares of one call, and unique to it
  bool given_again = false;        // others have these rows, too
  LeaseId lease = 0;               // the last lease; 0: consumed, or KEEP
  std::vector<RowIndex> returned;  // rows that became free when the lease ended
};

class Steps {
 public:
  static constexpr std::size_t kKept = 1024;        // per rank
  static constexpr std::int64_t kRanksMax = 65536;  // ranks are below it

  Steps() = default;
  Steps(Steps&&) = default;
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
  void Clear() noexcept { *this = Steps(); }
  // The step's lease ended; `returned`: its rows that became free.
  void LeaseEnded(const RankStep& at, LeaseId lease, std::vector<RowIndex> returned) noexcept;
  [[nodiscard]] std::int64_t Bytes() const noexcept { return bytes_; }

 private:
  struct Rank {
    std::map<std::int64_t, Step> steps;
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
  void Erase(Ranks::iterator rank, std::map<std::int64_t, Step>::iterator step) noexcept;

  Ranks ranks_;
  std::map<std::pair<std::int64_t, std::int64_t>, Deal> deals_;
  std::map<RowIndex, std::vector<RowOfDeal>> by_rows_;
  std::int64_t bytes_ = 0;
};

}  // namespace sluice::controller
