#include "controller/row_waiters.h"

#include <utility>

namespace sluice::controller {
namespace {

template <typename Map, typename Key>
void EraseFrom(Map& map, const Key& key, const RowWaiter* waiter) noexcept {
  const auto [begin, end] = map.equal_range(key);
  for (auto it = begin; it != end; ++it) {
    if (it->second == waiter) {
      map.erase(it);
      return;
    }
  }
}

}  // namespace

void RowWaiters::WatchKey(std::string_view partition, std::string_view key, RowWaiter& waiter) {
  std::string name(partition);
  std::string row(key);
  partitions_[name].by_key.emplace(row, &waiter);
  waiter.partition_ = std::move(name);
  waiter.key_ = std::move(row);
}

void RowWaiters::WatchIndex(std::string_view partition, store::RowIndex index, RowWaiter& waiter) {
  std::string name(partition);
  partitions_[name].by_index.emplace(index, &waiter);
  waiter.partition_ = std::move(name);
  waiter.key_.clear();
  waiter.index_ = index;
}

void RowWaiters::Forget(RowWaiter& waiter) noexcept {
  const auto it = partitions_.find(waiter.partition_);
  if (it == partitions_.end()) {
    return;
  }
  Partition& partition = it->second;
  if (waiter.key_.empty()) {
    EraseFrom(partition.by_index, waiter.index_, &waiter);
  } else {
    EraseFrom(partition.by_key, waiter.key_, &waiter);
  }
  waiter.partition_.clear();
  if (partition.by_key.empty() && partition.by_index.empty()) {
    partitions_.erase(it);
  }
}

bool RowWaiters::Any(std::string_view partition) const noexcept {
  return !partitions_.empty() && partitions_.find(partition) != partitions_.end();
}

void RowWaiters::RowChanged(std::string_view partition, std::string_view key,
                            store::RowIndex index) noexcept {
  const auto it = partitions_.find(partition);
  if (it == partitions_.end()) {
    return;
  }
  RowWaiter* list = nullptr;  // collected first: those that are told may watch the same row again
  const auto collect = [&list](auto& map, const auto& row) {
    const auto [begin, end] = map.equal_range(row);
    for (auto each = begin; each != end; ++each) {
      each->second->next_ = std::exchange(list, each->second);
    }
  };
  collect(it->second.by_index, index);
  collect(it->second.by_key, key);
  while (list != nullptr) {
    RowWaiter& waiter = *std::exchange(list, list->next_);
    Forget(waiter);
    waiter.RowChanged();
  }
}

}  // namespace sluice::controller
