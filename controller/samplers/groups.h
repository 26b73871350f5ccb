// Groups: the groups of a view that are whole: all their rows are in the view. The samplers `group`
// and `balanced` choose from them.
//
//   neighbours   group k is the rows k*g .. k*g+g-1
//   BY tag       the partition's rows of one tag value, by index, are cut g at a time
//
// Thread safety: one caller at a time (the holder of the engine lock).
#pragma once

#include "controller/samplers/sampler.h"

namespace sluice::controller {

class Groups {
 public:
  Groups() = default;
  Groups(const Groups&) = delete;
  Groups& operator=(const Groups&) = delete;
  virtual ~Groups() = default;

  // As in Sampler.
  virtual void RowWritten(RowIndex row) = 0;
  virtual void RowReady(RowIndex row) = 0;
  virtual void RowTaken(RowIndex row) = 0;
  virtual void RowGone(RowIndex row) = 0;

  // Returns how many groups are whole.
  [[nodiscard]] virtual std::int64_t Count() = 0;
  // Appends the rows of the first `count` whole groups, ordered by lowest index. REQUIRES: count <=
  // Count().
  virtual void First(std::int64_t count, std::vector<RowIndex>& rows) = 0;
  // Returns how many groups contain no row that is gone. May stop counting at `enough`.
  [[nodiscard]] virtual std::int64_t Possible(std::int64_t enough) = 0;
  virtual bool Work(std::int64_t& /*rows*/) { return false; }  // as in Sampler
  // Appends one line for each of the first few groups that are not whole and have rows in the view.
  virtual void Explain(const Sampler::Prospects& prospects, std::vector<std::string>& lines) = 0;
};

// One line of Explain().
struct GroupState {
  bool torn = false;
  bool too_few = false;  // rows are missing, and no more will be created
  std::int64_t ready = 0;
  std::int64_t size = 0;
};
std::string ExplainGroup(std::string_view name, const GroupState& state);
inline constexpr std::size_t kGroupsExplained = 8;

std::unique_ptr<Groups> MakeGroups(const SamplerChoice& choice, const Choosable& from);

}  // namespace sluice::controller
