// RowWaiters: who waits for a row to change. Each waiter watches one row at a time, by key or by
// index: one that is not as it wants it. When that row changes, the waiter is told, and either has
// all that it waits for or watches another row. So a write costs one look-up a row, however many
// wait for how many rows. (The idea is that of watched literals: Moskewicz et al., Chaff, 2001.)
//
// Thread safety: one caller at a time (the engine).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>

#include "store/ids.h"

namespace sluice::controller {

class RowWaiter {
 public:
  RowWaiter() = default;
  RowWaiter(const RowWaiter&) = delete;
  RowWaiter& operator=(const RowWaiter&) = delete;

  virtual ~RowWaiter() = default;

  // The row that it watched was written, and is watched no more. May watch another row.
  virtual void RowChanged() noexcept = 0;

 private:
  friend class RowWaiters;
  RowWaiter* next_ = nullptr;  // in a list of those to be told
  std::string partition_;      // empty: it watches nothing
  std::string key_;            // empty: it watches index_
  store::RowIndex index_ = 0;
};

class RowWaiters {
 public:
  // The waiter watches this row of a partition that need not exist. REQUIRES: it watches none, and
  // Forget() before it ends. Errors: std::bad_alloc; it watches none then.
  void WatchKey(std::string_view partition, std::string_view key, RowWaiter& waiter);
  void WatchIndex(std::string_view partition, store::RowIndex index, RowWaiter& waiter);
  void Forget(RowWaiter& waiter) noexcept;

  // Does anybody watch a row of this partition?
  [[nodiscard]] bool Any(std::string_view partition) const noexcept;
  // The row was written: tells those that watch it.
  void RowChanged(std::string_view partition, std::string_view key, store::RowIndex index) noexcept;

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>()(text);
    }
  };
  struct Partition {
    std::unordered_multimap<std::string, RowWaiter*, Hash, std::equal_to<>> by_key;
    std::unordered_multimap<store::RowIndex, RowWaiter*> by_index;
  };
  std::unordered_map<std::string, Partition, Hash, std::equal_to<>> partitions_;
};

}  // namespace sluice::controller
