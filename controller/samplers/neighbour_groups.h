// NeighbourGroups: see groups.h. Each group has two counts, so that a change costs the same for any
// group size.
#pragma once

#include "controller/rows/row_map.h"
#include "controller/samplers/groups.h"

namespace sluice::controller {

class NeighbourGroups final : public Groups {
 public:
  NeighbourGroups(std::int64_t size, const Choosable& from) : size_(size), from_(from) {}

  void RowWritten(RowIndex row) override { SetPossible(row, !from_.gone.Contains(row)); }
  void RowReady(RowIndex row) override;
  void RowTaken(RowIndex row) override;
  void RowGone(RowIndex row) override { SetPossible(row, false); }
  std::int64_t Count() override { return whole_.Count(); }
  void First(std::int64_t count, std::vector<RowIndex>& rows) override;
  std::int64_t Possible() override { return possible_groups_; }
  void Explain(const Sampler::Prospects& prospects, std::vector<std::string>& lines) override;

 private:
  using Counts = RowMap<std::int64_t>;  // by group number

  // The row exists and is not gone, or not.
  void SetPossible(RowIndex row, bool now);
  std::int64_t Add(Counts& counts, RowIndex row, std::int64_t difference) const;

  std::int64_t size_;
  Choosable from_;
  // The rows that are counted: a notification may come twice, or for a row that is not counted.
  RowBits ready_;
  RowBits possible_;
  Counts ready_in_;
  Counts possible_in_;
  RowBits whole_;  // group numbers
  std::int64_t possible_groups_ = 0;
};

}  // namespace sluice::controller
