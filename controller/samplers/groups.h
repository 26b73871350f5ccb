// Groups: which groups of a view are whole: all their rows are in it. What `group` and `balanced`
// choose from.
//
//   neighbours   group k is the rows k*g .. k*g+g-1
//   BY tag       the partition's rows of one tag value, by index, are cut g at a time
//
// Thread safety: one caller at a time (the engine).
#pragma once

#include "controller/samplers/sampler.h"

namespace sluice::controller {

class Groups {
 public:
  Groups() = default;
  Groups(const Groups&) = delete;
  Groups& operator=(const Groups&) = delete;
  virtual ~Groups() = default;

  // As of Sampler.
  virtual void RowWritten(RowIndex row) = 0;
  virtual void RowReady(RowIndex row) = 0;
  virtual void RowTaken(RowIndex row) = 0;
  virtual void RowGone(RowIndex row) = 0;

  // How many are whole.
  [[nodiscard]] virtual std::int64_t Count() = 0;
  // Appends the rows of the first `count` whole ones, by their lowest index. REQUIRES: there are.
  virtual void First(std::int64_t count, std::vector<RowIndex>& rows) = 0;
  // How many consist of rows that are not gone.
  [[nodiscard]] virtual std::int64_t Possible() = 0;
  virtual bool Work(std::int64_t& /*rows*/) { return false; }  // as of Sampler
  // Appends a line for each that is not whole and has rows in the view; the first few.
  virtual void Explain(const Sampler::Prospects& prospects, std::vector<std::string>& lines) = 0;
};

// One line of Explain().
struct GroupState {
  bool torn = false;
  bool too_few = false;  // it lacks rows, and no more are made
  std::int64_t ready = 0;
  std::int64_t size = 0;
};
std::string ExplainGroup(std::string_view name, const GroupState& state);
inline constexpr std::size_t kGroupsExplained = 8;

std::unique_ptr<Groups> MakeGroups(const SamplerChoice& choice, const Choosable& from);

}  // namespace sluice::controller
