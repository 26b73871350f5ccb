// Follower: something that keeps track of a partition's rows, as the streaming commands do. It
// belongs to the partition, and ends with it.
//
// Thread safety: told by the partition's one caller, under the engine; destroyed on any thread.
#pragma once

#include "store/ids.h"

namespace sluice::store {

class Follower {
 public:
  Follower() = default;
  Follower(const Follower&) = delete;
  Follower& operator=(const Follower&) = delete;
  virtual ~Follower() = default;

  // The row was made or written, or lost a cell; it is as it will be.
  virtual void RowWritten(RowIndex row) noexcept = 0;
  // The row is gone.
  virtual void RowGone(RowIndex row) noexcept = 0;
  // Nobody finds the partition any more; its rows are still there, for now.
  virtual void PartitionGoes() noexcept = 0;
  // Somebody waits for its rows, or works on them: it does not become idle.
  [[nodiscard]] virtual bool InUse() const noexcept = 0;
};

}  // namespace sluice::store
