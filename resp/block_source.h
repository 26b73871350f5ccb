// BlockSource: where a Reply's scratch memory is charged, so that output counts as it is made and
// resp/ need not know what it counts against.
#pragma once

#include <cstddef>
#include <new>

namespace sluice::resp {

// There is memory, but not for this reply.
struct NoSpace : std::bad_alloc {
  [[nodiscard]] const char* what() const noexcept override { return "no room for the reply"; }
};

class BlockSource {
 public:
  // Takes `bytes`, or changes nothing and returns false. `must`: always takes.
  [[nodiscard]] virtual bool Take(std::size_t bytes, bool must) noexcept = 0;
  // Take(bytes, false) would take them.
  [[nodiscard]] virtual bool HasSpace(std::size_t bytes) const noexcept = 0;
  virtual void Give(std::size_t bytes) noexcept = 0;

 protected:
  ~BlockSource() = default;
};

}  // namespace sluice::resp
