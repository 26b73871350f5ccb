// NameListener: who wants to know when what a name stands for changes: WATCH.
//
// Thread safety: told by the store's one caller, under the engine.
#pragma once

#include <string_view>

namespace sluice::store {

class Store;

class NameListener {
 public:
  // Something was written to `name` or removed from it, or it was made or removed, or its expiry
  // was set by a command. Borrowed for the call. What expires is told when it is removed.
  virtual void NameChanged(std::string_view name) noexcept = 0;
  // Whatever there is in `before` is removed next.
  virtual void AllGoes(Store& before) noexcept = 0;

 protected:
  ~NameListener() = default;
};

}  // namespace sluice::store
