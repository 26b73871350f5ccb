// Retired: unused objects that take long to destroy. The holder of the engine lock adds them, and
// takes them out to destroy them after the lock is released.
//
// Thread safety: the holder of the engine lock; what was taken out belongs to the caller.
#pragma once

#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace sluice::controller {

class Retired {
 public:
  using All = std::vector<std::shared_ptr<void>>;

  // Destroys `thing` immediately if there is no memory to keep it.
  template <typename Thing>
  void Add(std::unique_ptr<Thing> thing) noexcept {
    try {
      if (thing != nullptr) {
        all_.emplace_back(std::move(thing));
      }
    } catch (const std::bad_alloc&) {
    }
  }
  [[nodiscard]] All Take() noexcept { return std::exchange(all_, {}); }

 private:
  All all_;
};

}  // namespace sluice::controller
