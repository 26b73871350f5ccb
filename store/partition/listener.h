// Listener: receives the store's changes: for tasks and their waiting fetches, WATCH, KV.WAIT and
// blocked writes. This is the only event channel: commands do not notify directly.
//
// Thread safety: called by the caller of the store, which holds the engine lock.
#pragma once

#include <span>
#include <string_view>

#include "store/memory/budget.h"

namespace sluice::store {

class Partition;
class Store;
struct RowReference;

class Listener : public MemoryListener {
 public:
  // Rows were created or written, or lost a cell. Called after the change.
  virtual void OnRowsChanged(Partition& /*partition*/,
                             std::span<const RowReference> /*rows*/) noexcept {}
  // Rows were removed. Only the indexes of `rows` are set.
  virtual void OnRowsRemoved(Partition& /*partition*/,
                             std::span<const RowReference> /*rows*/) noexcept {}
  // The partition was removed from the store; its rows still exist.
  virtual void OnPartitionRemoved(Partition& /*partition*/) noexcept {}
  // `name` was written, created or removed, lost rows or cells, or a command set its expiry. An
  // expired name is notified when it is removed. `name` is borrowed for the call.
  virtual void OnNameChanged(std::string_view /*name*/) noexcept {}
  // Everything in `before` will be removed next.
  virtual void OnAllRemoved(Store& /*before*/) noexcept {}

  // True if a blocked command waits for the partition, or a lease on its rows is active: its TTL
  // does not run then.
  [[nodiscard]] virtual bool InUse(const Partition& /*partition*/) const noexcept { return false; }

 protected:
  ~Listener() = default;
};

// Data of another component that belongs to a partition and is destroyed with it.
class Attachment {
 public:
  Attachment() = default;
  Attachment(const Attachment&) = delete;
  Attachment& operator=(const Attachment&) = delete;
  virtual ~Attachment() = default;  // called on any thread
};

}  // namespace sluice::store
