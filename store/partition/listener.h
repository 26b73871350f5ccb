// Listener: who wants to know what changes in the store: tasks and their waiting fetches, WATCH,
// KV.WAIT, blocked writes. The one channel of events: commands notify nobody themselves.
//
// Thread safety: called by the store's one caller, under the engine lock.
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
  // Rows were made or written, or lost a cell; they are as they will be.
  virtual void OnRowsChanged(Partition& /*partition*/,
                             std::span<const RowReference> /*rows*/) noexcept {}
  // Rows are removed; `rows` has their indexes only.
  virtual void OnRowsRemoved(Partition& /*partition*/,
                             std::span<const RowReference> /*rows*/) noexcept {}
  // Nobody finds the partition any more; its rows are still there, for now.
  virtual void OnPartitionRemoved(Partition& /*partition*/) noexcept {}
  // Something was written to `name` or removed from it, or it was made or removed, or its expiry
  // was set by a command. Borrowed for the call. A name that expires is told when it is removed.
  virtual void OnNameChanged(std::string_view /*name*/) noexcept {}
  // Whatever there is in `before` is removed next.
  virtual void OnAllRemoved(Store& /*before*/) noexcept {}

 protected:
  ~Listener() = default;
};

// What somebody keeps with a partition; it ends with it.
class Attachment {
 public:
  Attachment() = default;
  Attachment(const Attachment&) = delete;
  Attachment& operator=(const Attachment&) = delete;
  virtual ~Attachment() = default;  // on any thread

  // Somebody waits for the partition's rows, or works on them: it does not become idle.
  [[nodiscard]] virtual bool InUse() const noexcept = 0;
};

}  // namespace sluice::store
