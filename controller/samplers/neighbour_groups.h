// NeighbourGroups: see groups.h. Keeps the set of numbers of whole groups.
#pragma once

#include <algorithm>

#include "controller/samplers/groups.h"

namespace sluice::controller {

class NeighbourGroups final : public Groups {
 public:
  NeighbourGroups(std::int64_t size, const Choosable& from) : size_(size), from_(from) {}

  void RowWritten(RowIndex row) override { possible_from_ = std::min(possible_from_, row); }
  void RowReady(RowIndex row) override;
  void RowTaken(RowIndex row) override;
  void RowGone(RowIndex /*row*/) override {}
  std::int64_t Count() override { return whole_.Count(); }
  void First(std::int64_t count, std::vector<RowIndex>& rows) override;
  std::int64_t Possible(std::int64_t enough) override;
  void Explain(const Sampler::Prospects& prospects, std::vector<std::string>& lines) override;

 private:
  std::int64_t size_;
  Choosable from_;
  RowBits whole_;               // by group number
  RowIndex possible_from_ = 0;  // no group of lower rows is possible
};

}  // namespace sluice::controller
