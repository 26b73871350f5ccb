// Random requests of the streaming API: few names, rows and steps, so that they often collide.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "tests/stream_model/stream_model.h"
#include "tests/stream_model/stream_requests.h"
#include "tests/support/random_picks.h"

namespace sluice::tests {

class StreamPicks : protected RandomPicks {
 protected:
  // Reads the model, so that requests name existing things.
  StreamPicks(unsigned seed, const StreamModel& model) : RandomPicks(seed), model_(model) {}

  bool Chance(std::size_t percent) { return Pick(100) < percent; }
  template <typename T>
  const T& OneOf(const std::vector<T>& items) {
    return items[Pick(items.size())];
  }
  std::int64_t Between(std::int64_t least, std::int64_t most) {
    return least + static_cast<std::int64_t>(Pick(static_cast<std::size_t>(most - least + 1)));
  }

  std::string PickPartition() { return Chance(12) ? "p2" : Name("p", 2); }
  std::string PickTask() { return Name("t", 3); }
  Words PickFields();
  Where PickWhere();
  RowList PickRows(const std::string& partition, const std::string& task);
  std::string PickLease(const std::string& partition, const std::string& task);

  // Returns whether it has too many rows for frequent collisions.
  [[nodiscard]] bool Crowded(const std::string& partition) const;
  WriteRequest PickPut();
  WriteRequest PickNewRows();
  AppendRequest PickAppend();
  FetchRequest PickFetch();
  ClaimRequest PickClaim();
  CreateRequest PickCreate();

  // Ids of leases, most of which have ended.
  std::vector<std::string> lease_ids_;

 private:
  CellWrite PickCell(const std::string& field);
  std::string PickTag();
  SamplerSpec PickSampler();
  FetchRequest PickNewFetch();
  FetchRequest PickStepAgain();
  void PickWaysToTake(FetchRequest& request);
  void Spoil(FetchRequest& request);

  const StreamModel& model_;
  std::deque<FetchRequest> asked_;  // the last requests for a step
  std::int64_t next_step_ = 0;
};

}  // namespace sluice::tests
