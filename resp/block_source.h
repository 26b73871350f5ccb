// BlockSource: the interface through which a Reply charges its scratch memory, so that resp/ does
// not depend on the memory accounting.
#pragma once

#include <cstddef>
#include <new>

namespace sluice::resp {

// The memory limit of this reply is reached.
struct NoSpace : std::bad_alloc {
  [[nodiscard]] const char* what() const noexcept override { return "no memory for the reply"; }
};

class BlockSource {
 public:
  // Charges `bytes`, or changes nothing and returns false. With `must`, always charges.
  [[nodiscard]] virtual bool Take(std::size_t bytes, bool must) noexcept = 0;
  // True if Take(bytes, false) would succeed.
  [[nodiscard]] virtual bool HasSpace(std::size_t bytes) const noexcept = 0;
  virtual void Give(std::size_t bytes) noexcept = 0;

 protected:
  ~BlockSource() = default;
};

}  // namespace sluice::resp
