// Retired: what is of no use any more and takes long to give back: whoever holds the engine puts it
// here, and whoever lets go of the engine takes it along.
//
// Thread safety: one caller at a time (the engine); what was taken out belongs to who took it.
#pragma once

#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace sluice::controller {

class Retired {
 public:
  using All = std::vector<std::shared_ptr<void>>;

  // Where there is no memory for that, it ends here and now.
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
